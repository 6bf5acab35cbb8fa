"""The user's own h5ad with the calls in it: a copy of the file, byte by byte, that is added to.

So whatever the file holds is there as it was, whoever wrote it and whatever it is compressed with.
Only obs, and obsm and uns as groups, are touched, to add to them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from screader_lib.annotation import obs_table, zarr_copy
from screader_lib.annotation.calls import Calls, EarlierRun, Rows, StoredRows
from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding, opening, safety, writing
from screader_lib.exchange import provenance as provenance_module
from screader_lib.exchange.chunks import RowAppender
from screader_lib.exchange.provenance import Provenance
from screader_lib.exchange.table import LazyTable, Table, strings
from screader_lib.reporting import SILENT, Reporter

CHUNK_BYTES = 1 << 18


def write_annotated(
    source: Path,
    output: str | Path,
    calls: Calls,
    provenance: Provenance,
    *,
    name: str | None = None,
    opened: os.stat_result | None = None,
    reporter: Reporter = SILENT,
) -> None:
    """Write ``output``: the AnnData ``source``, which messages call ``name``, with ``calls`` in it.

    ``source`` is an h5ad, which ``output`` may be too (it is replaced in one step), or a zarr
    store, which becomes an h5ad. What an earlier run added gets the suffix ``_previous``
    (``_previous_2``, …). ScReaderError where ``source`` is neither, is damaged or unsafe, has
    another number of cells than the calls, or is no longer the h5ad that was ``opened`` for them.
    """
    name = name or str(source)
    is_store = source.is_dir()
    if not is_store:
        with safety.open_checked(source, name=name, strict=False) as file, safety.checking(name):
            _check_input(file, calls, name)
    with writing.replacing(output) as temporary:
        if not is_store:
            shutil.copyfile(source, temporary)
            if opened is not None and _state(source.stat()) != _state(opened):
                raise ScReaderError(
                    "was changed during the run: the calls may be of other cells.",
                    file=name,
                    remedy="Run it again.",
                )
        with writing.new_file(temporary, "w" if is_store else "r+") as file:
            if is_store:
                zarr_copy.copy_store(source, file, name, reporter)
                _check_input(file, calls, name)
            add_calls(file, calls, provenance, reporter)
        check_written(temporary, calls)


def _state(found: os.stat_result) -> tuple[int, ...]:
    """What changes where a file is written or replaced."""
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _check_input(file: h5py.File, calls: Calls, name: str) -> None:
    if not {"obs", "var"} <= set(file) or opening.kind_of(file) is not None:
        raise ScReaderError(f"is {opening.what_is_it(file)}, expected an h5ad.", file=name)
    cells = obs_table.number_of_cells(file, name)
    if cells != calls.cells:
        raise ScReaderError(
            f"has {cells:,} cells, but there are calls of {calls.cells:,}.",
            file=name,
            remedy="Was the file changed during the run? Run it again.",
        )


def add_calls(
    file: h5py.File, calls: Calls, provenance: Provenance, reporter: Reporter = SILENT
) -> None:
    """Add the calls to an open h5ad, as columns of obs, arrays of obsm and ``uns/screader``."""
    columns = calls.columns()
    obs_table.make_groups(file)
    _set_earlier_run_aside(file, list(columns), list(calls.obsm), reporter)
    obs_table.add_columns(file, columns)
    for name, rows in calls.obsm.items():
        _write_rows(file["obsm"], name, calls, rows)
    provenance_module.write(file, provenance)
    for key, value in calls.uns.items():
        _write_value(file["uns"][provenance_module.GROUP], key, value)


def _set_earlier_run_aside(
    file: h5py.File, columns: Sequence[str], vectors: Sequence[str], reporter: Reporter
) -> None:
    """Rename what an earlier run added, all with one suffix that none of the names has yet."""
    obsm, uns = file["obsm"], file.get("uns", {})
    earlier = EarlierRun.of(obs_table.all_names(file), obsm, uns, columns, vectors)
    obs_table.rename_columns(file, {name: name + earlier.suffix for name in earlier.columns})
    for group, names in ((obsm, earlier.vectors), (uns, earlier.uns)):
        for name in names:
            group.move(name, name + earlier.suffix)
    earlier.report(reporter)


def _write_rows(obsm: h5py.Group, name: str, calls: Calls, rows: Rows) -> None:
    """An array with a row for each cell of the file."""
    if calls.rows is None and isinstance(rows, StoredRows):
        rows.copy_to(obsm, name)
        return
    appender = None
    for block in calls.blocks(rows):
        if appender is None:
            shape, size = (calls.cells, *block.shape[1:]), max(1, block[:1].nbytes)
            dtype, per_chunk = block.dtype, max(1, CHUNK_BYTES // size)
            appender = RowAppender(encoding.create_rows(obsm, name, shape, dtype, per_chunk))
        appender.add(block)
    if appender is not None:
        appender.finish()


def _write_value(group: h5py.Group, key: str, value: Any) -> None:
    if isinstance(value, str):
        encoding.write_text(group, key, value)
    elif isinstance(value, int | float | np.generic):
        plain = value.item() if isinstance(value, np.generic) else value
        encoding.write_number(group, key, plain)
    elif isinstance(value, Table | LazyTable):
        encoding.write_table(group, key, value)
    elif isinstance(value, Mapping) and any("/" in name or name in ("", ".") for name in value):
        encoding.write_json(group, key, value)  # HDF5 has no such names
    elif isinstance(value, Mapping):
        inner = encoding.write_group(group, key)
        for name, content in value.items():
            _write_value(inner, name, content)
    elif value is not None:
        values = np.asarray(value)
        write = encoding.write_array if values.dtype.kind in "biuf" else encoding.write_strings
        write(group, key, values if values.dtype.kind in "biuf" else strings(value))


def check_written(path: Path, calls: Calls) -> None:
    """ScReaderError where the calls are not in a new file.

    On a full disk, a failed write may show only when the file is read again.
    """
    try:
        with h5py.File(path, "r", locking=False) as file:
            provenance_module.read(file)
            complete = all(name in file["obs"] for name in calls.obs)
    except Exception:
        complete = False
    if not complete:
        raise ScReaderError("the file was not written completely.", remedy="Is the disk full?")
