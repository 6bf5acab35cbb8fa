"""Polite HTTP: paced, retried with growing pauses, answers checked before they are believed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from screader_lib import __version__
from screader_lib.errors import ScReaderError
from screader_lib.genes.services.addresses import check_allowed, checked_url, pool_for
from screader_lib.genes.services.answers import BadAnswer, first_line
from screader_lib.genes.services.keys import hidden
from screader_lib.genes.services.pace import Pace
from screader_lib.genes.services.waiting import Failure, pause, retry_after
from screader_lib.reporting import SILENT, Reporter

if TYPE_CHECKING:
    import urllib3

T = TypeVar("T")
RETRIED = {408, 429, 500, 502, 503, 504}
KEY_REFUSED = {401, 403}


@dataclass
class Client:
    """Asks one service at ``url``; ``secret`` never appears in a message.

    A request is tried ``attempts`` times, pausing ``first_pause`` seconds, then twice as long
    each time, with jitter, or as long as the server asks (Retry-After).
    """

    service: str
    url: str
    pace: Pace
    secret: str = ""
    reporter: Reporter = SILENT
    attempts: int = 6
    first_pause: float = 1.0
    timeout: float = 60.0
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.url = checked_url(self.url)

    @cached_property
    def _pool(self) -> urllib3.PoolManager:
        import urllib3

        timeout = urllib3.Timeout(connect=min(10.0, self.timeout), read=self.timeout)
        headers = {
            "User-Agent": f"screader-suite/{__version__}",
            "Accept-Encoding": "gzip",
            **self.headers,
        }
        return pool_for(self.url, headers=headers, timeout=timeout, retries=False)

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
        failure = Failure("")
        for attempt in range(self.attempts):
            if attempt:
                self._pause(attempt, failure)
            self.pace.wait()
            answer = self._try(path, form, body)
            if isinstance(answer, Failure):
                failure = answer
                continue
            try:
                return parse(answer)
            except BadAnswer as bad:
                failure = Failure(str(bad))
        raise ScReaderError(
            f"{self.service} gave no usable answer in {self.attempts} attempts, the last time: "
            f"{self._hidden(failure.why)}.",
            file=self.url,
            remedy="Try again later; answers so far are kept.",
        )

    def _try(self, path: str, form: Mapping[str, str] | None, body: Any) -> bytes | Failure:
        """The body of an answer with status 200, or why there is none."""
        import urllib3

        what: dict[str, Any] = {"json": body}
        if form is not None:
            what = {"fields": dict(form), "encode_multipart": False}
        try:
            answer = self._pool.request("POST", f"{self.url}/{path}", redirect=False, **what)
        except urllib3.exceptions.HTTPError as error:
            return Failure(in_words(error))
        if answer.status in RETRIED:
            asked = retry_after(answer.headers)
            return Failure(f"HTTP status {answer.status}", asked)
        if answer.status in KEY_REFUSED:
            # The body may repeat the key, or part of it.
            raise ScReaderError(
                f"{self.service} refused the request with HTTP status {answer.status}.",
                file=self.url,
                remedy="Check the key in the environment.",
            )
        if answer.status != 200:
            said = self._hidden(first_line(answer.data))
            raise ScReaderError(
                f"{self.service} refused with HTTP status {answer.status}{said and f' ({said})'}.",
                file=self.url,
            )
        return answer.data

    def _pause(self, attempt: int, failure: Failure) -> None:
        shown = replace(failure, why=self._hidden(failure.why))
        pause(self.service, self.url, attempt, self.first_pause, shown, self.reporter)

    def _hidden(self, text: str) -> str:
        return hidden(text, self.secret)


def in_words(error: Exception) -> str:
    """What went wrong on the way to a server."""
    import urllib3.exceptions as kinds

    error = getattr(error, "reason", None) or error
    if isinstance(error, kinds.TimeoutError):
        return "no answer in time"
    if isinstance(error, kinds.NewConnectionError | kinds.NameResolutionError):
        return "no connection"
    if isinstance(error, kinds.ProtocolError | kinds.DecodeError):
        return "the connection was cut"
    return type(error).__name__
