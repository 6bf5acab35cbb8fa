"""Describe the content of an exchange file in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator

import h5py
import numpy as np

from screader_lib.exchange import encoding
from screader_lib.exchange.opening import ExchangeFile
from screader_lib.exchange.provenance import Record
from screader_lib.exchange.schema import Element
from screader_lib.exchange.table import as_strings

MAX_VALUES = 8


def human_size(size: float) -> str:
    """Bytes in a readable unit, such as ``3.2 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def describe(opened: ExchangeFile, left_out: Container[str] = ()) -> Iterator[str]:
    """Lines: kind, elements with their sizes or most frequent values, steps that made the file.

    Elements ``left_out`` are told elsewhere.
    """
    schema = opened.schema
    size = human_size(opened.path.stat().st_size)
    yield f"{opened.name}: {schema.title.lower()} ({schema.name}, version {schema.version}, {size})"
    yield schema.summary
    yield ""
    width = max(len(element.path) for element in schema.elements)
    for element in schema.elements:
        if element.path in opened.file and element.path not in left_out:
            yield f"  {element.path:<{width}}  {_content(element, opened.file[element.path])}"
    extra = _extra_columns(opened)
    if extra:
        yield f"  other columns of obs: {', '.join(extra)}"
    if schema.name == "reader" and encoding.read_json(opened.file, "llm").get("needed") is False:
        yield "  Its LLM's outputs have no weight in its predictions: predict does not load it."
    yield ""
    yield "Made by"
    yield from (f"  {_step(record)}" for record in opened.steps)


def _content(element: Element, item: h5py.Group | h5py.Dataset) -> str:
    if element.type == "group":
        values = sum(dataset.size for dataset in item.values())
        return f"{len(item)} tensors, {values:,} values"
    if element.type == "category":
        return _value_counts(item)
    if element.type in ("text", "json"):
        return str(item.asstr()[()])
    if not item.shape:
        return f"{item[()]}"
    sizes = " × ".join(
        f"{size:,} {name}" for size, name in zip(item.shape, element.shape, strict=True)
    )
    if element.type != "string":
        return f"{sizes}, {item.dtype}"
    filled = np.count_nonzero(encoding.read_strings(item) != "")
    return sizes if filled == len(item) else f"{sizes}, {filled:,} not empty"


def _value_counts(column: h5py.Group) -> str:
    counts = Counter(as_strings(encoding.read_column(column)).tolist())
    listed = [f"{name or '(missing)'} {n:,}" for name, n in counts.most_common(MAX_VALUES)]
    more = len(counts) - len(listed)
    return ", ".join(listed) + (f" and {more} more" if more > 0 else "")


def _extra_columns(opened: ExchangeFile) -> list[str]:
    if not opened.schema.is_anndata:
        return []
    known = {element.path for element in opened.schema.elements}
    listed = np.atleast_1d(opened.file["obs"].attrs["column-order"])
    return [str(name) for name in listed if f"obs/{name}" not in known]


def _step(record: Record) -> str:
    given = [f"{key}={value}" for key, value in record.parameters.items() if value is not None]
    inputs = [f"{role} {entry['sha256'][:12]}" for role, entry in record.inputs.items()]
    parts = [f"{record.tool} {record.version}", record.created, " ".join(given)]
    if inputs:
        parts.append("from " + ", ".join(inputs))
    return "; ".join(filter(None, parts))
