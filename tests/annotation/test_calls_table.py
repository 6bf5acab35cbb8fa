"""The table of calls says what the h5ad says."""

from __future__ import annotations

import csv
import gzip
import io
import sys
from pathlib import Path

import numpy as np
import pandas
import pytest

from screader_lib.annotation.calls import Calls
from screader_lib.annotation.calls_table import table_kind, write_calls
from screader_lib.errors import ScReaderError
from screader_lib.exchange import table
from screader_lib.exchange.table import Categorical, LazyColumn, strings

NAMES = strings(["one", 'two "2"', "three,\tfour", "fünf\nsechs", "NA", "six"])
LABELS = ("a,b", 'c"d', "T\tNK", "細胞")
CALLS = Calls(
    6,
    {
        "screader_label": Categorical(np.array([0, 1, -1, 2, 3], np.int32), LABELS),
        "screader_confidence": np.array([1, 1 / 3, np.nan, 1e-9, 123456.789], np.float32),
        "screader_status": Categorical.of(["assigned"] * 5),
        "screader_genes": np.arange(5),
    },
    rows=np.array([0, 1, 2, 3, 5]),
)
EXPECTED = [
    ["cell", "screader_label", "screader_confidence", "screader_status", "screader_genes"],
    ["one", "a,b", "1", "assigned", "0"],
    ['two "2"', 'c"d', "0.333333", "assigned", "1"],
    ["three,\tfour", "", "", "assigned", "2"],
    ["fünf\nsechs", "T\tNK", "1e-09", "assigned", "3"],
    ["NA", "", "", "left out", ""],
    ["six", "細胞", "123457", "assigned", "4"],
]


@pytest.fixture(params=[2, 1000])
def rows_at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "ROWS_AT_ONCE", request.param)


@pytest.mark.usefixtures("rows_at_once")
@pytest.mark.parametrize("name", ["x.csv", "x.tsv", "x.csv.gz", "X.TSV.GZ"])
def test_text(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    write_calls(path, LazyColumn.of(NAMES), CALLS.columns())
    content = path.read_bytes()
    content = gzip.decompress(content) if name.lower().endswith(".gz") else content
    delimiter = "\t" if ".tsv" in name.lower() else ","
    lines = io.StringIO(content.decode(), newline="")
    assert list(csv.reader(lines, delimiter=delimiter)) == EXPECTED
    frame = pandas.read_csv(io.BytesIO(content), sep=delimiter, index_col=0, keep_default_na=False)
    assert list(frame.index) == list(NAMES)
    write_calls(path, LazyColumn.of(NAMES), CALLS.columns())
    again = path.read_bytes()
    assert (gzip.decompress(again) if name.lower().endswith(".gz") else again) == content


@pytest.mark.usefixtures("rows_at_once")
def test_parquet(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    write_calls(tmp_path / "x.parquet", LazyColumn.of(NAMES), CALLS.columns())
    frame = pandas.read_parquet(tmp_path / "x.parquet")
    assert list(frame.columns) == EXPECTED[0] and list(frame["cell"]) == list(NAMES)
    assert frame["screader_label"].astype(object).where(
        frame["screader_label"].notna(), ""
    ).tolist() == [row[1] for row in EXPECTED[1:]]
    assert frame["screader_confidence"].dtype == np.float32
    np.testing.assert_array_equal(
        frame["screader_confidence"],
        np.array([1, 1 / 3, np.nan, 1e-9, np.nan, 123456.789], np.float32),
    )
    assert frame["screader_status"].tolist() == [row[3] for row in EXPECTED[1:]]


@pytest.mark.parametrize("name", ["x", "x.h5ad", "x.xlsx", "csv", "x.csv.bz2"])
def test_other_endings(name: str) -> None:
    with pytest.raises(ScReaderError, match="a table of no known kind"):
        table_kind(name)


def test_parquet_without_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "pyarrow.parquet", raising=False)
    with pytest.raises(ScReaderError, match=r"pip install 'screader-suite\[parquet\]'"):
        table_kind("x.parquet")
