"""Predictions of several runs of predict merged into one file.

The shards of one prediction give the file that one run would have written. The folds of one
cross-validation give, in the order of the cells file, the prediction of each cell by the reader
that held it out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import h5py
import numpy as np

from screader_lib import label_metrics
from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding
from screader_lib.exchange.opening import ExchangeFile
from screader_lib.exchange.table import (
    Categorical,
    Column,
    LazyColumn,
    LazyTable,
    Table,
    concatenated_columns,
    row_blocks,
    stored_table,
    strings,
)
from screader_lib.reader.confidence import ontology_backoff
from screader_lib.reader.confidence.calibration import CalibrationSet, fit_temperature, softmax
from screader_lib.reader.confidence.explanation import write_mean_parts
from screader_lib.reader.prediction.predictions import (
    Predictions,
    gene_origin,
    known_label_metrics,
    metrics_summary,
)
from screader_lib.reader.task import MIN_CELLS_TO_SPLIT
from screader_lib.reporting import SILENT, Reporter

ROWS_AT_ONCE = 1024  # of arrays that may be wide
ROWS_PER_CHUNK = {"X_screader": 64}
MAX_TEMPERATURE_CELLS = 20_000  # that the temperature is fitted on


def shard_of(opened: ExchangeFile) -> dict[str, Any]:
    """Number, count, start and cells of a shard's predictions; empty for other files."""
    return _json(opened, "shard")


def merge_shards(
    file: h5py.File, shards: Sequence[ExchangeFile], reporter: Reporter = SILENT
) -> None:
    """Fill a new ``predictions`` file from all shards of one prediction, given in their order.

    ScReaderError where the files do not belong together or a shard is missing.
    """
    _check_shards(shards)
    first = shards[0].file["uns"]
    obsm = encoding.write_group(file, "obsm")
    for name in dict.fromkeys(name for one in shards for name in one.file["obsm"]):
        arrays = [one.file["obsm"][name] for one in shards if len(one.file["obs/id"])]
        _concatenate(obsm, name, arrays)
    obs = _concatenated_tables([stored_table(one.file["obs"]) for one in shards])
    ids = encoding.read_strings(first["label_ontology_ids"])
    predictions, metrics = _write_cells(
        file, obs, encoding.read_strings(first["labels"]), ids, shards
    )
    for name in ("fold", "latent"):
        if name in first:
            encoding.write_text(file["uns"], name, encoding.read_text(first, name))
    if "temperature" in first:
        encoding.write_number(file["uns"], "temperature", float(first["temperature"][()]))
    reporter.info(predictions.summary())
    if metrics:
        if "fold" in first:
            metrics |= gene_origin(encoding.read_json(first, "fold"))
        encoding.write_json(file["uns"], "metrics", metrics)
        reporter.info(metrics_summary(metrics))
    if "explanation" in first:
        parts = [one.file["uns/explanation"] for one in shards]
        sums = np.sum([part["sum"][()] for part in parts], axis=0)
        genes = {name: encoding.read_strings(parts[0][name]) for name in ("id", "symbol", "text")}
        counts = np.bincount(predictions.best, minlength=len(sums))
        write_mean_parts(file, sums, counts, genes)


def _check_shards(shards: Sequence[ExchangeFile]) -> None:
    first, origins = shard_of(shards[0]), []
    for opened in shards:
        record, shard = opened.provenance.record, shard_of(opened)
        options = {key: value for key, value in record.parameters.items() if key != "shard"}
        size = shard["count"], shard["cells"]
        origins.append((record.tool, record.version, options, record.inputs, size))
    _check_complete(
        shards,
        [shard_of(one)["number"] for one in shards],
        first["count"],
        "shard",
        origins,
        "prediction",
        "All shards must come from the same cells, reader and options.",
    )
    cells = sum(len(one.file["obs/id"]) for one in shards)
    if cells != first["cells"]:
        raise ScReaderError(f"the shards hold {cells:,} of {first['cells']:,} cells.")


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

    def recode(column: Column) -> Column:
        assert isinstance(column, Categorical)
        codes = np.array([*map(names.index, column.categories), -1], np.int32)
        return Categorical(codes[column.codes], names)

    return concatenated_columns([part.map(recode, np.int32, names) for part in parts])


