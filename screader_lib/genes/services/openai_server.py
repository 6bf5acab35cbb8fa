"""OpenAI, and servers that answer as it does, asked through the ``openai`` package.

What may pass (cut connections, timeouts, statuses 408, 409, 429 and 5xx, and answers that are not
what was asked for) is tried again here and not by the package, which gives up the server's own
Retry-After beyond a minute and waits in silence.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from screader_lib.errors import ScReaderError
from screader_lib.genes.services import keys
from screader_lib.genes.services.addresses import check_allowed, checked_url
from screader_lib.genes.services.answers import BadAnswer, first_line
from screader_lib.genes.services.pace import Pace
from screader_lib.genes.services.waiting import Failure, pause, retry_after
from screader_lib.reporting import SILENT, Reporter

if TYPE_CHECKING:
    import openai

T = TypeVar("T")
URL = "https://api.openai.com/v1"
KEY_REFUSED = {401, 403}
PASSING = {408, 409, 429}
ROUNDS = 3  # of an answer that is not what was asked for
NO_QUOTA = b"insufficient_quota"
TOO_LARGE = re.compile(
    r"context length|too (?:long|large|many)|max\w* .{0,40}(?:tokens|batch|inputs|length)"
    r"|less than \d+ tokens|exceed.{0,60}(?:token|length|context)|token.{0,40}exceed",
    re.IGNORECASE,
)
LIMIT = re.compile(  # of OpenAI and vLLM, of text-embeddings-inference
    r"(?:context length is|less than) (\d+) tokens\D+(\d+)", re.IGNORECASE
)


class TooLarge(ScReaderError):
    """A request that a server takes in smaller pieces; ``share`` is the part that would fit."""

    def __init__(self, why: str, url: str, share: float | None) -> None:
        super().__init__(why, file=url, remedy="Choose fewer --fields, or another model.")
        self.share = share


@dataclass
class OpenAIServer:
    """Asks ``service`` at ``url``; the key is read from OPENAI_API_KEY and shown nowhere.

    Every attempt keeps to ``pace``. ``own`` is the option that names another server. Setting
    ``stopped`` ends the pauses of all threads.
    """

    service: str
    url: str
    pace: Pace
    own: str
    reporter: Reporter = SILENT
    attempts: int = 6
    first_pause: float = 1.0  # seconds
    timeout: float = 120.0

    def __post_init__(self) -> None:
        self.url = checked_url(self.url)
        self.key = keys.secret_of(keys.OPENAI)
        self.stopped = threading.Event()

    def check_key(self) -> None:
        """ScReaderError where OpenAI itself is asked and there is no key."""
        if not self.key and self.url == URL:
            raise ScReaderError(
                f"OpenAI needs a key, and {keys.OPENAI} is not set.",
                remedy=f"Set it, or name a server of your own with {self.own}.",
            )

    def ask(self, call: Callable[[openai.OpenAI], Any], parse: Callable[[bytes], T]) -> T:
        """What ``parse`` makes of the body that ``call``, a ``with_raw_response`` method, brings.

        ``parse`` raises BadAnswer for an answer that is not what was asked for. TooLarge where
        the server says so; any other ScReaderError in one line where no attempt brings a good
        answer.
        """
        self.check_key()
        check_allowed(self.url)
        failure, useless = Failure(""), 0
        for attempt in range(self.attempts):
            if attempt:
                pause(
                    self.service, self.url, attempt, self.first_pause, failure, self.reporter,
                    self.stopped,
                )  # fmt: skip
            answer = self._try(call)
            if isinstance(answer, Failure):
                failure = answer
                continue
            try:
                return parse(answer)
            except BadAnswer as bad:
                failure = Failure(f"gave no usable answer, but {keys.hidden(str(bad), self.key)}")
                useless += 1
                if useless == ROUNDS:  # it would be charged for again and again
                    raise self._gave_up(failure.why, useless) from None
        raise self._gave_up(failure.why, self.attempts)

    def _try(self, call: Callable[[openai.OpenAI], Any]) -> bytes | Failure:
        """The body of a good answer, or why there is none."""
        import openai

        try:
            body: bytes = call(self._client).content
        except openai.APIStatusError as error:
            return self._failure(error.response)
        except openai.APITimeoutError:
            return Failure("gave no answer in time")
        except openai.APIConnectionError as error:
            no_way = "Connect" in type(error.__cause__).__name__
            return Failure("cannot be reached" if no_way else "cut the connection")
        return body

    def _failure(self, answer: Any) -> Failure:
        """What may pass; ScReaderError where trying again is of no use."""
        status, said = answer.status_code, keys.hidden(first_line(answer.content), self.key)
        if status in KEY_REFUSED:
            # The body may repeat the key, or part of it.
            raise ScReaderError(
                f"{self.service} refused the request with HTTP status {status}.",
                file=self.url,
                remedy="Check the key in the environment.",
            )
        if NO_QUOTA in answer.content:
            raise ScReaderError(
                f"{self.service} says that the account has no quota left.",
                file=self.url,
                remedy="Check plan and billing; answers so far are kept.",
            )
        if status in PASSING or status >= 500:
            return Failure(f"answered with HTTP status {status}", retry_after(answer.headers))
        why = f"{self.service} refused with HTTP status {status}{said and f' ({said})'}."
        if status == 413 or (status in (400, 422) and TOO_LARGE.search(said)):
            raise TooLarge(why, self.url, _share(said))
        raise ScReaderError(why, file=self.url)

    def _gave_up(self, why: str, attempts: int) -> ScReaderError:
        return ScReaderError(
            f"{self.service} {why}, {attempts} times.",
            file=self.url,
            remedy="Try again later; answers so far are kept.",
        )

    @cached_property
    def _client(self) -> openai.OpenAI:
        import openai

        hooks: dict[str, list[Callable]] = {"request": [self._prepare]}
        return openai.OpenAI(
            api_key=self.key or "none",
            base_url=self.url,
            max_retries=0,
            timeout=self.timeout,
            http_client=openai.DefaultHttpxClient(event_hooks=hooks),
        )

    def _prepare(self, request: Any) -> None:
        """Before each attempt; a server that needs no key is sent none."""
        if not self.key:
            request.headers.pop("Authorization", None)
        self.pace.wait()


def _share(said: str) -> float | None:
    """The part of the tokens that a server takes, where it tells both numbers."""
    numbers = LIMIT.search(said)
    if numbers is None or not int(numbers[2]):
        return None
    share = int(numbers[1]) / int(numbers[2])
    return share if 0 < share < 1 else None
