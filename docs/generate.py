"""Generate the pages of this folder, or check that they are up to date.

python docs/generate.py           write them
python docs/generate.py --check   exit with status 1 if one is stale
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import command_pages
import nextflow_pages
import notebook_pages
import python_pages
import schema_pages

from screader_lib.exchange.schema import KINDS, load
from screader_lib.option_values import RECIPES
from screader_lib.reader.settings import settings_for
from screader_tools.screader import SUBCOMMANDS

HERE = Path(__file__).parent


def recipes() -> str:
    """The settings of each recipe as a table, for scReader and for GenePT."""
    columns = {
        f"{method}, {name}": settings_for(method, name, {}).to_json()
        for method in ("screader", "genept")
        for name in RECIPES
    }
    lines = ["## Recipes", "", f"| setting | {' | '.join(columns)} |", "|---|" + "---|" * 4]
    for key in next(iter(columns.values())):
        if key in ("method", "seed"):
            continue
        values = " | ".join(_formatted(column[key]) for column in columns.values())
        lines.append(f"| `--{key.replace('_', '-')}` | {values} |")
    return "\n".join(lines)


def _formatted(value: object) -> str:
    if value is None:
        return "–"
    return ",".join(value) if isinstance(value, tuple) else str(value)


def generated() -> dict[Path, str]:
    """Every generated page: path → text."""
    result = {}
    for name in SUBCOMMANDS:
        command = import_module(f"screader_tools.{name.replace('-', '_')}").main
        own = name in ("readers", "validate", "info", "demo")
        extra = recipes() if name == "train-reader" else ""
        path = f"screader {name}" if own else name
        result[HERE / "tools" / f"{name}.md"] = command_pages.page(command, path, extra)
    for kind in KINDS:
        result[HERE / "files" / f"{kind}.md"] = schema_pages.page(load(kind))
    result[HERE / "files" / "README.md"] = (
        "# Exchange files\n\n<!-- Made by docs/generate.py from the schemas. -->\n\n"
        "HDF5 files that the executables pass to each other. `screader validate FILE` checks "
        "one, `screader info FILE` describes it.\n\n" + schema_pages.overview()
    )
    result[HERE / "python-reference.md"] = python_pages.page()
    tutorial = HERE / "tutorial" / "index.md"
    result[tutorial.with_name("tutorial.ipynb")] = notebook_pages.notebook(tutorial)
    result[HERE / "nextflow" / "parameters.md"] = nextflow_pages.parameters_page()
    result[HERE / "nextflow" / "options.md"] = nextflow_pages.options_page()
    return result


def main() -> int:
    """Write the pages, or name the stale ones."""
    check = "--check" in sys.argv[1:]
    stale = []
    for path, text in generated().items():
        if path.exists() and path.read_text("utf-8") == text:
            continue
        stale.append(path)
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
    for path in stale:
        print(f"{'stale' if check else 'written'}: {path.relative_to(HERE.parent)}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
