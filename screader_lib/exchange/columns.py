"""Columns of obs and var, whatever their encoding: what a reader of tables relies on."""

from __future__ import annotations

from collections.abc import Iterator

import h5py

from screader_lib.exchange.lazy_table import is_string


def rows(column: h5py.Group | h5py.Dataset) -> h5py.Dataset | None:
    """The dataset with one entry per row; None where the column has no known encoding."""
    if isinstance(column, h5py.Group):
        found = column.get("codes", column.get("values"))
        return found if isinstance(found, h5py.Dataset) else None
    return column


def structure(column: h5py.Group | h5py.Dataset, path: str) -> Iterator[str]:
    """What keeps the column from being read."""
    values = rows(column)
    if values is None:
        yield f"{path}: neither an array nor a categorical"
    elif values.ndim != 1:
        yield f"{path}: has {values.ndim} dimensions, wanted 1"
    elif isinstance(column, h5py.Dataset):
        if values.dtype.kind not in "biuf" and not is_string(values):
            yield f"{path}: has type {values.dtype}, wanted numbers, booleans or strings"
    elif "codes" in column:
        yield from _categorical(values, column.get("categories"), path)
    else:
        yield from _nullable(values, column.get("mask"), path)


def _categorical(codes: h5py.Dataset, categories: object, path: str) -> Iterator[str]:
    if codes.dtype.kind not in "iu":
        yield f"{path}: has codes of type {codes.dtype}, wanted whole numbers"
    if not isinstance(categories, h5py.Dataset) or not is_string(categories):
        yield f"{path}: has no categories that are strings"
    elif categories.ndim != 1:
        yield f"{path}: has categories of {categories.ndim} dimensions, wanted 1"


def _nullable(values: h5py.Dataset, mask: object, path: str) -> Iterator[str]:
    if not isinstance(mask, h5py.Dataset) or mask.dtype.kind != "b" or mask.shape != values.shape:
        yield f"{path}: has no mask of its values"


def category_values(group: h5py.Group, path: str) -> Iterator[str]:
    """What is wrong with the codes and categories of a categorical of sound structure."""
    codes, categories = group["codes"][()], group["categories"].asstr()[()]
    if len(codes) and (codes.min() < -1 or codes.max() >= len(categories)):
        yield f"{path}: a code has no category"
    if len(set(categories)) < len(categories):
        yield f"{path}: categories are not unique"
