"""``train-reader --label-texts``: weights drawn to what is written of the labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_files import call

from screader_lib.annotation.no_labels.label_texts import label_text_weights
from screader_lib.exchange.table import Table, strings
from screader_lib.reader.model.logistic_regression import fit_logistic
from screader_lib.reader.task import Labels


def test_without_cells_that_say_otherwise_the_weights_stay_where_they_are_drawn_to() -> None:
    random = np.random.default_rng(0)
    truth = np.arange(60) % 3
    values = (random.normal(size=(60, 5)) + np.eye(3, 5)[truth]).astype(np.float32)
    to = random.normal(size=(5, 3)).astype(np.float32), np.zeros(3, np.float32)
    for strength, is_near in ((1e-8, True), (1.0, False)):
        weights, _ = fit_logistic(lambda: [(values, truth)], 3, strength=strength, towards=to)
        assert np.allclose(weights, to[0], atol=1e-4) == is_near
    plain = fit_logistic(lambda: [(values, truth)], 3)
    at_zero = fit_logistic(
        lambda: [(values, truth)], 3, towards=(np.zeros((5, 3), np.float32), to[1])
    )
    np.testing.assert_allclose(plain[0], at_zero[0], atol=1e-4)


def test_labels_are_told_by_their_terms_and_by_a_table(tmp_path: Path) -> None:
    genes = ["CD3D", "CD3E", "MS4A1", "CD79A", "CD79B", "CD19", "TPSAB1", "CPA3", "KIT"]
    table = Table(strings(genes), {"symbol": strings(genes)})
    labels = Labels(("T", "mine"), ("CL:0000084", ""), (1, 1))
    (tmp_path / "t.csv").write_text("type,ontology_id,text\nmine,,B cell antigen receptor\n")
    weights = label_text_weights(table, labels, {"t.csv": tmp_path / "t.csv"})
    assert genes[weights[0].argmax()] in ("CD3D", "CD3E")
    assert genes[weights[1].argmax()] in ("MS4A1", "CD79A", "CD79B", "CD19")


@pytest.mark.parametrize("method", ["components", "few-labels"])
def test_other_methods_have_no_use_for_them(tmp_path: Path, method: str) -> None:
    (tmp_path / "c.h5ad").write_bytes(b"")
    words = (tmp_path / "c.h5ad", "--method", method, "--label-texts", "packaged")
    done = call("train-reader", *words, "-o", tmp_path / "r.h5")
    assert done.exit_code == 2
    assert "--label-texts only applies to --method logistic" in done.stderr
