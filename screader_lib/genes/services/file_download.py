"""One file downloaded over HTTP, tried again where the connection is cut."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import urllib3
from urllib3 import exceptions

from screader_lib.errors import ScReaderError
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

BLOCK = 1 << 20
ATTEMPTS = 5
NO_CONNECTION = (exceptions.ConnectTimeoutError, exceptions.ProxyError)


def download(
    url: str,
    target: Path,
    remedy: str = "",
    reporter: Reporter = SILENT,
    headers: Mapping[str, str] | None = None,
) -> str:
    """Fill ``target`` with the file at ``url``; the server's date of it, "" where it names none.

    ``headers``, which may hold a secret, go to the host of ``url`` alone and into no message.
    ScReaderError, ending with the ``remedy``, where the download fails; Unreachable where there
    is no way to the server, or none is allowed (``SCREADER_OFFLINE``).
    """
    server = Service("the download", url, Pace(10), reporter=reporter, attempts=ATTEMPTS)
    check_allowed(server.url, remedy)
    reporter.info(f"downloading {server.url}")
    retries: urllib3.Retry = Retries(server, connect=1, redirect=3)
    timeout = urllib3.Timeout(connect=10.0, read=server.timeout)
    try:
        with pool_for(server.url, timeout=timeout) as pool:
            while True:
                answer = pool.request(
                    "GET", server.url, retries=retries, headers=headers, preload_content=False
                )
                try:
                    return _save(answer, server, target, remedy)
                except exceptions.HTTPError as error:
                    retries = next_attempt(answer.retries, error)
    except exceptions.MaxRetryError as error:
        if isinstance(error.reason, NO_CONNECTION):
            problem = "cannot be reached."
            raise Unreachable(problem, file=server.url, remedy=remedy) from error
        raise _failed(server, f"{in_words(error)}, {ATTEMPTS} times", remedy) from error


def _save(answer: urllib3.BaseHTTPResponse, server: Service, target: Path, remedy: str) -> str:
    with answer:
        if answer.status in RETRIED:
            raise _failed(server, f"HTTP status {answer.status}, {ATTEMPTS} times", remedy)
        if answer.status != 200:
            raise _failed(server, f"HTTP status {answer.status}", remedy)
        total = answer.length_remaining or 0
        with (
            target.open("wb") as stream,
            server.reporter.progress("Downloading", total, "bytes") as advance,
        ):
            for block in answer.stream(BLOCK, decode_content=False):
                stream.write(block)
                advance(len(block))
        return answer.headers.get("Last-Modified") or ""


def _failed(server: Service, reason: str, remedy: str) -> ScReaderError:
    return ScReaderError(f"cannot be downloaded: {reason}.", file=server.url, remedy=remedy)
