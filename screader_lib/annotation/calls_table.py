"""The calls as a table: csv or tsv, gzipped or not, or parquet.

The first column, ``cell``, holds the names of the cells. Floating-point numbers have six
significant digits in csv and tsv, and all of theirs in parquet; what is missing is empty, or null
in parquet.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.exchange.table import Categorical, Column, LazyColumn, as_strings, row_blocks
from screader_lib.exchange.writing import replacing

DIGITS = 6
INDEX = "cell"
DELIMITERS = {".csv": ",", ".tsv": "\t", ".csv.gz": ",", ".tsv.gz": "\t"}
PARQUET = ".parquet"


def table_kind(path: str | Path) -> str:
    """The ending of ``path`` that says what table it is.

    ScReaderError for any other ending, and for parquet where pyarrow is missing.
    """
    name = Path(path).name.lower()
    kind = next((ending for ending in (*DELIMITERS, PARQUET) if name.endswith(ending)), None)
    if kind is None:
        known = ", ".join(DELIMITERS)
        raise ScReaderError(
            f"is a table of no known kind: expected {known} or {PARQUET}.", file=path
        )
    if kind == PARQUET:
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError:
            raise ScReaderError(
                "parquet needs pyarrow.",
                file=path,
                remedy="Run: pip install 'screader-suite[parquet]', or name a .csv or .tsv.",
            ) from None
    return kind


def read_in_r(path: str | Path) -> str:
    """The call of R that reads a table of calls, with the cells' names as names of its rows."""
    kind = table_kind(path)
    if kind == PARQUET:
        return f"data.frame(arrow::read_parquet('{path}'), row.names = 1)"
    read = "read.csv" if DELIMITERS[kind] == "," else "read.delim"
    return f"{read}('{path}', row.names = 1, na.strings = '')"


def write_calls(path: str | Path, names: LazyColumn, columns: Mapping[str, LazyColumn]) -> None:
    """Write the calls of the cells called ``names``, in blocks of rows, in one step.

    ``columns`` are those of :meth:`Calls.columns`.
    """
    kind = table_kind(path)
    with replacing(path) as temporary:
        if kind == PARQUET:
            _write_parquet(temporary, names, columns)
        else:
            with _text_file(temporary, kind.endswith(".gz")) as stream:
                _write_text(stream, DELIMITERS[kind], names, columns)


@contextmanager
def _text_file(path: Path, is_zipped: bool) -> Iterator[TextIO]:
    with path.open("wb") as raw:
        if not is_zipped:
            with io.TextIOWrapper(raw, "utf-8", newline="") as stream:
                yield stream
            return
        with (
            gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed,
            io.TextIOWrapper(packed, "utf-8", newline="") as stream,
        ):
            yield stream


def _write_text(
    stream: TextIO, delimiter: str, names: LazyColumn, columns: Mapping[str, LazyColumn]
) -> None:
    table = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
    table.writerow([INDEX, *columns])
    for start, stop in row_blocks(len(names)):
        parts = [column.read(start, stop) for column in (names, *columns.values())]
        table.writerows(zip(*map(_texts, parts), strict=True))


def _texts(column: Column) -> list[str]:
    if isinstance(column, Categorical) or column.dtype.kind != "f":
        return as_strings(column).tolist()
    return ["" if np.isnan(value) else f"{value:.{DIGITS}g}" for value in column.tolist()]


def _write_parquet(path: Path, names: LazyColumn, columns: Mapping[str, LazyColumn]) -> None:
    import pyarrow
    from pyarrow import parquet

    every = {INDEX: names, **columns}
    schema = pyarrow.schema([(name, _arrow_type(column)) for name, column in every.items()])
    with parquet.ParquetWriter(path, schema) as writer:
        for start, stop in row_blocks(len(names)):
            arrays = [
                _arrow(column.read(start, stop), schema.field(name).type)
                for name, column in every.items()
            ]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))


def _arrow_type(column: LazyColumn) -> Any:
    import pyarrow

    if column.categories is not None:
        return pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
    return pyarrow.string() if column.is_string else pyarrow.from_numpy_dtype(column.dtype)


def _arrow(column: Column, kind: Any) -> Any:
    import pyarrow

    if isinstance(column, Categorical):
        codes = pyarrow.array(column.codes, mask=column.codes < 0)
        names = pyarrow.array(column.categories, pyarrow.string())
        return pyarrow.DictionaryArray.from_arrays(codes, names)
    return pyarrow.array(column, kind, from_pandas=True)
