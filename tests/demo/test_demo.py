"""The demonstration's own parts; the whole of it is ``make demo``."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from small_files import counts, expression, succeed, write_cells, write_embeddings

from screader_lib.demo import cells as demo_cells
from screader_lib.demo import result, steps
from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding


def test_hold_out_is_stratified_and_keeps_a_cell_of_each_type() -> None:
    labels = np.array(["a"] * 100 + ["b"] * 10 + ["c"] * 2 + ["d"], dtype=object)
    held = demo_cells.hold_out(labels, 0.2, seed=0)
    assert [int(held[labels == label].sum()) for label in "abcd"] == [20, 2, 0, 0]
    assert np.array_equal(held, demo_cells.hold_out(labels, 0.2, seed=0))
    assert not np.array_equal(held, demo_cells.hold_out(labels, 0.2, seed=1))
    assert demo_cells.hold_out(labels, 1.0, seed=0).sum() == 99 + 9 + 1


def test_a_failing_step_ends_it(tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(ScReaderError, match="embed-genes ended with exit status 1"):
        steps.Runner(tmp_path, said.append).run("embed-genes", "none.h5ad", "-o", "e.h5ad")
    assert said == ["$ embed-genes none.h5ad -o e.h5ad"]


def test_measures_come_from_the_predictions(tmp_path: Path, cells: Path) -> None:
    reader, predictions = tmp_path / "r.h5", tmp_path / "p.h5ad"
    succeed("train-reader", cells, "--method", "majority", "-o", reader)
    succeed("predict", cells, "-r", reader, "-o", predictions)
    found = result.measure(predictions)
    assert found == pytest.approx({"accuracy": 1 / 3, "macro_f1": 1 / 6})


def test_cells_whose_label_is_unknown_do_not_count(tmp_path: Path, cells: Path) -> None:
    values, types = counts()
    types[::2] = "unknown"
    expression(values, types).write_h5ad(tmp_path / "x.h5ad")
    embeddings = write_embeddings(tmp_path / "e.h5ad")
    half, reader, predictions = tmp_path / "c.h5ad", tmp_path / "r.h5", tmp_path / "p.h5ad"
    words = ["-e", embeddings, "--like", cells, "--label", "cell_type", "-o", half]
    succeed("build-cells", tmp_path / "x.h5ad", *words)
    succeed("train-reader", cells, "--method", "logistic", "-o", reader)
    succeed("predict", half, "-r", reader, "-o", predictions)
    with h5py.File(predictions) as file:
        metrics = encoding.read_json(file["uns"], "metrics")
    assert metrics["cells"] == 45
    assert result.measure(predictions) == {k: metrics[k] for k in ("accuracy", "macro_f1")}
    assert metrics["accuracy"] > 0.9


def test_nothing_to_measure_against(tmp_path: Path, cells: Path) -> None:
    reader, predictions = tmp_path / "r.h5", tmp_path / "p.h5ad"
    unlabelled = tmp_path / "c.h5ad"
    write_cells(tmp_path, name="labelled.h5ad")
    words = ["-e", tmp_path / "embeddings.h5ad", "--like", cells, "-o", unlabelled]
    succeed("build-cells", tmp_path / "counts-0.h5ad", *words)
    succeed("train-reader", cells, "--method", "majority", "-o", reader)
    succeed("predict", unlabelled, "-r", reader, "-o", predictions)
    with pytest.raises(ScReaderError, match="no true label"):
        result.measure(predictions)
