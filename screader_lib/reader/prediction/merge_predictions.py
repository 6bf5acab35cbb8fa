"""Predictions of several runs of predict merged into one file.

The shards of one prediction give the file that one run would have written. The folds of one
cross-validation give, in the order of the cells file, the prediction of each cell by the reader
that held it out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import h5py
import numpy as np

from screader_lib import label_metrics
from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding
from screader_lib.exchange.lazy_table import (
    LazyColumn,
    LazyTable,
    concatenated_columns,
    row_blocks,
    stored_table,
)
from screader_lib.exchange.opening import ExchangeFile
from screader_lib.exchange.table import Categorical, Column, Table, as_strings, strings
from screader_lib.reader.confidence.explanation import write_mean_parts
from screader_lib.reader.confidence.familiarity import CalibrationSet
from screader_lib.reader.prediction.predictions import (
    Predictions,
    known_label_metrics,
    metrics_summary,
)
from screader_lib.reporting import SILENT, Reporter

ROWS_AT_ONCE = 1024  # of arrays that may be wide
ROWS_PER_CHUNK = {"X_screader": 64}
HIERARCHICAL = ("backed_off", "hierarchical_accuracy", "hierarchical_accuracy_of_assigned")
METRICS = (
    "accuracy", "balanced_accuracy", "macro_precision", "macro_recall", "macro_f1",
    "weighted_precision", "weighted_recall", "weighted_f1",
)  # fmt: skip


def shard_of(opened: ExchangeFile) -> dict[str, Any]:
    """Number, count, start and cells of a shard's predictions; empty for other files."""
    shard = _json(opened, "shard")
    numbers = {key: value for key, value in shard.items() if type(value) is int}
    if shard and not {"number", "count", "start", "cells"} <= set(numbers):
        raise ScReaderError("uns/shard is damaged.", file=opened.name, remedy="Make it again.")
    return numbers


def merge_shards(
    file: h5py.File, shards: Sequence[ExchangeFile], reporter: Reporter = SILENT
) -> None:
    """Fill a new ``predictions`` file from all shards of one prediction, in their order.

    ScReaderError where the files do not belong together or a shard is missing.
    """
    shards = sorted(shards, key=lambda opened: shard_of(opened)["number"])
    _check_shards(shards)
    first = shards[0].file["uns"]
    obsm = encoding.write_group(file, "obsm")
    for name in dict.fromkeys(name for one in shards for name in one.file["obsm"]):
        arrays = [one.file["obsm"][name] for one in shards if len(one.file["obs/id"])]
        _concatenate(obsm, name, arrays)
    obs = _concatenated_tables([stored_table(one.file["obs"]) for one in shards])
    encoding.begin_anndata(file, obs, Table(strings([])))
    uns = file["uns"]
    for name in ("labels", "label_ontology_ids"):
        encoding.write_strings(uns, name, encoding.read_strings(first[name]))
    encoding.write_text(uns, "method", encoding.read_text(first, "method"))
    if "fold" in first:
        encoding.write_json(uns, "fold", encoding.read_json(first, "fold"))
    predictions = _predictions(obs)
    reporter.info(predictions.summary())
    names = tuple(encoding.read_strings(uns["labels"]))
    metrics = known_label_metrics(obs.columns.get("true_label"), names, predictions)
    if metrics:
        encoding.write_json(uns, "metrics", metrics | _hierarchical_of_shards(shards))
        reporter.info(metrics_summary(metrics))
    if "explanation" in first:
        parts = [one.file["uns/explanation"] for one in shards]
        sums = np.sum([part["sum"][()] for part in parts], axis=0)
        genes = {name: encoding.read_strings(parts[0][name]) for name in ("id", "symbol", "text")}
        counts = np.bincount(predictions.best, minlength=len(sums))
        write_mean_parts(file, sums, counts, genes)


def _check_shards(shards: Sequence[ExchangeFile]) -> None:
    first = shard_of(shards[0])
    _check_complete(
        shards,
        [shard_of(one)["number"] for one in shards],
        first["count"],
        "shard",
        [_origin_of_shard(one) for one in shards],
        "prediction",
        "All shards must come from the same cells, reader and options.",
    )
    cells = sum(len(one.file["obs/id"]) for one in shards)
    if cells != first["cells"]:
        raise ScReaderError(f"the shards hold {cells:,} of {first['cells']:,} cells.")


