"""Answers and requests that end: a limit on bytes, after decompression, and one on time."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import TypeVar

from screader_lib.genes.services.service import TransientError

T = TypeVar("T")
GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
PLAIN = ("", "identity")
COMPRESSED = ("gzip", "x-gzip", "deflate")
PIECE = 1 << 20  # bytes decompressed at a time


class TooLong(Exception):
    """An answer of more bytes than any of its kind has."""


def bounded_body(blocks: Iterable[bytes], encoding: str, limit: int) -> bytes:
    """The body that comes in ``blocks``, compressed as Content-Encoding says.

    TooLong where it has more than ``limit`` bytes, of which no more are held; TransientError where
    it cannot be decompressed.
    """
    encoding = encoding.strip().lower()
    if encoding not in PLAIN + COMPRESSED:
        raise TransientError("an answer in an encoding that was not asked for")
    decoder = zlib.decompressobj(GZIP_OR_ZLIB) if encoding in COMPRESSED else None
    parts: list[bytes] = []
    received = size = 0
    for block in blocks:
        rest = block
        received += len(block)
        while rest:
            try:
                part = decoder.decompress(rest, PIECE) if decoder else rest
            except zlib.error:
                raise TransientError("the connection was cut") from None
            rest = decoder.unconsumed_tail if decoder else b""
            size += len(part)
            if size > limit:
                raise TooLong
            parts.append(part)
    if decoder and not decoder.eof and received:
        raise TransientError("the connection was cut")
    return b"".join(parts)


def within(seconds: float, call: Callable[[], T]) -> T:
    """What ``call`` returns; TimeoutError where it takes longer, which leaves its thread behind."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future.result(seconds)
