"""Distances to the nearest type's mean: known answers, and independence of other cells."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from small_files import succeed

from screader_lib.cells.cells_file import CellSequences
from screader_lib.exchange.opening import open_exchange
from screader_lib.reader.model import type_distance
from screader_lib.reader.model.type_distance import SHRINKAGE, TypeDistance
from screader_lib.reader.reader_file import read_reader
from screader_lib.reader.settings import TrainingSettings
from screader_lib.reader.task import make_task


def test_mahalanobis_distance_in_the_space_of_principal_components(
    sequences: CellSequences, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type_distance, "COMPONENTS", 4)
    task = make_task(sequences, TrainingSettings(method="logistic"))
    types, every = TypeDistance.fit(task), np.arange(len(sequences))
    assert types is not None
    found = types.distances(sequences, every)
    alone = [types.distances(sequences, np.array([row]))[0] for row in (5, 0, 17)]
    values = sequences.weights(every).toarray().astype(float)
    assert alone == found[[5, 0, 17]].tolist()
    training, truth = values[task.rows], task.truth
    directions = np.linalg.svd(training - training.mean(0), full_matrices=False)[2][:4].T
    scores = values @ directions
    means = np.array([scores[task.rows][truth == label].mean(0) for label in np.unique(truth)])
    within = scores[task.rows] - means[truth]
    covariance = within.T @ within / len(within)
    sphere = np.trace(covariance) / 4 * np.eye(4)
    inverse = np.linalg.inv((1 - SHRINKAGE) * covariance + SHRINKAGE * sphere)
    apart = scores[:, None] - means
    wanted = np.einsum("cli,ij,clj->cl", apart, inverse, apart).min(1)
    np.testing.assert_allclose(found, wanted, rtol=1e-3)


def test_stored_with_the_reader_and_unknown_without_its_genes(tmp_path: Path, cells: Path) -> None:
    reader = tmp_path / "reader.h5"
    succeed("train-reader", cells, "--method", "logistic", "-o", reader)
    with open_exchange(reader, "reader") as opened, open_exchange(cells, "cells") as file:
        stored, sequences = read_reader(opened), CellSequences(file)
        types, rows = stored.type_distance, np.arange(10)
        assert types is not None and np.isfinite(types.distances(sequences, rows)).all()
        renamed = TypeDistance(types.genes + "-other", types.projection, types.means)
        assert np.isnan(renamed.distances(sequences, rows)).all()
    with h5py.File(reader, "a") as file:  # as written before there were distances
        del file["types"], file["kept/distance"]
    calls = tmp_path / "calls.h5ad"
    succeed("predict", cells, "-r", reader, "--min-familiarity", 0.05, "-o", calls)
    succeed("validate", calls)
    with h5py.File(calls) as file:
        assert "distance" not in file["obs"] and file["obs/familiarity"][()].min() < 1
