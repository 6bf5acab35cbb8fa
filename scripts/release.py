"""Fill in the project's addresses once, set its version, and check that a release is ready.

python scripts/release.py addresses https://github.com/OWNER/screader maintainers@example.org
python scripts/release.py version 0.2.0
python scripts/release.py check [v0.2.0]

The addresses are those of pyproject.toml; every other file that names one follows. CONTRIBUTING.md
has the whole procedure.
"""

from __future__ import annotations

import re
import subprocess
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import click

ROOT = Path(__file__).parents[1]
PLACEHOLDERS = ("OWNER", "example.org")
# Where the version follows, and nothing else of the same number.
BEFORE = (
    r"screader(?:-gpu|-suite|-models)?(?:[:_=-]|==| >=|\", \")|@TOOL_VERSION@\">"
    r"|^(?:  )?version: \"?|^ *version = [\"']|__version__ = \"|fetch-descriptions "
)
VERSION = r"\d+\.\d+\.\d+(?:\.?[a-z]+\d+)?"
NAMED = re.compile(rf"(?P<before>{BEFORE})(?P<version>{VERSION})\b(?!\.\d)", re.MULTILINE)
WRAPPED = re.compile(rf"(?P<before>)(?P<version>{VERSION})(?=\+galaxy)")
NOT_OURS = (
    "tests/", "benchmarks/", "galaxy_wrappers/test-data/", "containers/locks/", "scripts/",
    "containers/conda/screader-models/",
)  # fmt: skip
BASE_IMAGE = "containers/locks/base.txt"
UNRELEASED = "## [Unreleased]"


def files() -> dict[Path, str]:
    """Every tracked text file, and what it holds."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    texts = {}
    for name in names.stdout.decode().split("\0")[:-1]:
        try:
            texts[ROOT / name] = (ROOT / name).read_text("utf-8")
        except (UnicodeDecodeError, FileNotFoundError):
            continue
    return texts


def addresses() -> tuple[str, str]:
    """The repository's address, and the maintainers' for mail."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return project["urls"]["Repository"], project["maintainers"][0]["email"]


def versions() -> dict[str, set[str]]:
    """The versions that each file says are the project's."""
    found = {}
    for path, text in files().items():
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith(NOT_OURS) and name != "CHANGELOG.md":
            said = {match["version"] for form in (NAMED, WRAPPED) for match in form.finditer(text)}
            if said:
                found[name] = said
    return found


@click.group()
def main() -> None:
    """Addresses, version and checks of a release."""


@main.command("addresses")
@click.argument("repository")
@click.argument("contact")
def set_addresses(repository: str, contact: str) -> None:
    """Put REPOSITORY and CONTACT wherever the present ones stand."""
    repository = repository.removesuffix("/").removesuffix(".git")
    if not re.fullmatch(r"https://[^/]+/[^/]+/[^/]+", repository) or "@" not in contact:
        raise click.UsageError("expected https://HOST/OWNER/NAME and an address for mail.")
    old, old_contact = addresses()
    for path, text in files().items():
        changed = text.replace(old, repository).replace(old_contact, contact)
        if path.name == "recipe.yaml":  # who maintains the recipe, by name
            changed = changed.replace(f"- {old.split('/')[3]}\n", f"- {repository.split('/')[3]}\n")
        if changed != text:
            path.write_text(changed, "utf-8")
            click.echo(path.relative_to(ROOT))


@main.command("version")
@click.argument("version")
def set_version(version: str) -> None:
    """Put VERSION wherever the present one stands, and date the changelog."""
    if not re.fullmatch(VERSION, version):
        raise click.UsageError(f"{version} is not a version such as 0.2.0.")
    known = set(versions())
    for path, text in files().items():
        if path.relative_to(ROOT).as_posix() in known:
            for form in (NAMED, WRAPPED):
                text = form.sub(rf"\g<before>{version}", text)  # noqa: PLW2901
            path.write_text(text, "utf-8")
    changelog = ROOT / "CHANGELOG.md"
    dated = f"{UNRELEASED}\n\n## [{version}] - {datetime.now(UTC):%Y-%m-%d}"
    text = changelog.read_text("utf-8")
    if f"## [{version}]" not in text:
        changelog.write_text(text.replace(UNRELEASED, dated, 1), "utf-8")


def faults(tag: str | None) -> list[str]:
    """What keeps the checkout from being released, one line each."""
    from screader_lib import __version__

    lines = [
        f"pyproject.toml: {address} is a placeholder: run scripts/release.py addresses."
        for address in addresses()
        if any(word in address for word in PLACEHOLDERS)
    ]
    for name, said in versions().items():
        if said != {__version__}:
            lines.append(f"{name}: version {', '.join(sorted(said))}, expected {__version__}.")
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    if not re.search(
        rf"^## \[{re.escape(__version__)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE
    ):
        lines.append(f"CHANGELOG.md: no section of {__version__} with a date.")
    if "@sha256:" not in (ROOT / BASE_IMAGE).read_text("utf-8"):
        lines.append(f"{BASE_IMAGE}: no digest: run containers/lock.sh where a registry answers.")
    if tag is not None and tag != f"v{__version__}":
        lines.append(f"the tag is {tag}, expected v{__version__}.")
    return lines


@main.command("check")
@click.argument("tag", required=False)
def check(tag: str | None) -> None:
    """Say what keeps this checkout from being released; exit 1 if anything does."""
    lines = faults(tag)
    for line in lines:
        click.echo(f"release: {line}", err=True)
    raise SystemExit(1 if lines else 0)


if __name__ == "__main__":
    main()
