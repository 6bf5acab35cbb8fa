"""A reader's predictions of cells, into a ``predictions`` file, block by block.

A shard is a run of whole blocks, so that each cell is in the same company as in a run over all
cells, and its numbers are the same to the last bit, where threads and processor are. Others, and
other neighbours, round sums differently: by less than 1e-4 of a probability.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from itertools import starmap
from typing import Any

import h5py
import numpy as np

from screader_lib import launch
from screader_lib.cells.cells_file import CellSequences
from screader_lib.cells.obs.columns import name_beside
from screader_lib.exchange import encoding
from screader_lib.exchange.chunks import RowAppender
from screader_lib.exchange.table import LazyColumn, LazyTable, Table, strings
from screader_lib.reader.confidence.explanation import ExplanationWriter, report_cost
from screader_lib.reader.prediction.label_map import translated
from screader_lib.reader.prediction.prediction_checkpoint import NO_CHECKPOINT, PredictionCheckpoint
from screader_lib.reader.prediction.predictions import (
    PredictionBlock,
    Predictions,
    gene_origin,
    known_label_metrics,
    metrics_summary,
    predict_block,
)
from screader_lib.reader.reader_file import StoredReader
from screader_lib.reader.task import TrainedMethod
from screader_lib.reporting import SILENT, Reporter
from screader_lib.threads import matrix_threads

BLOCK = 1024  # cells that are predicted, saved and loaded together
UNFAMILIAR = 0.05  # familiarity of cells unlike the training cells
OF_LABEL, OF_OTHERS = 0.25, 0.15  # share of a label's cells that are unfamiliar, and of all others
MIN_CELLS_TO_JUDGE = 20  # with fewer, one of known types may have such a median by chance
OWN_COLUMNS = (
    "predicted_label",
    "predicted_ontology_id",
    "confidence",
    "second_label",
    "status",
    "assigned_label",
    "assigned_ontology_id",
    "evidence",
    "distance",
    "familiarity",
    "explanation_gap",
    "true_label",
    "row",
    "fold",
)


@dataclass(frozen=True)
class Shard:
    """Shard ``number`` of ``count``, from 1: the cells that one of several runs predicts."""

    number: int
    count: int

    def rows(self, cells: int) -> slice:
        """Which of ``cells`` cells it holds; perhaps none."""
        total = len(range(0, cells, BLOCK))
        first, last = (
            -(-number * total // self.count) for number in (self.number - 1, self.number)
        )
        return slice(min(cells, first * BLOCK), min(cells, last * BLOCK))

    def to_json(self, cells: int) -> dict[str, Any]:
        """For the file: also where it starts, and how many ``cells`` all shards have."""
        return {**asdict(self), "start": self.rows(cells).start, "cells": cells}


@dataclass(frozen=True)
class PredictionOptions:
    """Which cells are predicted, and which of them are assigned their label.

    ``rows`` int64, rising: only these cells, which the reader's fold holds out; None: all. Of
    them, only those of ``shard``. Cells below ``min_confidence`` or ``min_familiarity`` are
    unassigned. ``genes_explained`` of each cell are stored. ``label_map`` gives the reader's label
    for labels of the cells, which are kept beside it. With ``warns_of_unfamiliar``, cells that as a
    whole are unlike those of the training are warned of. Without ``vectors``, none are kept.
    """

    rows: np.ndarray | None = None
    min_confidence: float = 0.0
    min_familiarity: float = 0.0
    shard: Shard | None = None
    genes_explained: int = 0
    label_map: dict[str, str] | None = None
    warns_of_unfamiliar: bool = True
    vectors: bool = True


def write_predictions(
    file: h5py.File,
    cells: CellSequences,
    stored: StoredReader,
    trained: TrainedMethod,
    options: PredictionOptions = PredictionOptions(),
    reporter: Reporter = SILENT,
    checkpoint: PredictionCheckpoint = NO_CHECKPOINT,
    beside: Callable[[np.ndarray], None] | None = None,
) -> np.ndarray:
    """Fill a new ``predictions`` file; cells come in the order of ``cells``.

    Blocks are loaded from the ``checkpoint`` where it has them, and new ones are saved there.
    What else is computed of each block, ``beside(rows)`` does, as long as its weights are at hand;
    several threads may call it at a time.
    Cells without a known gene are unassigned. Returns which have one, bool (predicted cells,).
    """
    every = np.arange(len(cells)) if options.rows is None else options.rows
    rows = every if options.shard is None else every[options.shard.rows(len(every))]
    for name in ("obsm", "uns"):
        encoding.write_group(file, name)
    if options.shard is not None:
        encoding.write_json(file["uns"], "shard", options.shard.to_json(len(every)))
    if options.rows is not None:
        encoding.write_json(file["uns"], "fold", stored.fold)
    predictions, gaps = _write_blocks(
        file, cells, rows, stored, trained, options, reporter, checkpoint, beside
    )
    confidence, evidence = predictions.confidence, predictions.evidence
    distance, names = predictions.distance, stored.labels.names
    familiarity = stored.calibration_set.familiarity(confidence, evidence, distance)
    predictions.assigned[:] = predictions.has_known_genes & (confidence >= options.min_confidence)
    predictions.assigned &= familiarity >= options.min_familiarity
    warns = reporter if options.warns_of_unfamiliar else SILENT
    judged = predictions.has_known_genes & (familiarity >= options.min_familiarity)
    warn_of_unfamiliar(familiarity, np.where(judged, predictions.best, -1), names, warns)
    own = predictions.columns(stored.labels)
    own |= {"evidence": evidence, "distance": distance, "familiarity": familiarity}
    if np.isnan(distance).any():
        del own["distance"]
    if gaps is not None:
        own["explanation_gap"] = gaps
    given = cells.lazy_obs if len(rows) == len(cells) else cells.lazy_obs.take(rows)
    truth, label_map = given.columns.get("label"), options.label_map
    if truth is not None and label_map is not None:
        truth = translated(truth, label_map)
    obs = LazyTable(given.index, {name: LazyColumn.of(column) for name, column in own.items()})
    if truth is not None and truth.categories is not None:
        obs.columns["true_label"] = truth
    if options.rows is not None:
        obs.columns["row"] = LazyColumn.of(rows.astype(np.int64))
    obs.columns |= {  # all columns of the cells but a label that is true_label now
        name_beside(given.columns, f"{name}_input") if name in OWN_COLUMNS else name: column
        for name, column in given.columns.items()
        if name != "label" or label_map is not None
    }
    encoding.begin_anndata(file, obs, Table(strings([])))
    uns, knn = file["uns"], "-knn" if stored.settings.classifier == "knn" else ""
    encoding.write_strings(uns, "labels", strings(names))
    encoding.write_strings(uns, "label_ontology_ids", strings(stored.labels.ontology_ids))
    encoding.write_text(uns, "method", stored.method + knn)
    if trained.latent_parts and options.vectors:
        encoding.write_text(uns, "latent", ",".join(trained.latent_parts))
    encoding.write_number(uns, "temperature", stored.temperature)
    reporter.info(predictions.summary())
    metrics = known_label_metrics(truth, names, predictions)
    if metrics:
        if options.rows is not None:
            metrics |= gene_origin(stored.fold)
        encoding.write_json(uns, "metrics", metrics)
        reporter.info(metrics_summary(metrics))
    if not len(rows):
        reporter.warning("the shard holds no cells: there are more shards than blocks of cells.")
    return predictions.has_known_genes


def warn_of_unfamiliar(
    familiarity: np.ndarray, best: np.ndarray, names: Sequence[str], reporter: Reporter
) -> None:
    """Warn where the cells as a whole, or those of a label, are unlike those of the training.

    ``familiarity`` float32 (cells,), ``best`` int (cells,) the numbers of their labels, which have
    ``names``; −1: not to be judged. Of a label, only where most other cells are like those of the
    training: else it is the sample that differs.
    """
    familiarity, best = familiarity[best >= 0], best[best >= 0]
    if len(familiarity) < MIN_CELLS_TO_JUDGE:
        return
    median = float(np.median(familiarity))
    if median < UNFAMILIAR:
        reporter.warning(
            f"half of the cells have a familiarity below {median:.3g}, where cells like those of "
            "the training have 0.5: they may be of another tissue, species, state or technology, "
            "or have few genes that the reader knows. How often their labels are right was not "
            "measured on such cells; --min-familiarity leaves them unassigned."
        )
        return
    cells = np.bincount(best, minlength=len(names))
    unlike = np.bincount(best[familiarity < UNFAMILIAR], minlength=len(names))
    of_others = (unlike.sum() - unlike) / np.maximum(cells.sum() - cells, 1)
    stand_out = (unlike >= np.maximum(MIN_CELLS_TO_JUDGE, OF_LABEL * cells)) & (
        of_others <= OF_OTHERS
    )
    for label in np.flatnonzero(stand_out).tolist():
        reporter.warning(
            f"{unlike[label]:,} of the {cells[label]:,} cells called {names[label]} are unlike the "
            f"cells of the training (familiarity below {UNFAMILIAR:g}; of all others "
            f"{of_others[label]:.0%}): they may be of a type that the reader does not know. "
            f"--min-familiarity {UNFAMILIAR:g} leaves them unassigned."
        )


def _write_blocks(
    file: h5py.File,
    cells: CellSequences,
    rows: np.ndarray,
    stored: StoredReader,
    trained: TrainedMethod,
    options: PredictionOptions,
    reporter: Reporter,
    checkpoint: PredictionCheckpoint,
    beside: Callable[[np.ndarray], None] | None,
) -> tuple[Predictions, np.ndarray | None]:
    """Write probabilities, vectors and explanations, block by block.

    Returns the predictions, and how far explanations are from adding up, None without any.
    """
    obsm, count, labels = file["obsm"], len(rows), len(stored.labels.names)
    genes_explained, with_vectors = options.genes_explained, options.vectors
    predictions, explanation = Predictions.empty(count), None
    if genes_explained:
        explanation = ExplanationWriter(file, count, labels, cells.genes, genes_explained)
    probability = row_appender(obsm, "probability", (count, labels), 1024)
    vectors: RowAppender | None = None

    def tasks() -> Iterator[tuple[int, PredictionBlock | None]]:
        is_cost_known = not genes_explained
        for number, start in enumerate(range(0, count, BLOCK)):
            block = checkpoint.load(number)
            if block is None and not is_cost_known:
                report_cost(cells, rows[start:], trained, reporter)
                is_cost_known = True
            yield number, block

    def predict(number: int, known: PredictionBlock | None) -> tuple[int, PredictionBlock, bool]:
        part = rows[number * BLOCK : (number + 1) * BLOCK]
        block = known or predict_block(
            cells, part, trained, stored.temperatures, genes_explained, stored.type_distance,
            with_vectors,
        )  # fmt: skip
        if beside is not None:
            beside(part)
        return number, block, known is None

    in_threads = nullcontext(starmap) if stored.needs_torch else matrix_threads()
    with reporter.progress("Predicting", count, "cells") as advance, in_threads as mapped:
        for number, block, is_new in mapped(predict, tasks()):
            if is_new:
                block.check()
                checkpoint.save(number, block)
            advance(len(block.evidence))
            if launch.is_worker():
                continue
            if vectors is None and with_vectors:
                shape = (count, block.vectors.shape[1])
                vectors = row_appender(obsm, "X_screader", shape, 64)
            probability.add(block.probability)
            if vectors is not None and block.vectors.size:
                vectors.add(block.vectors)
            part = slice(number * BLOCK, min(count, (number + 1) * BLOCK))
            predictions.fill(part, block)
            if explanation is not None and block.explained is not None:
                explanation.add(part, block.explained)
    probability.finish()
    if vectors is not None:
        vectors.finish()
    if explanation is not None:
        explanation.finish(np.bincount(predictions.best, minlength=labels))
        reporter.info(explanation.summary())
    return predictions, None if explanation is None else explanation.gaps


def row_appender(
    obsm: h5py.Group, name: str, shape: tuple[int, int], rows_per_chunk: int
) -> RowAppender:
    """For float32 rows of a new array."""
    return RowAppender(encoding.create_rows(obsm, name, shape, np.float32, rows_per_chunk))