def _origin_of_shard(opened: ExchangeFile) -> tuple:
    """What all shards of one prediction have in common."""
    record, shard = opened.provenance.record, shard_of(opened)
    parameters = {key: value for key, value in record.parameters.items() if key != "shard"}
    return record.tool, record.version, parameters, record.inputs, shard["count"], shard["cells"]


def _check_complete(
    files: Sequence[ExchangeFile],
    numbers: Sequence[int],
    count: int,
    kind: str,
    origins: Sequence[object],
    whole: str,
    remedy: str,
) -> None:
    """ScReaderError where files do not belong together, or one is missing or given twice."""
    seen: dict[int, ExchangeFile] = {}
    for file, number, origin in zip(files, numbers, origins, strict=True):
        if origin != origins[0]:
            raise ScReaderError(
                f"is of another {whole} than {files[0].name}.", file=file.name, remedy=remedy
            )
        if number in seen:
            raise ScReaderError(
                f"is {kind} {number}, but so is {seen[number].name}.",
                file=file.name,
                remedy=f"Give each {kind} once.",
            )
        seen[number] = file
    missing = [str(number) for number in range(1, count + 1) if number not in seen]
    if missing:
        raise ScReaderError(f"of {count} {kind}s, these are missing: {', '.join(missing)}.")


def _concatenate(obsm: h5py.Group, name: str, arrays: Sequence[h5py.Dataset]) -> None:
    if not arrays:
        return
    shape = (sum(len(array) for array in arrays), *arrays[0].shape[1:])
    chunk = ROWS_PER_CHUNK.get(name, 1024)
    target, row = encoding.create_rows(obsm, name, shape, arrays[0].dtype, chunk), 0
    for array in arrays:
        for start, stop in row_blocks(len(array), ROWS_AT_ONCE):
            target[row : row + stop - start] = array[start:stop]
            row += stop - start


def _concatenated_tables(tables: Sequence[LazyTable]) -> LazyTable:
    """Tables of cells one below the other, with the columns that all of them have."""
    columns = {
        name: _concatenated_column([table.columns[name] for table in tables])
        for name in tables[0].columns
        if all(name in table.columns for table in tables)
    }
    index = concatenated_columns([table.index for table in tables])
    return LazyTable(index, columns, tables[0].index_name)


def _concatenated_column(parts: Sequence[LazyColumn]) -> LazyColumn:
    if all(part.categories == parts[0].categories for part in parts):
        return concatenated_columns(parts)
    names = tuple(sorted({name for part in parts for name in part.categories or ()}))
    recode = partial(_recoded, names=names)
    return concatenated_columns([part.map(recode, np.int32, names) for part in parts])


def _recoded(column: Column, names: tuple[str, ...]) -> Column:
    assert isinstance(column, Categorical)
    code = {name: number for number, name in enumerate(names)}
    codes = np.array([*(code[name] for name in column.categories), -1], np.int32)
    return Categorical(codes[column.codes], names)


def _predictions(obs: LazyTable) -> Predictions:
    """As much of the predictions as the metrics need."""
    predictions = Predictions.empty(len(obs))
    predictions.best[:] = _codes(obs.columns["predicted_label"])
    predictions.confidence[:] = obs.columns["confidence"].load()
    status = obs.columns["status"]
    predictions.assigned[:] = _codes(status) == (status.categories or ()).index("assigned")
    return predictions


def _codes(column: LazyColumn) -> np.ndarray:
    values = column.load()
    assert isinstance(values, Categorical)
    return values.codes


def _hierarchical_of_shards(shards: Sequence[ExchangeFile]) -> dict[str, float]:
    """The metrics of predict --ontology over all shards, each a share of some of their cells."""
    hits, cells = dict.fromkeys(HIERARCHICAL, 0), dict.fromkeys(HIERARCHICAL, 0)
    for one in shards:
        metrics = _json(one, "metrics")
        if HIERARCHICAL[0] not in metrics:
            continue
        counts = metrics["cells"], metrics["cells"], _labelled_and_predicted(one)
        for name, count in zip(HIERARCHICAL, counts, strict=True):
            cells[name] += count
            hits[name] += round(metrics.get(name, 0.0) * count)
    return {name: hits[name] / cells[name] for name in HIERARCHICAL if cells[name]}


def _labelled_and_predicted(opened: ExchangeFile) -> int:
    """Number of cells of known label that are not unassigned."""
    table = stored_table(opened.file["obs"])
    status = table.columns["status"]
    unassigned = (status.categories or ()).index("unassigned")
    known = _codes(table.columns["true_label"]) >= 0
    return int((known & (_codes(status) != unassigned)).sum())


