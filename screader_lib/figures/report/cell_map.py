"""The map of cells that a report holds: what its script draws, as text in one HTML file.

The text is base64 of a zlib stream. In it are, one after another, the places (uint16 x of all
cells, then uint16 y), the names of the cells (JSON), the codes of each column (uint8 or uint16, as
its ``bytes`` in the header say), the header (JSON), and the lengths of names and header (uint32).
All numbers are little-endian. The greatest code means that the value is missing.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

import numpy as np

from screader_lib.cells.cells_file import CellSequences
from screader_lib.exchange import encoding
from screader_lib.exchange.opening import ExchangeFile
from screader_lib.exchange.table import Column, LazyColumn, as_strings
from screader_lib.figures.data.cell_vectors import indices_of
from screader_lib.figures.data.prediction_data import PredictionData, column_values
from screader_lib.figures.drawing.palettes import brightened, colours_of, safe_colours
from screader_lib.figures.drawing.type_names import display_names

MOST_CELLS = 200_000  # more are drawn as a sketch
MOST_COLUMNS, MOST_TRIED = 24, 200  # of the user's columns: shown; looked at
MOST_VALUES, MOST_NUMBERS = 300, 40  # different labels of a column; whole numbers that are labels
MOST_GENES = 40
MOST_BYTES = 10_000_000  # compressed, after which no column is added
LONGEST_NAME = 80
SHOWN = (1, 99)  # percentiles where the colours of numbers end
BLOCK = 4096
CALLS, OBS, GENES = "calls", "obs", "genes"  # groups of columns
CALL, SECOND, CONFIDENCE, FAMILIARITY = "call", "second type", "confidence", "familiarity"
CONSENSUS, TRUE, BROAD = "consensus", "true type", "broad type"
PROPOSED, EVIDENCE = "proposed type", "evidence"
TITLES = {  # of columns of annotate and predict; others of theirs are not on the map
    "screader_label": CALL,
    "screader_consensus_label": CONSENSUS,
    "screader_status": "status",
    "screader_cluster": "cluster",
    "screader_confidence": CONFIDENCE,
    "screader_familiarity": FAMILIARITY,
    "screader_consensus_confidence": "confidence of the consensus",
    "screader_evidence": EVIDENCE,
    "screader_proposed_type": PROPOSED,
    "screader_proposed_confidence": "confidence of the proposed type",
    "screader_proposed_evidence": "evidence of the proposed type",
    "status": "status",
    "familiarity": FAMILIARITY,
}
EXAMPLE = "example"  # a status
BROADER = "screader_label_"
NOT_ON_THE_MAP = ("predicted_label", "second_label", "true_label", "assigned_label", "confidence")


@dataclass(frozen=True)
class MapInputs:
    """What is said of the cells beside the predictions.

    ``names``, strings, are those in the user's file; None: those in the predictions. ``calls`` are
    columns of ``annotate``, ``obs`` those of the user, one row a cell.
    """

    names: Column | LazyColumn | None = None
    calls: Mapping[str, Column | LazyColumn] = field(default_factory=dict)
    obs: Mapping[str, Column | LazyColumn] = field(default_factory=dict)

    @property
    def proposed(self) -> np.ndarray | None:
        """Types proposed for cells unlike the reader's, objects (cells,); None without any."""
        column = self.calls.get("screader_proposed_type")
        loaded = column.load() if isinstance(column, LazyColumn) else column
        return None if loaded is None else as_strings(loaded)


NOTHING_MORE = MapInputs()


@dataclass(frozen=True)
class CellMap:
    """The ``content`` for the script, and how many of the ``total`` cells are drawn."""

    content: str
    cells: int
    total: int
    has_genes: bool


