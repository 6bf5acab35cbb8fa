"""Forms and JSON to NCBI's services: urllib3's retries, at a limited rate, with checked answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self, TypeVar

import urllib3
from urllib3 import exceptions

from screader_lib import __version__
from screader_lib.genes.services.service import (
    RETRIED,
    TRY_LATER,
    BadAnswer,
    Service,
    check_allowed,
    pool_for,
)

T = TypeVar("T")


class Retries(urllib3.Retry):
    """urllib3's retries of a request to ``service``, at its pace and with its pauses.

    A bad status of the last attempt is the caller's to see; other failures are MaxRetryError.
    """

    def __init__(self, service: Service, **settings: Any) -> None:
        ours: dict[str, Any] = {
            "total": service.attempts - 1,
            "allowed_methods": None,  # all
            "status_forcelist": RETRIED,
            "raise_on_status": False,
        }
        super().__init__(**ours | settings)
        self.service = service

    def new(self, **changes: Any) -> Self:
        return super().new(service=self.service, **changes)

    def sleep(self, response: urllib3.BaseHTTPResponse | None = None) -> None:
        last = self.history[-1]
        reason = f"HTTP status {last.status}" if last.status else in_words(last.error)
        headers = {} if response is None else response.headers
        self.service.pause(len(self.history), reason, headers)
        self.service.pace.wait()


def next_attempt(retries: urllib3.Retry | None, error: Exception) -> urllib3.Retry:
    """Pause after an answer that proved bad; what is left of ``retries``, or MaxRetryError."""
    left = (retries or urllib3.Retry(0)).increment("POST", error=error)
    left.sleep()
    return left


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
        retries: urllib3.Retry = Retries(self)
        self.pace.wait()
        try:
            while True:
                answer = None
                try:
                    answer = self._pool.request(
                        "POST", f"{self.url}/{path}", redirect=False, retries=retries, **content
                    )
                    if answer.status in RETRIED:
                        raise self._no_answer(f"HTTP status {answer.status}")
                    if answer.status != 200:
                        raise self.refused(answer.status, answer.data)
                    return parse(answer.data)
                except (BadAnswer, exceptions.DecodeError) as error:
                    retries = next_attempt(answer.retries if answer else retries, error)
        except exceptions.HTTPError as error:
            raise self._no_answer(in_words(error)) from error

    def _no_answer(self, reason: str) -> Exception:
        problem = f"gave no usable answer in {self.attempts} attempts, the last time: {reason}."
        return self.error(problem, TRY_LATER)

    @cached_property
    def _pool(self) -> urllib3.PoolManager:
        timeout = urllib3.Timeout(connect=min(10.0, self.timeout), read=self.timeout)
        headers = {
            "User-Agent": f"screader-suite/{__version__}",
            "Accept-Encoding": "gzip",
            **self.headers,
        }
        return pool_for(self.url, headers=headers, timeout=timeout)


def in_words(error: Exception | None) -> str:
    """What went wrong on the way to a server, or with its answer."""
    error = getattr(error, "reason", None) or error
    if isinstance(error, BadAnswer):
        return str(error)
    if isinstance(error, exceptions.NewConnectionError | exceptions.ProxyError):
        return "no connection"
    if isinstance(error, exceptions.TimeoutError):
        return "no answer in time"
    if isinstance(error, exceptions.ProtocolError | exceptions.DecodeError):
        return "the connection was cut"
    return type(error).__name__
