"""Pickles of a dict from text to lists of numbers, read by an unpickler that permits no globals.

Such a pickle needs few of the format's instructions (Python documentation, ``pickletools``). Only
these are known here: whatever names a function or class, calls, or nests, is refused where it
stands. Nothing recurses, and memory keeps to a small multiple of the file.
"""

from __future__ import annotations

import mmap
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from screader_lib.errors import ScReaderError

LONGEST_LINE = 10_000  # bytes, of protocol 0
MOST_ON_STACK = 100_000  # pickle writes a thousand entries at a time
FLOATS_AT_ONCE = 2_048
BINFLOAT = 0x47
NAMES = {ord(one.code): one.name for one in pickletools.opcodes}
RUNS_CODE = {"GLOBAL", "STACK_GLOBAL", "INST", "OBJ", "REDUCE", "BUILD", "NEWOBJ", "NEWOBJ_EX",
             "EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID"}  # fmt: skip
MARK = object()


class Refused(Exception):
    """The pickle holds what it should not."""


class Numbers:
    """A list of numbers as it grows."""

    __slots__ = ("parts",)

    def __init__(self) -> None:
        self.parts: list[np.ndarray] = []

    def extend(self, values: list[Any]) -> None:
        """Add numbers and runs of numbers; Refused for anything else."""
        loose: list[float] = []
        for value in values:
            if isinstance(value, float):
                loose.append(value)
            elif isinstance(value, np.ndarray):
                self._add(loose)
                loose = []
                self.parts.append(value)
            else:
                raise Refused(f"a list that holds {_kind(value)}")
        self._add(loose)

    def _add(self, loose: list[float]) -> None:
        if loose:
            self.parts.append(np.array(loose, np.float32))

    def array(self) -> np.ndarray:
        """float32 (numbers,)"""
        return np.concatenate(self.parts) if self.parts else np.zeros(0, np.float32)


def read_plain(path: Path, shown: str) -> dict[Any, Any]:
    """Name → float32 (numbers,) of a pickle that holds just that; ScReaderError for any other.

    ``shown`` is what messages call the file. Keys and values of another kind are returned as they
    are where they are texts or numbers.
    """
    try:
        with (
            path.open("rb") as stream,
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data,
            np.errstate(over="ignore"),
        ):
            return _Reader(data).read()
    except Refused as error:
        raise ScReaderError(
            f"is a pickle with {error}.",
            file=shown,
            remedy="Only a dict from gene to list of numbers is read.",
        ) from None
    except (IndexError, ValueError, KeyError, OverflowError) as error:
        raise ScReaderError(f"is no sound pickle ({type(error).__name__}).", file=shown) from None


