"""The same content gives the same bytes; steps are recorded, file names are not."""

from __future__ import annotations

import time
from pathlib import Path

import made_files
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from screader_lib import __version__
from screader_lib.errors import ScReaderError
from screader_lib.exchange import provenance
from screader_lib.exchange.opening import open_exchange
from screader_lib.exchange.provenance import Record
from screader_lib.exchange.schema import KINDS


def test_same_content_same_bytes_a_second_later(tmp_path: Path) -> None:
    first = [made_files.write(kind, tmp_path / kind).read_bytes() for kind in KINDS]
    time.sleep(1.1)
    assert [made_files.write(kind, tmp_path / kind).read_bytes() for kind in KINDS] == first


def created(monkeypatch: pytest.MonkeyPatch, epoch: str) -> str:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    return provenance.make("test", {}, {}, []).record.created


def test_the_time_is_that_of_source_date_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    assert created(monkeypatch, "") == ""
    assert created(monkeypatch, "86400") == "1970-01-02T00:00:00+00:00"
    assert created(monkeypatch, "253402300799") == "9999-12-31T23:59:59+00:00"
    for epoch in ("tomorrow", "1.5", "9" * 30, "nan", "0x10", "-9" + "0" * 18):
        with pytest.raises(ScReaderError, match="SOURCE_DATE_EPOCH"):
            created(monkeypatch, epoch)


def test_what_is_recorded_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    made = provenance.make("test", {"number": np.float32(2), "none": None}, {}, [])
    made_files.write("cells", tmp_path / "x", made)
    with open_exchange(tmp_path / "x") as opened:
        assert opened.provenance == made
        assert opened.steps[-1].created == "1970-01-02T00:00:00+00:00"
        assert opened.steps[-1].version == __version__


STEPS = st.lists(st.builds(Record, st.sampled_from("abc"), st.sampled_from("12")), max_size=4)


@given(st.lists(STEPS.map(tuple), max_size=3))
def test_merged_steps_are_there_once_and_in_order(histories: list[tuple[Record, ...]]) -> None:
    merged = provenance.make("predict", {}, {}, histories).history
    every = [record for history in histories for record in history]
    assert len({str(record) for record in merged}) == len(merged)
    assert list(merged) == sorted(merged, key=every.index)
    assert {str(record) for record in merged} == {str(record) for record in every}


def test_steps_name_inputs_by_role_and_no_files(cells: Path) -> None:
    with open_exchange(cells) as opened:
        steps = opened.steps
    assert [step.tool for step in steps] == ["test", "build-cells"]
    assert set(steps[-1].inputs) == {"expression", "embeddings"}
    content = cells.read_bytes()
    assert str(cells.parent).encode() not in content and b"counts-0" not in content


def test_the_hash_of_a_folder_depends_on_names_and_contents(tmp_path: Path) -> None:
    hashes = set()
    for names in ({"a": "1", "b": "2"}, {"a": "2", "b": "1"}, {"a": "1"}, {"a/c": "1", "b": "2"}):
        folder = tmp_path / str(len(hashes))
        for name, content in names.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content)
        hashes.add(provenance.sha256_of(folder))
    assert len(hashes) == 4
