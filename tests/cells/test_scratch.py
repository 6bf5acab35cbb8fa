"""The temporary file: what is written is read, and a full disk is one line."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from screader_lib.cells.formats.scratch_file import ScratchFile
from screader_lib.cells.gene_statistics import ValuesByGene
from screader_lib.errors import ScReaderError


def test_what_is_written_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    write, read = os.pwrite, os.pread  # which may do less than they are asked for
    monkeypatch.setattr(os, "pwrite", lambda file, view, place: write(file, view[:3], place))
    monkeypatch.setattr(os, "pread", lambda file, count, place: read(file, min(2, count), place))
    scratch = ScratchFile()
    scratch.write(b"0123456789")
    scratch.write(b"abcd", 8)
    scratch.write(b"end")
    assert scratch.size == 15
    assert scratch.read(5, 6) == b"67abc"
    assert scratch.read(100, 10) == b"cdend" and scratch.read(4, 15) == b""


def test_full_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    gathered = ValuesByGene(2)
    gathered.add(sparse.csr_matrix(np.ones((2, 2), np.float32)))
    with pytest.raises(ScReaderError, match=r"No space left on device.*TMPDIR") as caught:
        list(gathered.of(np.arange(2)))
    assert str(tmp_path) in str(caught.value)


def test_no_folder_to_write_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(ScReaderError, match="cannot be written to: No such file"):
        ScratchFile()
