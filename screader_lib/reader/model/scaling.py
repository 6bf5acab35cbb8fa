"""Scales that are measured before training: of gene embeddings, weights, tokens and poolings.

Text embeddings are far from centred: one mean vector and few directions dominate, and all genes
look alike. Whitening over the training vocabulary gives every direction the same variance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from screader_lib.cells.cells_file import CellSequences

if TYPE_CHECKING:
    from screader_lib.reader.model.neural_reader import NeuralReader
    from screader_lib.reader.model.reader_model import Batch, GeneTable, ReaderModel

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


def scale_tokens(reader: NeuralReader, cells: CellSequences, rows: np.ndarray) -> None:
    """Give the genes' tokens in these cells the mean length of the LLM's own embeddings."""
    model = reader.model
    width = model.settings.genes_per_cell

    def token_lengths(table: GeneTable, batch: Batch, _: np.ndarray) -> list[torch.Tensor]:
        return [model.gene_tokens(table, model.first_genes(batch)).norm(dim=2)]

    [lengths] = reader.compute(cells, rows, [width], token_lengths)
    mean = lengths.sum(dtype=np.float64) / max(1, np.minimum(cells.lengths[rows], width).sum())
    model.token_scale.fill_(model.llm[0].token_norm / max(mean, 1e-9))


def standardise_poolings(
    reader: NeuralReader, cells: CellSequences, rows: np.ndarray, poolings: tuple[str, ...]
) -> None:
    """Measure mean and spread of each of the ``poolings`` over these cells."""
    model = reader.model

    def pool(table: GeneTable, batch: Batch, _: np.ndarray) -> list[torch.Tensor]:
        pooled = model.pool(table, batch, poolings)
        return [pooled[name] for name in poolings]

    values = reader.compute(cells, rows, [len(model.cls)] * len(poolings), pool)
    for name, measured in zip(poolings, values, strict=True):
        on_device = torch.from_numpy(measured).to(reader.device)
        model.standardise[name].fit(on_device)  # type: ignore[operator]
