"""Cells and a loaded LLM for the tests of this folder."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from screader_lib.cells.cells_file import CellSequences
from screader_lib.exchange.opening import open_exchange
from screader_lib.reader.llm.frozen_llm import FrozenLLM, load_llm

sys.path.insert(0, str(Path(__file__).parents[1] / "genes"))


@pytest.fixture(scope="session")
def sequences(cells: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CellSequences]:
    """Those of a copy: HDF5 opens a file that is open already only with the same locking."""
    copy = shutil.copy(cells, tmp_path_factory.mktemp("open"))
    with open_exchange(Path(copy), "cells") as opened:
        yield CellSequences(opened)


@pytest.fixture(scope="module")
def llm(llama: Path) -> FrozenLLM:
    return load_llm(str(llama), instruction="Genes of one cell", precision="float32")
