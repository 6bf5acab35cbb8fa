"""What all executables share: names, usage, messages, standard input, output and error."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from running import command, environment, invoke
from small_files import call, succeed, write_cells, write_expression

from screader_lib import __version__
from screader_lib.command_line.progress import TerminalReporter
from screader_tools.build_cells import main as build_cells
from screader_tools.screader import main as screader

BUILD = ["counts-0.h5ad", "-e", "embeddings.h5ad", "--label", "cell_type"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("streams")
    write_cells(folder)
    return folder


@pytest.fixture
def built(folder: Path) -> bytes:
    return (folder / "cells.h5ad").read_bytes()


def shell(folder: Path, script: str, *line: str, **settings: Any) -> subprocess.CompletedProcess:
    """Run a script of bash in which "$@" is the command line."""
    words = ["bash", "-o", "pipefail", "-c", script, "-", *line]
    options = {"stdin": subprocess.DEVNULL, "capture_output": True, **settings}
    return subprocess.run(
        words, cwd=folder, env=environment(folder), check=False, timeout=120, **options
    )


def run(folder: Path, tool: str, *words: object, **settings: Any) -> subprocess.CompletedProcess:
    return shell(folder, '"$@"', *command(tool, *words), **settings)


STREAMS = {
    "pipes": 'cat embeddings.h5ad | "$@" | cat',
    "dashes": '"$@" -e - -o - < embeddings.h5ad | cat',
    "the terminal's names": 'cat embeddings.h5ad | "$@" -e /dev/stdin -o /dev/stdout | cat',
    "named pipes": 'mkfifo p; cat p > out & "$@" -e <(cat embeddings.h5ad) -o p; wait; cat out',
    "standard error closed": '"$@" -e embeddings.h5ad 2>&- | cat',
}


@pytest.mark.parametrize("script", STREAMS.values(), ids=STREAMS.keys())
def test_streams_are_as_good_as_files(folder: Path, built: bytes, script: str) -> None:
    line = command("build-cells", "counts-0.h5ad", "--label", "cell_type")
    done = shell(folder, script, *line)
    assert done.returncode == 0, done.stderr
    assert done.stdout == built


GENES = ["--genes", "counts-0.h5ad"]
WRONG_USAGE = [
    ("predict", ["-", "-r", "-"], "only once"),
    ("predict", ["-r", "-", "-o", "x"], "only once"),
    *(
        ("build-cells", [*BUILD, "-o", name], "same file")
        for name in ("./counts-0.h5ad", "link", "hard")
    ),
    ("fetch-descriptions", [*GENES, "-o", "x", "--unmatched", "./x"], "same file"),
    ("fetch-descriptions", [*GENES, "-o", "-", "--unmatched", "-"], "only one output"),
    ("fetch-descriptions", [*GENES, "--unmatched", "-"], "only one output"),
    ("screader", ["no-such-command"], "No such command"),
    ("screader", ["anotate"], "No such command 'anotate'. Did you mean 'annotate'?"),
    ("screader", ["--no-such-option"], "No such option"),
]


@pytest.mark.parametrize(
    ("tool", "words", "message"), WRONG_USAGE, ids=[" ".join(words) for _, words, _ in WRONG_USAGE]
)
def test_wrong_usage(folder: Path, tool: str, words: list[str], message: str) -> None:
    for name in ("link", "hard"):
        (folder / name).unlink(missing_ok=True)
    (folder / "link").symlink_to("embeddings.h5ad")
    (folder / "hard").hardlink_to(folder / "counts-0.h5ad")
    before = sorted(path.name for path in folder.iterdir())
    result = invoke(tool, *words, cwd=folder)
    assert result.exit_code == 2 and message in result.stderr
    assert sorted(path.name for path in folder.iterdir()) == before


@pytest.mark.parametrize(
    ("script", "tool", "words", "message"),
    [
        ('"$@" >&-', "build-cells", BUILD, "no output"),
        ('"$@" <&-', "train-reader", ["-o", "x"], "no input"),
    ],
    ids=["output", "input"],
)
def test_a_closed_stream(
    folder: Path, script: str, tool: str, words: list[str], message: str
) -> None:
    done = shell(folder, script, *command(tool, *words))
    assert done.returncode == 2 and message in done.stderr.decode()


def test_both_outputs_or_none(folder: Path) -> None:
    words = ["--genes", "counts-0.h5ad", "-o", "x", "--unmatched", "no/x.tsv"]
    done = run(folder, "fetch-descriptions", *words)
    assert done.returncode == 1 and b"no such folder" in done.stderr
    assert not (folder / "x").exists()


def test_a_terminal_is_neither_input_nor_output(folder: Path) -> None:
    ours, theirs = pty.openpty()
    reading = run(folder, "train-reader", "-o", "x", stdin=theirs)
    pipes = {"capture_output": False, "stderr": subprocess.PIPE}
    writing = run(folder, "build-cells", *BUILD, stdout=theirs, **pipes)
    os.close(ours)
    os.close(theirs)
    assert reading.returncode == 2 and b"no input" in reading.stderr
    assert writing.returncode == 2 and b"-o" in writing.stderr


@pytest.mark.parametrize("name", ["-", "<(:)"])
def test_an_empty_stream(folder: Path, name: str) -> None:
    done = shell(folder, f': | "$@" {name} -o x', *command("train-reader"))
    message = done.stderr.decode()
    assert done.returncode == 1 and message.count("\n") == 1
    assert message.startswith("train-reader: error: ")
    assert "is empty. Did the previous tool fail?" in message
    assert not (folder / "x").exists()


def test_standard_error_closed_at_a_failure(folder: Path) -> None:
    done = shell(folder, '"$@" 2>&- | cat', *command("train-reader", "nothing"))
    assert (done.returncode, done.stdout) == (1, b"")


def test_the_reader_of_the_output_has_gone(folder: Path) -> None:
    line = command("screader", "info", *["cells.h5ad"] * 200)
    done = shell(folder, '"$@" | head -1', *line)
    assert done.stdout.startswith(b"cells.h5ad: ")
    assert done.stderr == b""
    write_expression(folder / "large.h5ad", cells=3000)
    line = command("build-cells", "large.h5ad", "-e", "embeddings.h5ad", "-q")
    done = shell(folder, '"$@" | true', *line)
    assert done.returncode == 1 and done.stderr.count(b"\n") == 1
    assert b"standard output was closed" in done.stderr


@pytest.mark.parametrize(("verbosity", "lines"), [(-1, "w"), (0, "iw"), (1, "idw")])
def test_verbosity(capsys: pytest.CaptureFixture[str], verbosity: int, lines: str) -> None:
    reporter = TerminalReporter("tool", verbosity)
    reporter.info("i")
    reporter.detail("d")
    reporter.warning("w")
    texts = {"i": "tool: i\n", "d": "tool: d\n", "w": "tool: warning: w\n"}
    assert capsys.readouterr().err == "".join(texts[line] for line in lines)


def test_quiet_and_debug(folder: Path) -> None:
    words = [folder / "counts-0.h5ad", "-e", folder / "embeddings.h5ad", "-o", folder / "again"]
    assert succeed("build-cells", *words, "-q").stderr == ""
    done = run(folder, "train-reader", "none.h5ad", "-o", "x", "--debug")
    assert done.returncode == 1 and b"Traceback" in done.stderr


def test_validate_and_info_of_several_files(folder: Path) -> None:
    (folder / "bad.h5ad").write_text("no")
    good = [folder / "cells.h5ad", folder / "embeddings.h5ad"]
    result = call("validate", good[0], folder / "bad.h5ad", good[1])
    assert result.exit_code == 1
    assert [line.split(":")[0] for line in result.stdout.splitlines()] == ["ok", "bad", "ok"]
    summary = succeed("info", *good).stdout
    assert "90 cells × 40 k" in summary and "alpha 30" in summary and "build-cells" in summary


@pytest.mark.parametrize("name", ["build-cells", "screader-build-cells", "screader build-cells"])
def test_a_tool_answers_under_the_name_it_was_called_by(folder: Path, name: str) -> None:
    program, *subcommand = name.split()
    tool = screader if subcommand else build_cells

    def answer(*words: object) -> Result:
        line = [*subcommand, *map(str, words)]
        return CliRunner().invoke(tool, line, prog_name=program)

    paths = [folder / "counts-0.h5ad", "-e", folder / "embeddings.h5ad", "-o", folder / "again"]
    messages = answer(*paths).stderr.splitlines()
    assert messages and all(line.startswith(f"{name}: ") for line in messages)
    assert answer("--version").stdout == f"{name} {__version__}\n"
    assert answer("x", "-e", "x", "-o", "y").stderr.startswith(f"{name}: error: x: no such file.")
    text = answer("--help").stdout
    assert text.startswith(f"Usage: {name} [OPTIONS]")
    prefix = program.removesuffix("build-cells").removesuffix("screader")
    assert f"  $ {prefix}build-cells counts.h5ad" in text and f"| {prefix}build-cells" in text


def test_the_names_of_installed_executables(folder: Path) -> None:
    done = run(folder, "screader-plot", "umap", "--version")
    assert done.stdout.decode() == f"screader-plot umap {__version__}\n"
    text = run(folder, "screader-plot", "--help").stdout.decode()
    assert "$ screader-predict cells.h5ad -r reader.h5 | screader-plot metrics" in text
