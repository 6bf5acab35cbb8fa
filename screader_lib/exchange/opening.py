"""Open an exchange file: valid HDF5 of the right kind, version and structure."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.exchange import provenance as provenance_module
from screader_lib.exchange import safety, validation
from screader_lib.exchange.provenance import Provenance, Record
from screader_lib.exchange.schema import KINDS, ROOT_KIND, ROOT_VERSION, Schema, load


@dataclass
class ExchangeFile:
    """An open exchange file that has been checked.

    Messages call it ``name``; ``path`` may be a temporary copy of standard input.
    """

    name: str
    path: Path
    file: h5py.File
    schema: Schema

    @property
    def kind(self) -> str:
        """One of ``schema.KINDS``."""
        return self.schema.name

    @cached_property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of the whole file."""
        return provenance_module.sha256_of(self.path)

    @cached_property
    def provenance(self) -> Provenance:
        """Which tool made it, and from what."""
        return provenance_module.read(self.file)

    @property
    def steps(self) -> tuple[Record, ...]:
        """All steps up to the one that made this file, oldest first."""
        return (*self.provenance.history, self.provenance.record)

    @property
    def input_record(self) -> dict[str, str]:
        """How files made from this one refer to it in their provenance."""
        return {"schema": self.kind, "sha256": self.sha256}


def kind_of(file: h5py.File) -> str | None:
    """The kind that the root's attribute names; None for files that scReader did not write."""
    kind = file.attrs.get(ROOT_KIND)
    return kind if isinstance(kind, str) else None


def is_exchange(path: Path) -> bool:
    """Whether a file says that it is of a kind of scReader's, sound or not."""
    kinds: list[str | None] = []
    with suppress(ScReaderError):
        safety.open_checked(path, first=lambda file: kinds.append(kind_of(file))).close()
    return any(kinds)


def what_is_it(file: h5py.File) -> str:
    """In words, what an HDF5 file that scReader did not write seems to be."""
    if "matrix" in file and isinstance(file["matrix"], h5py.Group):
        return "a 10x matrix"
    if {"matrix", "row_attrs", "col_attrs"} <= set(file):
        return "a loom file"
    if file.attrs.get("encoding-type") == "anndata" or {"obs", "var"} <= set(file):
        return "an AnnData file (h5ad) that scReader did not write"
    return "an HDF5 file that scReader did not write"


def _expected(kinds: tuple[str, ...]) -> str:
    return " or ".join(f"{kind} (from {load(kind).written_by})" for kind in kinds)


def _remedy(kinds: tuple[str, ...], name: str) -> str:
    """The commands that a user's own file of cells may have been meant for."""
    if kinds == KINDS or "cells" not in kinds:
        return ""
    return (
        f"Cells are made by: build-cells {name} -e gene-embeddings.h5ad -o cells.h5ad, with "
        f"--like READER to predict or --label COLUMN to train; screader annotate {name} -r READER "
        "labels the file as it is."
    )


def schema_of(file: h5py.File, name: str, kinds: tuple[str, ...] = KINDS) -> Schema:
    """The schema of an open file; ScReaderError if its kind is wrong or its version too new."""
    kind = kind_of(file)
    if kind is None or kind not in KINDS:
        got = what_is_it(file) if kind is None else f"of unknown kind {reprlib.repr(kind)}"
        remedy = _remedy(kinds, name) if kind is None else ""
        raise ScReaderError(f"is {got}, expected {_expected(kinds)}.", file=name, remedy=remedy)
    if kind not in kinds:
        raise ScReaderError(f"is a {kind} file, expected {_expected(kinds)}.", file=name)
    schema = load(kind)
    version = file.attrs.get(ROOT_VERSION)
    if not isinstance(version, int | np.integer) or version < 1:
        raise ScReaderError(f"its {ROOT_VERSION} is not a positive integer.", file=name)
    if version > schema.version:
        raise ScReaderError(
            f"is a {kind} file of version {version}; this scReader reads up to {schema.version}.",
            file=name,
            remedy="Install a newer scReader.",
        )
    return schema


@contextmanager
def open_exchange(path: Path, *kinds: str, name: str | None = None) -> Iterator[ExchangeFile]:
    """Open ``path`` as one of ``kinds`` (any kind if none is given).

    Raises ScReaderError if it is missing, damaged, unsafe, of another kind or a newer version, or
    violates its schema (the values of large arrays are not read).
    """
    name = name or str(path)
    kinds = kinds or KINDS
    file = safety.open_checked(path, name=name, first=lambda file: schema_of(file, name, kinds))
    with file:
        with safety.checking(name):
            schema = schema_of(file, name, kinds)
            problems = validation.problems(file, schema, values_up_to=validation.BYTES_AT_ONCE)
        if problems:
            more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
            raise ScReaderError(
                f"{problems[0]}{more}.", file=name, remedy="'screader validate' lists all problems."
            )
        with safety.reading(name):
            yield ExchangeFile(name, path, file, schema)
