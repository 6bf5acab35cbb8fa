"""The smallest valid file of every kind, made from its schema."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import h5py
import numpy as np

from screader_lib.exchange import encoding, provenance
from screader_lib.exchange.schema import Element, Schema, load
from screader_lib.exchange.table import Categorical, Table, strings
from screader_lib.exchange.writing import create

SIZES = {
    "none": 0, "cells": 4, "genes": 3, "dim": 2, "k": 2, "labels": 2, "hidden": 2, "epochs": 2,
    "calibration": 3, "held_out": 2, "top_genes": 2, "components": 2,
    "folds": 2, "fold_genes": 3, "fold_k": 2, "profiles": 2,
}  # fmt: skip
PROVENANCE = provenance.make("test", {"a": 1}, {"x": {"sha256": "0", "schema": ""}}, [])


def shape_of(element: Element) -> tuple[int, ...]:
    """The element's shape in a made file."""
    return tuple(SIZES[name] for name in element.shape)


def value_of(element: Element) -> Any:
    """The value of an array, string or categorical in a made file."""
    shape = shape_of(element)
    if element.type == "string":
        return strings(f"n{number}" for number in range(shape[0]))
    if element.type == "category":
        return Categorical.of([(element.values or ("x",))[0]] * shape[0])
    smallest = 0 if element.below else max(element.minimum or 0, 1)
    return np.full(shape, smallest, element.types[-1])


def _table(schema: Schema, frame: str) -> Table:
    table = Table(strings(f"n{number}" for number in range(SIZES[schema.axes[frame]])))
    table.columns |= {
        element.column: value_of(element)
        for element in schema.elements
        if element.frame == frame and element.column != table.index_name
    }
    return table


def _write(parent: h5py.Group, element: Element) -> None:
    name = element.column
    if element.type == "text":
        encoding.write_text(parent, name, "x")
    elif element.type == "json":
        encoding.write_json(parent, name, {})
    elif element.type == "string":
        encoding.write_strings(parent, name, value_of(element))
    elif element.type == "group":
        encoding.write_array(parent.require_group(name), "a", np.ones(2, element.of))
    else:
        encoding.write_array(parent, name, value_of(element))


def write(kind: str, path: Path, made: provenance.Provenance = PROVENANCE, **sizes: int) -> Path:
    """A valid file of the kind with all its elements, optional ones too; ``sizes`` of axes."""
    if made is PROVENANCE:
        path.write_bytes(_content(kind, tuple(sizes.items())))
    else:
        _write_file(kind, path, made, sizes)
    return path


@cache
def _content(kind: str, sizes: tuple[tuple[str, int], ...]) -> bytes:
    with TemporaryDirectory() as folder:
        _write_file(kind, Path(folder) / "file", PROVENANCE, dict(sizes))
        return (Path(folder) / "file").read_bytes()


def _write_file(kind: str, path: Path, made: provenance.Provenance, sizes: dict[str, int]) -> None:
    schema = load(kind)
    with mock.patch.dict(SIZES, sizes), create(kind, path, made) as file:
        if schema.is_anndata:
            encoding.begin_anndata(file, _table(schema, "obs"), _table(schema, "var"))
        for element in schema.elements:
            if element.frame not in ("obs", "var"):
                if schema.is_anndata and element.frame and element.frame not in file:
                    encoding.write_group(file, element.frame)
                _write(file.require_group(element.frame or "/"), element)
