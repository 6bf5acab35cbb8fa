"""OpenAI, and servers that answer as it does, asked through the ``openai`` package.

The package tries again after cut connections, timeouts and statuses 408, 409, 429 and 5xx, with
growing pauses and jitter, or as long as the server asks (Retry-After). Answers that are not what
was asked for are tried again here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from screader_lib.errors import ScReaderError
from screader_lib.genes.services import keys
from screader_lib.genes.services.addresses import check_allowed, checked_url
from screader_lib.genes.services.answers import BadAnswer, first_line
from screader_lib.genes.services.pace import Pace
from screader_lib.reporting import SILENT, Reporter

if TYPE_CHECKING:
    import openai

T = TypeVar("T")
URL = "https://api.openai.com/v1"
KEY_REFUSED = {401, 403}
ROUNDS = 3  # of an answer that is not what was asked for


@dataclass
class OpenAIServer:
    """Asks ``service`` at ``url``; the key is read from OPENAI_API_KEY and shown nowhere.

    Every attempt keeps to ``pace``. ``own`` is the option that names another server.
    """

    service: str
    url: str
    pace: Pace
    own: str
    reporter: Reporter = SILENT
    attempts: int = 6
    first_pause: float = 1.0  # seconds, before an answer that was no use is asked for again
    timeout: float = 120.0

    def __post_init__(self) -> None:
        self.url = checked_url(self.url)
        self.key = keys.secret_of(keys.OPENAI)

    def check_key(self) -> None:
        """ScReaderError where OpenAI itself is asked and there is no key."""
        if not self.key and self.url == URL:
            raise ScReaderError(
                f"OpenAI needs a key, and {keys.OPENAI} is not set.",
                remedy=f"Set it, or name a server of your own with {self.own}.",
            )

    def ask(self, call: Callable[[openai.OpenAI], Any], parse: Callable[[bytes], T]) -> T:
        """What ``parse`` makes of the body that ``call``, a ``with_raw_response`` method, brings.

        ``parse`` raises BadAnswer for an answer that is not what was asked for. ScReaderError in
        one line where no attempt brings a good answer.
        """
        self.check_key()
        check_allowed(self.url)
        why = ""
        for attempt in range(ROUNDS):
            if attempt:
                self.reporter.detail(f"{self.service}: {why}; trying again.")
                time.sleep(self.first_pause * 2 ** (attempt - 1))
            try:
                return parse(self._body(call))
            except BadAnswer as bad:
                why = keys.hidden(str(bad), self.key)
        raise self._gave_up(f"gave no usable answer {ROUNDS} times, the last was {why}")

    def _body(self, call: Callable[[openai.OpenAI], Any]) -> bytes:
        import openai

        try:
            body: bytes = call(self._client).content
        except openai.APIStatusError as error:
            raise self._refused(error.status_code, error.response.content) from None
        except openai.APITimeoutError:
            raise self._gave_up("gave no answer in time") from None
        except openai.APIConnectionError as error:
            no_way = "Connect" in type(error.__cause__).__name__
            raise self._gave_up("cannot be reached" if no_way else "cut the connection") from None
        return body

    def _refused(self, status: int, body: bytes) -> ScReaderError:
        if status in KEY_REFUSED:
            # The body may repeat the key, or part of it.
            return ScReaderError(
                f"{self.service} refused the request with HTTP status {status}.",
                file=self.url,
                remedy="Check the key in the environment.",
            )
        if status == 429 or status >= 500:
            return self._gave_up(f"answered with HTTP status {status}")
        said = keys.hidden(first_line(body), self.key)
        return ScReaderError(
            f"{self.service} refused with HTTP status {status}{said and f' ({said})'}.",
            file=self.url,
        )

    def _gave_up(self, why: str) -> ScReaderError:
        return ScReaderError(
            f"{self.service} {why}, after {self.attempts} attempts.",
            file=self.url,
            remedy="Try again later; answers so far are kept.",
        )

    @cached_property
    def _client(self) -> openai.OpenAI:
        import openai

        hooks: dict[str, list[Callable]] = {"request": [self._prepare], "response": [self._tell]}
        return openai.OpenAI(
            api_key=self.key or "none",
            base_url=self.url,
            max_retries=self.attempts - 1,
            timeout=self.timeout,
            http_client=openai.DefaultHttpxClient(event_hooks=hooks),
        )

    def _prepare(self, request: Any) -> None:
        """Before each attempt; a server that needs no key is sent none."""
        if not self.key:
            request.headers.pop("Authorization", None)
        self.pace.wait()

    def _tell(self, response: Any) -> None:
        if response.status_code >= 400:
            self.reporter.detail(f"{self.service}: HTTP status {response.status_code}.")
