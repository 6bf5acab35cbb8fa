"""Check a file against its schema: always its structure, its values where asked."""

from __future__ import annotations

import json
from collections.abc import Iterator

import h5py
import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.exchange import provenance
from screader_lib.exchange.schema import Element, Schema
from screader_lib.exchange.table import is_string, row_blocks, stored_column

BYTES_AT_ONCE = 8 << 20
SMALL = 64 << 20  # elements up to this size are checked in full at every write


def problems(file: h5py.File, schema: Schema, *, values_up_to: int | None = SMALL) -> list[str]:
    """Where ``file`` departs from ``schema``, one line each; empty for a valid file.

    Values (ranges, finiteness, uniqueness) are read for elements of up to ``values_up_to``
    bytes; None reads all of them, 0 none.
    """
    return list(_Check(file, schema, values_up_to).run())


class _Check:
    """One pass over a file; ``sizes`` holds each dimension's size and the element it is from."""

    def __init__(self, file: h5py.File, schema: Schema, values_up_to: int | None) -> None:
        self.file = file
        self.schema = schema
        self.values_up_to = values_up_to
        self.sizes: dict[str, tuple[int, str]] = {}

    def run(self) -> Iterator[str]:
        yield from provenance.problems(self.file)
        if self.schema.is_anndata:
            yield from self._frames()
        valid: list[Element] = []
        for element in self.schema.elements:
            item = self.file.get(element.path)
            if item is None:
                if element.required:
                    yield f"{element.path}: missing, expected {_expected(element)}"
                continue
            violations = list(self._structure(element, item))
            yield from violations
            if not violations:
                valid.append(element)
        for element in valid:
            yield from self._values(element, self.file[element.path])

    def _frames(self) -> Iterator[str]:
        if self.file.attrs.get("encoding-type") != "anndata":
            yield "/: attribute encoding-type is missing, expected 'anndata'"
        for name in ("obs", "var"):
            frame = self.file.get(name)
            if isinstance(frame, h5py.Group):
                yield from self._frame(frame, name)
            else:
                yield f"{name}: missing, expected a data frame"

    def _frame(self, frame: h5py.Group, name: str) -> Iterator[str]:
        """Index and list of columns, and the structure of columns that the schema lacks."""
        index, stored = self.schema.index[name], set(frame)
        if frame.attrs.get("_index") != index:
            yield f"{name}: its index is {frame.attrs.get('_index')!r}, expected {index!r}"
        listed = {str(column) for column in frame.attrs.get("column-order", ())}
        known = {element.column for element in self.schema.elements if element.frame == name}
        for column in sorted(listed - stored):
            yield f"{name}/{column}: listed in column-order, but missing"
        for column in sorted((known & stored) - listed - {index}):
            yield f"{name}/{column}: not listed in column-order"
        for column in sorted((listed & stored) - known):
            yield from self._column(frame[column], f"{name}/{column}", self.schema.axes[name])

    def _column(
        self, column: h5py.Group | h5py.Dataset, path: str, dimension: str
    ) -> Iterator[str]:
        """A data frame's column, its size and, of a categorical, its codes."""
        values = _row_values(column)
        if values is None:
            yield f"{path}: is not a one-dimensional array, a categorical or nullable values"
            return
        yield from self._size(dimension, len(values), path)
        if isinstance(column, h5py.Group) and "codes" in column and self._is_within_limit(values):
            codes, categories = values[()], column["categories"].asstr()[()]
            if len(codes) and (codes.min() < -1 or codes.max() >= len(categories)):
                yield f"{path}: a code has no category"
            if len(set(categories)) < len(categories):
                yield f"{path}: categories are not unique"

    def _structure(self, element: Element, item: h5py.Group | h5py.Dataset) -> Iterator[str]:
        path = element.path
        if element.type == "group":
            yield from _group_problems(element, item)
        elif element.type == "category":
            if isinstance(item, h5py.Group) and "codes" in item:
                yield from self._column(item, path, element.shape[0])
            else:
                yield f"{path}: expected {_expected(element)}"
        elif not isinstance(item, h5py.Dataset):
            yield f"{path}: expected {_expected(element)}"
        else:
            if not _has_type(element, item):
                yield f"{path}: has type {item.dtype}, expected {_expected(element)}"
            if item.ndim != len(element.shape):
                yield f"{path}: has {item.ndim} dimensions, expected {len(element.shape)}"
                return
            for dimension, size in zip(element.shape, item.shape, strict=True):
                yield from self._size(dimension, size, path)

    def _size(self, dimension: str, size: int, path: str) -> Iterator[str]:
        if dimension == "none":
            if size:
                yield f"{path}: has {size} entries, expected none"
            return
        known, where = self.sizes.setdefault(dimension, (size, path))
        if known != size:
            yield f"{path}: has {size} {dimension}, but {where} has {known}"

    def _values(self, element: Element, item: h5py.Group | h5py.Dataset) -> Iterator[str]:
        path = element.path
        if element.type == "group":
            for name, tensor in item.items():
                yield from self._numbers(element, tensor, f"{path}/{name}")
        elif element.type == "category":
            unknown = sorted(set(item["categories"].asstr()[()]) - set(element.values))
            if unknown and element.values:
                yield f"{path}: {unknown[0]!r} is not one of {', '.join(element.values)}"
        elif not is_string(item):
            yield from self._numbers(element, item, path)
        elif self._is_within_limit(item):
            check = _json_problems if element.type == "json" else _string_problems
            yield from check(element, item)

    def _is_within_limit(self, dataset: h5py.Dataset) -> bool:
        size = dataset.size * dataset.dtype.itemsize
        return self.values_up_to is None or size <= self.values_up_to

    def _numbers(self, element: Element, dataset: h5py.Dataset, path: str) -> Iterator[str]:
        if not self._is_within_limit(dataset):
            return
        limit = self.sizes[element.below][0] if element.below else None
        for start, values in _number_blocks(dataset):
            for wrong, what in _out_of_range(element, values, limit):
                if wrong.any():
                    row = start + int(np.argwhere(wrong)[0][0])
                    yield f"{path}: {f'row {row} ' if dataset.ndim else ''}{what}"
                    return