class _Reader:
    """Follows a pickle's instructions, those that are known."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.place = 0
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.made = 0  # values that can be referred to
        number = self._number
        self.known: dict[int, Callable[[], Any]] = {
            0x80: lambda: self._take(1),  # PROTO
            0x95: lambda: self._take(8),  # FRAME
            ord("("): lambda: self.stack.append(MARK),
            ord("}"): lambda: self._push({}),  # EMPTY_DICT
            ord("d"): self._dict,
            ord("]"): lambda: self._push(Numbers()),  # EMPTY_LIST
            ord("l"): self._list,
            ord("a"): lambda: self._append([self.stack.pop()]),
            ord("e"): lambda: self._append(self._to_mark()),
            ord("s"): lambda: self._set([self.stack.pop(), self.stack.pop()][::-1]),
            ord("u"): lambda: self._set(self._to_mark()),
            BINFLOAT: self._floats,
            ord("F"): lambda: number(self._line()),
            ord("I"): lambda: number(self._line()),
            ord("L"): lambda: number(self._line().rstrip("L")),
            ord("K"): lambda: number(self._integer(1)),  # BININT1
            ord("M"): lambda: number(self._integer(2)),  # BININT2
            ord("J"): lambda: number(int.from_bytes(self._take(4), "little", signed=True)),
            ord("V"): lambda: self._push(self._raw_line().decode("raw-unicode-escape")),
            0x8C: lambda: self._text(1),  # SHORT_BINUNICODE
            ord("X"): lambda: self._text(4),
            0x8D: lambda: self._text(8),  # BINUNICODE8
            0x94: lambda: self._put(len(self.memo)),  # MEMOIZE
            ord("p"): lambda: self._put(int(self._line())),
            ord("q"): lambda: self._put(self._integer(1)),
            ord("r"): lambda: self._put(self._integer(4)),
            ord("g"): lambda: self.stack.append(self.memo[int(self._line())]),
            ord("h"): lambda: self.stack.append(self.memo[self._integer(1)]),
            ord("j"): lambda: self.stack.append(self.memo[self._integer(4)]),
        }

    def read(self) -> dict[Any, Any]:
        while True:
            code = self._integer(1)
            if code == ord("."):
                break
            act = self.known.get(code)
            if act is None:
                raise Refused(_instruction(code))
            act()
            if len(self.stack) > MOST_ON_STACK:
                raise Refused("too many values within one another")
        content = self.stack.pop()
        if not isinstance(content, dict):
            raise Refused(f"{_kind(content)} instead of a dict")
        return self._finished(content)

    def _finished(self, content: dict[Any, Any]) -> dict[Any, Any]:
        size = sum(
            len(part)
            for value in content.values()
            if isinstance(value, Numbers)
            for part in value.parts
        )
        if size > len(self.data):  # a number is two bytes at least
            raise Refused("lists that are many genes' at once")
        return {
            key: value.array() if isinstance(value, Numbers) else value
            for key, value in content.items()
        }

    def _take(self, size: int) -> bytes:
        if size > len(self.data) - self.place:
            raise IndexError
        self.place += size
        return self.data[self.place - size : self.place]

    def _integer(self, size: int) -> int:
        return int.from_bytes(self._take(size), "little")

    def _raw_line(self) -> bytes:
        end = self.data.find(b"\n", self.place, self.place + LONGEST_LINE)
        if end < 0:
            raise ValueError
        return self._take(end + 1 - self.place)[:-1]

    def _line(self) -> str:
        return self._raw_line().decode("ascii")

    def _push(self, value: Any) -> None:
        self.made += 1
        self.stack.append(value)

    def _number(self, value: Any) -> None:
        self.stack.append(float(value))

    def _text(self, size: int) -> None:
        self._push(self._take(self._integer(size)).decode("utf-8"))

    def _floats(self) -> None:
        """All numbers that follow one another, as one run."""
        most = min(FLOATS_AT_ONCE, (len(self.data) - self.place + 1) // 9)
        raw = np.frombuffer(self.data[self.place - 1 : self.place - 1 + 9 * most], np.uint8)
        rows = raw.reshape(most, 9)
        others = np.flatnonzero(rows[:, 0] != BINFLOAT)
        count = int(others[0]) if len(others) else most
        if not count:
            raise IndexError
        self.place += 9 * count - 1
        values = np.ascontiguousarray(rows[:count, 1:]).view(">f8")[:, 0]
        self.stack.append(values.astype(np.float32))

    def _put(self, number: int) -> None:
        if len(self.memo) >= self.made:
            raise Refused("more references than values")
        self.memo[number] = self.stack[-1]

    def _to_mark(self) -> list[Any]:
        for start in range(len(self.stack) - 1, -1, -1):
            if self.stack[start] is MARK:
                values = self.stack[start + 1 :]
                del self.stack[start:]
                return values
        raise ValueError

    def _dict(self) -> None:
        values = self._to_mark()
        self._push({})
        self._set(values)

    def _list(self) -> None:
        values = self._to_mark()
        self._push(Numbers())
        self._append(values)

    def _append(self, values: list[Any]) -> None:
        if not isinstance(self.stack[-1], Numbers):
            raise ValueError
        self.stack[-1].extend(values)

    def _set(self, values: list[Any]) -> None:
        if not isinstance(self.stack[-1], dict) or len(values) % 2:
            raise ValueError
        for key, value in zip(values[::2], values[1::2], strict=True):
            if not isinstance(key, str | float) or isinstance(value, dict) or value is MARK:
                raise Refused(f"{_kind(value)} for {_kind(key)}")
            self.stack[-1][key] = value


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return "a text"
    if isinstance(value, dict):
        return "a dict"
    return "a list" if isinstance(value, Numbers) else "a number"


def _instruction(code: int) -> str:
    name = NAMES.get(code, f"byte {code}")
    return f"{name}, which may run code" if name in RUNS_CODE else name
