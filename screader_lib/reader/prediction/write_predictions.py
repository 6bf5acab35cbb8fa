"""A reader's calls on cells, into a ``predictions`` file, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import h5py
import numpy as np

from screader_lib import launch
from screader_lib.cells.cells_file import CellSequences
from screader_lib.exchange import encoding
from screader_lib.exchange.lazy_table import LazyColumn, LazyTable
from screader_lib.exchange.table import Table, strings
from screader_lib.reader.confidence.explanation import ExplanationWriter
from screader_lib.reader.prediction import predictions
from screader_lib.reader.prediction.prediction_checkpoint import NO_CHECKPOINT, PredictionCheckpoint
from screader_lib.reader.prediction.predictions import (
    PredictionBlock,
    Predictions,
    known_label_metrics,
    spoken,
)
from screader_lib.reader.prediction.shards import Shard, blocks, of_shard
from screader_lib.reader.reader_file import StoredReader
from screader_lib.reader.task import TrainedMethod
from screader_lib.reporting import SILENT, Reporter

OWN_COLUMNS = (
    "predicted_label",
    "predicted_ontology_id",
    "confidence",
    "second_label",
    "status",
    "assigned_label",
    "assigned_ontology_id",
    "evidence",
    "familiarity",
    "true_label",
    "row",
    "fold",
)


@dataclass(frozen=True)
class PredictionOptions:
    """What is called and what is assigned.

    ``rows`` int64, rising: only these cells, by the fold that holds them out; None: all. Of them,
    only those of ``shard``. Cells below ``min_confidence`` or ``min_familiarity`` are unassigned.
    ``genes_explained`` of each cell are stored.
    """

    rows: np.ndarray | None = None
    min_confidence: float = 0.0
    min_familiarity: float = 0.0
    shard: Shard | None = None
    genes_explained: int = 0


def write_predictions(
    file: h5py.File,
    cells: CellSequences,
    stored: StoredReader,
    trained: TrainedMethod,
    chosen: PredictionOptions = PredictionOptions(),
    reporter: Reporter = SILENT,
    unfinished: PredictionCheckpoint = NO_CHECKPOINT,
) -> np.ndarray:
    """Fill a new ``predictions`` file; cells come in the order of ``cells``.

    Blocks that are ``unfinished`` are taken up, new ones are kept there. Cells without a known
    gene are unassigned. Returns which have one, bool (called cells,).
    """
    every = np.arange(len(cells)) if chosen.rows is None else chosen.rows
    rows = of_shard(every, chosen.shard)
    for name in ("obsm", "uns"):
        encoding.write_group(file, name)
    if chosen.shard is not None:
        encoding.write_json(file["uns"], "shard", chosen.shard.to_json(len(every)))
    if chosen.rows is not None:
        encoding.write_json(file["uns"], "fold", stored.fold)
    source = _Source(cells, rows, stored, trained, chosen.genes_explained, unfinished)
    calls = _call(file, source, reporter)
    familiarity = stored.calibration_set.familiarity(calls.confidence, calls.energy)
    calls.assigned[:] = calls.has_known_genes & (calls.confidence >= chosen.min_confidence)
    calls.assigned &= familiarity >= chosen.min_familiarity
    own = calls.columns(stored.labels) | {"evidence": calls.energy, "familiarity": familiarity}
    known = _chosen(cells.lazy_obs, rows, len(cells))
    labels = known.columns.get("label")
    obs = LazyTable(known.index, {name: LazyColumn.of(column) for name, column in own.items()})
    if labels is not None and labels.categories is not None:
        obs.columns["true_label"] = labels
    if chosen.rows is not None:
        obs.columns["row"] = LazyColumn.of(rows.astype(np.int64))
    obs.columns |= _carried(known)
    encoding.begin_anndata(file, obs, Table(strings([])))
    _write_uns(file, labels, stored, calls, reporter)
    if not len(rows):
        reporter.warning("the shard holds no cells: there are fewer blocks of cells than shards.")
    return calls.has_known_genes


@dataclass(frozen=True)
class _Source:
    """Where blocks of calls come from: kept ones, else the reader."""

    cells: CellSequences
    rows: np.ndarray
    stored: StoredReader
    trained: TrainedMethod
    genes_explained: int
    unfinished: PredictionCheckpoint

    def blocks(self) -> Iterator[tuple[slice, PredictionBlock]]:
        for number, places in enumerate(blocks(len(self.rows))):
            block = self.unfinished.load(number)
            if block is None:
                block = predictions.predict_block(
                    self.cells,
                    self.rows[places],
                    self.trained,
                    self.stored.temperature,
                    self.genes_explained,
                )
                self.unfinished.save(number, block)
            yield places, block


def _call(file: h5py.File, source: _Source, reporter: Reporter) -> Predictions:
    """Write probabilities, vectors and explanations, block by block; returns the calls."""
    cells, labels = len(source.rows), len(source.stored.labels.names)
    writer, explanation = _BlockWriter(file["obsm"], cells, labels), None
    if source.genes_explained:
        genes = source.cells.genes
        explanation = ExplanationWriter(file, cells, labels, genes, source.genes_explained)
    with reporter.progress("Predicting", cells, "cells") as advance:
        for places, block in source.blocks():
            advance(len(block.energy))
            if launch.is_worker():
                continue
            writer.add(places, block)
            if explanation is not None and block.explained is not None:
                explanation.add(places, block.explained)
    if explanation is not None:
        counts = np.bincount(writer.calls.best, minlength=labels)
        explanation.finish(counts)
    return writer.calls


def _chosen(obs: LazyTable, rows: np.ndarray, cells: int) -> LazyTable:
    if len(rows) == cells:
        return obs
    return obs.take(rows)


class _BlockWriter:
    """Writes probabilities and vectors as they come, and keeps the ``calls``."""

    def __init__(self, obsm: h5py.Group, cells: int, labels: int) -> None:
        self.obsm, self.cells = obsm, cells
        self.calls = Predictions.empty(cells)
        self._probability = encoding.create_rows(
            obsm, "probability", (cells, labels), np.float32, 1024
        )
        self._vectors: h5py.Dataset | None = None

    def add(self, places: slice, block: PredictionBlock) -> None:
        if self._vectors is None:
            shape = (self.cells, block.vectors.shape[1])
            self._vectors = encoding.create_rows(self.obsm, "X_screader", shape, np.float32, 64)
        self._probability[places], self._vectors[places] = block.probability, block.vectors
        self.calls.fill(places, block)


def _carried(obs: LazyTable) -> dict[str, LazyColumn]:
    """All columns of the cells but the label, which is ``true_label`` now."""
    return {
        (f"{name}_input" if name in OWN_COLUMNS else name): column
        for name, column in obs.columns.items()
        if name != "label"
    }


def _write_uns(
    file: h5py.File,
    labels: LazyColumn | None,
    stored: StoredReader,
    calls: Predictions,
    reporter: Reporter,
) -> None:
    uns = file["uns"]
    encoding.write_strings(uns, "labels", strings(stored.labels.names))
    encoding.write_strings(uns, "label_ontology_ids", strings(stored.labels.ontology_ids))
    knn = "-knn" if stored.settings.classifier == "knn" else ""
    encoding.write_text(uns, "method", stored.method + knn)
    reporter.info(calls.spoken())
    metrics = known_label_metrics(labels, stored.labels.names, calls)
    if metrics:
        encoding.write_json(uns, "metrics", metrics)
        reporter.info(spoken(metrics))
