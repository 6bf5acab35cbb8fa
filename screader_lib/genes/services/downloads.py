"""Files over HTTP, tried again where the connection is cut; NCBI's bulk files, kept in the cache.

The latter are downloaded once, dated, with their SHA-256.
"""

from __future__ import annotations

import gzip
import json
import time
import zlib
from collections.abc import Mapping
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
from screader_lib.genes.services.bounded import within
from screader_lib.genes.services.service import (
    RETRIED,
    Pace,
    Service,
    TransientError,
    Unreachable,
    check_allowed,
    checked_url,
    pool_for,
)
from screader_lib.genes.services.web_client import blocks_of, naming_failures
from screader_lib.reporting import SILENT, Reporter

ATTEMPTS = 5
MAX_BYTES = 4 << 30  # NCBI's largest file has 1.3 GB
LIMIT = 600.0  # seconds to the first byte, and by which the slowest download may be late
SLOWEST = 20_000  # bytes a second
NO_CONNECTION = (exceptions.ConnectTimeoutError, exceptions.ProxyError)
URL = "https://ftp.ncbi.nlm.nih.gov/gene/DATA"
ALL_SPECIES = "All_Data"
HEADER = b"#tax_id"
BLOCK = 1 << 20  # bytes
MOST_COMPRESSED = 50  # NCBI's tables reach 10 : 1
SLACK = 64 << 20  # bytes
OPTIONS = {"gene_orthologs.gz": "--orthologs", "gene_history.gz": "--gene-history"}


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
    source = checked_url(f"{url.rstrip('/')}/{path}")
    check_allowed(source, _remedy(source))
    try:
        local.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ScReaderError(
            f"cannot be created ({error.strerror}).",
            file=local.parent,
            remedy="Name another folder with --cache.",
        ) from error
    with replacing(local) as temporary:
        modified = download(source, temporary, _remedy(source), reporter)
        _check(temporary, source)
        content = {
            "url": source,
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


def _remedy(source: str) -> str:
    option = OPTIONS.get(source.rpartition("/")[2])
    if option:
        return f"Give a local copy with {option}."
    return "Give local copies with --gene-info and --gene-summary."


def _check(path: Path, source: str) -> None:
    """ScReaderError unless this is a whole gzip file of one of NCBI's tables of genes."""
    most = path.stat().st_size * MOST_COMPRESSED + SLACK
    unpacked = 0
    try:
        with gzip.open(path) as stream:
            if stream.read(len(HEADER)) != HEADER:
                raise ScReaderError("is not a file of genes.", file=source, remedy=_remedy(source))
            while block := stream.read(BLOCK):
                unpacked += len(block)
                if unpacked > most:
                    raise ScReaderError(
                        "unpacks to more than any file of genes.",
                        file=source,
                        remedy=_remedy(source),
                    )
    except (OSError, EOFError, zlib.error) as error:
        raise ScReaderError(
            "was not received as a complete gzip file.", file=source, remedy="Try again."
        ) from error


def download(
    url: str,
    target: Path,
    remedy: str = "",
    reporter: Reporter = SILENT,
    headers: Mapping[str, str] | None = None,
    max_bytes: int | None = None,
) -> str:
    """Fill ``target`` with the file at ``url``; the server's date of it, "" where it names none.

    ``headers``, which may hold a secret, go to the host of ``url`` alone and into no message.
    ScReaderError, ending with the ``remedy``, where the download fails or has more than
    ``max_bytes`` (4 GB); Unreachable where there is no way to the server, or none is allowed
    (``SCREADER_OFFLINE``).
    """
    server = Service("the download", url, Pace(10), reporter=reporter, attempts=ATTEMPTS)
    server.limit, server.max_bytes = LIMIT, max_bytes or MAX_BYTES
    check_allowed(server.url, remedy)
    reporter.info(f"downloading {server.url}")
    timeout = urllib3.Timeout(connect=10.0, read=server.timeout)
    no_connection: list[TransientError] = []

    def once() -> str:
        retries = urllib3.Retry(0, redirect=3)
        try:
            with naming_failures():
                answer = within(
                    server.limit,
                    lambda: pool.request(
                        "GET", server.url, retries=retries, headers=headers, preload_content=False
                    ),
                )
                return _save(answer, server, target, remedy)
        except TransientError as failure:
            if isinstance(getattr(failure.__cause__, "reason", None), NO_CONNECTION):
                no_connection.append(failure)
            if len(no_connection) < 2:
                raise
            raise Unreachable("cannot be reached.", file=server.url, remedy=remedy) from None

    with pool_for(server.url, timeout=timeout) as pool:
        try:
            return server.tried(once)
        except TransientError as failure:
            raise _failed(server, f"{failure.reason}, {ATTEMPTS} times", remedy) from None


def _save(answer: urllib3.BaseHTTPResponse, server: Service, target: Path, remedy: str) -> str:
    with answer:
        if answer.status in RETRIED:
            raise TransientError(f"HTTP status {answer.status}", answer.headers)
        if answer.status != 200:
            raise _failed(server, f"HTTP status {answer.status}", remedy)
        total, received, start = answer.length_remaining or 0, 0, time.monotonic()
        with (
            target.open("wb") as stream,
            server.reporter.progress("Downloading", total, "bytes") as advance,
        ):
            for block in blocks_of(answer):
                received += len(block)
                if max(received, total) > server.max_bytes:
                    too_long = f"it has more than {server.max_bytes >> 20:,} MB"
                    raise _failed(server, too_long, remedy)
                if time.monotonic() - start > server.limit + received / SLOWEST:
                    raise TransientError("no answer in time")
                stream.write(block)
                advance(len(block))
        return answer.headers.get("Last-Modified") or ""


def _failed(server: Service, reason: str, remedy: str) -> ScReaderError:
    return ScReaderError(f"cannot be downloaded: {reason}.", file=server.url, remedy=remedy)
