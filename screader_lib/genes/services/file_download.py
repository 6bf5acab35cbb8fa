"""One file downloaded over HTTP, tried again where the connection is cut."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import urllib3
from urllib3 import exceptions

from screader_lib.errors import ScReaderError
from screader_lib.genes.services.bounded import within
from screader_lib.genes.services.service import (
    RETRIED,
    Pace,
    Passing,
    Service,
    Unreachable,
    check_allowed,
    pool_for,
)
from screader_lib.genes.services.web_client import blocks_of, in_words
from screader_lib.reporting import SILENT, Reporter

ATTEMPTS = 5
MAX_BYTES = 4 << 30  # NCBI's largest file has 1.3 GB
LIMIT = 600.0  # seconds to the first byte, and by which the slowest download may be late
SLOWEST = 20_000  # bytes a second
NO_CONNECTION = (exceptions.ConnectTimeoutError, exceptions.ProxyError)


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
    no_connection: list[Passing] = []

    def once() -> str:
        retries = urllib3.Retry(0, redirect=3)
        try:
            with in_words():
                answer = within(
                    server.limit,
                    lambda: pool.request(
                        "GET", server.url, retries=retries, headers=headers, preload_content=False
                    ),
                )
                return _save(answer, server, target, remedy)
        except Passing as failure:
            if isinstance(getattr(failure.__cause__, "reason", None), NO_CONNECTION):
                no_connection.append(failure)
            if len(no_connection) < 2:
                raise
            raise Unreachable("cannot be reached.", file=server.url, remedy=remedy) from None

    with pool_for(server.url, timeout=timeout) as pool:
        try:
            return server.tried(once)
        except Passing as failure:
            raise _failed(server, f"{failure.reason}, {ATTEMPTS} times", remedy) from None


def _save(answer: urllib3.BaseHTTPResponse, server: Service, target: Path, remedy: str) -> str:
    with answer:
        if answer.status in RETRIED:
            raise Passing(f"HTTP status {answer.status}", answer.headers)
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
                    raise Passing("no answer in time")
                stream.write(block)
                advance(len(block))
        return answer.headers.get("Last-Modified") or ""


def _failed(server: Service, reason: str, remedy: str) -> ScReaderError:
    return ScReaderError(f"cannot be downloaded: {reason}.", file=server.url, remedy=remedy)
