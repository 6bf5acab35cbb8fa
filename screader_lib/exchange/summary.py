"""What is in an exchange file, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import h5py
import numpy as np

from screader_lib.exchange import encoding
from screader_lib.exchange.opening import ExchangeFile
from screader_lib.exchange.provenance import Record
from screader_lib.exchange.schema import Element
from screader_lib.exchange.table import Categorical

MOST_VALUES = 8


def human_size(size: float) -> str:
    """Bytes in the unit a person would choose."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def describe(opened: ExchangeFile) -> str:
    """The file in words: kind, elements present with sizes, values of labels, how it was made."""
    return "\n".join(_lines(opened))


def _lines(opened: ExchangeFile) -> Iterator[str]:
    schema = opened.schema
    size = human_size(opened.path.stat().st_size)
    yield f"{opened.name}: {schema.title.lower()} ({schema.name}, version {schema.version}, {size})"
    yield schema.summary
    yield ""
    width = max(len(element.path) for element in schema.elements)
    for element in schema.elements:
        if element.path in opened.file:
            yield f"  {element.path:<{width}}  {_content(element, opened.file[element.path])}"
    extra = _extra_columns(opened)
    if extra:
        yield f"  also in obs: {', '.join(extra)}"
    yield ""
    yield "Made by"
    for record in opened.steps:
        yield f"  {_step(record)}"


def _content(element: Element, found: h5py.Group | h5py.Dataset) -> str:
    if element.type == "group":
        values = sum(dataset.size for dataset in found.values())
        return f"{len(found)} tensors, {values:,} values"
    if element.type == "category":
        return _counts(encoding.read_column(found))
    if element.type in ("text", "json"):
        return str(found.asstr()[()])
    if not found.shape:
        return f"{found[()]}"
    sizes = " × ".join(
        f"{size:,} {name}" for size, name in zip(found.shape, element.shape, strict=True)
    )
    if element.type == "string":
        values = found.asstr()[()]
        filled = sum(1 for value in values if value)
        return sizes if filled == len(values) else f"{sizes}, {filled:,} not empty"
    return f"{sizes}, {found.dtype}"


def _counts(column: object) -> str:
    assert isinstance(column, Categorical)
    counts = Counter(column.strings("(missing)").tolist())
    shown = [f"{name} {count:,}" for name, count in counts.most_common(MOST_VALUES)]
    more = len(counts) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _extra_columns(opened: ExchangeFile) -> list[str]:
    if not opened.schema.is_anndata:
        return []
    known = {element.path for element in opened.schema.elements}
    listed = np.atleast_1d(opened.file["obs"].attrs["column-order"])
    return [str(name) for name in listed if f"obs/{name}" not in known]


def _step(record: Record) -> str:
    given = [f"{key}={value}" for key, value in record.parameters.items() if value is not None]
    inputs = [f"{role} {entry['sha256'][:12]}" for role, entry in record.inputs.items()]
    parts = [f"{record.tool} {record.version}"]
    if record.created:
        parts.append(record.created)
    if given:
        parts.append(" ".join(given))
    if inputs:
        parts.append("from " + ", ".join(inputs))
    return "; ".join(parts)
