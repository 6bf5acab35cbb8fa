"""Outputs are looked at before the work, and nothing that is read is overwritten."""

from __future__ import annotations

from pathlib import Path

import h5py
import pytest
from small_files import ONE_READER, call, fail, succeed, write_cells

from screader_lib.reporting import printable

LINES = {
    "fetch-descriptions": "--genes x --source packaged -o OUT",
    "fetch-descriptions unmatched": "--genes x --unmatched OUT -o y",
    "embed-genes": "x -o OUT",
    "build-cells": "x -e y -o OUT",
    "prepare-cells": "x -o OUT",
    "train-reader": "x -o OUT",
    "train-reader out-of-fold": "x --folds 2 --oof-predictions OUT -o y",
    "train-reader checkpoint": "x --checkpoint OUT -o y",
    "predict": "x -r y -o OUT",
    "annotate": "x -r y -o OUT",
    "annotate calls": "x -r y --calls OUT",
    "plot": "confusion x -o OUT",
    "plot data": "confusion x --data OUT -o y.png",
    "screader": "gather x -o OUT",
}


@pytest.mark.parametrize("name", LINES)
def test_a_folder_that_is_missing_is_told_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Before any input is opened: there are none."""
    monkeypatch.chdir(tmp_path)
    words = LINES[name].replace("OUT", "nowhere/out.png").split()
    assert "nowhere: no such folder. Create it first." in fail(name.partition(" ")[0], *words)
    assert not list(tmp_path.iterdir())


def test_a_file_of_an_input_folder_is_not_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "matrix.mtx").write_text("counts")
    for output in (folder / "matrix.mtx", folder / ".." / "m" / "matrix.mtx"):
        result = call("build-cells", folder, "-e", tmp_path / "e", "-o", output)
        assert result.exit_code == 2 and "would overwrite a part of" in result.stderr
    assert (folder / "matrix.mtx").read_text() == "counts"
    (folder / "cells.h5ad").touch()  # of an earlier run
    assert "would overwrite" not in fail(
        "build-cells", folder, "-e", tmp_path / "e", "-o", folder / "cells.h5ad"
    )


def test_labels_reach_the_terminal_without_control_characters(tmp_path: Path) -> None:
    write_cells(tmp_path)
    with h5py.File(tmp_path / "cells.h5ad", "a") as file:
        file["obs/label/categories"][0] = "\x1b]0;owned\x07\x1b[31malpha\u202e"
    told = succeed("screader", "info", tmp_path / "cells.h5ad").stdout
    assert "\\x1b]0;owned\\x07\\x1b[31malpha\\u202e" in told and "\x1b" not in told
    assert printable("plain\ttext\nüé") == "plain\ttext\nüé"


def test_a_cut_checkpoint_says_what_to_do(tmp_path: Path, cells: Path) -> None:
    (tmp_path / "r.h5.checkpoint").write_bytes(cells.read_bytes()[:9_000])
    told = fail("train-reader", cells, "--method", "pooled", *ONE_READER, "-o", tmp_path / "r.h5")
    assert "r.h5.checkpoint" in told and "Remove it, to start from scratch" in told
