"""Filters of compressed HDF5 that are plugins: used where hdf5plugin is installed, else named."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import h5py

from screader_lib.errors import ScReaderError
from screader_lib.exchange import safety

NAMES = {  # https://github.com/HDFGroup/hdf5_plugins/blob/master/docs/RegisteredFilterPlugins.md
    4: "szip", 307: "bzip2", 32001: "blosc", 32004: "lz4", 32008: "bitshuffle", 32013: "zfp",
    32015: "zstd", 32017: "sz", 32026: "blosc2",
}  # fmt: skip


def load_plugins() -> None:
    """Let HDF5 know the filters of hdf5plugin, where that is installed."""
    with suppress(ImportError):
        import hdf5plugin  # noqa: F401


@contextmanager
def explaining(file: h5py.File, name: str) -> Iterator[None]:
    """ScReaderError, calling the file ``name``, where a read fails, as for want of a filter."""
    try:
        with safety.reading(name):
            yield
    except ScReaderError as error:
        own = isinstance(error.__cause__, OSError) and str(error).startswith(f"{name}:")
        if not own or not (missing := _missing(file)):
            raise
        path, number = next(iter(missing.items()))
        more = f" and {len(missing) - 1:,} more" if len(missing) > 1 else ""
        known = f"{NAMES[number]} (HDF5's filter {number})" if number in NAMES else f"{number}"
        raise ScReaderError(
            f"the filter {known} that compressed {path}{more} is not installed.",
            file=name,
            remedy="Run: pip install hdf5plugin, or write the file again with compression='gzip'.",
        ) from error


def _missing(file: h5py.File) -> dict[str, int]:
    """The arrays that need a filter that is not there, and its number."""
    found: dict[str, int] = {}

    def look(path: str, element: object) -> None:
        if isinstance(element, h5py.Dataset):
            properties = element.id.get_create_plist()
            for index in range(properties.get_nfilters()):
                number = properties.get_filter(index)[0]
                if not h5py.h5z.filter_avail(number):
                    found[path] = number

    file.visititems(look)
    return dict(sorted(found.items(), key=lambda item: (item[0] not in ("X", "X/data"), item[0])))
