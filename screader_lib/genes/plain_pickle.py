"""Pickles of a dict from gene to list of numbers, read without running anything.

Unpickling can run code and exhaust memory. So a file's opcodes (Python documentation,
``pickletools``) are checked before: only those that build one dict of texts and lists of numbers
are allowed, and memory is limited to a small multiple of the file's size. What passes is loaded by
an unpickler that resolves no class and no function ("Restricting Globals" in the documentation of
``pickle``).
"""

from __future__ import annotations

import pickle  # noqa: TID251 (behind the checks below)
from collections import Counter
from pathlib import Path
from pickletools import genops
from typing import Any, BinaryIO

import numpy as np

from screader_lib.errors import ScReaderError

MAX_BYTES = 1 << 34
DICTS = {"EMPTY_DICT", "DICT"}
LISTS = {"EMPTY_LIST", "LIST"}
TEXTS = {"UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"}
NUMBERS = {"BINFLOAT", "FLOAT", "INT", "LONG", "BININT", "BININT1", "BININT2"}
REFERENCES = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "GET", "BINGET", "LONG_BINGET"}
STRUCTURE = {"PROTO", "FRAME", "MARK", "APPEND", "APPENDS", "SETITEM", "SETITEMS", "STOP"}
PLAIN = DICTS | LISTS | TEXTS | NUMBERS | REFERENCES | STRUCTURE
FLOAT_BYTES = 9  # of the opcode and a double
FLOATS_AT_ONCE = 2_048
BUFFER_BYTES = 1 << 20  # seeking back within the buffer is cheap
DAMAGED = (AttributeError, EOFError, LookupError, MemoryError, OverflowError, TypeError, ValueError)


class _PlainUnpickler(pickle.Unpickler):
    """Resolves nothing, so that nothing can be called."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        raise pickle.UnpicklingError(f"it names {module_name}.{global_name}")


def read_plain(path: Path, display_name: str) -> dict[Any, Any]:
    """Name → list of numbers; ScReaderError, naming ``display_name``, for any other pickle.

    Values may also be single texts or numbers, and lists may hold texts or lists.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ScReaderError("is too large for a pickle of embeddings.", file=display_name)
    try:
        with path.open("rb", buffering=BUFFER_BYTES) as stream:
            _check_opcodes(stream)
            stream.seek(0)
            content = _PlainUnpickler(stream).load()
        if not isinstance(content, dict):
            raise pickle.UnpicklingError(f"it holds a {type(content).__name__} instead of a dict")
        # A number takes two bytes at least, but many genes may share one list.
        if sum(len(value) for value in content.values() if isinstance(value, list)) > size:
            raise pickle.UnpicklingError("it holds one list for many genes")
    except pickle.UnpicklingError as error:
        raise ScReaderError(
            f"is a pickle that cannot be read ({error}).",
            file=display_name,
            remedy="Only a dict from gene to list of numbers is accepted.",
        ) from None
    except DAMAGED as error:
        raise ScReaderError(
            f"is a damaged pickle ({type(error).__name__}).", file=display_name
        ) from None
    return content


def _check_opcodes(stream: BinaryIO) -> None:
    """UnpicklingError where a pickle holds anything but a dict of texts and lists of numbers."""
    counts: Counter[str] = Counter()
    for opcode, argument, position in genops(stream):
        name = opcode.name
        if name not in PLAIN:
            raise pickle.UnpicklingError(f"it holds opcode {name}, and might run code")
        if name == "BINFLOAT":
            _skip_floats(stream)
        elif name in REFERENCES:  # the unpickler allocates as many references as the number says
            if argument is not None and argument > (position or 0):
                raise pickle.UnpicklingError("it refers to a value that it does not hold")
        else:
            counts["dicts"] += name in DICTS
            counts["lists"] += name in LISTS
            counts["texts"] += name in TEXTS
            if counts["dicts"] > 1 or counts["lists"] > counts["texts"] + 1:
                raise pickle.UnpicklingError("it holds nested dicts or lists")


def _skip_floats(stream: BinaryIO) -> None:
    """Skip the floats that follow at once: a large file has a hundred million of them."""
    start = stream.tell()
    ahead = np.frombuffer(stream.read(FLOAT_BYTES * FLOATS_AT_ONCE), np.uint8)
    others = np.flatnonzero(ahead[::FLOAT_BYTES] != ord("G"))
    count = int(others[0]) if len(others) else len(ahead) // FLOAT_BYTES
    stream.seek(start + FLOAT_BYTES * count)
