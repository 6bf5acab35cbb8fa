"""What mkdocs.yml leaves to Python: pages from elsewhere in the repository, links, no network."""

from __future__ import annotations

import posixpath
import re
import tomllib
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
REPOSITORY = PROJECT["urls"]["Repository"]
PAGES = {  # of the repository: where they are in the site
    "README.md": "overview.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SUPPORT.md": "support.md",
    **{
        f"benchmarks/{path.name}": f"benchmarks/{path.name}"
        for path in ROOT.glob("benchmarks/*.md")
    },
}
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]*)?\)")
FETCHED = re.compile(
    r"""<(?:script|img|iframe)[^>]+src="?https?:|<link[^>]+stylesheet[^>]+https?:"""
)


def on_files(files: Any, *, config: Any) -> Any:
    """Add the pages that lie outside docs/."""
    for source, target in PAGES.items():
        files.append(File.generated(config, target, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, *, page: Any, files: Any, **_: Any) -> str:
    """Let links lead to the site's page where there is one, else to the file in the repository."""
    folder = Path(page.file.abs_src_path).parent

    def link(found: re.Match[str]) -> str:
        path = (folder / found[1]).resolve()
        if not path.is_relative_to(ROOT) or not path.exists():
            return found[0]  # mkdocs says so
        name = path.relative_to(ROOT).as_posix()
        target = PAGES.get(name, name.removeprefix("docs/"))
        if files.get_file_from_path(target) is None:
            kind = "tree" if path.is_dir() else "blob"
            return f"]({REPOSITORY}/{kind}/main/{name})"
        start = posixpath.dirname(page.file.src_uri)
        return f"]({posixpath.relpath(target, start or '.')}{found[2] or ''})"

    return LINK.sub(link, markdown)


def on_page_content(html: str, **_: Any) -> str:
    """A bar that is escaped within code in a table is a bar, as on GitHub."""
    return re.sub(r"<td.*?</td>", lambda found: found[0].replace("\\|", "|"), html)


def on_post_page(output: str, *, page: Any, **_: Any) -> str:
    """Refuse a page that would fetch something from elsewhere when it is opened."""
    if found := FETCHED.search(output):
        raise PluginError(f"{page.file.src_uri}: the page fetches from elsewhere: {found[0]}")
    return output
