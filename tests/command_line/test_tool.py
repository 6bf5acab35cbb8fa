"""What every executable does the same way."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import pytest
from running import command, environment
from small_files import call, succeed, write_cells, write_embeddings, write_expression


def run(folder: Path, tool: str, *words: object, **settings: object) -> subprocess.CompletedProcess:
    settings.setdefault("stdin", subprocess.DEVNULL)
    line = command(tool, *words)
    return subprocess.run(
        line, env=environment(folder), capture_output=True, check=False, timeout=120, **settings
    )  # type: ignore[call-overload]


def test_binary_is_never_written_to_a_terminal(tmp_path: Path) -> None:
    source = write_expression(tmp_path / "x.h5ad")
    write_embeddings(tmp_path / "e.h5ad")
    ours, theirs = pty.openpty()
    line = command("build-cells", source, "-e", tmp_path / "e.h5ad")
    done = subprocess.run(
        line, stdout=theirs, stderr=subprocess.PIPE, env=environment(tmp_path), check=False
    )
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 2 and b"-o" in done.stderr


def test_standard_output_is_the_file(tmp_path: Path, cells: Path) -> None:
    source = write_expression(tmp_path / "x.h5ad")
    write_embeddings(tmp_path / "e.h5ad")
    words = [source, "-e", tmp_path / "e.h5ad", "--label", "cell_type"]
    done = run(tmp_path, "build-cells", *words)
    assert done.returncode == 0 and done.stdout == cells.read_bytes()


def test_standard_input_is_the_file(tmp_path: Path, cells: Path) -> None:
    with cells.open("rb") as stream:
        done = run(tmp_path, "screader", "info", "-", stdin=stream)
    assert done.returncode == 0 and b"90 cells" in done.stdout


def test_empty_standard_input(tmp_path: Path) -> None:
    done = run(tmp_path, "train-reader", "-o", tmp_path / "r.h5")
    assert done.returncode == 1
    assert done.stderr.decode() == (
        "train-reader: error: standard input: is empty. Did the previous tool fail?\n"
    )


def test_the_reader_of_the_pipe_has_gone(tmp_path: Path) -> None:
    source = write_expression(tmp_path / "x.h5ad", cells=3000)
    write_embeddings(tmp_path / "e.h5ad")
    line = command("build-cells", source, "-e", tmp_path / "e.h5ad")
    process = subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(tmp_path)
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    told = process.stderr.read().decode()
    assert process.wait() == 1
    assert "standard output was closed" in told and "Traceback" not in told


def test_quiet_and_verbose(tmp_path: Path, cells: Path) -> None:
    words = ["--method", "pooled", "--warm-start-epochs", "2", "-o", tmp_path / "r.h5"]
    assert succeed("train-reader", cells, *words, "-q").stderr == ""
    usual = succeed("train-reader", cells, *words).stderr
    more = succeed("train-reader", cells, *words, "-v").stderr
    assert 0 < len(usual.splitlines()) < len(more.splitlines())


def test_debug_shows_where(tmp_path: Path) -> None:
    done = run(tmp_path, "train-reader", tmp_path / "none.h5ad", "-o", tmp_path / "r", "--debug")
    assert done.returncode == 1 and b"Traceback" in done.stderr


def test_validate_and_info_of_several_files(tmp_path: Path) -> None:
    built = write_cells(tmp_path)
    (tmp_path / "bad.h5ad").write_text("no")
    result = call("validate", built, tmp_path / "bad.h5ad", tmp_path / "embeddings.h5ad")
    assert result.exit_code == 1
    assert [line.split(":")[0] for line in result.stdout.splitlines()] == ["ok", "bad", "ok"]
    told = succeed("info", built, tmp_path / "embeddings.h5ad").stdout
    assert "90 cells × 40 k" in told and "alpha 30" in told and "build-cells" in told


def test_subcommand_is_the_executable(tmp_path: Path, cells: Path) -> None:
    source, embeddings = write_expression(tmp_path / "x.h5ad"), tmp_path / "e.h5ad"
    write_embeddings(embeddings)
    words = ["build-cells", source, "-e", embeddings, "--label", "cell_type"]
    own, sub = run(tmp_path, *words), run(tmp_path, "screader", *words)
    assert own.returncode == sub.returncode == 0
    assert own.stdout == sub.stdout == cells.read_bytes()
    assert sub.stderr == own.stderr.replace(b"build-cells:", b"screader build-cells:")


@pytest.mark.parametrize("missing", ["no-such-command", "--no-such-option"])
def test_wrong_usage(tmp_path: Path, missing: str) -> None:
    assert run(tmp_path, "screader", missing).returncode == 2