def encode(
    predictions: PredictionData,
    coordinates: np.ndarray,
    types: Sequence[str],
    more: MapInputs = NOTHING_MORE,
    cells: ExchangeFile | None = None,
    genes: Sequence[str] = (),
    palette: str = "",
    seed: int = 0,
) -> CellMap:
    """The map of the cells of ``predictions`` at ``coordinates``, float32 (cells, 2).

    ``types`` have the colours that they have in the report's figures. ``genes`` are symbols or
    ids, the most telling first, whose weights are in the file ``cells``. Of more than
    ``MOST_CELLS`` cells, a random sample, of examples first. ScReaderError where ``cells`` lacks
    one of the cells.
    """
    total = len(predictions)
    rows = np.arange(total)
    if total > MOST_CELLS:
        rows = np.random.default_rng(seed).permutation(total)
        if (status := more.calls.get("screader_status")) is not None:
            is_example = as_strings(_column(status, np.arange(total))) == EXAMPLE
            rows = rows[np.argsort(~is_example[rows], kind="stable")]
        rows = np.sort(rows[:MOST_CELLS])
    low = coordinates.min(0)
    extent = max(float((coordinates.max(0) - low).max()), 1e-9)
    places = np.round((coordinates[rows] - low) * (65535 / extent)).astype("<u2")
    named = as_strings(_column(predictions.ids if more.names is None else more.names, rows))
    names = json.dumps(named.tolist(), ensure_ascii=False).encode("utf-8", "replace")
    stream = zlib.compressobj(6)
    packed = [stream.compress(part) for part in (places.T.tobytes(), names)]
    columns: list[dict[str, Any]] = []
    for group, name, values in chain(
        _calls(predictions, more, rows),
        _genes(cells, predictions, genes, rows) if cells is not None else (),
        _obs(predictions, more, rows),
    ):
        if columns and sum(map(len, packed)) > MOST_BYTES:
            break
        if (encoded := _encoded(group, name, values)) is not None:
            columns.append(encoded[0])
            packed.append(stream.compress(encoded[1].tobytes()))
    _colour(columns, types, palette)
    titles = [column["name"] for column in columns]
    first = CONSENSUS if CONSENSUS in titles else CALL
    hover = (CALL, CONSENSUS, PROPOSED, SECOND, CONFIDENCE, FAMILIARITY, EVIDENCE)
    header = {
        "cells": len(rows),
        "width": max(1, int(places[:, 0].max())),
        "height": max(1, int(places[:, 1].max())),
        "columns": columns,
        "first": titles.index(first) if first in titles else 0,
        "hover": [titles.index(title) for title in hover if title in titles],
        "types": list(display_names(predictions.labels, LONGEST_NAME).values()),
        "palette": [safe_colours(40), brightened(safe_colours(40))],
    }
    head = json.dumps(header).encode()
    lengths = np.array([len(names), len(head)], "<u4").tobytes()
    packed += [stream.compress(head), stream.compress(lengths), stream.flush()]
    has_genes = any(column["group"] == GENES for column in columns)
    return CellMap(base64.b64encode(b"".join(packed)).decode("ascii"), len(rows), total, has_genes)


Named = tuple[str, str, np.ndarray]  # group, name, values of the drawn cells


def _calls(predictions: PredictionData, more: MapInputs, rows: np.ndarray) -> Iterator[Named]:
    titled = {}
    for name, column in more.calls.items():
        if title := TITLES.get(name) or _broader(name):
            titled[title] = column
    if CALL not in titled:
        yield CALLS, CALL, predictions.final_label[rows]
    for title, column in titled.items():
        yield CALLS, title, column_values(_column(column, rows))
    yield CALLS, SECOND, predictions.second[rows]
    if predictions.known.any():
        yield CALLS, TRUE, predictions.true[rows]
    if CONFIDENCE not in titled:
        yield CALLS, CONFIDENCE, predictions.confidence[rows].astype(np.float64)


def _broader(name: str) -> str:
    number = name.removeprefix(BROADER)
    return f"{BROAD} {number}" if name.startswith(BROADER) and number.isdigit() else ""


def _obs(predictions: PredictionData, more: MapInputs, rows: np.ndarray) -> Iterator[Named]:
    """Columns with something to tell; of the predictions only where there are no calls."""
    count = 0
    own = [] if more.calls else [n for n in predictions.columns if n not in NOT_ON_THE_MAP]
    for name in own:
        values = predictions.column(name)[rows]
        if not name.endswith("ontology_id") and _tells(values):
            yield (CALLS if name in TITLES else OBS), TITLES.get(name, name), values
    for name, column in islice(more.obs.items(), MOST_TRIED):
        if count == MOST_COLUMNS:
            return
        values = _as_labels(column_values(_column(column, rows)))
        if not name.endswith("ontology_id") and _tells(values):
            count += 1
            yield OBS, name, values


def _as_labels(values: np.ndarray) -> np.ndarray:
    """Few different whole numbers, such as those of clusters or batches, as labels."""
    if values.dtype.kind != "f":
        return values
    known = np.isfinite(values)
    different = np.unique(values[known])
    if len(different) > MOST_NUMBERS or (different != np.round(different)).any():
        return values
    return np.array([f"{value:.0f}" if ok else "" for value, ok in zip(values, known, strict=True)],
                    object)  # fmt: skip