def _write_cells(
    file: h5py.File,
    obs: LazyTable,
    labels: Iterable[str],
    ontology_ids: Iterable[str],
    parts: Sequence[ExchangeFile],
) -> tuple[Predictions, dict[str, Any]]:
    """Write all but ``obsm`` and the metrics, which are returned with the predictions."""
    encoding.begin_anndata(file, obs, Table(strings([])))
    uns = file["uns"]
    encoding.write_strings(uns, "labels", strings(labels))
    encoding.write_strings(uns, "label_ontology_ids", strings(ontology_ids))
    encoding.write_text(uns, "method", encoding.read_text(parts[0].file["uns"], "method"))
    predicted, status = obs.columns["predicted_label"].load(), obs.columns["status"].load()
    assert isinstance(predicted, Categorical) and isinstance(status, Categorical)
    predictions = Predictions.empty(len(obs))
    predictions.best[:] = predicted.codes
    predictions.confidence[:] = obs.columns["confidence"].load()
    predictions.assigned[:] = status.strings() == "assigned"
    truth = obs.columns.get("true_label")
    metrics: dict[str, Any] = known_label_metrics(truth, predicted.categories, predictions)
    counted = [one["ontology"] for part in parts if "ontology" in (one := _json(part, "metrics"))]
    if counted:
        metrics |= ontology_backoff.shares_of(
            {name: sum(one[name] for one in counted) for name in counted[0]}
        )
    return predictions, metrics


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


def merge_folds(file: h5py.File, folds: Sequence[ExchangeFile]) -> dict[str, Any]:
    """Fill a new ``predictions`` file from all folds of one cross-validation, in their order.

    Returns its metrics. Vectors are left out: each fold's reader has a space of its own.
    ScReaderError where the files do not belong together or a fold is missing.
    """
    _check_folds(folds)
    tables = [stored_table(fold.file["obs"]) for fold in folds]
    rows_of = [np.asarray(table.columns["row"].load()) for table in tables]
    rows = np.concatenate(rows_of)
    ids: dict[str, str] = {}
    labels_of = [encoding.read_strings(fold.file["uns/labels"]) for fold in folds]
    for fold, labels in zip(folds, labels_of, strict=True):
        own_ids = encoding.read_strings(fold.file["uns/label_ontology_ids"])
        for name, identifier in zip(labels, own_ids, strict=True):
            ids[name] = ids.get(name) or identifier
    names, order = sorted(ids), np.argsort(rows, kind="stable")
    obsm, shape = encoding.write_group(file, "obsm"), (len(rows), len(names))
    probability = encoding.create_rows(obsm, "probability", shape, np.float32, 1024)
    for start, stop in row_blocks(len(rows)):
        cells = rows[order[start:stop]]
        block = np.zeros((len(cells), len(names)), np.float32)
        for fold, its_rows, labels in zip(folds, rows_of, labels_of, strict=True):
            low, high = np.searchsorted(its_rows, [cells[0], cells[-1] + 1])
            index = np.searchsorted(cells, its_rows[low:high])[:, None]
            columns = [names.index(name) for name in labels]
            block[index, columns] = fold.file["obsm/probability"][low:high]
        probability[start:stop] = block
    obs = _concatenated_tables(tables).load().take(order)
    del obs.columns["row"]
    obs.columns.pop("explanation_gap", None)  # explanations are left out
    numbers = np.repeat(np.arange(1, len(folds) + 1, dtype=np.int32), [*map(len, tables)])[order]
    obs.columns["fold"] = numbers
    _, metrics = _write_cells(file, LazyTable.of(obs), names, [ids[name] for name in names], folds)
    if not metrics:
        raise ScReaderError("none of the folds' cells has a label.")
    true, predicted = obs.strings("true_label"), obs.strings("predicted_label")
    each = [
        label_metrics.scores(true[numbers == number], predicted[numbers == number])
        for number in range(1, len(folds) + 1)
    ]
    metrics |= gene_origin(_json(folds[0], "fold"))
    metrics["per_label"] = label_metrics.per_label(true, predicted)
    metrics["folds"] = {}
    for name in each[0]:
        values = [scores[name] for scores in each]
        spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
        mean = float(np.mean(values))
        metrics["folds"][name] = {"mean": mean, "spread": spread, "values": values}
    encoding.write_json(file["uns"], "metrics", metrics)
    return metrics


