"""Each command in a block of code on any page of the site is there, with its options.

What is not run by test_lines_of_pages.py is listed here with the reason.
"""

from __future__ import annotations

import re
from importlib import import_module

import click
import pytest
from page_commands import ROOT, Line, is_tool, lines_of

OUTSIDE = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SUPPORT.md")  # as in site_hooks.py
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (
        *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md"),
        *(ROOT / name for name in OUTSIDE),
    )
)  # fmt: skip
RUN_BY_PAGE = ("docs/index.md", "docs/how-to/", "docs/tutorial/")  # in test_site_pages.py
OTHER_PROGRAMS = {
    "accelerate": "starts a process for each of several GPUs",
    "apptainer": "needs images: make test-containers",
    "docker": "needs images: make test-containers",
    "podman": "needs images: make test-containers",
    "containers/build.sh": "makes images: make test-containers",
    "containers/build-sif.sh": "makes images: make test-containers",
    "sbatch": "needs a cluster: tests/containers/test_slurm.py",
    "module": "needs a cluster",
    "export": "sets the environment",
    "read": "asks for a token",
    "nextflow": "its runs: make test-nextflow",
    "make": "what is tested here",
    "npm": "installs",
    "pip": "installs",
    "python3": "installs",
    ".": "is for a person's shell",
    ".venv/bin/python": "runs tests",
    "python": "trains and measures for minutes to hours",
}
NOT_RUN = {  # what a line and its page have: why the line is not run
    "benchmarks/": "on whole data sets",
    "meta-llama/": "Llama's weights are not public",
    "https://": "downloads",
    "hf:": "downloads",
    "screader demo": "trains for minutes: make demo",
    "sentence-transformers/": "downloads",
    "--reference ": "trains for a while, as docs/how-to/reference.md does",
    "--fill ortholog": "downloads: tests/genes/test_filling.py",
    "localhost:": "asks a server: tests/genes/test_openai.py",
}


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


def missing(line: Line) -> list[str]:
    """Targets of make, scripts and their options, and the pipeline's, that are not there."""
    program, *words = line.stages[0]
    if program == "make":
        text = (ROOT / "Makefile").read_text("utf-8")
        return [word for word in words if "=" not in word and f"\n{word}:" not in text]
    if program == "python":
        script = ROOT / words[0]
        text = script.read_text("utf-8") if script.exists() else ""
        given = [word for word in words[1:] if word.startswith("--")]
        return [word for word in given if f'"{word}"' not in text] if text else words[:1]
    if program == "nextflow" and words[0] == "run":
        text = (ROOT / "nextflow" / "nextflow_schema.json").read_text("utf-8")
        given = [word[2:].partition("=")[0] for word in words if word.startswith("--")]
        names = [re.sub("-(.)", lambda one: one[1].upper(), name) for name in given]
        return [name for name in names if not re.search(rf'"({name}|{name.lower()})"', text)]
    return []


def why_not_run(page: str, line: Line) -> str:
    """The reason in the lists above, or nothing for a line that is to be run."""
    for words in line.stages:
        if not is_tool(words[0]) and words[0] != "printf":
            return OTHER_PROGRAMS[words[0]]
    of_readme = page == "README.md" and line.text.startswith("screader annotate")
    if of_readme or page.startswith(RUN_BY_PAGE):
        return "test_site_pages.py"
    return next((why for part, why in NOT_RUN.items() if part in f"{page} {line.text}"), "")


LINES = {page: lines for page in PAGES if (lines := [*lines_of(page)])}


@pytest.mark.parametrize("page", LINES)
def test_commands_and_their_options_exist(page: str) -> None:
    wrong = [
        (line.text, found)
        for line in LINES[page]
        for found in (*map(unknown, line.of_the_suite), missing(line))
        if found
    ]
    assert wrong == []


def test_commands_are_found_and_wrong_ones_are_told() -> None:
    found = [words for lines in LINES.values() for line in lines for words in line.of_the_suite]
    assert len(found) > 200
    assert ["screader", "demo", "--only-cells", "-o", "."] in found
    assert ["train-reader", "-o", "reader.h5"] in found  # of a pipe
    assert ["screader", "gather", "parts/*.h5ad", "-o", "predictions.h5ad"] in found  # of a job
    assert unknown(["screader", "readers", "show", "human-blood"]) == []
    assert unknown(["screader", "annotate", "x.h5ad", "--no-such", "1"]) == ["--no-such"]
    assert unknown(["screader", "no-such", "-o", "x"]) == ["no-such"]
    assert missing(Line.of("make no-such")) == ["no-such"]
    assert missing(Line.of("python benchmarks/paper.py --no-such")) == ["--no-such"]
    assert missing(Line.of("nextflow run nextflow/main.nf --no-such x")) == ["noSuch"]


def test_what_is_not_run_is_on_a_page() -> None:
    """So that the lists of reasons are no longer than need be."""
    texts = [f"{page} {line.text}" for page, lines in LINES.items() for line in lines]
    assert [part for part in NOT_RUN if not any(part in text for text in texts)] == []
    programs = {words[0] for lines in LINES.values() for line in lines for words in line.stages}
    assert {program for program in programs if not is_tool(program)} == {
        *OTHER_PROGRAMS,
        "printf",
    }
