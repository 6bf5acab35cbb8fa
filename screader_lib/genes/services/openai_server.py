"""OpenAI, and servers that answer as it does, asked through the ``openai`` package.

Transient failures (cut connections, timeouts, statuses 408, 409, 429 and 5xx, and answers that are
not what was asked for) are retried here and not by the package, which ignores a server's
Retry-After beyond a minute and waits in silence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from screader_lib.errors import ScReaderError
from screader_lib.genes.services.bounded import TooLong, bounded_body, within
from screader_lib.genes.services.service import (
    LONGEST_EXAMINED,
    OPENAI_KEY,
    TRY_LATER,
    BadAnswer,
    Service,
    TransientError,
    check_allowed,
    secret_of,
    without_secret_bytes,
    words_of,
)

if TYPE_CHECKING:
    import openai

T = TypeVar("T")
URL = "https://api.openai.com/v1"
TRANSIENT = (408, 409, 429)  # HTTP statuses, beside 5xx
MAX_BAD_ANSWERS = 3  # each is charged for
FRAMING = ("content-length", "transfer-encoding")  # headers of a body as it is sent
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
    """A request that the server takes in smaller pieces; ``share`` is the part that would fit."""

    def __init__(self, problem: str, url: str, share: float | None) -> None:
        super().__init__(problem, file=url, remedy="Choose fewer --fields, or another model.")
        self.share = share


@dataclass
class OpenAIServer(Service):
    """Asks a server; the key is read from OPENAI_API_KEY and shown nowhere.

    Every attempt keeps to ``pace``. ``url_option`` is the option that names another server.
    """

    timeout: float = 120.0
    url_option: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.secret = secret_of(OPENAI_KEY)

    def ask(self, call: Callable[[openai.OpenAI], Any], parse: Callable[[bytes], T]) -> T:
        """What ``parse`` makes of the body that ``call``, a ``with_raw_response`` method, brings.

        ``parse`` raises BadAnswer for an answer that is not what was asked for. TooLarge where
        the server says so; any other ScReaderError in one line where no attempt brings a good
        answer, or where OpenAI itself is asked without a key.
        """
        import openai

        if not self.secret and self.url == URL:
            raise ScReaderError(
                f"OpenAI needs a key, and {OPENAI_KEY} is not set.",
                remedy=f"Set it, or name a server of your own with {self.url_option}.",
            )
        check_allowed(self.url)
        asked: list[Exception] = []  # what was wrong with the answers so far

        def once() -> T:
            try:
                body = call(self._client).content
            except openai.APIStatusError as error:
                raise self._failure(error.response) from None
            except (openai.APIConnectionError, TooLong, TimeoutError) as error:
                raise self._no_answer(error.__cause__ or error) from None
            try:
                return parse(without_secret_bytes(body, self.secret))
            except BadAnswer as bad:
                asked.append(bad)
                failure = TransientError(f"gave no usable answer, but {bad}")
            if len(asked) == MAX_BAD_ANSWERS:
                raise self._given_up(failure, len(asked))
            raise failure

        try:
            return self.tried(once)
        except TransientError as failure:
            raise self._given_up(failure, self.attempts) from None

    def _given_up(self, failure: TransientError, times: int) -> ScReaderError:
        return self.error(f"{self.shown(failure.reason)}, {times} times.", TRY_LATER)

    def _no_answer(self, error: BaseException) -> Exception:
        """TransientError for no connection or no answer, or the error of one without an end."""
        if isinstance(error, TooLong):
            return self.too_long()
        kind = type(error).__name__
        if "Timeout" in kind:
            return TransientError("gave no answer in time")
        return TransientError("cannot be reached" if "Connect" in kind else "cut the connection")

    def run_all(
        self, tasks: Sequence[Callable[[], T]], concurrent: int, on_done: Callable[[int], None]
    ) -> list[T]:
        """The results of tasks that ``ask``, ``concurrent`` at a time.

        ``on_done`` is called with the number of each finished task. If a task fails, those that
        are running are finished, the others are not started, and its error is raised.
        """
        failed: BaseException | None = None
        with ThreadPoolExecutor(concurrent) as pool:
            futures = {pool.submit(task): number for number, task in enumerate(tasks)}
            try:
                for future in as_completed(futures):
                    if future.cancelled():
                        continue
                    if error := future.exception():
                        failed = failed or error
                        for other in futures:
                            other.cancel()
                    else:
                        on_done(futures[future])
            except BaseException:
                self.stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        if failed is not None:
            raise failed
        return [future.result() for future in futures]

    def _failure(self, answer: Any) -> Exception:
        """TransientError for an HTTP status, or the error that trying again would not change."""
        status, reason = answer.status_code, words_of(answer.content[:LONGEST_EXAMINED])
        if NO_QUOTA in answer.content:
            problem = "reports that the account's quota is used up."
            return self.error(
                problem, "Check plan and billing; answers received so far are cached."
            )
        if status in TRANSIENT or status >= 500:
            return TransientError(f"answered with HTTP status {status}", answer.headers)
        refused = self.refused(status, answer.content)
        if status == 413 or (status in (400, 422) and TOO_LARGE.search(reason)):
            return TooLarge(str(refused).removeprefix(f"{self.url}: "), self.url, _share(reason))
        return refused

    @cached_property
    def _client(self) -> openai.OpenAI:
        import openai

        server = self

        class BoundedClient(openai.DefaultHttpxClient):
            """Reads every answer to its end, which comes in time and before too many bytes."""

            def send(self, request: Any, **settings: Any) -> Any:
                server.prepare(request)

                def answered() -> Any:
                    answer = super(BoundedClient, self).send(
                        request, **{**settings, "stream": True}
                    )
                    try:
                        return server.whole(answer)
                    finally:
                        answer.close()

                return within(server.limit, answered)

        return openai.OpenAI(
            api_key=self.secret or "none",
            base_url=self.url,
            max_retries=0,
            timeout=self.timeout,
            http_client=BoundedClient(),
        )

    def prepare(self, request: Any) -> None:
        """Before each attempt; a server that needs no key is sent none."""
        request.headers["Accept-Encoding"] = "gzip"
        if not self.secret:
            request.headers.pop("Authorization", None)
        self.pace.wait()

    def whole(self, answer: Any) -> Any:
        """The answer with its body, decompressed."""
        headers = dict(answer.headers)
        encoding = headers.pop("content-encoding", "")
        body = bounded_body(answer.iter_raw(), encoding, self.max_bytes)
        headers = {key: value for key, value in headers.items() if key not in FRAMING}
        return type(answer)(
            answer.status_code, headers=headers, content=body, request=answer.request
        )


def _share(reason: str) -> float | None:
    """The part of the tokens that the server takes, where it names both numbers."""
    numbers = LIMIT.search(reason)
    if numbers is None or not int(numbers[2]):
        return None
    share = int(numbers[1]) / int(numbers[2])
    return share if 0 < share < 1 else None
