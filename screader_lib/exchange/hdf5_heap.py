"""Variable-length strings in a file's raw bytes: their lengths and the state of their heap.

HDF5 stores such strings in the collections of the global heap; a dataset holds the length and the
address of each. Many entries may point to one long string, and HDF5 never returns from some
damaged collections. So both are checked before HDF5 reads them.

Source: HDF5 File Format Specification 3.0, "Global Heap" and "Variable-Length Datatypes".
"""

from __future__ import annotations

import struct
from mmap import ACCESS_READ, mmap
from pathlib import Path

import numpy as np

SIZES = (8, 8)  # bytes of an address and of a length: the default of HDF5
ENTRY = np.dtype([("length", "<u4"), ("collection", "<u8"), ("index", "<u4")])
HEADER = struct.Struct("<4sB3xQ")
OBJECT = struct.Struct("<HHIQ")
UNDEFINED = 2**64 - 1


class GlobalHeap:
    """The global heap of one file; collections found valid are not checked again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.valid: set[int] = set()

    def entries(self, start: int, count: int) -> np.ndarray:
        """``ENTRY`` (count,): what a dataset of strings whose data begin at ``start`` holds."""
        return np.fromfile(self.path, ENTRY, count, offset=start)

    def is_valid(self, entries: np.ndarray) -> bool:
        """Whether every collection that the entries point into can be traversed to its end."""
        addresses = set(np.unique(entries["collection"]).tolist()) - {0, UNDEFINED} - self.valid
        if not addresses:
            return True
        with (
            self.path.open("rb") as stream,
            mmap(stream.fileno(), 0, access=ACCESS_READ) as content,
        ):
            if not all(_is_complete(content, address) for address in addresses):
                return False
        self.valid |= addresses
        return True


def _is_complete(content: mmap, start: int) -> bool:
    """Whether the objects of the collection at ``start`` fill it exactly."""
    if start + HEADER.size > len(content):
        return False
    signature, version, size = HEADER.unpack_from(content, start)
    end, position = start + size, start + HEADER.size
    if (signature, version) != (b"GCOL", 1) or end > len(content):
        return False
    while end - position >= OBJECT.size:
        index, _, _, length = OBJECT.unpack_from(content, position)
        used = OBJECT.size + -(-length // 8) * 8 if index else length  # index 0 is free space
        if used < OBJECT.size or position + used > end:
            return False
        position += used
    return True
