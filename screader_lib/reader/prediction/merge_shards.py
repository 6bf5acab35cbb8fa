"""Predictions of all shards, one after the other, in the file that one run would have written."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import h5py
import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding
from screader_lib.exchange.lazy_table import (
    LazyColumn,
    LazyTable,
    concatenated_columns,
    stored_table,
)
from screader_lib.exchange.opening import ExchangeFile
from screader_lib.exchange.table import Categorical, Column, Table, strings
from screader_lib.reader.confidence.explanation import write_mean_parts
from screader_lib.reader.prediction.predictions import Predictions, known_label_metrics, spoken
from screader_lib.reporting import SILENT, Reporter

ROWS_AT_ONCE = 1024
ROWS_PER_CHUNK = {"X_screader": 64}
TEXTS = ("labels", "label_ontology_ids")
HIERARCHICAL = ("backed_off", "hierarchical_accuracy", "hierarchical_accuracy_of_assigned")


def shard_of(opened: ExchangeFile) -> dict[str, Any]:
    """Number, count, start and cells of a shard's predictions; empty for other files."""
    uns = opened.file["uns"]
    shard = encoding.read_json(uns, "shard") if "shard" in uns else {}
    known = {key: value for key, value in shard.items() if type(value) is int}
    if shard and not {"number", "count", "start", "cells"} <= set(known):
        raise ScReaderError("uns/shard is damaged.", file=opened.name, remedy="Make it again.")
    return known


def join(file: h5py.File, shards: Sequence[ExchangeFile], reporter: Reporter = SILENT) -> None:
    """Fill a new ``predictions`` file from all shards of one prediction, in their order.

    ScReaderError where the files do not belong together or a shard is missing.
    """
    shards = sorted(shards, key=lambda opened: shard_of(opened)["number"])
    _check(shards)
    first = shards[0].file
    obsm = encoding.write_group(file, "obsm")
    for name in _arrays(shards):
        _join_rows(
            obsm, name, [one.file["obsm"][name] for one in shards if len(one.file["obs/id"])]
        )
    obs = _stacked([stored_table(one.file["obs"]) for one in shards])
    encoding.begin_anndata(file, obs, Table(strings([])))
    uns = file["uns"]
    for name in TEXTS:
        encoding.write_strings(uns, name, encoding.read_strings(first["uns"][name]))
    encoding.write_text(uns, "method", encoding.read_text(first["uns"], "method"))
    if "fold" in first["uns"]:
        encoding.write_json(uns, "fold", encoding.read_json(first["uns"], "fold"))
    calls = _calls(obs)
    reporter.info(calls.spoken())
    _write_metrics(uns, shards, obs, calls, reporter)
    if "explanation" in first["uns"]:
        _join_explanations(file, [one.file["uns/explanation"] for one in shards], calls)


def _check(shards: Sequence[ExchangeFile]) -> None:
    first, wanted = shards[0], shard_of(shards[0])
    for one in shards[1:]:
        if _origin(one) != _origin(first):
            raise ScReaderError(
                f"is of another prediction than {first.name}.",
                file=one.name,
                remedy="Wanted are shards of the same cells, reader and options.",
            )
    numbers = [shard_of(one)["number"] for one in shards]
    for number, one in zip(numbers, shards, strict=True):
        if numbers.count(number) > 1:
            raise ScReaderError(
                f"is of shard {number}, as another is.",
                file=one.name,
                remedy="Give each shard once.",
            )
    missing = sorted(set(range(1, wanted["count"] + 1)) - set(numbers))
    if missing:
        shown = ", ".join(str(number) for number in missing)
        raise ScReaderError(f"of {wanted['count']} shards, these are missing: {shown}.")
    cells = sum(len(one.file["obs/id"]) for one in shards)
    if cells != wanted["cells"]:
        raise ScReaderError(f"the shards hold {cells:,} of {wanted['cells']:,} cells.")


def _origin(opened: ExchangeFile) -> tuple:
    """What is the same for all shards of one prediction."""
    record, shard = opened.provenance.record, shard_of(opened)
    parameters = {key: value for key, value in record.parameters.items() if key != "shard"}
    return record.tool, record.version, parameters, record.inputs, shard["count"], shard["cells"]


def _arrays(shards: Sequence[ExchangeFile]) -> list[str]:
    """Arrays of the cells; a shard without cells may lack some."""
    names: dict[str, None] = {}
    for one in shards:
        names |= dict.fromkeys(one.file["obsm"])
    return list(names)


