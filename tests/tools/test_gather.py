"""``screader gather``: the calls of all folds in one file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fold_files import built, gathered, read, scatter
from obo_files import ACINAR, ALPHA, BETA, NAMES, PANCREATIC, write_obo
from small_files import CELLS, call, counts, fail, succeed, write_cells

FOLDS = 3
WORDS = ["--method", "genept-w", "--folds", FOLDS, "--seed", 3]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory, cells: Path) -> list[Path]:
    """The calls of each fold."""
    return scatter(cells, tmp_path_factory.mktemp("parts"), FOLDS, *WORDS)


def test_the_order_of_the_files_does_not_matter(tmp_path: Path, parts: list[Path]) -> None:
    one, other = gathered(tmp_path, parts), gathered(tmp_path, parts[::-1], "other.h5ad")
    assert one.read_bytes() == other.read_bytes()


@pytest.fixture(scope="module")
def strangers(
    tmp_path_factory: pytest.TempPathFactory, cells: Path
) -> dict[str, tuple[Path, list[object]]]:
    """Fold 2 of other cross-validations, by what is other: cells and options."""
    other = write_cells(tmp_path_factory.mktemp("others"), seed=5)
    base = ["--method", "genept-w"]
    return {
        "seed": (cells, [*base, "--folds", FOLDS, "--seed", 4]),
        "count": (cells, [*base, "--folds", FOLDS + 1, "--seed", 3]),
        "groups": (cells, [*base, "--folds", FOLDS, "--group-by", "donor", "--seed", 3]),
        "method": (cells, ["--method", "majority", "--folds", FOLDS, "--seed", 3]),
        "cells": (other, WORDS),
        "ontology": (cells, WORDS),
    }


@pytest.mark.parametrize("what", ["seed", "count", "groups", "method", "cells", "ontology"])
def test_a_fold_of_another_cross_validation(
    tmp_path: Path, parts: list[Path], strangers: dict, what: str
) -> None:
    cells, words = strangers[what]
    reader, stranger, output = (tmp_path / name for name in ("r.h5", "stranger.h5ad", "g.h5ad"))
    ontology = ["--ontology", write_obo(tmp_path / "cl.obo")] if what == "ontology" else []
    succeed("train-reader", cells, *words, "--fold", 2, "-o", reader)
    succeed("predict", cells, "-r", reader, "--held-out", *ontology, "-o", stranger)
    line = fail("screader", "gather", parts[0], stranger, parts[2], "-o", output)
    assert "stranger.h5ad: is of another cross-validation" in line and not output.exists()


def test_folds_that_are_missing_twice_or_none(
    tmp_path: Path, cells: Path, parts: list[Path]
) -> None:
    output = tmp_path / "g.h5ad"
    usual = tmp_path / "usual.h5ad"
    succeed("predict", cells, "-r", parts[0].with_name("r1.h5"), "-o", usual)
    for files, told in (
        (parts[1:2], "of 3 folds, these are missing: 1, 3"),
        ([*parts, parts[1]], "is fold 2, but so is"),
        ([parts[0], parts[0], parts[2]], "is fold 1, but so is"),
        ([*parts[:2], usual], "usual.h5ad: does not hold a fold's held-out cells"),
        (
            [gathered(tmp_path, parts, "calls.h5ad")],
            "calls.h5ad: does not hold a fold's held-out cells",
        ),
        ([*parts[:2], cells], "is a cells file, expected predictions"),
    ):
        assert told in fail("screader", "gather", *files, "-o", output)
        assert not output.exists()
    assert call("screader", "gather", "-o", output).exit_code == 2


MARKED = {"alpha": ALPHA, "beta": BETA, "delta": ACINAR}
UNSURE = ["--method", "genept-w", "--classifier", "knn", "--neighbours", 12, "--folds", 2]


def test_terms_above_count_as_they_do_in_the_folds(tmp_path: Path) -> None:
    coin = np.random.default_rng(0).choice(["alpha", "beta"], CELLS)
    types = np.where(counts()[1] == "delta", "delta", coin)  # alpha and beta cannot be told apart
    cells = built(tmp_path, types, cell_ontology_id=[MARKED[label] for label in types])
    calling = ["--ontology", write_obo(tmp_path / "cl.obo"), "--min-confidence", 0.7]
    parts = scatter(cells, tmp_path, 2, *UNSURE, calling=calling)
    obs, _, _, metrics = read(gathered(tmp_path, parts))
    succeed("validate", tmp_path / "g.h5ad")
    status, true = obs.strings("status"), obs.strings("true_label")
    off = status == "backed-off"
    assert off.any() and (status == "assigned").any()
    assert set(obs.strings("assigned_label")[off]) == {NAMES[PANCREATIC]}
    correct = obs.strings("predicted_label") == true
    right = (status == "assigned") & correct | off & np.isin(true, ["alpha", "beta"])
    assert metrics["backed_off"] == pytest.approx(off.mean())
    assert metrics["hierarchical_accuracy"] == pytest.approx(right.mean())
    called = status != "unassigned"
    assert metrics["hierarchical_accuracy_of_assigned"] == pytest.approx(right[called].mean())
    assigned = status == "assigned"
    assert metrics["assigned"] == pytest.approx(assigned.mean())
    found = metrics.get("accuracy_of_assigned")
    assert found == (pytest.approx(correct[assigned].mean()) if assigned.any() else None)
