"""Pickles of plain values, read by an unpickler that permits no globals whatever.

A pickle runs code only by naming a function or class, which is looked up by ``find_class``;
here that always fails. Dictionaries, lists, texts and numbers need no such name.
"""

from __future__ import annotations

import pickle  # noqa: TID251 (the unpickler below permits no globals, so that nothing can run)
from pathlib import Path
from typing import Any, NoReturn

from screader_lib.errors import ScReaderError


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"names {module}.{name}")

    def persistent_load(self, pid: Any) -> NoReturn:
        raise pickle.UnpicklingError("refers to something outside")


def read_plain(path: Path, shown: str) -> Any:
    """The value of a pickle that holds plain values only; ScReaderError for any other.

    ``shown`` is what messages call the file.
    """
    try:
        with path.open("rb") as stream:
            return _PlainUnpickler(stream).load()
    except pickle.UnpicklingError as error:
        raise ScReaderError(
            f"is a pickle that may run code or is damaged ({error}).",
            file=shown,
            remedy="Only a dict from gene to list of numbers is read.",
        ) from None
    except (EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError,
            UnicodeDecodeError, MemoryError, OverflowError, RecursionError) as error:  # fmt: skip
        raise ScReaderError(f"is no sound pickle ({type(error).__name__}).", file=shown) from None