def _check_folds(folds: Sequence[ExchangeFile]) -> None:
    numbers, origins = [fold_number(opened) for opened in folds], []
    for opened in folds:
        inputs = opened.provenance.record.inputs
        made_from = [inputs.get(role, {}).get("sha256") for role in ("cells", "ontology")]
        method = encoding.read_text(opened.file["uns"], "method")
        origins.append(({**_json(opened, "fold"), "number": 0}, method, made_from))
    _check_complete(
        folds,
        numbers,
        _json(folds[0], "fold")["count"],
        "fold",
        origins,
        "cross-validation",
        "All folds must have the same cells, method, count, groups, seed and ontology.",
    )


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


def out_of_fold_calibration(
    file: h5py.File,
    folds: Sequence[ExchangeFile],
    group: np.ndarray | None,
    group_by: str,
    reporter: Reporter = SILENT,
) -> tuple[dict[str, float | int], CalibrationSet]:
    """The temperature that suits merged predictions best, and the cells as a calibration set.

    Each fold's own temperature, which comes from few cells of the folds trained on, is undone.
    Cells whose label was unknown to their fold's reader are wrong, but no temperature helps that.
    ``group`` str (cells,): groups of the column ``group_by`` that folds held out whole, or None.
    With groups, cells are left out whose label only their own groups have in number: the reader of
    all cells knows it, their fold's reader does not.
    """
    obs, probability = encoding.read_table(file["obs"]), file["obsm/probability"]
    own = np.array([float(fold.file["uns/temperature"][()]) for fold in folds])
    own = own[np.asarray(obs.columns["fold"]) - 1]
    true, predicted = obs.strings("true_label"), obs.strings("predicted_label")
    number = {name: code for code, name in enumerate(encoding.read_strings(file["uns/labels"]))}
    truth = np.array([number.get(name, -1) for name in true])

    def logits(rows: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return np.log(probability[rows]) * own[rows, None]

    fitted = np.arange(0, len(obs), -(-len(obs) // MAX_TEMPERATURE_CELLS))
    values = logits(fitted)
    known = (truth[fitted] >= 0) & np.isfinite(values[np.arange(len(fitted)), truth[fitted]])
    calibration = fit_temperature(values[known], truth[fitted][known])
    temperature, confidence = float(calibration["temperature"]), np.zeros(len(obs), np.float32)
    for start, stop in row_blocks(len(obs)):
        rows = np.arange(start, stop)
        confidence[rows] = softmax(logits(rows), temperature).max(1)
    evidence = np.asarray(obs.columns["evidence"])
    distance = np.asarray(obs.columns["distance"]) if "distance" in obs.columns else None
    correct = (predicted == true).astype(bool)
    known = CalibrationSet(confidence, correct, evidence, group, group_by, distance)
    if group is None:
        return calibration, known
    fold = np.asarray(obs.columns["fold"]) - 1
    within = np.zeros((len(number), len(folds)), np.int64)
    np.add.at(within, (truth, fold), 1)
    total = within.sum(1)[truth]
    covered = (total - within[truth, fold] >= MIN_CELLS_TO_SPLIT) | (total < MIN_CELLS_TO_SPLIT)
    if not covered.all():
        names = ", ".join(sorted(set(true[~covered])))
        reporter.info(
            f"{int((~covered).sum()):,} cells do not serve for calibration, as fewer than "
            f"{MIN_CELLS_TO_SPLIT} cells of their label are of other {group_by}s ({names}): for "
            "these labels, --target-precision says less."
        )
    return calibration, known.of(covered)


def _json(opened: ExchangeFile, name: str) -> dict[str, Any]:
    uns = opened.file["uns"]
    return encoding.read_json(uns, name) if name in uns else {}
