"""NCBI's bulk files, downloaded once into the cache folder, dated, with their SHA-256."""

from __future__ import annotations

import gzip
import json
import zlib
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from screader_lib.errors import ScReaderError
from screader_lib.exchange.provenance import sha256_of
from screader_lib.exchange.writing import replacing
from screader_lib.genes.organisms import Organism
from screader_lib.genes.services.addresses import (
    Unreachable,
    check_allowed,
    checked_url,
    pool_for,
)
from screader_lib.genes.services.waiting import Failure, pause, retry_after
from screader_lib.genes.services.web import RETRIED, in_words
from screader_lib.reporting import SILENT, Reporter

URL = "https://ftp.ncbi.nlm.nih.gov/gene/DATA"
ALL_SPECIES = "All_Data"
BLOCK = 1 << 20
ATTEMPTS = 5
FIRST_PAUSE = 1.0  # seconds
REMEDIES = {
    "gene_orthologs.gz": "Give a local copy with --orthologs.",
    "gene_history.gz": "Give a local copy with --gene-history.",
}
REMEDY = "Give local copies with --gene-info and --gene-summary."


def info_path(organism: Organism) -> str:
    """Where gene_info of a species lies; that of all species where it has none of its own."""
    return f"GENE_INFO/{organism.file or ALL_SPECIES}.gene_info.gz"


def fetched(
    path: str, folder: Path, url: str = URL, refresh: bool = False, reporter: Reporter = SILENT
) -> Path:
    """The local copy of the file at ``path`` below ``url``, downloaded where it is missing.

    A note beside it, with ``.json`` added, holds URL, date and SHA-256; a copy that no longer
    agrees with its note is downloaded again. ScReaderError where the download fails, Unreachable
    where there is no way to the server.
    """
    local = folder / "ncbi-files" / Path(path).name
    note = local.with_name(f"{local.name}.json")
    known = None if refresh else _noted(local, note)
    if known is not None:
        reporter.detail(f"{local.name}: copy of {known['downloaded'][:10]}.")
        return local
    source = f"{checked_url(url)}/{path}"
    check_allowed(source, _remedy(source))
    try:
        local.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ScReaderError(
            f"cannot be made ({error.strerror}).",
            file=local.parent,
            remedy="Name another folder with --cache.",
        ) from error
    reporter.info(f"downloading {source}")
    with replacing(local) as temporary:
        modified = _download(source, temporary, reporter)
        _check_gzip(temporary, source)
        content = {
            "url": source,
            "downloaded": datetime.now(UTC).isoformat(timespec="seconds"),
            "last_modified": modified,
            "sha256": sha256_of(temporary),
        }
    with replacing(note) as temporary:
        temporary.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", "utf-8")
    return local


def _remedy(source: str) -> str:
    return REMEDIES.get(source.rpartition("/")[2], REMEDY)


def _noted(local: Path, note: Path) -> dict[str, Any] | None:
    """The note of a copy that agrees with it, None where there is no such copy."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        content = json.loads(note.read_text("utf-8"))
        if content["sha256"] == sha256_of(local) and content["downloaded"]:
            return dict(content)
    return None


def _download(source: str, temporary: Path, reporter: Reporter) -> str:
    """Fill ``temporary``; the server's date of the file, empty where it names none."""
    import urllib3

    # Waiting is done here, where it is told; urllib3 follows redirections only.
    retries = urllib3.Retry(
        total=None, connect=0, read=0, status=0, other=0, redirect=3,
        respect_retry_after_header=False,
    )  # fmt: skip
    timeout = urllib3.Timeout(connect=10.0, read=60.0)
    failure = Failure("")
    with pool_for(source, retries=retries, timeout=timeout) as pool:
        for attempt in range(ATTEMPTS):
            if attempt:
                pause("the download", source, attempt, FIRST_PAUSE, failure, reporter)
            try:
                done = _download_once(pool, source, temporary, reporter)
            except urllib3.exceptions.HTTPError as error:
                if attempt:
                    _check_reachable(error, source)
                done = Failure(in_words(error))
            if isinstance(done, str):
                return done
            failure = done
    raise ScReaderError(
        f"cannot be downloaded: {failure.why}, {ATTEMPTS} times.",
        file=source,
        remedy=_remedy(source),
    )


def _check_reachable(error: Exception, source: str) -> None:
    """Unreachable where a connection could not even be made."""
    from urllib3 import exceptions

    reason = getattr(error, "reason", None)
    if isinstance(
        reason,
        exceptions.NewConnectionError | exceptions.ConnectTimeoutError | exceptions.ProxyError,
    ):
        raise Unreachable("cannot be reached.", file=source, remedy=_remedy(source)) from error


def _download_once(pool: Any, source: str, temporary: Path, reporter: Reporter) -> str | Failure:
    answer = pool.request("GET", source, preload_content=False)
    try:
        if answer.status in RETRIED:
            return Failure(f"HTTP status {answer.status}", retry_after(answer.headers))
        if answer.status != 200:
            raise ScReaderError(
                f"cannot be downloaded: HTTP status {answer.status}.",
                file=source,
                remedy=_remedy(source),
            )
        total = int(answer.headers.get("Content-Length") or 0)
        with (
            temporary.open("wb") as target,
            reporter.progress("Downloading", total, "bytes") as advance,
        ):
            for block in answer.stream(BLOCK, decode_content=False):
                target.write(block)
                advance(len(block))
        return str(answer.headers.get("Last-Modified") or "")
    finally:
        answer.close()


def _check_gzip(path: Path, source: str) -> None:
    try:
        with gzip.open(path) as stream:
            while stream.read(BLOCK):
                pass
    except (OSError, EOFError, zlib.error) as error:
        raise ScReaderError(
            "came as something other than a whole gzip file.", file=source, remedy="Try again."
        ) from error
