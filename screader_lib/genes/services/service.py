"""What services have in common: URL, key and proxy, a limited rate, pauses, checked answers."""

from __future__ import annotations

import ipaddress
import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from screader_lib import offline
from screader_lib.errors import ScReaderError
from screader_lib.reporting import SILENT, Reporter

if TYPE_CHECKING:
    import urllib3

T = TypeVar("T")
NCBI_KEY = "NCBI_API_KEY"
NCBI_EMAIL = "NCBI_EMAIL"
OPENAI_KEY = "OPENAI_API_KEY"
RETRIED = (408, 429, 500, 502, 503, 504)  # HTTP statuses
KEY_REFUSED = (401, 403)
MAX_PAUSE = 60.0  # seconds, where the server asks for none
MAX_RETRY_AFTER = 600.0  # seconds
QUIET_PAUSE = 5.0  # seconds; longer ones are reported to every user
SECRET_PART = 8  # characters of a secret in a row that are hidden as the whole is
LONGEST_EXAMINED = 4_000  # characters of a server's words that are looked at
LONGEST_REASON = 300  # characters of them in a message
RATE_MARGIN = 1.1  # gaps are this much longer, so that no second sees more requests than allowed
HTML = "an HTML page"
TRY_LATER = "Try again later; answers received so far are cached."


class Unreachable(ScReaderError):
    """A service cannot be reached: there is no network, or none is allowed."""