def _row_values(column: h5py.Group | h5py.Dataset) -> h5py.Dataset | None:
    """The array with an entry per row of a column that can be read; None for any other column."""
    if isinstance(column, h5py.Dataset):
        is_known = column.dtype.kind in "biuf" or is_string(column)
        return column if column.ndim == 1 and is_known else None
    key, other_key = ("codes", "categories") if "codes" in column else ("values", "mask")
    values, other = column.get(key), column.get(other_key)
    if not all(isinstance(part, h5py.Dataset) and part.ndim == 1 for part in (values, other)):
        return None
    if key == "codes":
        is_known = values.dtype.kind == "i" and is_string(other)
    else:
        is_known = other.dtype.kind == "b" and other.shape == values.shape
    return values if is_known else None


def _group_problems(element: Element, group: h5py.Group | h5py.Dataset) -> Iterator[str]:
    if not isinstance(group, h5py.Group):
        yield f"{element.path}: expected a group"
        return
    for name, dataset in group.items():
        if not isinstance(dataset, h5py.Dataset) or dataset.dtype != np.dtype(element.of):
            yield f"{element.path}/{name}: expected an array of {element.of}"


def _has_type(element: Element, dataset: h5py.Dataset) -> bool:
    if element.type in ("string", "text", "json"):
        return is_string(dataset)
    return any(dataset.dtype.newbyteorder("=") == np.dtype(name) for name in element.types)


def _expected(element: Element) -> str:
    return element.type + (f" ({' × '.join(element.shape)})" if element.shape else "")


def _out_of_range(
    element: Element, values: np.ndarray, limit: int | None
) -> Iterator[tuple[np.ndarray, str]]:
    """For each condition on the values, where it fails and what to say."""
    if element.finite:
        yield ~np.isfinite(values), "is not finite"
    if element.minimum is not None:
        yield values < element.minimum, f"is below {element.minimum:g}"
    if element.maximum is not None:
        yield values > element.maximum, f"is above {element.maximum:g}"
    if limit is not None:
        yield values >= limit, f"is not below {limit}, the number of {element.below}"


def _number_blocks(dataset: h5py.Dataset) -> Iterator[tuple[int, np.ndarray]]:
    if not dataset.ndim:
        yield 0, dataset[()].reshape(1)
        return
    row_bytes = max(1, dataset.size // max(1, dataset.shape[0]) * dataset.dtype.itemsize)
    for start, stop in row_blocks(dataset.shape[0], max(1, BYTES_AT_ONCE // row_bytes)):
        yield start, dataset[start:stop]


def _string_problems(element: Element, dataset: h5py.Dataset) -> Iterator[str]:
    try:
        hashes = np.concatenate([np.empty(0, np.int64), *map(_hashes, _string_blocks(dataset))])
    except (ScReaderError, UnicodeDecodeError):
        yield f"{element.path}: is not UTF-8"
        return
    hashes.sort()
    repeated = np.unique(hashes[1:][hashes[1:] == hashes[:-1]])
    if not element.unique or not len(repeated):
        return
    seen: set[str] = set()  # of the strings whose hashes repeat, which are compared
    for block in _string_blocks(dataset):
        texts = block[np.isin(_hashes(block), repeated)]
        if len(seen | set(texts)) < len(seen) + len(texts):
            yield f"{element.path}: values are not unique"
            return
        seen.update(texts)


def _string_blocks(dataset: h5py.Dataset) -> Iterator[np.ndarray]:
    """All strings, block by block: a long column is never held as a whole."""
    if dataset.ndim:
        return stored_column(dataset).string_blocks()
    return iter([np.array([dataset.asstr()[()]], object)])


def _hashes(texts: np.ndarray) -> np.ndarray:
    return np.fromiter(map(hash, texts), np.int64, len(texts))


def _json_problems(element: Element, dataset: h5py.Dataset) -> Iterator[str]:
    try:
        content = json.loads(dataset.asstr()[()])
    except (ValueError, RecursionError):
        yield f"{element.path}: is not JSON"
        return
    if not isinstance(content, dict):
        yield f"{element.path}: is not a JSON object"
