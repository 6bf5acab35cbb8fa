"""Open an exchange file: sound HDF5, the right kind, a known version, the right structure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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

LONGEST_SHOWN = 40


@dataclass
class ExchangeFile:
    """An open, checked exchange file.

    ``name`` is what messages call it; ``path`` may be a spooled copy of standard input.
    """

    name: str
    path: Path
    file: h5py.File
    schema: Schema

    @property
    def kind(self) -> str:
        """The file's kind, one of ``schema.KINDS``."""
        return self.schema.name

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the whole file, hexadecimal."""
        return provenance_module.sha256_of(self.path)

    @property
    def provenance(self) -> Provenance:
        """Which tool made it, from what."""
        return provenance_module.read(self.file)

    @property
    def steps(self) -> tuple[Record, ...]:
        """All steps up to and including the one that made this file, oldest first."""
        own = self.provenance
        return (*own.history, own.record)

    @property
    def input_record(self) -> dict[str, str]:
        """How a file made from this one names it."""
        return {"schema": self.kind, "sha256": self.sha256}


def kind_of(file: h5py.File) -> str | None:
    """The kind written at the file's root, None where there is no mark."""
    mark = file.attrs.get(ROOT_KIND)
    return mark if isinstance(mark, str) else None


def what_is_it(file: h5py.File) -> str:
    """In words, what an HDF5 file without scReader's mark seems to be."""
    if "matrix" in file and isinstance(file["matrix"], h5py.Group):
        return "a 10x matrix"
    if {"matrix", "row_attrs", "col_attrs"} <= set(file):
        return "a loom file"
    if file.attrs.get("encoding-type") == "anndata" or {"obs", "var"} <= set(file):
        return "an AnnData file (h5ad) that scReader did not write"
    return "an HDF5 file that scReader did not write"


def _wanted(kinds: tuple[str, ...]) -> str:
    return " or ".join(f"{kind} (from {load(kind).written_by})" for kind in kinds)


def schema_of(file: h5py.File, name: str, kinds: tuple[str, ...] = KINDS) -> Schema:
    """The schema of an open file; ScReaderError for a wrong kind or a newer version."""
    kind = kind_of(file)
    if kind is None or kind not in KINDS:
        got = what_is_it(file) if kind is None else f"of unknown kind {_shortened(kind)}"
        raise ScReaderError(f"is {got}, wanted {_wanted(kinds)}.", file=name)
    if kind not in kinds:
        raise ScReaderError(f"is a {kind} file, wanted {_wanted(kinds)}.", file=name)
    schema = load(kind)
    version = file.attrs.get(ROOT_VERSION)
    if not isinstance(version, int | np.integer) or version < 1:
        raise ScReaderError(f"has no whole number from 1 as {ROOT_VERSION}.", file=name)
    if version > schema.version:
        raise ScReaderError(
            f"is a {kind} file of version {version}; this scReader reads up to {schema.version}.",
            file=name,
            remedy="Install a newer scReader.",
        )
    return schema


def _shortened(text: str) -> str:
    return repr(text) if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]!r}…"


@contextmanager
def open_exchange(path: Path, *kinds: str, name: str | None = None) -> Iterator[ExchangeFile]:
    """Open ``path`` as one of ``kinds`` (any kind where none is given).

    Raises ScReaderError with one line where it is missing, damaged, unsafe, of another kind, of
    a newer version, or not as its schema wants it (values of large arrays are left unread).
    """
    name = name or str(path)
    file = safety.open_checked(path, name=name)
    with file:
        with safety.checking(name):
            schema = schema_of(file, name, kinds or KINDS)
            found = validation.problems(file, schema, values_up_to=validation.BYTES_AT_ONCE)
        if found:
            more = f" ({len(found) - 1} more)" if len(found) > 1 else ""
            raise ScReaderError(
                f"{found[0]}{more}.", file=name, remedy="'screader validate' lists all."
            )
        with safety.reading(name):
            yield ExchangeFile(name, path, file, schema)
