"""Which genes made a call: parts that add up, and whose removal counts."""

from __future__ import annotations

import copy
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from small_files import TYPES, call, succeed

from screader_lib.cells.cells_file import CellSequences
from screader_lib.reader.confidence.explanation import top
from screader_lib.reader.methods import methods
from screader_lib.reader.model.attribution import (
    linear_attributions,
    log_odds,
)
from screader_lib.reader.model.reader_model import Batch
from screader_lib.reader.settings import settings_for
from screader_lib.reader.task import TrainedMethod, make_task

QUICK = {"precision": "float32", "warm_start_epochs": 4, "epochs": 1, "batch_size": 16,
         "genes_per_cell": 12, "instruction": "Genes"}  # fmt: skip


def trained_by(method: str, sequences: CellSequences, llama: Path) -> TrainedMethod:
    given = {**QUICK, "llm": str(llama)}
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
    parts = linear_attributions(genes, weights, np.array([0, 1]), matrix, np.zeros(2, np.float32))
    assert parts == pytest.approx(np.array([[4, 0, -1.5], [6, 0, 0]]))


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
    genes, parts = trained.explain(sequences, rows, calls)
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

    def read(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        genes, weights = cells.rows(numbers)
        for row, cell, weight in zip(numbers.tolist(), genes, weights, strict=True):
            left = (cell >= 0) & ~np.isin(cell, removed_from[row])
            count = left.sum()
            cell[:count], weight[:count] = cell[left], weight[left]
            cell[count:], weight[count:] = -1, 0
        return genes, weights

    fewer.rows = read  # type: ignore[method-assign]
    logits, _ = trained.outputs(fewer, rows)
    return float(log_odds(torch.from_numpy(logits), torch.from_numpy(calls)).mean())


@pytest.mark.parametrize("method", ["logistic", "pooled"])
def test_parts_add_up_to_what_the_genes_change(
    method: str, sequences: CellSequences, llama: Path
) -> None:
    trained = trained_by(method, sequences, llama)
    rows = np.arange(12)
    logits, _ = trained.outputs(sequences, rows)
    calls = logits.argmax(1)
    _, parts = trained.explain(sequences, rows, calls)
    empty = nothing(trained, len(calls))
    odds = log_odds(torch.from_numpy(logits), torch.from_numpy(calls)).numpy()
    without = log_odds(empty, torch.from_numpy(calls)).numpy()
    assert parts.sum(1) == pytest.approx(odds - without, rel=0.02, abs=0.02)


def nothing(trained: TrainedMethod, cells: int) -> torch.Tensor:
    """Logits of cells whose genes weigh nothing."""
    if "biases" in trained.tensors:
        return torch.from_numpy(trained.tensors["biases"]).expand(cells, -1)
    none = Batch(torch.zeros(cells, 1, dtype=torch.long), torch.zeros(cells, 1), torch.ones(cells))
    with torch.inference_mode():
        return trained.model.predict(trained.table, none, trained.poolings)[0]  # type: ignore[attr-defined]


def test_marker_genes_explain_their_type(tmp_path: Path, cells: Path) -> None:
    succeed("train-reader", cells, "--method", "pooled", "-o", tmp_path / "r.h5")
    succeed("predict", cells, "-r", tmp_path / "r.h5", "--explain", "5", "-o", tmp_path / "p.h5ad")
    with h5py.File(tmp_path / "p.h5ad") as file:
        symbols = file["uns/explanation/symbol"].asstr()[()]
        parts = file["uns/explanation/part"][()]
        labels = list(file["uns/labels"].asstr()[()])
        assert file["obsm/explanation_gene"].shape == (len(file["obs/id"]), 5)
    for number, kind in enumerate(TYPES):  # small_files gives each type ten genes
        best = symbols[np.argsort(-parts[labels.index(kind)])[:5]]
        assert all(int(name[4:]) // 10 == number for name in best), (kind, best)


def test_a_method_that_cannot_tell_says_so(tmp_path: Path, cells: Path) -> None:
    succeed("train-reader", cells, "--method", "majority", "-o", tmp_path / "r.h5")
    target = tmp_path / "p.h5ad"
    result = call("predict", cells, "-r", tmp_path / "r.h5", "--explain", "5", "-o", target)
    assert result.exit_code == 1 and "Leave --explain out." in result.stderr
    assert not target.exists()
