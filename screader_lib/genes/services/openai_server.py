"""OpenAI, and servers that answer as it does."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import Any, TypeVar

from screader_lib.errors import ScReaderError
from screader_lib.genes.services.service import (
    BAD_ANSWER,
    OPENAI_KEY,
    Service,
    first_line,
    secret_of,
)

T = TypeVar("T")
URL = "https://api.openai.com/v1"
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

    def __init__(self, refused: ScReaderError, url: str, share: float | None) -> None:
        problem = str(refused).removeprefix(f"{url}: ")
        super().__init__(problem, file=url, remedy="Choose fewer --fields, or another model.")
        self.share = share


@dataclass
class OpenAIServer(Service):
    """Asks a server; the key is read from OPENAI_API_KEY and shown nowhere.

    Every attempt keeps to ``pace``. ``url_option`` is the option that names another server.
    """

    timeout: float = 120.0
    limits: Mapping[str, int] = field(default_factory=lambda: {BAD_ANSWER: 3})  # each is charged
    url_option: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.secret = secret_of(OPENAI_KEY)
        if self.secret:
            self.headers = {"Authorization": f"Bearer {self.secret}"}

    def ask(self, path: str, body: Mapping[str, Any], parse: Callable[[bytes], T]) -> T:
        """What ``parse`` makes of the answer to ``body``, as :meth:`post`, with its errors.

        TooLarge where the server says so, ScReaderError where OpenAI itself is asked and there is
        no key.
        """
        if not self.secret and self.url == URL:
            raise ScReaderError(
                f"OpenAI needs a key, and {OPENAI_KEY} is not set.",
                remedy=f"Set it, or name a server of your own with {self.url_option}.",
            )
        return self.post(path, parse, json=body)

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

    def passing(self, status: int, body: bytes) -> str:
        if NO_QUOTA in body:
            problem = "says that the account has no quota left."
            raise self.error(problem, "Check plan and billing; answers received so far are cached.")
        reason = first_line(body)
        if status == 413 or (status in (400, 422) and TOO_LARGE.search(reason)):
            raise TooLarge(self.refused(status, body), self.url, _share(reason))
        return super().passing(status, body)


def _share(reason: str) -> float | None:
    """The part of the tokens that the server takes, where it names both numbers."""
    numbers = LIMIT.search(reason)
    if numbers is None or not int(numbers[2]):
        return None
    share = int(numbers[1]) / int(numbers[2])
    return share if 0 < share < 1 else None
