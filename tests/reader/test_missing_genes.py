"""Confidence falls with the genes that the reader misses, by what the cell alone has."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pytest
from small_files import GENES, TYPES, expression, genes, succeed, write_embeddings

from screader_lib.cells.cells_file import CellSequences, CellsWithoutGenes
from screader_lib.cells.sequences import rescaled_weights
from screader_lib.exchange.opening import open_exchange
from screader_lib.reader.confidence.missing_genes import SHARES, TemperatureFactor, fit_factor
from screader_lib.reader.reader_file import read_reader

QUICK = {"pooled": ["--warm-start-epochs", 3], "logistic": [], "genept-w": []}


@pytest.mark.parametrize("renormalised", [False, True])
def test_a_sample_without_some_genes(sequences: CellSequences, renormalised: bool) -> None:
    rows, gone = np.arange(5, 85), np.arange(len(sequences.genes)) % 4 > 0
    own, weights = sequences.rows(rows)
    cells = CellsWithoutGenes(sequences, rows, ~gone, renormalised)
    left, left_weights = cells.rows(np.arange(80))
    assert len(cells) == 80 and (cells.lengths == (left >= 0).sum(1)).all()
    assert not cells.genes_in_input[gone].any() and cells.genes_in_input[~gone].all()
    assert set(left[left >= 0]) == set(own[own >= 0]) - set(np.flatnonzero(gone))
    for cell in range(80):
        weight_of = dict(zip(own[cell], weights[cell], strict=True))
        kept = left[cell][left[cell] >= 0]
        before = np.array([weight_of[gene] for gene in kept])
        ratio = len(gone) / (~gone).sum()
        expected = np.log1p(ratio * np.expm1(before)) if renormalised else before
        assert left_weights[cell, : len(kept)] == pytest.approx(expected, rel=1e-5)
        assert not left_weights[cell, len(kept) :].any()


@pytest.mark.parametrize("kind", ["log", "median-ratio", "normalised"])
def test_weights_of_higher_values(kind: str) -> None:
    """They are those of a cell whose genes are all as many times as high."""
    values = np.array([[8.0, 2.0, 0.0]], np.float32)
    weigh = np.log1p if kind == "log" else np.asarray
    assert rescaled_weights(kind, weigh(values), 10) == pytest.approx(weigh(10 * values))


def test_ranks_and_counts_are_not_scaled() -> None:
    ranks = np.array([[1, 0.2, 0.1, 0]], np.float32)
    assert rescaled_weights("rank", ranks, 10).tolist() == [[1, 0.5, pytest.approx(1 / 3), 0]]
    assert rescaled_weights("expression", ranks, 10) is ranks


def test_known_factors() -> None:
    """Logits that are right at factors 1 to 8: doubled where half of the genes are gone."""
    random = np.random.default_rng(1)
    logits, truth, numbers = [], [], []
    for number, factor in ((400, 1), (200, 1), (100, 2), (40, 4), (12, 8), (4, 6)):
        fair = random.normal(0, 2, (4000, 3))
        chances = np.exp(fair) / np.exp(fair).sum(1, keepdims=True)
        drawn = (random.random((4000, 1)) < chances.cumsum(1)).argmax(1)
        logits.append(3 * factor * fair)
        truth.append(drawn)
        numbers.append(np.full(4000, number))
    made = fit_factor(
        np.concatenate(logits), np.concatenate(truth), np.concatenate(numbers), 400, 3.0
    )
    assert made.of(np.array([9999, 400, 200, 100, 40, 12])) == pytest.approx(
        [1, 1, 1, 2, 4, 8], rel=0.1
    )
    assert made.of(np.array([4, 1, 0])) == pytest.approx([8, 8, 8], rel=0.1)  # never less again
    assert 2 < made.of(np.array([63]))[0] < 4
    assert TemperatureFactor.from_json(made.to_json()) == made


def test_readers_without_factors_are_as_before() -> None:
    assert TemperatureFactor.from_json(None).of(np.arange(3)).tolist() == [
        1, 1, 1,
    ]  # fmt: skip


def faint_cells(path: Path, kept: int = GENES) -> Path:
    """Cells whose types are seen by many genes together, of which the first ``kept`` are there.

    As many other genes carry half of the counts.
    """
    random = np.random.default_rng(6)
    types = np.arange(240) % 3
    rates = np.random.default_rng(5).uniform(0.3, 1.5, (3, GENES))
    values = np.hstack([random.poisson(rates[types])[:, :kept], random.poisson(0.9, (240, GENES))])
    obs = expression(values[:, :1], np.array(TYPES, object)[types]).obs
    data = anndata.AnnData(values.astype(np.float32), obs)
    data.var_names = [*genes()[:kept], *(f"OTHER{number}" for number in range(GENES))]
    data.write_h5ad(path)
    return path


@pytest.mark.parametrize("method", QUICK)
def test_a_reader_is_less_sure_where_genes_are_missing(tmp_path: Path, method: str) -> None:
    write_embeddings(tmp_path / "e.h5ad")
    words = ["-e", tmp_path / "e.h5ad", "--label", "cell_type"]
    for name, kept, more in (("all", GENES, []), ("few", 2, ["--like", tmp_path / "all.h5ad"])):
        source = faint_cells(tmp_path / f"{name}-counts.h5ad", kept)
        low = ["--min-mapped", 0]
        succeed("build-cells", source, *words, *more, *low, "-o", tmp_path / f"{name}.h5ad")
    reader = tmp_path / "r.h5"
    options = ["--method", method, "--validation", 0.3, *QUICK[method], "-o", reader]
    succeed("train-reader", tmp_path / "all.h5ad", *options)
    with open_exchange(reader, "reader") as opened:
        stored = read_reader(opened)
    factor = stored.few_genes.factor
    assert factor[-1] == 1 and factor[0] > 1 and len(factor) <= len(SHARES)
    result = succeed("predict", tmp_path / "few.h5ad", "-r", reader, "-o", tmp_path / "p.h5ad")
    assert "2 of the reader's 40 genes are in this sample, " in result.stderr
    assert "warning" in result.stderr
    made = anndata.read_h5ad(tmp_path / "p.h5ad")
    read = (made.obs["genes_in_sequence"] > 0).to_numpy()
    right = (made.obs["predicted_label"].astype(str) == made.obs["true_label"].astype(str))[read]
    sure = made.obs["confidence"][read].mean()
    old = (made.obsm["probability"][read] ** factor[0]).astype(float)
    old = (old / old.sum(1, keepdims=True)).max(1).mean()
    assert abs(sure - right.mean()) < 0.15 and sure < old - 0.05
