"""The demonstration's own parts; the whole of it is ``make demo``."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from small_files import ONE_READER, counts, expression, succeed, write_embeddings

from screader_lib import demo
from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding


def test_hold_out_is_stratified_and_leaves_a_cell_of_each_type() -> None:
    labels = np.array(["a"] * 100 + ["b"] * 10 + ["c"] * 2 + ["d"], dtype=object)
    held = demo.hold_out(labels, 0.2, seed=0)
    assert [int(held[labels == label].sum()) for label in "abcd"] == [20, 2, 0, 0]
    assert np.array_equal(held, demo.hold_out(labels, 0.2, seed=0))
    assert not np.array_equal(held, demo.hold_out(labels, 0.2, seed=1))
    assert demo.hold_out(labels, 1.0, seed=0).sum() == 99 + 9 + 1


def test_failing_step_is_an_error(tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(ScReaderError, match="embed-genes failed with exit status 1"):
        demo.Runner(tmp_path, said.append).run("embed-genes", "none.h5ad", "-o", "e.h5ad")
    assert said == ["$ embed-genes none.h5ad -o e.h5ad"]


def test_scores_come_from_the_predictions(tmp_path: Path, cells: Path) -> None:
    reader, predictions = tmp_path / "r.h5", tmp_path / "p.h5ad"
    succeed("train-reader", cells, "--method", "majority", *ONE_READER, "-o", reader)
    succeed("predict", cells, "-r", reader, "-o", predictions)
    scores = demo.read_scores(predictions)
    assert scores == pytest.approx({"accuracy": 1 / 3, "macro_f1": 1 / 6})
    row = {"title": "majority", **scores, "seconds": 1.0}
    demo.print_table({"cells": {"train": 1, "test": 2}, "methods": {"majority": row}})
    with h5py.File(predictions, "r+") as file:
        del file["uns/metrics"]
    with pytest.raises(ScReaderError, match="no true label"):
        demo.read_scores(predictions)


def test_cells_without_a_known_label_do_not_count(tmp_path: Path, cells: Path) -> None:
    values, types = counts()
    types[::2] = "unknown"
    expression(values, types).write_h5ad(tmp_path / "x.h5ad")
    embeddings = write_embeddings(tmp_path / "e.h5ad")
    half, reader, predictions = tmp_path / "c.h5ad", tmp_path / "r.h5", tmp_path / "p.h5ad"
    words = ["-e", embeddings, "--like", cells, "--label", "cell_type", "-o", half]
    succeed("build-cells", tmp_path / "x.h5ad", *words)
    succeed("train-reader", cells, "--method", "majority", *ONE_READER, "-o", reader)
    succeed("predict", half, "-r", reader, "-o", predictions)
    with h5py.File(predictions) as file:
        assert encoding.read_json(file["uns"], "metrics")["cells"] == 45
        [label] = set(encoding.read_column(file["obs/predicted_label"]).strings())
    accuracy = demo.read_scores(predictions)["accuracy"]
    assert accuracy == pytest.approx((types[1::2] == label).mean())
