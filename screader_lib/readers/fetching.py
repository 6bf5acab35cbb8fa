"""A reader by name or path as a file that has been checked; fetched into the cache where needed.

What comes from elsewhere has the SHA-256 that was stated, and is a valid reader: its values are
checked before it is kept. Nothing in it is ever run. Source: the Hugging Face hub's addresses,
``/ORG/REPO/resolve/REVISION/FILE``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path, PurePosixPath

from screader_lib.errors import ScReaderError
from screader_lib.exchange import validation
from screader_lib.exchange.opening import open_exchange
from screader_lib.exchange.provenance import sha256_of
from screader_lib.exchange.writing import replacing, temporary_file
from screader_lib.genes.services.service import secret_of
from screader_lib.readers import registry as registries
from screader_lib.readers.card import NAME, card_of
from screader_lib.readers.registry import FETCHED, OWN, REMOTE, Entry
from screader_lib.reporting import SILENT, Reporter

HUB = re.compile(
    r"hf:(?P<repository>[\w.-]+/[\w.-]+)(?:/(?P<file>[\w.-]+(?:/[\w.-]+)*))?(?:@(?P<revision>[\w.-]+))?"
)
READER = "reader.h5"
MAX_BYTES = 2 << 30
BY_HAND = "Fetch it on a machine with a network, and give the file."


def find_reader(
    name: str | Path, registry: str | Path | None = None, reporter: Reporter = SILENT
) -> Path:
    """The file of a reader: ``name`` where there is such a file, else the reader of that name.

    A reader that lies elsewhere, by the ``registry`` (by default of ``SCREADER_READERS``), is
    fetched first. ScReaderError where there is none of this name, or its file is not the one that
    the registry means.
    """
    path, name = Path(name), str(name)
    if name == "-" or (path.exists() and not path.is_dir()):
        return path
    if path.is_dir() and all(name != entry.name for entry in registries.known_readers(registry)):
        return path  # which is told where it is opened
    return _file_of(registries.entry_of(name, registry), registry, reporter)


def fetch(
    source: str,
    registry: str | Path | None = None,
    name: str | None = None,
    sha256: str | None = None,
    reporter: Reporter = SILENT,
) -> Entry:
    """Put the reader at ``source`` into the cache: a name, file, folder, URL or ``hf:ORG/REPO``.

    ``name`` is what it is called from then on, by default the name in its card; ``sha256`` what
    its file must have. ScReaderError where it is not a valid reader, or not the one meant.
    """
    if Path(source).exists() or source.startswith(REMOTE):
        return _keep(source, name, sha256, registry, reporter)
    entry = registries.entry_of(source, registry)
    if entry.known_from == OWN and not entry.is_remote:
        return _keep(entry.location, entry.name, entry.sha256, registry, reporter)
    _file_of(entry, registry, reporter)
    return entry


def _file_of(entry: Entry, registry: str | Path | None, reporter: Reporter) -> Path:
    """The reader's file, with the SHA-256 of its entry."""
    if not entry.is_remote:
        path = Path(entry.location)
        if not path.is_file():
            raise ScReaderError("no such file, though a registry names it.", file=path)
        _check_sha256(path, entry.sha256, str(path))
        return path
    path = _kept_file(entry.name)
    if not path.is_file() or sha256_of(path) != entry.sha256:
        _keep(entry.location, entry.name, entry.sha256, registry, reporter)
    return path


def _kept_file(name: str) -> Path:
    return registries.cache_folder() / f"{name}.h5"


def _keep(
    source: str,
    name: str | None,
    sha256: str | None,
    registry: str | Path | None,
    reporter: Reporter,
) -> Entry:
    """Copy a reader into the cache, with a note beside it, both in one step each."""
    folder = registries.cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        problem = f"cannot be created ({error.strerror})."
        raise ScReaderError(problem, file=folder, remedy="Set SCREADER_CACHE.") from error
    with temporary_file("fetched", folder) as temporary:
        _take(source, temporary, reporter)
        got = _check_sha256(temporary, sha256, source)
        card = _validated(temporary, source)
        name = name or card.get("name")
        if name is None or not NAME.fullmatch(name):
            what = "has no card with its name" if name is None else f"cannot be called {name!r}"
            remedy = "Give a name of small letters, digits, '.', '_' and '-' with --name."
            raise ScReaderError(f"{what}.", file=source, remedy=remedy)
        known = {entry.name: entry for entry in registries.known_readers(registry)}
        if name in known and known[name].known_from != FETCHED and known[name].sha256 != got:
            problem = f"another reader is called {name!r} already ({known[name].known_from})."
            raise ScReaderError(problem, file=source, remedy="Give another name with --name.")
        words = {key: str(card.get(key, "")) for key in ("version", "summary")}
        note = {"location": source, "sha256": got, **words}
        target = _kept_file(name)
        with replacing(target) as copy:
            shutil.copyfile(temporary, copy)
        with replacing(target.with_suffix(".json")) as text:
            text.write_text(json.dumps(note, indent=1, sort_keys=True) + "\n", "utf-8")
    return Entry(name, str(target), got, **words, known_from=FETCHED)


def _take(source: str, target: Path, reporter: Reporter) -> None:
    """Fill ``target`` with the reader at ``source``."""
    if source.startswith(REMOTE):
        from screader_lib.genes.services.downloads import download

        url, headers = source, {}
        if source.startswith("hf:"):
            url, token = _hub_url(source), secret_of("HF_TOKEN")
            headers = {"Authorization": f"Bearer {token}"} if token else {}
        download(url, target, BY_HAND, reporter, headers, MAX_BYTES)
        return
    path = Path(source)
    if path.is_dir():
        files = [path / READER] if (path / READER).is_file() else sorted(path.glob("*.h5"))
        if len(files) != 1:
            names = ", ".join(file.name for file in files[:5]) or "none"
            problem = f"has no {READER}, nor a single .h5 file (found: {names})."
            raise ScReaderError(problem, file=source, remedy="Give the reader's file.")
        path = files[0]
    shutil.copyfile(path, target)


def _hub_url(source: str) -> str:
    match = HUB.fullmatch(source)
    parts = PurePosixPath(source.removeprefix("hf:")).parts
    if match is None or not {".", ".."}.isdisjoint(parts):
        raise ScReaderError(
            "expected hf:ORG/REPO, hf:ORG/REPO/FILE or these @REVISION.", file=source
        )
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    file, revision = match["file"] or READER, match["revision"] or "main"
    return f"{endpoint.rstrip('/')}/{match['repository']}/resolve/{revision}/{file}"


def _check_sha256(path: Path, expected: str | None, source: str) -> str:
    """The file's SHA-256; ScReaderError where it is not the one ``expected``."""
    got = sha256_of(path)
    if expected is not None and got != expected.lower():
        raise ScReaderError(
            f"is not the reader that is meant: its SHA-256 is {got}, expected {expected}.",
            file=source,
            remedy="It was changed, or not received whole.",
        )
    return got


def _validated(path: Path, source: str) -> dict:
    """The card of a file that is a valid reader, empty where it has none; else ScReaderError."""
    from screader_lib.reader.reader_file import read_reader

    with open_exchange(path, "reader", name=source) as opened:
        problems = validation.problems(opened.file, opened.schema, values_up_to=None)
        if problems:
            raise ScReaderError(f"{problems[0]}.", file=source, remedy="It is damaged.")
        read_reader(opened)
        return card_of(opened)
