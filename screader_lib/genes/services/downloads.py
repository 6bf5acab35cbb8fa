"""NCBI's bulk files, downloaded once into the cache folder, dated, with their SHA-256."""

from __future__ import annotations

import gzip
import json
import zlib
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import urllib3
from urllib3 import exceptions

from screader_lib.errors import ScReaderError
from screader_lib.exchange.provenance import sha256_of
from screader_lib.exchange.writing import replacing
from screader_lib.genes.records import Organism
from screader_lib.genes.services.service import (
    RETRIED,
    Pace,
    Service,
    Unreachable,
    check_allowed,
    pool_for,
)
from screader_lib.genes.services.web_client import Retries, in_words, next_attempt
from screader_lib.reporting import SILENT, Reporter

URL = "https://ftp.ncbi.nlm.nih.gov/gene/DATA"
ALL_SPECIES = "All_Data"
BLOCK = 1 << 20
ATTEMPTS = 5
OPTIONS = {"gene_orthologs.gz": "--orthologs", "gene_history.gz": "--gene-history"}
NO_CONNECTION = (exceptions.ConnectTimeoutError, exceptions.ProxyError)


def info_path(organism: Organism) -> str:
    """Where gene_info of a species lies; that of all species where it has none of its own."""
    return f"GENE_INFO/{organism.gene_info or ALL_SPECIES}.gene_info.gz"


def local_copy(
    path: str, folder: Path, url: str = URL, refresh: bool = False, reporter: Reporter = SILENT
) -> Path:
    """The local copy of the file at ``path`` below ``url``, downloaded where it is missing.

    A note beside it, with ``.json`` added, holds URL, date and SHA-256; a copy that no longer
    agrees with its note is downloaded again, and so is any with ``refresh``. ScReaderError where
    the download fails, Unreachable where there is no way to the server.
    """
    local = folder / "ncbi-files" / Path(path).name
    note = local.with_name(f"{local.name}.json")
    known = None if refresh else _valid_note(local, note)
    if known is not None:
        reporter.detail(f"{local.name}: copy of {known['downloaded'][:10]}.")
        return local
    source = f"{url.rstrip('/')}/{path}"
    server = Service("the download", source, Pace(10), reporter=reporter, attempts=ATTEMPTS)
    check_allowed(server.url, _remedy(server.url))
    try:
        local.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ScReaderError(
            f"cannot be created ({error.strerror}).",
            file=local.parent,
            remedy="Name another folder with --cache.",
        ) from error
    reporter.info(f"downloading {server.url}")
    with replacing(local) as temporary:
        modified = _download(server, temporary)
        _check_gzip(temporary, server.url)
        content = {
            "url": server.url,
            "downloaded": datetime.now(UTC).isoformat(timespec="seconds"),
            "last_modified": modified,
            "sha256": sha256_of(temporary),
        }
    with replacing(note) as temporary:
        temporary.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", "utf-8")
    return local


def _valid_note(local: Path, note: Path) -> dict[str, Any] | None:
    """The note of a copy that agrees with it, None where there is no such copy."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        content = json.loads(note.read_text("utf-8"))
        if content["sha256"] == sha256_of(local) and content["downloaded"]:
            return dict(content)
    return None


def _download(server: Service, temporary: Path) -> str:
    """Fill ``temporary``; the server's date of the file, empty where it names none."""
    retries: urllib3.Retry = Retries(server, connect=1, redirect=3)
    timeout = urllib3.Timeout(connect=10.0, read=server.timeout)
    try:
        with pool_for(server.url, timeout=timeout) as pool:
            while True:
                answer = pool.request("GET", server.url, retries=retries, preload_content=False)
                try:
                    return _save(answer, server, temporary)
                except exceptions.HTTPError as error:
                    retries = next_attempt(answer.retries, error)
    except exceptions.MaxRetryError as error:
        if isinstance(error.reason, NO_CONNECTION):
            problem = "cannot be reached."
            raise Unreachable(problem, file=server.url, remedy=_remedy(server.url)) from error
        raise _failed(server, f"{in_words(error)}, {ATTEMPTS} times") from error


def _save(answer: urllib3.BaseHTTPResponse, server: Service, temporary: Path) -> str:
    with answer:
        if answer.status in RETRIED:
            raise _failed(server, f"HTTP status {answer.status}, {ATTEMPTS} times")
        if answer.status != 200:
            raise _failed(server, f"HTTP status {answer.status}")
        total = answer.length_remaining or 0
        with (
            temporary.open("wb") as target,
            server.reporter.progress("Downloading", total, "bytes") as advance,
        ):
            for block in answer.stream(BLOCK, decode_content=False):
                target.write(block)
                advance(len(block))
        return answer.headers.get("Last-Modified") or ""


def _failed(server: Service, reason: str) -> ScReaderError:
    problem = f"cannot be downloaded: {reason}."
    return ScReaderError(problem, file=server.url, remedy=_remedy(server.url))


def _remedy(source: str) -> str:
    option = OPTIONS.get(source.rpartition("/")[2])
    if option:
        return f"Give a local copy with {option}."
    return "Give local copies with --gene-info and --gene-summary."


def _check_gzip(path: Path, source: str) -> None:
    try:
        with gzip.open(path) as stream:
            while stream.read(BLOCK):
                pass
    except (OSError, EOFError, zlib.error) as error:
        raise ScReaderError(
            "was not received as a complete gzip file.", file=source, remedy="Try again."
        ) from error
