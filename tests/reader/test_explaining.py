"""Which genes made a call: parts that add up, and whose removal counts."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from small_files import DIM, ONE_READER, TYPES, call, succeed

from screader_lib.cells.cells_file import CellSequences
from screader_lib.cells.sequences import sequences_of, weight_matrix
from screader_lib.reader.confidence import explanation
from screader_lib.reader.confidence.calibration import softmax
from screader_lib.reader.confidence.explanation import top
from screader_lib.reader.methods import methods
from screader_lib.reader.model.attribution import (
    MAX_GAP,
    ROUNDS,
    integrated_gradients,
    log_odds,
)
from screader_lib.reader.model.linear_attribution import linear_parts, mean_factors, nodes
from screader_lib.reader.model.linear_reader import LinearReader
from screader_lib.reader.model.reader_model import Batch
from screader_lib.reader.settings import settings_for
from screader_lib.reader.task import TrainedMethod, make_task

QUICK = {"precision": "float32", "warm_start_epochs": 4, "epochs": 1, "batch_size": 16,
         "genes_per_cell": 12, "instruction": "Genes"}  # fmt: skip


def trained_by(method: str, sequences: CellSequences, llama: Path) -> TrainedMethod:
    given: dict[str, Any] = {**QUICK, "llm": str(llama)}
    if method == "screader":
        given |= {"validation": 0.0, "learning_rate": 1e-2}  # so that the LLM has weight
    elif method == "screader without weight":
        method = "screader"
    if method == "genept":
        given |= {"warm_start_learning_rate": 1e-2}
    return methods.train(make_task(sequences, settings_for(method, "default", given)))


def test_log_odds_is_that_of_the_softmax() -> None:
    logits = torch.tensor([[2.0, 0.0, 1.0], [0.5, 0.5, -3.0]])
    calls = torch.tensor([0, 1])
    called = logits.softmax(1)[[0, 1], calls]
    assert torch.allclose(log_odds(logits, calls), torch.log(called / (1 - called)))


def test_parts_of_two_labels_that_are_linear_are_weight_times_difference() -> None:
    matrix = np.array([[1.0, -1.0], [0.5, 2.0], [3.0, 3.0]], np.float32)
    genes = np.array([[0, 2, 1], [1, -1, -1]])
    weights = np.array([[2, 1, 1], [4, 0, 0]], np.float32)
    stored = weight_matrix(genes, weights, 3)
    parts, gaps = linear_parts(stored, np.array([0, 1]), np.zeros(2, np.float32), (matrix, None))
    assert (gaps < 1e-6).all()
    found_genes, found = sequences_of(stored, parts, np.array([True, True, False, True]))
    assert found_genes.tolist() == [[0, 2, -1], [1, -1, -1]]
    assert found == pytest.approx(np.array([[4, 0, 0], [6, 0, 0]]))
    assert parts == pytest.approx(np.array([4, 0, -1.5, 6]))


@pytest.mark.parametrize("size", [0.1, 3, 40, 2000])
def test_factors_are_integrals_however_steep_the_path(size: float) -> None:
    """Beside the mean over 5,000 points."""
    random = np.random.default_rng(int(size))
    first, last = size * random.normal(size=(2, 20, 6))
    calls = last.argmax(1)
    factors, _ = mean_factors(first, last, calls)
    cells, others = np.arange(20), np.ones((20, 6), bool)
    others[cells, calls] = False
    wanted = np.zeros((20, 6))
    for share in (np.arange(5_000) + 0.5) / 5_000:
        logits = np.where(others, first + share * (last - first), -np.inf)
        wanted -= softmax(logits) / 5_000
    wanted[cells, calls] = 1
    assert np.abs(factors - wanted).max() < 5e-3


def test_top_puts_the_largest_first_and_fills_up() -> None:
    genes = np.array([[4, 7, 2], [5, -1, -1]])
    values = np.array([[0.1, 0.9, -1.0], [-0.5, 0.0, 0.0]], np.float32)
    index, part = top(genes, values, 4)
    assert index.tolist() == [[7, 4, 2, -1], [5, -1, -1, -1]]
    assert part[0] == pytest.approx([0.9, 0.1, -1.0, 0]) and part[1].tolist() == [-0.5, 0, 0, 0]


@pytest.mark.parametrize("method", ["screader", "genept", "genept-w", "logistic"])
def test_removing_the_top_genes_costs_more_than_removing_others(
    method: str, sequences: CellSequences, llama: Path
) -> None:
    trained = trained_by(method, sequences, llama)
    rows = np.arange(0, len(sequences), 3)
    logits, _ = trained.outputs(sequences, rows)
    calls = logits.argmax(1)
    genes, parts, _ = trained.explain(sequences, rows, calls)
    best, _ = top(genes, parts, 3)
    random = np.random.default_rng(0)
    drop = np.array([random.permutation(cell[cell >= 0])[:3] for cell in genes])
    usual = odds_without(trained, sequences, rows, calls, np.full((len(rows), 1), -2))
    targeted = odds_without(trained, sequences, rows, calls, best)
    at_random = odds_without(trained, sequences, rows, calls, drop)
    assert usual - targeted > 1.5 * max(usual - at_random, 0)
    assert targeted < at_random


def odds_without(
    trained: TrainedMethod,
    cells: CellSequences,
    rows: np.ndarray,
    calls: np.ndarray,
    removed: np.ndarray,
) -> float:
    """Mean log-odds of the calls for cells that lack some of their genes each."""
    removed_from = dict(zip(rows.tolist(), removed, strict=True))
    fewer = copy.copy(cells)
    vars(fewer).pop("_weights", None)  # which reads the whole cells

    def read(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        genes, weights = cells.rows(numbers)
        for row, cell, weight in zip(numbers.tolist(), genes, weights, strict=True):
            left = (cell >= 0) & ~np.isin(cell, removed_from[row])
            count = left.sum()
            cell[:count], weight[:count] = cell[left], weight[left]
            cell[count:], weight[count:] = -1, 0
        return genes, weights

    fewer.rows = read  # type: ignore[method-assign]
    fewer.sequential = True  # so that weights are of these rows
    logits, _ = trained.outputs(fewer, rows)
    return float(log_odds(torch.from_numpy(logits), torch.from_numpy(calls)).mean())


EXACT = ("logistic", "genept-w", "pooled", "screader without weight")


@pytest.mark.parametrize("method", [*EXACT, "genept", "screader"])
def test_parts_add_up_to_what_the_genes_change(
    method: str, sequences: CellSequences, llama: Path
) -> None:
    """To 1e-4 where logits are linear in the genes' weights, else to within the gap's limit."""
    trained = trained_by(method, sequences, llama)
    rows = np.arange(12)
    logits, _ = trained.outputs(sequences, rows)
    calls = logits.argmax(1)
    _, parts, gaps = trained.explain(sequences, rows, calls)
    empty = nothing(trained, sequences, len(calls))
    odds = log_odds(torch.from_numpy(logits), torch.from_numpy(calls)).numpy()
    change = odds - log_odds(empty, torch.from_numpy(calls)).numpy()
    close = 1e-4 if method in EXACT else MAX_GAP
    assert parts.sum(1) == pytest.approx(change, rel=close, abs=close)
    assert (np.abs(change) > 0.1).all() and (gaps <= close).all()
    missed = np.abs(parts.sum(1) - change) / np.maximum(np.abs(change), 1)
    if method != "screader":  # whose LLM also reads how many genes weigh nothing
        assert gaps == pytest.approx(missed, abs=1e-5)


@pytest.mark.parametrize("power", [1, 2, 3])
def test_nodes_integrate_polynomials(power: int) -> None:
    points, shares = nodes(8, power)
    for degree in range(4):
        found = sum(w * x**degree for x, w in zip(points, shares, strict=True))
        assert found == pytest.approx(1 / (degree + 1))


def test_cells_that_have_converged_cost_nothing_more() -> None:
    """Of two cells, the log-odds of one are linear; those of the other turn near weight 0.

    A gap that stays above the limit is reported.
    """
    read: list[int] = []

    def logits_of(batch: Batch) -> torch.Tensor:
        read.append(len(batch.genes))
        bent = torch.where(batch.genes == 0, batch.weights, torch.sigmoid(5000 * batch.weights - 1))
        return torch.cat([bent, torch.zeros_like(bent)], 1)

    batch = Batch(torch.tensor([[0], [1]]), torch.ones(2, 1))
    parts, gaps = integrated_gradients(logits_of, batch, torch.zeros(2, dtype=torch.long))
    assert parts[0].item() == pytest.approx(1.0) and (gaps < MAX_GAP).all()
    assert parts[1].item() == pytest.approx(1 - torch.sigmoid(torch.tensor(-1.0)).item(), abs=0.05)
    assert read[:3] == [2, 2, 2] and read[-1] == 1 and sum(n == 2 for n in read) == 2 + ROUNDS[0]
    alone, _ = integrated_gradients(
        logits_of, Batch(batch.genes[1:], batch.weights[1:]), torch.zeros(1, dtype=torch.long)
    )
    assert torch.equal(alone[0], parts[1])

    def noise(batch: Batch) -> torch.Tensor:
        turns = torch.sin(1e5 * batch.weights)
        return torch.cat([turns, torch.zeros_like(turns)], 1)

    _, gaps = integrated_gradients(noise, batch, torch.zeros(2, dtype=torch.long))
    assert (gaps > MAX_GAP).all() and gaps.isfinite().all()


def nothing(trained: TrainedMethod, sequences: CellSequences, cells: int) -> torch.Tensor:
    """Logits of cells whose genes weigh nothing."""
    if "biases" in trained.tensors:
        biases = trained.tensors["biases"]
        if len(trained.tensors["mean"]) == DIM:
            biases = (
                biases
                - trained.tensors["mean"] / trained.tensors["spread"] @ trained.tensors["weights"]
            )
        return torch.from_numpy(biases).expand(cells, -1)
    if isinstance(trained, LinearReader):
        empty = copy.copy(sequences)
        vars(empty).pop("_weights", None)  # which reads the whole cells
        empty.sequential = True  # so that weights are of these rows
        empty.rows = lambda rows: (np.zeros((len(rows), 1), int), np.zeros((len(rows), 1)))  # type: ignore[method-assign]
        return torch.from_numpy(trained.outputs(empty, np.arange(cells))[0])
    none = Batch(torch.zeros(cells, 1, dtype=torch.long), torch.zeros(cells, 1), torch.ones(cells))
    with torch.inference_mode():
        table = trained.table_of(sequences)  # type: ignore[attr-defined]
        return trained.model.predict(table, none, trained.poolings)[0]  # type: ignore[attr-defined]


def test_marker_genes_explain_their_type(
    tmp_path: Path, cells: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    succeed("train-reader", cells, "--method", "pooled", *ONE_READER, "-o", tmp_path / "r.h5")
    monkeypatch.setattr(explanation, "WORTH_REPORTING", 0)
    words = ["-r", tmp_path / "r.h5", "--explain", "5", "-o", tmp_path / "p.h5ad"]
    told = succeed("predict", cells, *words).stderr
    told = " ".join(told.split())
    assert told.index("explaining 90 cells takes about") < told.index("explanations are exact")
    with h5py.File(tmp_path / "p.h5ad") as file:
        assert file["obs/explanation_gap"][()].max() < 1e-4
    with h5py.File(tmp_path / "p.h5ad") as file:
        symbols = file["uns/explanation/symbol"].asstr()[()]
        parts = file["uns/explanation/part"][()]
        labels = list(file["uns/labels"].asstr()[()])
        assert file["obsm/explanation_gene"].shape == (len(file["obs/id"]), 5)
    for number, kind in enumerate(TYPES):  # small_files gives each type ten genes
        best = symbols[np.argsort(-parts[labels.index(kind)])[:5]]
        assert all(int(name[4:]) // 10 == number for name in best), (kind, best)


def test_a_method_that_cannot_tell_says_so(tmp_path: Path, cells: Path) -> None:
    succeed("train-reader", cells, "--method", "majority", *ONE_READER, "-o", tmp_path / "r.h5")
    target = tmp_path / "p.h5ad"
    result = call("predict", cells, "-r", tmp_path / "r.h5", "--explain", "5", "-o", target)
    assert result.exit_code == 1 and "Leave --explain out." in result.stderr
    assert not target.exists()
