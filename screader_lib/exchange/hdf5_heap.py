"""Strings in the raw bytes of a file: how long they are, and whether their heap is sound.

HDF5 keeps strings of varying length in collections, the global heap; a dataset holds a length and
a place per string. Many entries may point to one long string, and HDF5 walks a damaged
collection for ever. So both are looked at before HDF5 reads them.

Source: HDF5 File Format Specification 3.0, "Global Heap" and "Variable-Length Datatypes".
"""

from __future__ import annotations

import struct
from mmap import ACCESS_READ, mmap
from pathlib import Path

import numpy as np

SIZES = (8, 8)  # bytes of an address and of a length, as HDF5 writes them unless told otherwise
ENTRY = np.dtype([("length", "<u4"), ("collection", "<u8"), ("index", "<u4")])
HEADER = struct.Struct("<4sB3xQ")
OBJECT = struct.Struct("<HHIQ")
UNDEFINED = 2**64 - 1


class GlobalHeap:
    """The global heap of one file; sound collections are remembered."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sound: set[int] = set()

    def entries(self, start: int, count: int) -> np.ndarray:
        """What a dataset of ``count`` strings that begins at ``start`` stores, as ``ENTRY``."""
        return np.fromfile(self.path, ENTRY, count, offset=start)

    def is_sound(self, entries: np.ndarray) -> bool:
        """Whether every collection that the entries point into can be walked to its end."""
        places = set(np.unique(entries["collection"]).tolist()) - {0, UNDEFINED} - self.sound
        if not places:
            return True
        with (
            self.path.open("rb") as stream,
            mmap(stream.fileno(), 0, access=ACCESS_READ) as content,
        ):
            if not all(_ends(content, place) for place in places):
                return False
        self.sound |= places
        return True


def _ends(content: mmap, start: int) -> bool:
    """Whether the objects of the collection at ``start`` fill it, none reaching beyond it."""
    if start + HEADER.size > len(content):
        return False
    signature, version, size = HEADER.unpack_from(content, start)
    end, place = start + size, start + HEADER.size
    if (signature, version) != (b"GCOL", 1) or end > len(content):
        return False
    while end - place >= OBJECT.size:
        index, _, _, length = OBJECT.unpack_from(content, place)
        taken = OBJECT.size + -(-length // 8) * 8 if index else length  # index 0 is free space
        if taken < OBJECT.size or place + taken > end:
            return False
        place += taken
    return True