def _join_rows(obsm: h5py.Group, name: str, parts: Sequence[h5py.Dataset]) -> None:
    if not parts:
        return
    shape = (sum(len(part) for part in parts), *parts[0].shape[1:])
    chunk = ROWS_PER_CHUNK.get(name, 1024)
    target, start = encoding.create_rows(obsm, name, shape, parts[0].dtype, chunk), 0
    for part in parts:
        for place in range(0, len(part), ROWS_AT_ONCE):
            values = part[place : place + ROWS_AT_ONCE]
            target[start : start + len(values)] = values
            start += len(values)


def _stacked(tables: Sequence[LazyTable]) -> LazyTable:
    """The cells' tables one below the other, none of them held."""
    columns = {
        name: _stacked_column([table.columns[name] for table in tables])
        for name in tables[0].columns
    }
    index = concatenated_columns([table.index for table in tables])
    return LazyTable(index, columns, tables[0].index_name)


def _stacked_column(parts: Sequence[LazyColumn]) -> LazyColumn:
    names: dict[str, None] = {}
    for part in parts:
        names |= dict.fromkeys(part.categories or ())
    if all(part.categories == parts[0].categories for part in parts):
        return concatenated_columns(parts)
    every = tuple(sorted(names))
    recoded = partial(_recoded, every=every)
    return concatenated_columns([part.map(recoded, np.int32, every) for part in parts])


def _recoded(piece: Column, every: tuple[str, ...]) -> Column:
    assert isinstance(piece, Categorical)
    place = {name: number for number, name in enumerate(every)}
    own = np.array([*(place[name] for name in piece.categories), -1], np.int32)
    return Categorical(own[piece.codes], every)


def _calls(obs: LazyTable) -> Predictions:
    """What the measures need of the calls."""
    calls = Predictions.empty(len(obs))
    calls.best[:] = _codes(obs.columns["predicted_label"])
    calls.confidence[:] = obs.columns["confidence"].load()
    status = obs.columns["status"]
    calls.assigned[:] = _codes(status) == (status.categories or ()).index("assigned")
    return calls


def _codes(column: LazyColumn) -> np.ndarray:
    values = column.load()
    assert isinstance(values, Categorical)
    return values.codes


def _write_metrics(
    uns: h5py.Group,
    shards: Sequence[ExchangeFile],
    obs: LazyTable,
    calls: Predictions,
    reporter: Reporter,
) -> None:
    names = tuple(encoding.read_strings(uns["labels"]))
    metrics = known_label_metrics(obs.columns.get("true_label"), names, calls)
    if metrics:
        metrics |= _hierarchical(shards)
        encoding.write_json(uns, "metrics", metrics)
        reporter.info(spoken(metrics))


def _hierarchical(shards: Sequence[ExchangeFile]) -> dict[str, float]:
    """What an ontology's terms count for: shares of the shards, put together."""
    found, of = dict.fromkeys(HIERARCHICAL, 0), dict.fromkeys(HIERARCHICAL, 0)
    for one in shards:
        uns = one.file["uns"]
        metrics = encoding.read_json(uns, "metrics") if "metrics" in uns else {}
        if HIERARCHICAL[0] not in metrics:
            continue
        counts = metrics["cells"], metrics["cells"], _called(one)
        for name, count in zip(HIERARCHICAL, counts, strict=True):
            of[name] += count
            found[name] += round(metrics.get(name, 0.0) * count)
    return {name: found[name] / of[name] for name in HIERARCHICAL if of[name]}


def _called(opened: ExchangeFile) -> int:
    """Cells of known label that were called anything."""
    table = stored_table(opened.file["obs"])
    status = table.columns["status"]
    nothing = (status.categories or ()).index("unassigned")
    known = _codes(table.columns["true_label"]) >= 0
    return int((known & (_codes(status) != nothing)).sum())


def _join_explanations(file: h5py.File, parts: Sequence[h5py.Group], calls: Predictions) -> None:
    sums = np.sum([part["sum"][()] for part in parts], axis=0)
    names = {name: encoding.read_strings(parts[0][name]) for name in ("id", "symbol", "text")}
    counts = np.bincount(calls.best, minlength=len(sums))
    write_mean_parts(file, sums, counts, names)