@dataclass
class FoldPredictions:
    """One fold's predictions; ``rows`` int64, rising, are those of the cells file."""

    opened: ExchangeFile
    obs: LazyTable
    rows: np.ndarray
    labels: tuple[str, ...]
    ontology_ids: tuple[str, ...]
    fold: dict[str, Any]

    @classmethod
    def read(cls, opened: ExchangeFile) -> FoldPredictions:
        """From an open predictions file; ScReaderError where it is of no fold."""
        fold_number(opened)
        uns, obs = opened.file["uns"], stored_table(opened.file["obs"])
        rows = np.asarray(obs.columns["row"].load())
        if (np.diff(rows) <= 0).any():
            raise ScReaderError("obs/row does not rise.", file=opened.name)
        return cls(
            opened, obs, rows, tuple(encoding.read_strings(uns["labels"])),
            tuple(encoding.read_strings(uns["label_ontology_ids"])),
            encoding.read_json(uns, "fold"),
        )  # fmt: skip

    @property
    def origin(self) -> tuple:
        """What all folds of one cross-validation have in common."""
        inputs = self.opened.provenance.record.inputs
        made_from = [inputs.get(role, {}).get("sha256") for role in ("cells", "ontology")]
        method = encoding.read_text(self.opened.file["uns"], "method")
        return {**self.fold, "number": 0}, method, made_from


def fold_number(opened: ExchangeFile) -> int:
    """The number of the fold whose held-out cells were predicted; ScReaderError for other files."""
    if "shard" in opened.file["uns"]:
        raise ScReaderError(
            "is a shard of a fold's held-out cells.",
            file=opened.name,
            remedy="Gather the shards of each fold first.",
        )
    fold = _json(opened, "fold")
    number, count = fold.get("number"), fold.get("count")
    whole = isinstance(number, int) and isinstance(count, int) and 1 <= number <= count
    if not whole or not {"row", "true_label"} <= set(opened.file["obs"]):
        raise ScReaderError(
            "does not hold a fold's held-out cells.",
            file=opened.name,
            remedy="Make it with predict --held-out.",
        )
    return int(number)  # type: ignore[arg-type]


def merge_folds(file: h5py.File, opened: Sequence[ExchangeFile]) -> dict[str, Any]:
    """Fill a new ``predictions`` file from all folds of one cross-validation.

    Returns its metrics. Vectors are left out: each fold's reader has a space of its own.
    ScReaderError where the files do not belong together or a fold is missing.
    """
    folds = sorted((FoldPredictions.read(each) for each in opened), key=lambda f: f.fold["number"])
    _check_complete(
        [fold.opened for fold in folds],
        [fold.fold["number"] for fold in folds],
        int(folds[0].fold["count"]),
        "fold",
        [fold.origin for fold in folds],
        "cross-validation",
        "All folds must have the same cells, method, count, groups, seed and ontology.",
    )
    rows = np.concatenate([fold.rows for fold in folds])
    if len(np.unique(rows)) < len(rows):
        raise ScReaderError("a cell was held out by two of the folds.")
    ids: dict[str, str] = {}
    for fold in folds:
        for name, identifier in zip(fold.labels, fold.ontology_ids, strict=True):
            ids[name] = ids.get(name) or identifier
    labels, order = tuple(sorted(ids)), np.argsort(rows, kind="stable")
    obsm = encoding.write_group(file, "obsm")
    probabilities = encoding.create_rows(
        obsm, "probability", (len(rows), len(labels)), np.float32, 1024
    )
    for start, block in _merged_probabilities(folds, labels):
        probabilities[start : start + len(block)] = block
    obs = _concatenated_tables([fold.obs for fold in folds]).load().take(order)
    del obs.columns["row"]
    numbers = np.concatenate([np.full(len(fold.rows), fold.fold["number"]) for fold in folds])
    obs.columns["fold"] = numbers[order].astype(np.int32)
    encoding.begin_anndata(file, obs, Table(strings([])))
    uns = file["uns"]
    encoding.write_strings(uns, "labels", strings(labels))
    encoding.write_strings(uns, "label_ontology_ids", strings(ids[name] for name in labels))
    encoding.write_text(uns, "method", encoding.read_text(folds[0].opened.file["uns"], "method"))
    metrics = _fold_metrics(folds)
    encoding.write_json(uns, "metrics", metrics)
    return metrics


