"""Whether all chunks of a zarr store are there.

zarr leaves out chunks that hold nothing but the fill value, and reads a chunk that was not copied
as if it were one of them. The two are told apart by what the array is: indices, values and names
are never all 0 or empty; elsewhere, what lies beside a chunk that was left out is of its value too.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from screader_lib.errors import ScReaderError

BESIDE = 16  # rows that are looked at on either side of chunks that are not there
MAX_CHUNK = 1 << 29  # bytes
COPY_AGAIN = "Copy the store again, with all its files."


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
