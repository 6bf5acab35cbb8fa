"""Scales that are measured before training: of gene embeddings, weights, tokens and poolings.

Text embeddings are far from centred: one mean vector and few directions dominate, and all genes
look alike. Whitening over the training vocabulary gives every direction the same variance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from screader_lib.cells.cells_file import CellSequences
from screader_lib.reader.model.batches import read_sequences

if TYPE_CHECKING:
    from screader_lib.reader.model.neural_reader import NeuralReader
    from screader_lib.reader.model.reader_model import ReaderModel

MIN_VARIANCE = 1e-6  # of the largest variance; a direction below is noise or dead


def fit_scaling(vectors: np.ndarray, kind: str) -> dict[str, np.ndarray]:
    """Learn the scaling of ``vectors`` float32 (genes, dim): ``none``, ``standardise``, ``whiten``.

    Returns ``center`` (dim,) and ``map`` (dim, features), both float32, for :func:`scaled`.
    """
    values = vectors.astype(np.float64)
    dim = values.shape[1]
    if kind == "none":
        return {"center": np.zeros(dim, np.float32), "map": np.eye(dim, dtype=np.float32)}
    center = values.mean(0)
    centred = values - center
    if kind == "standardise":
        spread = centred.std(0)
        factors = np.where(spread > 1e-3 * spread.max(), 1 / np.maximum(spread, 1e-12), 0.0)
        return {"center": center.astype(np.float32), "map": np.diag(factors).astype(np.float32)}
    variance, directions = np.linalg.eigh(centred.T @ centred / len(values))
    variance, directions = variance[::-1], directions[:, ::-1]
    directions *= np.sign(directions[np.abs(directions).argmax(0), np.arange(dim)])
    alive = variance > MIN_VARIANCE * variance[0]
    whitening = directions[:, alive] / np.sqrt(variance[alive])
    return {"center": center.astype(np.float32), "map": whitening.astype(np.float32)}


def scaled(vectors: np.ndarray, scaling: dict[str, np.ndarray]) -> np.ndarray:
    """Features float32 (genes, features) of ``vectors`` float32 (genes, dim)."""
    return (vectors - scaling["center"]) @ scaling["map"]


def scale_weights(model: ReaderModel, cells: CellSequences, rows: np.ndarray) -> None:
    """Scale the genes' weights so that their mean in these cells is 1."""
    genes, weights = cells.rows(rows)
    mean = float(weights[genes >= 0].mean())
    model.weight_scale.fill_(1 / mean if mean > 0 else 1.0)


@torch.no_grad()
def scale_tokens(reader: NeuralReader, cells: CellSequences, rows: np.ndarray) -> None:
    """Give the genes' tokens in these cells the mean length of the LLM's own embeddings."""
    model = reader.model

    def compute(indices: np.ndarray) -> tuple[float, int]:
        batch = model.first_genes(reader.to_device(*read_sequences(cells, rows[indices])))
        lengths = model.gene_tokens(reader.table, batch).norm(dim=2)[batch.genes >= 0]
        return float(lengths.double().sum()), len(lengths)

    sums = np.zeros(2)
    for _, total_and_count in reader.map_batches(cells, rows, compute):
        sums += total_and_count
    reader.processes.sum_arrays(sums)
    mean = float(sums[0] / max(1, sums[1]))
    model.token_scale.fill_(model.llm[0].token_norm / max(mean, 1e-9))


@torch.no_grad()
def standardise_poolings(
    reader: NeuralReader, cells: CellSequences, rows: np.ndarray, poolings: tuple[str, ...]
) -> None:
    """Measure mean and spread of each of the ``poolings`` over these cells."""
    model = reader.model
    values = {name: np.zeros((len(rows), len(model.cls)), np.float32) for name in poolings}

    def compute(indices: np.ndarray) -> dict[str, torch.Tensor]:
        batch = reader.to_device(*read_sequences(cells, rows[indices]))
        return model.pool(reader.table, batch, poolings)

    for indices, pooled in reader.map_batches(cells, rows, compute):
        for name in poolings:
            values[name][indices] = pooled[name].cpu().numpy()
    reader.processes.sum_arrays(*values.values())
    for name in poolings:
        measured = torch.from_numpy(values[name]).to(reader.device)
        model.standardise[name].fit(measured)  # type: ignore[operator]