def _merged_probabilities(
    folds: Sequence[FoldPredictions], labels: tuple[str, ...]
) -> Iterator[tuple[int, np.ndarray]]:
    """Blocks of probabilities float32 (cells, labels) in the order of the cells, with starts."""
    every = np.sort(np.concatenate([fold.rows for fold in folds]))
    index = {name: number for number, name in enumerate(labels)}
    columns = [np.array([index[name] for name in fold.labels]) for fold in folds]
    for start, stop in row_blocks(len(every)):
        rows = every[start:stop]
        block = np.zeros((len(rows), len(labels)), np.float32)
        for fold, column in zip(folds, columns, strict=True):
            low, high = np.searchsorted(fold.rows, [rows[0], rows[-1] + 1])
            values = fold.opened.file["obsm/probability"][low:high]
            block[np.searchsorted(rows, fold.rows[low:high])[:, None], column] = values
        yield start, block


def _fold_metrics(folds: Sequence[FoldPredictions]) -> dict[str, Any]:
    """Metrics over all cells, and mean and standard deviation of those of the folds."""

    def texts(name: str) -> list[np.ndarray]:
        return [as_strings(fold.obs.columns[name].load()) for fold in folds]

    each_true, each_predicted = texts("true_label"), texts("predicted_label")
    each = [label_metrics.scores(a, b) for a, b in zip(each_true, each_predicted, strict=True)]
    true, predicted = np.concatenate(each_true), np.concatenate(each_predicted)
    confidence = np.concatenate(
        [np.asarray(fold.obs.columns["confidence"].load()) for fold in folds]
    )
    correct = true == predicted
    metrics: dict[str, Any] = {"cells": len(true), **label_metrics.scores(true, predicted)}
    metrics["calibration_error"] = label_metrics.expected_calibration_error(confidence, correct)
    metrics |= _status_metrics(folds, np.concatenate(texts("status")), correct)
    metrics["per_label"] = label_metrics.per_label(true, predicted)
    metrics["folds"] = {}
    for name in METRICS:
        values = [scores[name] for scores in each]
        spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
        metrics["folds"][name] = {
            "mean": float(np.mean(values)), "spread": spread, "values": values
        }  # fmt: skip
    return metrics


def _status_metrics(
    folds: Sequence[FoldPredictions], status: np.ndarray, correct: np.ndarray
) -> dict[str, float]:
    """Shares of assigned and backed-off cells, and how many of them are correct."""
    assigned, not_unassigned = status == "assigned", status != "unassigned"
    result = {"assigned": float(assigned.mean())}
    if assigned.any():
        result["accuracy_of_assigned"] = float(correct[assigned].mean())
    own = [_json(fold.opened, "metrics") for fold in folds]
    if all("hierarchical_accuracy" in metrics for metrics in own):
        shares = np.array([metrics["hierarchical_accuracy"] for metrics in own], float)
        hits = float(shares @ np.array([len(fold.rows) for fold in folds]))
        result["backed_off"] = float((status == "backed-off").mean())
        result["hierarchical_accuracy"] = hits / len(status)
        if not_unassigned.any():
            result["hierarchical_accuracy_of_assigned"] = hits / int(not_unassigned.sum())
    return result


def fold_summary(metrics: dict[str, Any]) -> str:
    """The metrics of a cross-validation in words."""
    folds = metrics["folds"]
    parts = [
        f"{name.replace('_', ' ')} {folds[name]['mean']:.3f} ± {folds[name]['spread']:.3f}"
        for name in ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1")
    ]
    return (
        f"over {len(folds['accuracy']['values'])} folds: {', '.join(parts)}; "
        f"calibration error {metrics['calibration_error']:.3f} over all cells."
    )


def out_of_fold_set(file: h5py.File) -> CalibrationSet:
    """The out-of-fold predictions of all cells as a calibration set, from merged predictions."""
    obs = encoding.read_table(file["obs"])
    correct = obs.strings("predicted_label") == obs.strings("true_label")
    return CalibrationSet(
        np.asarray(obs.columns["confidence"]),
        correct.astype(bool),
        np.asarray(obs.columns["evidence"]),
    )


def _json(opened: ExchangeFile, name: str) -> dict[str, Any]:
    uns = opened.file["uns"]
    return encoding.read_json(uns, name) if name in uns else {}
