"""A file against its schema: structure always, values where asked."""

from __future__ import annotations

import json
from collections.abc import Iterator

import h5py
import numpy as np

from screader_lib.exchange.schema import Element, Schema

BYTES_AT_ONCE = 8 << 20
SMALL = 64 << 20  # elements up to this size are checked in full at every write

INDEX_ENTRIES = {"_index", "column-order", "encoding-type", "encoding-version"}


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
            yield from self._lengths(name, frame, sorted(listed & set(frame)))

    def _lengths(self, name: str, frame: h5py.Group, columns: list[str]) -> Iterator[str]:
        dimension = self.schema.axes[name]
        for column in columns:
            element = frame[column]
            if isinstance(element, h5py.Group):
                element = element.get("codes", element.get("values"))
            if not isinstance(element, h5py.Dataset):
                yield f"{name}/{column}: neither an array nor a categorical"
            elif element.ndim != 1:
                yield f"{name}/{column}: has {element.ndim} dimensions, wanted 1"
            else:
                yield from self._size(dimension, element.shape[0], f"{name}/{column}")

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
        if not _type_fits(element.type, dataset):
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
        elif element.type == "string" and element.unique:
            values = dataset.asstr()[()]
            if len(set(values)) != len(values):
                yield f"{element.path}: values are not unique"
        elif dataset.dtype.kind in "iuf" and dataset.ndim:
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
                yield f"{element.path}: row {start + row} {what}"
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
    row_bytes = max(1, dataset.size // max(1, dataset.shape[0]) * dataset.dtype.itemsize)
    rows = max(1, BYTES_AT_ONCE // row_bytes)
    for start in range(0, dataset.shape[0], rows):
        yield start, dataset[start : start + rows]


def _category_problems(element: Element, group: h5py.Group) -> Iterator[str]:
    codes, categories = group["codes"][()], group["categories"].asstr()[()]
    if len(codes) and (codes.min() < -1 or codes.max() >= len(categories)):
        yield f"{element.path}: a code has no category"
    unknown = sorted(set(categories) - set(element.values)) if element.values else []
    if unknown:
        yield f"{element.path}: {unknown[0]!r} is not one of {', '.join(element.values)}"


def _json_problems(element: Element, dataset: h5py.Dataset) -> Iterator[str]:
    try:
        json.loads(dataset.asstr()[()])
    except ValueError:
        yield f"{element.path}: is not JSON"


def _dataset_of(element: Element, found: object) -> h5py.Dataset | None:
    """The dataset that carries an element's shape; None where the layout is another."""
    if element.type == "category":
        if not isinstance(found, h5py.Group):
            return None
        codes, categories = found.get("codes"), found.get("categories")
        sound = isinstance(codes, h5py.Dataset) and isinstance(categories, h5py.Dataset)
        return codes if sound and _is_string(categories) else None
    return found if isinstance(found, h5py.Dataset) else None


def _is_string(dataset: h5py.Dataset) -> bool:
    return h5py.check_string_dtype(dataset.dtype) is not None


def _type_fits(kind: str, dataset: h5py.Dataset) -> bool:
    if kind in ("string", "text", "json"):
        return _is_string(dataset)
    if kind == "category":
        return dataset.dtype.kind == "i"
    return dataset.dtype.newbyteorder("=") == np.dtype(kind)


def _wanted(element: Element) -> str:
    if not element.shape:
        return element.type
    return f"{element.type} ({' × '.join(element.shape)})"
