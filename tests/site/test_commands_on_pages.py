"""Each command in a block of code on any page of the site is there, with its options."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest

ROOT = Path(__file__).parents[2]
OUTSIDE = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SUPPORT.md")  # as in site_hooks.py
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (
        *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md"),
        *(ROOT / name for name in OUTSIDE),
    )
)  # fmt: skip
TOOLS = ("annotate", "fetch-descriptions", "embed-genes", "build-cells", "prepare-cells",
         "train-reader", "predict", "plot", "screader")  # fmt: skip
FENCED = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?<=\n\n)(?: {4}.*\n)+")
START = re.compile(rf"(?:screader-)?(?:{'|'.join(TOOLS)}) ")


def commands(page: str) -> Iterator[list[str]]:
    """The words of each command in the page's blocks, without what follows a pipe or a comment."""
    text = (ROOT / page).read_text("utf-8")
    for block in [*FENCED.findall(text), *INDENTED.findall(text)]:
        for line in re.sub(r"\\\n", " ", block).splitlines():
            if START.match(line := line.strip()) and ": " not in line.partition(" -")[0]:
                yield shlex.split(re.split(r"\s[|>#]|&&|;|<\(", line)[0])


def unknown(words: list[str]) -> list[str]:
    """The words that are no command, or no option of the command before them."""
    tool, *rest = words
    name = tool.removeprefix("screader-").replace("-", "_")
    command: click.Command = import_module(f"screader_tools.{name}").main
    context = click.Context(command, info_name=tool)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.get_command(context, word := rest.pop(0))
        if found is None:
            return [word]
        command, context = found, click.Context(found, context, word)
    options = {name for one in command.get_params(context) for name in one.opts}
    options |= {name for one in command.get_params(context) for name in one.secondary_opts}
    given = [word.partition("=")[0] for word in rest if re.match(r"--?[a-zA-Z]", word)]
    return [option for option in given if option not in options]


@pytest.mark.parametrize("page", [page for page in PAGES if any(commands(page))])
def test_commands_and_their_options_exist(page: str) -> None:
    wrong = [(" ".join(words), found) for words in commands(page) if (found := unknown(words))]
    assert wrong == []


def test_commands_are_found_and_wrong_ones_are_told() -> None:
    found = [words for page in PAGES for words in commands(page)]
    assert len(found) > 100
    assert ["screader", "demo", "--only-cells", "-o", "."] in found
    assert unknown(["screader", "readers", "show", "human-blood"]) == []
    assert unknown(["screader", "annotate", "x.h5ad", "--no-such", "1"]) == ["--no-such"]
    assert unknown(["screader", "no-such", "-o", "x"]) == ["no-such"]
