"""Each tool, handed what it cannot use: one line, status 1, no output, nothing lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from small_files import fail, write_cells, write_embeddings, write_expression


def folder(path: Path, other: Path) -> None:
    path.mkdir()


def missing(path: Path, other: Path) -> None:
    pass


def empty(path: Path, other: Path) -> None:
    path.touch()


def text(path: Path, other: Path) -> None:
    path.write_text("one\ttwo\n\x00\x01")


def truncated(path: Path, other: Path) -> None:
    path.write_bytes(other.read_bytes()[:-4000])


def wrong_kind(path: Path, other: Path) -> None:
    path.write_bytes(other.read_bytes())


FAULTS = [folder, missing, empty, text, truncated, wrong_kind]


def words_of(tool: str, bad: Path, folder: Path) -> list[object]:
    """The tool's command line with ``bad`` as its main input."""
    return {
        "fetch-descriptions": ["--genes", bad],
        "embed-genes": [bad],
        "build-cells": [bad, "-e", folder / "embeddings.h5ad"],
        "train-reader": [bad],
        "predict": [bad, "-r", bad],
        "plot": ["confusion", bad, "--format", "png"],
    }[tool]


TOOLS = ["fetch-descriptions", "embed-genes", "build-cells", "train-reader", "predict", "plot"]
FINE = {("fetch-descriptions", "text"), ("fetch-descriptions", "wrong_kind")}
CASES = [
    pytest.param(tool, fault, id=f"{tool}-{fault.__name__}")
    for tool in TOOLS
    for fault in FAULTS
    if (tool, fault.__name__) not in FINE  # a list of names may hold anything; cells name genes
]


@pytest.mark.parametrize(("tool", "fault"), CASES)
def test_input(tmp_path: Path, cells: Path, tool: str, fault: Callable[[Path, Path], None]) -> None:
    write_embeddings(tmp_path / "embeddings.h5ad")
    other = cells if tool not in ("train-reader",) else tmp_path / "embeddings.h5ad"
    bad, output = tmp_path / "bad", tmp_path / "output.png"
    fault(bad, other)
    output.write_bytes(b"what was there")
    before = sorted(path.name for path in tmp_path.iterdir())
    line = fail(tool, *words_of(tool, bad, tmp_path), "-o", output)
    assert "bad" in line and len(line) < 400
    assert output.read_bytes() == b"what was there"
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("output", "told"),
    [
        pytest.param("nowhere/out.h5ad", "no such folder", id="missing folder"),
        pytest.param(".", "is a folder", id="folder"),
        pytest.param("file/out.h5ad", "file", id="below a file"),
    ],
)
def test_output(tmp_path: Path, output: str, told: str) -> None:
    source = write_expression(tmp_path / "x.h5ad")
    write_embeddings(tmp_path / "e.h5ad")
    (tmp_path / "file").touch()
    line = fail("build-cells", source, "-e", tmp_path / "e.h5ad", "-o", tmp_path / output)
    assert told in line


def test_output_in_a_folder_of_the_kernel(tmp_path: Path) -> None:
    source = write_expression(tmp_path / "x.h5ad")
    write_embeddings(tmp_path / "e.h5ad")
    fail("build-cells", source, "-e", tmp_path / "e.h5ad", "-o", "/proc/out.h5ad")


def test_wrong_kinds_are_named(tmp_path: Path) -> None:
    built = write_cells(tmp_path)
    line = fail("embed-genes", built, "-o", tmp_path / "out")
    assert "is a cells file, wanted descriptions (from fetch-descriptions)" in line
