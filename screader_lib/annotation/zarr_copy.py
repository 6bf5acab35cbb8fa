"""An AnnData zarr store as HDF5: the same groups, arrays and attributes, read block by block.

AnnData's encoding is the same in both, but for strings, None and the types of attributes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from screader_lib.cells.formats.anndata_expression import zarr_errors
from screader_lib.cells.formats.zarr_chunks import open_store
from screader_lib.exchange import encoding
from screader_lib.exchange.chunks import RowAppender
from screader_lib.exchange.table import STRING_KINDS, row_blocks, strings
from screader_lib.reporting import Reporter

BYTES_AT_ONCE = 1 << 24
CHUNK_BYTES = 1 << 19


def copy_store(path: Path, file: h5py.File, name: str, reporter: Reporter) -> None:
    """Copy the zarr store ``path``, which messages call ``name``, into a new file.

    What HDF5 cannot hold, such as dates, is left out and told. ScReaderError where it is damaged.
    """
    with zarr_errors(name):
        _copy_group(open_store(path, name), file, name, reporter)


def _copy_group(source: Any, target: h5py.Group, name: str, reporter: Reporter) -> None:
    _copy_attributes(source, target)
    for key in sorted(source):
        if hasattr(source[key], "keys"):
            _copy_group(source[key], target.create_group(key), name, reporter)
        elif (dtype := _stored_type(source[key].dtype)) is not None:
            _copy_attributes(source[key], _copy_array(source[key], target, key, dtype))
        else:
            kind = source[key].dtype
            reporter.warning(f"{name}: {source[key].path} is left out: HDF5 has no type {kind}.")


def _copy_attributes(source: Any, target: Any) -> None:
    for name, value in source.attrs.items():
        if isinstance(value, Sequence) and any(isinstance(one, str) for one in value):
            text = value if isinstance(value, str) else strings(value)
            target.attrs.create(name, text, dtype=encoding.STRING)
        elif isinstance(value, bool | int | float | Sequence):
            target.attrs[name] = value


def _stored_type(dtype: Any) -> Any:
    """The type of HDF5 for a type of zarr; None where there is none."""
    if dtype.kind in STRING_KINDS:
        return encoding.STRING
    if dtype.names:
        fields = [(name, _stored_type(dtype[name])) for name in dtype.names]
        return None if any(kind is None for _, kind in fields) else np.dtype(fields)
    return dtype if dtype.kind in "biufc" else None


def _copy_array(source: Any, group: h5py.Group, key: str, dtype: Any) -> h5py.Dataset:
    if source.attrs.get("encoding-type") == "null":
        return group.create_dataset(key, data=h5py.Empty("f4"))
    if not source.shape:
        value = np.asarray(source[()]).astype(dtype)[()]
        return group.create_dataset(key, data=value, dtype=dtype)
    row_bytes = int(np.prod(source.shape[1:])) * max(1, source.dtype.itemsize) or 1
    is_large = all(source.shape) and source.shape[0] * row_bytes > encoding.COMPRESS_FROM
    options: dict[str, Any] = {}
    if is_large and not dtype.hasobject:
        rows = max(1, min(source.shape[0], CHUNK_BYTES // row_bytes))
        options = {**encoding.COMPRESSION, "chunks": (rows, *source.shape[1:])}
    dataset = group.create_dataset(key, source.shape, dtype, **options)
    appender = RowAppender(dataset) if options else None
    for start, stop in row_blocks(
        source.shape[0], max(source.chunks[0], BYTES_AT_ONCE // row_bytes)
    ):
        block = source[start:stop].astype(dtype)
        if dtype is encoding.STRING and block.ndim == 1:
            encoding.fill_strings(dataset, start, strings(block))
        elif appender is None:
            dataset[start:stop] = block
        else:
            appender.add(block)
    if appender is not None:
        appender.finish()
    return dataset
