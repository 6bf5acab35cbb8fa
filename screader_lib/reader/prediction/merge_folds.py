"""Predictions of folds, gathered into one file in the order of the cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import h5py
import numpy as np

from screader_lib import label_metrics
from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding
from screader_lib.exchange.opening import ExchangeFile
from screader_lib.exchange.table import Categorical, Column, Table, strings

ROWS_AT_ONCE = 65_536
MEASURES = (
    "accuracy", "balanced_accuracy", "macro_precision", "macro_recall", "macro_f1",
    "weighted_precision", "weighted_recall", "weighted_f1",
)  # fmt: skip


@dataclass
class FoldPredictions:
    """One fold's predictions: ``rows`` int64, rising, of the cells file."""

    opened: ExchangeFile
    obs: Table
    rows: np.ndarray
    labels: tuple[str, ...]
    ontology_ids: tuple[str, ...]
    fold: dict[str, Any]

    @classmethod
    def read(cls, opened: ExchangeFile) -> FoldPredictions:
        """From an open predictions file; ScReaderError where it is of no fold."""
        fold_number(opened)
        uns, obs = opened.file["uns"], encoding.read_table(opened.file["obs"])
        rows = np.asarray(obs.columns["row"])
        if (np.diff(rows) <= 0).any():
            raise ScReaderError("obs/row does not rise.", file=opened.name)
        return cls(
            opened, obs, rows, tuple(encoding.read_strings(uns["labels"])),
            tuple(encoding.read_strings(uns["label_ontology_ids"])),
            encoding.read_json(uns, "fold"),
        )  # fmt: skip

    @property
    def origin(self) -> tuple:
        """What is the same for all folds of one cross-validation."""
        inputs = self.opened.provenance.record.inputs
        made_from = [inputs.get(role, {}).get("sha256") for role in ("cells", "ontology")]
        method = encoding.read_text(self.opened.file["uns"], "method")
        return {**self.fold, "number": 0}, method, made_from

    @property
    def metrics(self) -> dict[str, Any]:
        """The fold's own measures; empty where it has none."""
        uns = self.opened.file["uns"]
        return encoding.read_json(uns, "metrics") if "metrics" in uns else {}


def fold_number(opened: ExchangeFile) -> int:
    """The number of the fold whose held-out cells were called; ScReaderError for other files."""
    uns = opened.file["uns"]
    if "shard" in uns:
        raise ScReaderError(
            "is a shard of a fold's held-out cells.",
            file=opened.name,
            remedy="Gather the shards of each fold first.",
        )
    fold = encoding.read_json(uns, "fold") if "fold" in uns else {}
    number, count = fold.get("number"), fold.get("count")
    whole = isinstance(number, int) and isinstance(count, int) and 1 <= number <= count
    if not whole or not {"row", "true_label"} <= set(opened.file["obs"]):
        raise ScReaderError(
            "holds no fold's held-out cells.",
            file=opened.name,
            remedy="Make it with predict --held-out.",
        )
    return int(number)  # type: ignore[arg-type]


def gather(file: h5py.File, opened: Sequence[ExchangeFile]) -> dict[str, Any]:
    """Fill a new ``predictions`` file from all folds of one cross-validation.

    Returns its metrics. Vectors are left out: each fold's reader has a space of its own.
    ScReaderError where the files do not belong together or a fold is missing.
    """
    parts = [FoldPredictions.read(each) for each in opened]
    parts.sort(key=lambda part: part.fold["number"])
    _check(parts)
    ids: dict[str, str] = {}
    for part in parts:
        for name, identifier in zip(part.labels, part.ontology_ids, strict=True):
            ids[name] = ids.get(name) or identifier
    labels = tuple(sorted(ids))
    order = np.argsort(np.concatenate([part.rows for part in parts]), kind="stable")
    obsm = encoding.write_group(file, "obsm")
    probabilities = encoding.create_rows(
        obsm, "probability", (len(order), len(labels)), np.float32, 1024
    )
    for start, block in _merged(parts, labels):
        probabilities[start : start + len(block)] = block
    obs = _joined(parts, order)
    encoding.begin_anndata(file, obs, Table(strings([])))
    uns = file["uns"]
    encoding.write_strings(uns, "labels", strings(labels))
    encoding.write_strings(uns, "label_ontology_ids", strings(ids[name] for name in labels))
    encoding.write_text(uns, "method", encoding.read_text(parts[0].opened.file["uns"], "method"))
    metrics = over_folds(parts)
    encoding.write_json(uns, "metrics", metrics)
    return metrics


def _check(parts: Sequence[FoldPredictions]) -> None:
    first, count = parts[0], int(parts[0].fold["count"])
    for part in parts[1:]:
        if part.origin != first.origin:
            raise ScReaderError(
                f"is of another cross-validation than {first.opened.name}.",
                file=part.opened.name,
                remedy="Wanted are folds of the same cells, method, count, groups and seed, called "
                "with the same ontology if any.",
            )
    for before, after in pairwise(parts):
        if before.fold["number"] == after.fold["number"]:
            raise ScReaderError(
                f"is of fold {after.fold['number']}, as {before.opened.name} is.",
                file=after.opened.name,
                remedy="Give each fold once.",
            )
    missing = sorted(set(range(1, count + 1)) - {part.fold["number"] for part in parts})
    if missing:
        shown = ", ".join(str(number) for number in missing)
        raise ScReaderError(f"of {count} folds, these are missing: {shown}.")
    rows = np.concatenate([part.rows for part in parts])
    if len(np.unique(rows)) < len(rows):
        raise ScReaderError("a cell was held out by two of the folds.")


