"""Readers by name: those that come with the suite, a facility's own, and those fetched.

A registry is a YAML or JSON file, whose list ``readers`` has entries of ``name``, ``version``,
``location``, ``sha256`` and ``summary``. A location is a file beside the registry, an absolute
path, a URL, or ``hf:ORG/REPO`` for the Hugging Face hub. ``SCREADER_READERS`` names a facility's.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any

from screader_lib.errors import ScReaderError
from screader_lib.genes.services.cache import default_folder
from screader_lib.readers.card import NAME, read_mapping

VARIABLE = "SCREADER_READERS"
SHA256 = re.compile("[0-9a-f]{64}")
KEYS = ("name", "version", "location", "sha256", "summary")
NEEDED = ("name", "location", "sha256")
REMOTE = ("http://", "https://", "hf:")
FILE = "registry.yaml"
PACKAGED, OWN, FETCHED = "packaged", "registry", "fetched"  # where a reader is known from


@dataclass(frozen=True)
class Entry:
    """A reader that has a name. ``known_from`` is PACKAGED, OWN or FETCHED.

    ``location`` is a URL, ``hf:ORG/REPO`` or the path of a file; ``sha256`` hexadecimal.
    """

    name: str
    location: str
    sha256: str
    version: str = ""
    summary: str = ""
    known_from: str = OWN

    @property
    def is_remote(self) -> bool:
        """Whether it has to be fetched before it is used."""
        return self.location.startswith(REMOTE)


def cache_folder() -> Path:
    """Where fetched readers lie: NAME.h5, and NAME.json that says where it is from."""
    return default_folder() / "readers"


def known_readers(registry: str | Path | None = None) -> list[Entry]:
    """All readers that have a name, the packaged first, each name once.

    ``registry`` is a facility's file, in place of the one that ``SCREADER_READERS`` names.
    ScReaderError where that file is damaged, or gives a packaged reader's name to another one.
    """
    packaged = Path(str(resources.files("screader_lib.readers"))) / "packaged" / FILE
    entries = {entry.name: entry for entry in _read_registry(packaged, PACKAGED)}
    own = registry or os.environ.get(VARIABLE)
    for entry in _read_registry(Path(own), OWN) if own else ():
        if entry.name in entries:
            raise ScReaderError(
                f"names two readers {entry.name!r}, or one as a packaged reader is named.",
                file=own,
                remedy="Give it another name.",
            )
        entries[entry.name] = entry
    for entry in _fetched():
        entries.setdefault(entry.name, entry)
    return list(entries.values())


def entry_of(name: str, registry: str | Path | None = None) -> Entry:
    """The reader of this name; ScReaderError, with the names there are, where there is none."""
    entries = {entry.name: entry for entry in known_readers(registry)}
    if name in entries:
        return entries[name]
    if not NAME.fullmatch(name):
        raise ScReaderError(
            "no such file.", file=name, remedy="Check the name and the folder; 'screader readers' "
            "lists the readers that have a name."
        )  # fmt: skip
    alike = get_close_matches(name, entries, 1)
    meant = f" Did you mean {alike[0]}?" if alike else ""
    listed = ", ".join(entries) or "none"
    raise ScReaderError(
        f"{name}: no such file, and no reader of this name.{meant} Known: {listed}."
    )


def _read_registry(path: Path, known_from: str) -> Iterator[Entry]:
    content = read_mapping(path)
    readers = content.get("readers")
    if not isinstance(readers, list):
        raise ScReaderError("has no list 'readers'.", file=path)
    for number, values in enumerate(readers, 1):
        yield _entry(values, path, f"readers[{number}]", known_from)


def _entry(values: Any, path: Path, at: str, known_from: str) -> Entry:
    """An entry of a registry; ScReaderError for one that is incomplete or unsafe."""

    def refused(problem: str) -> ScReaderError:
        return ScReaderError(f"{at}{problem}", file=path)

    if not isinstance(values, dict):
        raise refused(f": expected the keys {', '.join(KEYS)}.")
    for key in NEEDED:
        if key not in values:
            raise refused(f".{key}: missing.")
    texts = {key: values.get(key, "") for key in KEYS}
    for key, value in texts.items():
        if not isinstance(value, str):
            raise refused(f".{key}: is {value!r}, expected a text, in quotation marks.")
    if not NAME.fullmatch(texts["name"]):
        raise refused(
            f".name: is {texts['name']!r}; a name has small letters, digits, '.', '_' and '-', and "
            "begins with a letter or digit."
        )
    if not SHA256.fullmatch(texts["sha256"]):
        raise refused(".sha256: expected the 64 hexadecimal digits that sha256sum prints.")
    location = texts["location"]
    if not location.startswith(REMOTE):
        if "://" in location:
            raise refused(f".location: {location} is neither http, https, hf: nor a file.")
        if ".." in PurePosixPath(location).parts:
            raise refused(f".location: {location} leads out of the registry's folder.")
        texts["location"] = str(path.parent / location)
    return Entry(**texts, known_from=known_from)


def _fetched() -> Iterator[Entry]:
    for note in sorted(cache_folder().glob("*.json")):
        with suppress(OSError, ValueError, KeyError, TypeError):
            content = json.loads(note.read_text("utf-8"))
            if NAME.fullmatch(note.stem) and note.with_suffix(".h5").is_file():
                yield Entry(
                    note.stem,
                    str(note.with_suffix(".h5")),
                    content["sha256"],
                    content["version"],
                    content["summary"],
                    FETCHED,
                )
