"""Pauses before something is tried again: growing, with jitter, and told where they are long."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from threading import Event

from screader_lib.errors import ScReaderError
from screader_lib.reporting import Reporter

LONGEST_PAUSE = 60.0  # seconds, of our own choice
LONGEST_ASKED_PAUSE = 600.0  # seconds; a server that asks for more is taken at its word
TOLD = 5.0  # seconds; whoever waits longer should know for what


@dataclass(frozen=True)
class Failure:
    """Why an attempt brought nothing, and how long the server asks to wait, in seconds."""

    why: str
    asked_pause: float = 0.0


def retry_after(headers: Mapping[str, str]) -> float:
    """The seconds that an answer asks to wait: ``retry-after-ms``, ``Retry-After``, or 0."""
    for name, unit in (("retry-after-ms", 0.001), ("Retry-After", 1.0)):
        try:
            return max(0.0, float(headers.get(name) or "") * unit)
        except ValueError:
            continue
    try:
        date = parsedate_to_datetime(headers.get("Retry-After") or "")
        return max(0.0, date.timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return 0.0


def pause(
    service: str,
    url: str,
    attempt: int,
    first: float,
    failure: Failure,
    reporter: Reporter,
    stopped: Event | None = None,
) -> None:
    """Sleep before ``attempt`` (1 is the second): ``first`` seconds, then twice as long each time.

    Or as long as the server asks; ScReaderError where that is more than ten minutes, or where
    another thread has ``stopped`` the work meanwhile.
    """
    seconds = min(LONGEST_PAUSE, first * 2 ** (attempt - 1)) * random.uniform(0.5, 1.5)
    seconds = max(failure.asked_pause, seconds)
    if seconds > LONGEST_ASKED_PAUSE:
        raise ScReaderError(
            f"{service} asks to come back in {seconds:,.0f} seconds.",
            file=url,
            remedy="Run again then; answers so far are kept.",
        )
    tell = reporter.info if seconds > TOLD else reporter.detail
    tell(f"{service}: {failure.why}; trying again in {seconds:,.1f} s.")
    if stopped is None:
        time.sleep(seconds)
    elif stopped.wait(seconds):
        raise ScReaderError(f"{service} was not waited for: {failure.why}.", file=url)