def _merged(
    parts: Sequence[FoldPredictions], labels: tuple[str, ...]
) -> Iterator[tuple[int, np.ndarray]]:
    """Blocks of probabilities float32 (cells, labels) in the order of the cells, with places."""
    every = np.sort(np.concatenate([part.rows for part in parts]))
    place = {name: number for number, name in enumerate(labels)}
    columns = [np.array([place[name] for name in part.labels]) for part in parts]
    for start in range(0, len(every), ROWS_AT_ONCE):
        rows = every[start : start + ROWS_AT_ONCE]
        block = np.zeros((len(rows), len(labels)), np.float32)
        for part, column in zip(parts, columns, strict=True):
            low, high = np.searchsorted(part.rows, [rows[0], rows[-1] + 1])
            values = part.opened.file["obsm/probability"][low:high]
            block[np.searchsorted(rows, part.rows[low:high])[:, None], column] = values
        yield start, block


def _joined(parts: Sequence[FoldPredictions], order: np.ndarray) -> Table:
    """The cells' tables, one below the other, in the order of the cells; with the fold."""
    names = list(parts[0].obs.columns)
    columns: dict[str, Column] = {}
    for name in names:
        found = [part.obs.columns.get(name) for part in parts]
        if all(column is not None for column in found) and name != "row":
            columns[name] = _stacked(found, order)  # type: ignore[arg-type]
    numbers = np.concatenate([np.full(len(part.rows), part.fold["number"]) for part in parts])
    columns["fold"] = numbers[order].astype(np.int32)
    return Table(np.concatenate([part.obs.index for part in parts])[order], columns)


def _stacked(found: Sequence[Column], order: np.ndarray) -> Column:
    if all(isinstance(column, Categorical) for column in found):
        names = sorted({name for column in found for name in column.categories})  # type: ignore
        place = {name: number for number, name in enumerate(names)}
        codes = []
        for column in found:
            own = np.array([*(place[name] for name in column.categories), -1], np.int32)  # type: ignore
            codes.append(own[column.codes])  # type: ignore[union-attr]
        return Categorical(np.concatenate(codes)[order], tuple(names))
    values = [c.strings() if isinstance(c, Categorical) else np.asarray(c) for c in found]
    return np.concatenate(values)[order]


def over_folds(parts: Sequence[FoldPredictions]) -> dict[str, Any]:
    """Measures over all cells, and over folds: mean, spread (standard deviation) and values.

    ``per_label`` holds precision, recall, F1 and cells of each label over all cells. What an
    ontology's terms count for is taken from the folds, where all of them were measured so.
    """
    true = [part.obs.strings("true_label").astype(str) for part in parts]
    called = [part.obs.strings("predicted_label").astype(str) for part in parts]
    confidence = np.concatenate([np.asarray(part.obs.columns["confidence"]) for part in parts])
    each = [label_metrics.scores(a, b) for a, b in zip(true, called, strict=True)]
    all_true, all_called = np.concatenate(true), np.concatenate(called)
    metrics: dict[str, Any] = {"cells": len(all_true), **label_metrics.scores(all_true, all_called)}
    metrics["calibration_error"] = label_metrics.expected_calibration_error(
        confidence, all_true == all_called
    )
    metrics |= _by_status(parts, all_true == all_called)
    metrics["per_label"] = label_metrics.per_label(all_true, all_called)
    metrics["folds"] = {
        name: {
            "mean": float(np.mean([scores[name] for scores in each])),
            "spread": float(np.std([scores[name] for scores in each], ddof=1))
            if len(each) > 1
            else 0.0,
            "values": [scores[name] for scores in each],
        }
        for name in MEASURES
    }
    return metrics


def _by_status(parts: Sequence[FoldPredictions], correct: np.ndarray) -> dict[str, float]:
    """Shares of assigned and backed-off cells, and how many of them are right."""
    status = np.concatenate([part.obs.strings("status").astype(str) for part in parts])
    assigned, called = status == "assigned", status != "unassigned"
    result = {"assigned": float(assigned.mean())}
    if assigned.any():
        result["accuracy_of_assigned"] = float(correct[assigned].mean())
    found = [part.metrics for part in parts]
    if all("hierarchical_accuracy" in one for one in found):
        shares = np.array([one["hierarchical_accuracy"] for one in found], float)
        right = float(shares @ np.array([len(part.rows) for part in parts]))
        result["backed_off"] = float((status == "backed-off").mean())
        result["hierarchical_accuracy"] = right / len(status)
        if called.any():
            result["hierarchical_accuracy_of_assigned"] = right / int(called.sum())
    return result
