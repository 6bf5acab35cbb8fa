"""Forms and JSON to NCBI's services: tried again, at a limited rate, with checked answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import urllib3
from urllib3 import exceptions

from screader_lib import __version__
from screader_lib.genes.services.bounded import TooLong, bounded_body, within
from screader_lib.genes.services.service import (
    RETRIED,
    TRY_LATER,
    Service,
    TransientError,
    check_allowed,
    pool_for,
    without_secret_bytes,
)

T = TypeVar("T")
BLOCK = 1 << 16  # bytes


@dataclass
class WebClient(Service):
    """Asks a service; ``headers`` are sent with every request."""

    headers: Mapping[str, str] = field(default_factory=dict)

    def post(
        self,
        path: str,
        parse: Callable[[bytes], T],
        *,
        form: Mapping[str, str] | None = None,
        body: Any = None,
    ) -> T:
        """What ``parse`` makes of the answer to a form or a JSON body.

        ``parse`` raises BadAnswer for an answer that is not what was asked for. ScReaderError in
        one line where no attempt brings a good answer.
        """
        check_allowed(self.url)
        content: dict[str, Any] = {"json": body}
        if form is not None:
            content = {"fields": dict(form), "encode_multipart": False}

        def once() -> T:
            self.pace.wait()
            with naming_failures():
                status, headers, answer = within(self.limit, lambda: self._ask(path, content))
            if status in RETRIED:
                raise TransientError(f"HTTP status {status}", headers)
            if status != 200:
                raise self.refused(status, answer)
            return parse(without_secret_bytes(answer, self.secret))

        try:
            return self.tried(once)
        except TransientError as failure:
            reason = self.shown(failure.reason)
            problem = f"gave no usable answer in {self.attempts} attempts, the last time: {reason}."
            raise self.error(problem, TRY_LATER) from None
        except TooLong:
            raise self.too_long() from None

    def _ask(self, path: str, content: dict[str, Any]) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body of one answer."""
        answer = self._pool.request(
            "POST", f"{self.url}/{path}", retries=False, preload_content=False, **content
        )
        try:
            blocks = blocks_of(answer)
            encoding = answer.headers.get("Content-Encoding", "")
            return answer.status, answer.headers, bounded_body(blocks, encoding, self.max_bytes)
        except BaseException:
            answer.close()
            raise
        finally:
            answer.release_conn()

    @cached_property
    def _pool(self) -> urllib3.PoolManager:
        timeout = urllib3.Timeout(connect=min(10.0, self.timeout), read=self.timeout)
        headers = {
            "User-Agent": f"screader-suite/{__version__}",
            "Accept-Encoding": "gzip",
            **self.headers,
        }
        return pool_for(self.url, headers=headers, timeout=timeout)


def blocks_of(answer: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """The bytes of a body as they arrive, compressed as they were sent."""
    while block := answer.read1(BLOCK, decode_content=False):
        yield block


@contextmanager
def naming_failures() -> Iterator[None]:
    """TransientError where a request or its answer fails on the way."""
    try:
        yield
    except TimeoutError as error:
        raise TransientError("no answer in time") from error
    except exceptions.HTTPError as error:
        raise TransientError(_reason(error)) from error


def _reason(error: exceptions.HTTPError) -> str:
    cause = getattr(error, "reason", None) or error
    if isinstance(cause, exceptions.NewConnectionError | exceptions.ProxyError):
        return "no connection"
    if isinstance(cause, exceptions.TimeoutError):
        return "no answer in time"
    if isinstance(cause, exceptions.ProtocolError | exceptions.DecodeError):
        return "the connection was cut"
    return type(cause).__name__
