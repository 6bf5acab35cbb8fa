"""Which tool, version, parameters and inputs made a file, stored in ``uns/screader``.

File names are left out and inputs identified by their SHA-256, so that a pipe and a chain of
files give the same bytes. A time is recorded only where SOURCE_DATE_EPOCH is set.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from screader_lib import __version__
from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding

GROUP = "screader"


@dataclass(frozen=True)
class Record:
    """One step: tool, version, parameters, inputs as role → {sha256, schema}, time if known."""

    tool: str
    version: str
    parameters: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, dict[str, str]] = field(default_factory=dict)
    created: str = ""


@dataclass(frozen=True)
class Provenance:
    """The step that makes a file and the steps that made its inputs, oldest first."""

    record: Record
    history: tuple[Record, ...] = ()


LaterProvenance = Provenance | Callable[[], Provenance]  # a function waits for hashes of inputs


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, or of the names and contents of all files in a folder."""
    if path.is_dir():
        digest = hashlib.sha256()
        for inner in sorted(entry for entry in path.rglob("*") if entry.is_file()):
            digest.update(f"{inner.relative_to(path)}\0{sha256_of(inner)}\n".encode())
        return digest.hexdigest()
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fingerprint(**identity: Any) -> str:
    """SHA-256, hexadecimal, of scReader's version and all that a long computation depends on.

    A checkpoint is resumed only by a run with the same fingerprint.
    """
    content = json.dumps({"version": __version__, **identity}, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def created_time() -> str:
    """ISO 8601 time from SOURCE_DATE_EPOCH; empty if that is not set."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not epoch:
        return ""
    try:
        return datetime.fromtimestamp(int(epoch), UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        raise ScReaderError(
            f"SOURCE_DATE_EPOCH is {epoch!r}, expected whole seconds since 1970.",
            remedy="Unset it or set it to a number.",
        ) from None


def make(
    tool: str,
    parameters: dict[str, Any],
    inputs: dict[str, dict[str, str]],
    histories: list[tuple[Record, ...]],
) -> Provenance:
    """The provenance of a file that ``tool`` is about to write; numpy scalars become Python's.

    Its history is the union of the inputs' ``histories``, each step once, in first-seen order.
    """
    plain = {
        key: value.item() if isinstance(value, np.generic) else value
        for key, value in parameters.items()
    }
    record = Record(tool, __version__, plain, inputs, created_time())
    steps = {json.dumps(asdict(step), sort_keys=True): step for one in histories for step in one}
    return Provenance(record, tuple(steps.values()))


def write(file: h5py.File, provenance: Provenance) -> None:
    """Store the provenance in ``uns/screader``."""
    uns = file["uns"] if "uns" in file else encoding.write_group(file, "uns")
    group = encoding.write_group(uns, GROUP)
    for name, value in asdict(provenance.record).items():
        write_value = encoding.write_text if isinstance(value, str) else encoding.write_json
        write_value(group, name, value)
    encoding.write_json(group, "history", [asdict(record) for record in provenance.history])


def read(file: h5py.File) -> Provenance:
    """The provenance of an exchange file; raises any exception if it is damaged."""
    group = file["uns"][GROUP]
    entry: dict[str, Any] = {}
    entry |= {key: encoding.read_text(group, key) for key in ("tool", "version", "created")}
    entry |= {key: encoding.read_json(group, key) for key in ("parameters", "inputs")}
    history = tuple(Record(**earlier) for earlier in encoding.read_json(group, "history"))
    return Provenance(Record(**entry), history)


def problems(file: h5py.File) -> Iterator[str]:
    """Whether the provenance of a file can be read, as a problem or none."""
    try:
        read(file)
    except Exception:
        yield f"uns/{GROUP}: missing or unreadable, expected the steps that made the file"
