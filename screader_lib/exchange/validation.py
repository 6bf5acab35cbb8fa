"""A file against its schema: structure always, values where asked."""

from __future__ import annotations

import json
from collections.abc import Iterator

import h5py
import numpy as np

from screader_lib.exchange import columns, provenance
from screader_lib.exchange.lazy_table import is_string
from screader_lib.exchange.schema import Element, Schema

BYTES_AT_ONCE = 8 << 20
STRINGS_AT_ONCE = 65_536
SMALL = 64 << 20  # elements up to this size are checked in full at every write


def problems(file: h5py.File, schema: Schema, *, values_up_to: int | None = SMALL) -> list[str]:
    """What in ``file`` is not as ``schema`` wants it; empty where all is well.

    Values (ranges, finiteness, uniqueness) are read for elements of up to ``values_up_to``
    bytes; None reads all of them, 0 none.
    """
    return list(_Check(file, schema, values_up_to).run())


class _Check:
    def __init__(self, file: h5py.File, schema: Schema, values_up_to: int | None) -> None:
        self.file = file
        self.schema = schema
        self.values_up_to = values_up_to
        self.sizes: dict[str, tuple[int, str]] = {}

    def run(self) -> Iterator[str]:
        yield from provenance.problems(self.file)
        if self.schema.is_anndata:
            yield from self._frames()
        sound: list[Element] = []
        for element in self.schema.elements:
            found = list(self._structure(element))
            yield from found
            if not found and element.path in self.file:
                sound.append(element)
        for element in sound:
            yield from self._values(element)

    def _frames(self) -> Iterator[str]:
        if self.file.attrs.get("encoding-type") != "anndata":
            yield "/: attribute encoding-type is missing, wanted 'anndata'"
        for name in ("obs", "var"):
            frame = self.file.get(name)
            if not isinstance(frame, h5py.Group):
                yield f"{name}: missing, wanted a data frame"
                continue
            wanted = self.schema.index[name]
            if frame.attrs.get("_index") != wanted:
                yield f"{name}: its index is {frame.attrs.get('_index')!r}, wanted {wanted!r}"
            listed = {str(column) for column in frame.attrs.get("column-order", ())}
            for missing in sorted(listed - set(frame)):
                yield f"{name}/{missing}: listed in column-order, but missing"
            for element in self.schema.elements:
                room, _, column = element.path.partition("/")
                if room == name and column in frame and column not in listed | {wanted}:
                    yield f"{element.path}: not listed in column-order"
            for column in sorted(listed & set(frame)):
                yield from self._column(frame[column], f"{name}/{column}", self.schema.axes[name])

    def _column(
        self, column: h5py.Group | h5py.Dataset, path: str, dimension: str
    ) -> Iterator[str]:
        found = list(columns.structure(column, path))
        yield from found
        values = columns.rows(column)
        if found or values is None:
            return
        yield from self._size(dimension, values.shape[0], path)
        if isinstance(column, h5py.Group) and "codes" in column and self._within(values):
            yield from columns.category_values(column, path)

    def _structure(self, element: Element) -> Iterator[str]:
        found = self.file.get(element.path)
        if found is None:
            if element.required:
                yield f"{element.path}: missing, wanted {_wanted(element)}"
            return
        if element.type == "group":
            yield from self._group(element, found)
            return
        dataset = _dataset_of(element, found)
        if dataset is None:
            yield f"{element.path}: wanted {_wanted(element)}"
            return
        if not _type_fits(element, dataset):
            yield f"{element.path}: has type {dataset.dtype}, wanted {_wanted(element)}"
        if dataset.ndim != len(element.shape):
            yield f"{element.path}: has {dataset.ndim} dimensions, wanted {len(element.shape)}"
            return
        for dimension, size in zip(element.shape, dataset.shape, strict=True):
            yield from self._size(dimension, size, element.path)

    def _group(self, element: Element, found: object) -> Iterator[str]:
        if not isinstance(found, h5py.Group):
            yield f"{element.path}: wanted a group"
            return
        for name, dataset in found.items():
            if not isinstance(dataset, h5py.Dataset) or dataset.dtype != np.dtype(element.of):
                yield f"{element.path}/{name}: wanted an array of {element.of}"

    def _size(self, dimension: str, size: int, path: str) -> Iterator[str]:
        if dimension == "none":
            if size:
                yield f"{path}: has {size} entries, wanted none"
            return
        known, where = self.sizes.setdefault(dimension, (size, path))
        if known != size:
            yield f"{path}: has {size} {dimension}, but {where} has {known}"

    def _values(self, element: Element) -> Iterator[str]:
        found = self.file[element.path]
        if element.type == "group":
            if element.finite:
                for name, dataset in found.items():
                    if self._within(dataset) and not np.isfinite(dataset[()]).all():
                        yield f"{element.path}/{name}: holds a value that is not finite"
            return
        dataset = _dataset_of(element, found)
        if dataset is None or not self._within(dataset):
            return
        if element.type == "category":
            yield from _category_problems(element, found)
        elif element.type == "json":
            yield from _json_problems(element, dataset)
        elif element.type in ("string", "text"):
            yield from _string_problems(element, dataset)
        elif dataset.dtype.kind in "iuf":
            yield from self._numbers(element, dataset)

    def _within(self, dataset: h5py.Dataset) -> bool:
        size = dataset.size * dataset.dtype.itemsize
        return self.values_up_to is None or size <= self.values_up_to

    def _numbers(self, element: Element, dataset: h5py.Dataset) -> Iterator[str]:
        limit = self.sizes[element.below][0] if element.below else None
        for start, values in _row_blocks(dataset):
            wrong = _first_wrong(element, values, limit)
            if wrong is not None:
                row, what = wrong
                where = f"row {start + row} " if dataset.ndim else ""
                yield f"{element.path}: {where}{what}"
                return