def _tells(values: np.ndarray) -> bool:
    """Whether values differ, and labels not too much to have colours."""
    if values.dtype.kind == "f":
        known = values[np.isfinite(values)]
        return len(known) > 0 and float(known.min()) < float(known.max())
    return 1 < len({*values.tolist()} - {""}) <= MOST_VALUES


def _column(column: Column | LazyColumn, rows: np.ndarray) -> Column:
    lazy = column if isinstance(column, LazyColumn) else LazyColumn.of(column)
    return lazy.take(rows).load()


def _genes(
    opened: ExchangeFile, predictions: PredictionData, wanted: Sequence[str], rows: np.ndarray
) -> Iterator[Named]:
    """The weights of the wanted genes in the sequences of the cells, 0 where they are not."""
    cells = CellSequences(opened, sequential=True)
    available = encoding.read_strings(opened.file["obs/id"])
    what = f"cells of {predictions.name}"
    rows = indices_of(predictions.ids, available, file=cells.opened.name, what=what)[rows]
    number_of: dict[str, int] = {}
    for key in (cells.genes.strings("symbol"), cells.genes.index):
        for number, name in enumerate(key):
            number_of.setdefault(str(name), number)
    found = [name for name in dict.fromkeys(wanted) if name in number_of][:MOST_GENES]
    if not found:
        return
    place = np.full(len(cells.genes) + 1, -1)  # the last one stands for padding
    place[[number_of[name] for name in found]] = np.arange(len(found))
    result = np.zeros((len(found), len(rows)), np.float32)
    for start in range(0, len(rows), BLOCK):
        index, weight = cells.rows(rows[start : start + BLOCK])
        gene = place[index]
        cell, at = np.nonzero(gene >= 0)
        result[gene[cell, at], start + cell] = weight[cell, at]
    for name, values in zip(found, result, strict=True):
        yield GENES, name, values


def _encoded(group: str, name: str, values: np.ndarray) -> tuple[dict[str, Any], np.ndarray] | None:
    """What the header says of a column, and the codes; None where no cell has a value."""
    column: dict[str, Any] = {"name": display_names([name])[name], "group": group}
    if values.dtype.kind == "f":
        known = np.isfinite(values)
        if not known.any():
            return None
        low, high = float(values[known].min()), float(values[known].max())
        if group != GENES and low >= 0 and high <= 1:
            low, high = 0.0, 1.0
        small = group == GENES or high <= 1
        missing = 255 if small else 65535
        span = high - low or 1.0
        codes = np.full(len(values), missing, np.int64)
        codes[known] = np.round((values[known] - low) / span * (missing - 1))
        some = (
            codes[known & (values > 0)] if group == GENES and (values > 0).any() else codes[known]
        )
        shown = [int(at) for at in np.percentile(some, SHOWN)]
        if group == GENES:
            shown[0] = 0
        column |= {"low": low, "high": low + span, "shown": shown, "bytes": 1 if small else 2}
        return column, codes.astype("u1" if small else "<u2")
    names, codes = np.unique(values.astype(str), return_inverse=True)
    is_missing = names == ""
    kept = names[~is_missing].tolist()
    if not kept:
        return None
    small = len(kept) < 255
    new_code = np.where(is_missing, 255 if small else 65535, np.cumsum(~is_missing) - 1)
    column |= {"names": kept, "bytes": 1 if small else 2}
    return column, new_code[codes].astype("u1" if small else "<u2")


def _colour(columns: Sequence[dict[str, Any]], types: Sequence[str], palette: str) -> None:
    """Give colours to the columns of labels: a type has the same one in all columns of types."""
    labels = [column for column in columns if "names" in column]
    of_types = colours_of(types, palette)
    named = {name for column in labels if _has_types(column) for name in column["names"]}
    others = sorted(named - {*of_types})
    colours = safe_colours(len(of_types) + len(others))[len(of_types) :]
    of_types |= dict(zip(others, colours, strict=True))
    for column in labels:
        given = of_types if _has_types(column) else colours_of(column["names"])
        column["colours"] = [given[name] for name in column["names"]]
        column["bright"] = brightened(column["colours"])
        column["names"] = list(display_names(column["names"], LONGEST_NAME).values())


def _has_types(column: Mapping[str, Any]) -> bool:
    name = column["name"]
    return name in (CALL, CONSENSUS, PROPOSED, SECOND, TRUE) or name.startswith(BROAD)