class TransientError(Exception):
    """A failure that may pass: its ``reason``, and the ``headers`` of the answer."""

    def __init__(self, reason: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.headers = headers or {}


class BadAnswer(TransientError):
    """An answer that is cut off, malformed or of another kind than was asked for."""


class Pace:
    """At most ``per_second`` requests started a second, over all threads, by the module ``time``.

    The gap is counted from when a request was started, not from when it was due: threads that
    woke late on a busy machine do not start together.
    """

    def __init__(self, per_second: float, clock: Any = time) -> None:
        self.gap = RATE_MARGIN / per_second
        self.next = 0.0
        self.clock = clock
        self.lock = threading.Lock()

    def wait(self, weight: float = 1.0) -> None:
        """Sleep until the next request is due; one of ``weight`` 2 counts as two."""
        with self.lock:
            self.clock.sleep(max(0.0, self.next - self.clock.monotonic()))
            self.next = self.clock.monotonic() + self.gap * weight


@dataclass
class Service:
    """A server at ``url``, called ``name`` in messages, where ``secret`` never appears.

    A request is tried ``attempts`` times, with a pause of ``first_pause`` seconds, then twice as
    long each time, with jitter, or as long as the server asks (Retry-After). The server may be
    silent for ``timeout`` seconds; each request ends after ``limit`` seconds, and its answer has
    at most ``max_bytes``. Setting ``stopped`` ends the pauses of all threads.
    """

    name: str
    url: str
    pace: Pace
    secret: str = ""
    reporter: Reporter = SILENT
    attempts: int = 6
    first_pause: float = 1.0  # seconds
    timeout: float = 60.0  # seconds
    limit: float = 600.0  # seconds
    max_bytes: int = 256 << 20
    stopped: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.url = checked_url(self.url)

    def error(self, problem: str, remedy: str = "") -> ScReaderError:
        """The error of this service's having a ``problem``, without the secret."""
        return ScReaderError(f"{self.name} {self.shown(problem)}", file=self.url, remedy=remedy)

    def hidden(self, text: str) -> str:
        """``text`` with stars for the secret and for any part of it."""
        return without_secret(text, self.secret)

    def shown(self, text: str) -> str:
        """The beginning of ``text`` as one line; the secret is hidden before anything is cut."""
        line = " ".join(self.hidden(text[:LONGEST_EXAMINED]).split())
        return line if len(line) <= LONGEST_REASON else f"{line[:LONGEST_REASON]} …"

    def refused(self, status: int, body: bytes) -> ScReaderError:
        """The error of an HTTP status that no further attempt would change."""
        if status in KEY_REFUSED:  # the body may repeat the key, or part of it
            problem = f"refused the request with HTTP status {status}."
            return self.error(problem, "Check the key in the environment.")
        reason = self.shown(words_of(body)).rstrip(".")
        return self.error(f"refused with HTTP status {status}{reason and f' ({reason})'}.")

    def too_long(self) -> ScReaderError:
        """The error of an answer of more than ``max_bytes``."""
        return self.error(f"sent more than {self.max_bytes >> 20:,} MB, far more than any answer.")

    def tried(self, once: Callable[[], T]) -> T:
        """What ``once`` returns in the first of ``attempts`` that does not raise TransientError.

        The last attempt's TransientError is raised.
        """
        for failures in range(1, self.attempts):
            try:
                return once()
            except TransientError as failure:
                self.pause(failures, failure.reason, failure.headers)
        return once()

    def pause(self, failures: int, reason: str, headers: Mapping[str, str]) -> None:
        """Wait after so many ``failures`` of a request, the last one for ``reason``.

        ScReaderError where the ``headers`` of its answer ask for more than ten minutes, or where
        another thread has set ``stopped``.
        """
        seconds = min(MAX_PAUSE, self.first_pause * 2 ** (failures - 1)) * random.uniform(0.5, 1.5)
        seconds = max(retry_after(headers), seconds)
        if seconds > MAX_RETRY_AFTER:
            problem = f"asks to retry after {seconds:,.0f} seconds."
            raise self.error(problem, "Run again then; answers received so far are cached.")
        report = self.reporter.info if seconds > QUIET_PAUSE else self.reporter.detail
        report(f"{self.name}: {self.shown(reason)}; trying again in {seconds:,.1f} s.")
        if self.stopped.wait(seconds):
            raise self.error(f"was cancelled: {reason}.")


def without_secret(text: str, secret: str) -> str:
    """``text`` with stars for the secret and for each part of it of ``SECRET_PART`` characters."""
    size = min(SECRET_PART, len(secret))
    parts = {secret[start : start + size] for start in range(len(secret) - size + 1)} - {""}
    if not any(part in text for part in parts):
        return text
    is_secret = bytearray(len(text))
    for start in range(len(text) - size + 1):
        if text[start : start + size] in parts:
            is_secret[start : start + size] = b"\1" * size
    runs = groupby(zip(text, is_secret, strict=True), key=itemgetter(1))
    return "".join("***" if hide else "".join(map(itemgetter(0), run)) for hide, run in runs)


def without_secret_bytes(body: bytes, secret: str) -> bytes:
    """An answer with stars for the whole secret, should it repeat it."""
    return body.replace(secret.encode(), b"***") if secret else body


def secret_of(variable: str) -> str:
    """A key from the environment, the only place for secrets; empty where it is not set."""
    return os.environ.get(variable, "").strip()


def checked_url(url: str) -> str:
    """``url`` without a trailing slash; ScReaderError unless it is plain http or https.

    User and password in a URL would reach outputs and messages, so they are refused.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ScReaderError("is not an http or https URL.", file=url.rpartition("@")[2])
    if parts.username or parts.password or parts.query:
        raise ScReaderError(
            "contains credentials or a query.",
            file=parts.hostname,
            remedy="Give the plain URL; keys are read from the environment.",
        )
    return url.rstrip("/")


def check_allowed(url: str, remedy: str = "") -> None:
    """Unreachable where ``url`` needs a network and the user has said that there is none."""
    if offline.is_offline() and not is_this_machine(urlsplit(url).hostname or ""):
        problem = f"needs a network, but {offline.VARIABLE} is set."
        raise Unreachable(problem, file=url, remedy=remedy)


def is_this_machine(host: str) -> bool:
    """Whether a host is a loopback address."""
    with suppress(ValueError):
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    return False


def pool_for(url: str, **settings: Any) -> urllib3.PoolManager:
    """Connections to ``url``, through the proxy that the environment names (``HTTPS_PROXY``)."""
    import urllib3

    parts = urlsplit(url)
    host = parts.hostname or ""
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or is_this_machine(host) or proxy_bypass(host):
        return urllib3.PoolManager(**settings)
    server = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    user = f"{unquote(server.username or '')}:{unquote(server.password or '')}"
    headers = urllib3.make_headers(proxy_basic_auth=user) if server.username else None
    address = f"{server.scheme}://{server.netloc.rpartition('@')[2]}"
    return urllib3.ProxyManager(address, proxy_headers=headers, **settings)


def retry_after(headers: Mapping[str, str]) -> float:
    """The seconds that an answer asks to wait: ``retry-after-ms``, ``Retry-After``, or 0."""
    for name, unit in (("retry-after-ms", 0.001), ("Retry-After", 1.0)):
        with suppress(ValueError):
            return max(0.0, float(headers.get(name) or "") * unit)
    with suppress(TypeError, ValueError, OverflowError):
        date = parsedate_to_datetime(headers.get("Retry-After") or "")
        return max(0.0, date.timestamp() - time.time())
    return 0.0


def parse_json(body: bytes) -> Any:
    """JSON of an answer; BadAnswer where it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise BadAnswer(f"{kind_of_body(body)} instead of JSON") from None


@contextmanager
def checking_schema(what: str) -> Iterator[None]:
    """BadAnswer where a part of ``what`` is missing or of another type than documented."""
    try:
        yield
    except KeyError as error:
        raise BadAnswer(f"{what} without {error}: its schema has changed") from None
    except (IndexError, TypeError, ValueError, AttributeError) as error:
        raise BadAnswer(f"{what} of another form ({error}): its schema has changed") from None


def kind_of_body(body: bytes) -> str:
    """In words, what an answer of the wrong kind is."""
    head = body.lstrip()[:200].lower()
    if not head:
        return "an empty answer"
    is_html = head.startswith((b"<!doctype html", b"<html"))
    return HTML if is_html else "a cut or malformed answer"


def words_of(body: bytes) -> str:
    """An answer as text; empty for an HTML page."""
    return "" if kind_of_body(body) == HTML else body.decode("utf-8", "replace")
