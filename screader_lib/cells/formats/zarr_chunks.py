"""The chunks of a zarr store: whether all are there, and none unpacks to more than it should.

zarr leaves out chunks that hold nothing but the fill value, and reads a chunk that was not copied
as if it were one of them. The two are told apart by what the array is: indices, values and names
are never all 0 or empty; elsewhere, what lies beside a chunk that was left out is of its value too.

zarr unpacks a chunk whole before it looks at its size, so a few megabytes can fill the memory.
What a chunk unpacks to is therefore bounded before: from the header of blosc and zstd
(RFC 8878), and by unpacking block by block where there is none that could be trusted.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from screader_lib.errors import ScReaderError

BESIDE = 16  # rows that are looked at on either side of chunks that are not there
MAX_CHUNK = 1 << 29  # bytes that a chunk may declare
COPY_AGAIN = "Copy the store again, with all its files."
MAX_UNPACKED = 1 << 30  # bytes of a chunk
BLOCK = 1 << 24  # bytes unpacked at once
MAX_RATIO = 1_032  # of DEFLATE; the others pack runs of one byte still tighter
SMALL = MAX_UNPACKED // MAX_RATIO
ZSTD, ZSTD_BLOCK = b"\x28\xb5\x2f\xfd", 1 << 17
BLOSC_HEADER = 16
BY_START = {
    b"\x1f\x8b\x08": lambda: zlib.decompressobj(wbits=31),
    **{b"\x78" + level: zlib.decompressobj for level in (b"\x01", b"\x5e", b"\x9c", b"\xda")},
    b"BZh": bz2.BZ2Decompressor,
    b"\xfd7zXZ\x00": lzma.LZMADecompressor,
}


def open_store(path: Path, name: str) -> Any:
    """The root group of the zarr store ``path``, a folder or zip, which messages call ``name``.

    Reading a chunk that unpacks to more than 1 GiB is a ScReaderError.
    """
    import zarr
    from zarr.storage import LocalStore, WrapperStore, ZipStore

    class BoundedStore(WrapperStore):
        """A store that refuses such chunks."""

        async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
            content = await super().get(key, prototype, byte_range)
            if content is not None and unpacks_to_much(content.as_numpy_array().data):
                message = f"{key} unpacks to more than {MAX_UNPACKED:,} bytes."
                raise ScReaderError(message, file=name, remedy="Refused as unsafe.")
            return content

    store = ZipStore(path, mode="r") if path.is_file() else LocalStore(path, read_only=True)
    return zarr.open_group(BoundedStore(store), mode="r")


def unpacks_to_much(content: memoryview) -> bool:
    """Whether a chunk, as it is stored, unpacks to more than 1 GiB."""
    if len(content) >= BLOSC_HEADER:
        size, _, packed = struct.unpack_from("<3I", content, 4)
        if packed == len(content):
            return bool(size > MAX_UNPACKED)
    if content[:4] == ZSTD:
        return _zstd_size(content) > MAX_UNPACKED
    for start, decompressor in BY_START.items():
        if content[: len(start)] == start:
            packs_tighter = start[:1] in b"B\xfd"
            return (packs_tighter or len(content) > SMALL) and _unpacked(content, decompressor)
    return False


def _unpacked(content: memoryview, decompressor: Any) -> bool:
    """Whether more comes out of gzip, zlib, bzip2 or xz data, unpacked block by block."""
    total, rest = 0, bytes(content)
    while rest:
        stream = decompressor()
        while not stream.eof:
            try:
                total += len(stream.decompress(rest, BLOCK))
            except (OSError, zlib.error, lzma.LZMAError):
                return False  # not packed so; zarr says what is wrong with it
            if total > MAX_UNPACKED:
                return True
            rest = getattr(stream, "unconsumed_tail", b"")
            if not rest and getattr(stream, "needs_input", True):
                break
        rest = stream.unused_data
    return False


def _zstd_size(content: memoryview) -> int:
    """The size that a zstd frame states; where it states none, 128 KiB for each of its blocks."""
    descriptor = content[4]
    single = descriptor >> 5 & 1
    size_bytes = (single, 2, 4, 8)[descriptor >> 6]
    place = 5 + (not single) + (0, 1, 2, 4)[descriptor & 3]
    if size_bytes:
        size = int.from_bytes(content[place : place + size_bytes], "little")
        return size + 256 * (size_bytes == 2)
    blocks, last = 0, False
    while not last and place + 3 <= len(content):
        header = int.from_bytes(content[place : place + 3], "little")
        last, run = bool(header & 1), header >> 1 & 3 == 1
        place += 3 + (1 if run else header >> 3)
        blocks += 1
    return blocks * ZSTD_BLOCK


def check_chunks(elements: tuple[Any, ...], name: str) -> None:
    """ScReaderError where a chunk of a matrix or data frame is missing or gigantic.

    ``name`` is what messages call the store.
    """
    for element in elements:
        _check(element, name)


def _check(element: Any, name: str) -> None:
    for part, must in _arrays(element):
        size = int(np.prod(part.chunks, dtype=np.float64)) * max(1, part.dtype.itemsize)
        if size > MAX_CHUNK and size > 2 * part.nbytes:
            raise ScReaderError(
                f"{part.path} declares chunks of {size:,} bytes.",
                file=name,
                remedy="Refused as unsafe.",
            )
        if part.nchunks_initialized < part.nchunks and (must or not _may_be_empty(part)):
            lost = part.nchunks - part.nchunks_initialized
            raise ScReaderError(
                f"{part.path} lacks {lost} of its {part.nchunks} chunks.",
                file=name,
                remedy=COPY_AGAIN,
            )


def _arrays(element: Any) -> Iterator[tuple[Any, bool]]:
    """All arrays that hold something, and whether none of their chunks may be left out."""
    if not hasattr(element, "keys"):
        if element.ndim and element.size:
            yield element, False
        return
    index = element.attrs.get("_index")
    sparse = {"indptr", "indices", "data"} <= set(element)
    codes = "codes" in element and "categories" in element
    for key in element:
        for part, must in _arrays(element[key]):
            several = codes and key == "codes" and element["categories"].size > 1
            all_lost = part.nchunks_initialized == 0
            must_be_there = (
                must
                or (sparse and element["data"].size)
                or key in (index, "categories")
                or (several and all_lost)
            )
            yield part, bool(must_be_there)


def _may_be_empty(array: Any) -> bool:
    """Whether each chunk of fill values lies among rows of fill values, as it would by its data."""
    blocks = -(-array.shape[0] // array.chunks[0])
    others = [
        [slice(start, start + step) for start in range(0, size, step)]
        for size, step in zip(array.shape[1:], array.chunks[1:], strict=True)
    ]
    return all(_column_may_be_empty(array, blocks, rest) for rest in product(*others))


def _column_may_be_empty(array: Any, blocks: int, rest: tuple[slice, ...]) -> bool:
    step, fill = array.chunks[0], array.fill_value

    def is_fill(start: int, stop: int) -> bool:
        values = np.asarray(array[(slice(max(0, start), stop), *rest)])
        return bool((values == ("" if fill is None and values.dtype.kind in "OUT" else fill)).all())

    empty = [is_fill(block * step, (block + 1) * step) for block in range(blocks)]
    if all(empty):
        return array.ndim == 1
    return all(
        is_fill(block * step - BESIDE, block * step)
        and is_fill((block + 1) * step, (block + 1) * step + BESIDE)
        for block in range(blocks)
        if empty[block]
    )