def _first_wrong(element: Element, values: np.ndarray, limit: int | None) -> tuple[int, str] | None:
    tests: list[tuple[np.ndarray, str]] = []
    if element.finite:
        tests.append((~np.isfinite(values), "is not finite"))
    if element.minimum is not None:
        tests.append((values < element.minimum, f"is below {element.minimum:g}"))
    if element.maximum is not None:
        tests.append((values > element.maximum, f"is above {element.maximum:g}"))
    if limit is not None:
        tests.append((values >= limit, f"is not below {limit}, the number of {element.below}"))
    for wrong, what in tests:
        if wrong.any():
            return int(np.argwhere(wrong)[0][0]), what
    return None


def _row_blocks(dataset: h5py.Dataset) -> Iterator[tuple[int, np.ndarray]]:
    if not dataset.ndim:
        yield 0, dataset[()].reshape(1)
        return
    row_bytes = max(1, dataset.size // max(1, dataset.shape[0]) * dataset.dtype.itemsize)
    rows = max(1, BYTES_AT_ONCE // row_bytes)
    for start in range(0, dataset.shape[0], rows):
        yield start, dataset[start : start + rows]


def _category_problems(element: Element, group: h5py.Group) -> Iterator[str]:
    unknown = sorted(set(group["categories"].asstr()[()]) - set(element.values))
    if unknown and element.values:
        yield f"{element.path}: {unknown[0]!r} is not one of {', '.join(element.values)}"


def _string_problems(element: Element, dataset: h5py.Dataset) -> Iterator[str]:
    hashes = [np.empty(0, np.int64)]
    try:
        for some in _string_blocks(dataset):
            if element.unique:
                hashes.append(_hashes(some))
    except UnicodeDecodeError:
        yield f"{element.path}: is not UTF-8"
        return
    if element.unique and _any_twice(dataset, np.concatenate(hashes)):
        yield f"{element.path}: values are not unique"


def _string_blocks(dataset: h5py.Dataset) -> Iterator[list[str]]:
    """All strings, some at a time: a long column is never held as a whole."""
    texts = dataset.asstr()
    if not dataset.ndim:
        yield [texts[()]]
        return
    for start in range(0, len(dataset), STRINGS_AT_ONCE):
        yield texts[start : start + STRINGS_AT_ONCE].ravel().tolist()


def _hashes(some: list[str]) -> np.ndarray:
    return np.fromiter(map(hash, some), np.int64, len(some))


def _any_twice(dataset: h5py.Dataset, hashes: np.ndarray) -> bool:
    """Whether a string occurs twice; only those whose ``hashes`` int64 do are compared."""
    hashes.sort()
    repeated = np.unique(hashes[1:][hashes[1:] == hashes[:-1]])
    if not len(repeated):
        return False
    seen: set[str] = set()
    for some in _string_blocks(dataset):
        for place in np.flatnonzero(np.isin(_hashes(some), repeated)):
            if some[place] in seen:
                return True
            seen.add(some[place])
    return False


def _json_problems(element: Element, dataset: h5py.Dataset) -> Iterator[str]:
    try:
        found = json.loads(dataset.asstr()[()])
    except (ValueError, RecursionError):
        yield f"{element.path}: is not JSON"
        return
    if not isinstance(found, dict):
        yield f"{element.path}: is not a JSON object"


def _dataset_of(element: Element, found: object) -> h5py.Dataset | None:
    """The dataset that carries an element's shape; None where the layout is another."""
    if element.type == "category":
        if not isinstance(found, h5py.Group):
            return None
        codes, categories = found.get("codes"), found.get("categories")
        sound = isinstance(codes, h5py.Dataset) and isinstance(categories, h5py.Dataset)
        sound = sound and categories.ndim == 1 and is_string(categories)
        return codes if sound else None
    return found if isinstance(found, h5py.Dataset) else None


def _type_fits(element: Element, dataset: h5py.Dataset) -> bool:
    kind = element.type
    if kind in ("string", "text", "json"):
        return is_string(dataset)
    if kind == "category":
        return dataset.dtype.kind == "i"
    return any(dataset.dtype.newbyteorder("=") == np.dtype(one) for one in element.types)


def _wanted(element: Element) -> str:
    if not element.shape:
        return element.type
    return f"{element.type} ({' × '.join(element.shape)})"
