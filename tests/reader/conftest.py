"""Cells, a loaded LLM and a hub for the tests of this folder."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_files import write_llama

from screader_lib import offline
from screader_lib.cells.cells_file import CellSequences
from screader_lib.exchange.opening import open_exchange
from screader_lib.reader.llm.frozen_llm import FrozenLLM, load_llm

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "genes"))

from fake_hub import FakeHub, Hub
from loopback import serving


@pytest.fixture(scope="session")
def sequences(cells: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CellSequences]:
    """Those of a copy: HDF5 opens a file that is open already only with the same locking."""
    copy = shutil.copy(cells, tmp_path_factory.mktemp("open"))
    with open_exchange(Path(copy), "cells") as opened:
        yield CellSequences(opened)


@pytest.fixture(scope="module")
def llm(llama: Path) -> FrozenLLM:
    return load_llm(str(llama), instruction="Genes of one cell", precision="float32")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions of a tiny model."""
    folder = tmp_path_factory.mktemp("models")
    write_llama(folder / "first", layers=2)
    write_llama(folder / "second", layers=2, seed=1)
    return folder


@pytest.fixture
def hub(
    models: Path, cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Hub]:
    """A hub that this process's Hugging Face library asks, with a network and an empty cache."""
    from huggingface_hub import constants

    fake = FakeHub({"main": models / "first", "v2": models / "second"})
    with serving(fake) as server:
        fake.port = int(server.url.rsplit(":", 1)[1])
        settings = {
            "ENDPOINT": server.url,
            "HUGGINGFACE_CO_URL_TEMPLATE": server.url + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HUB_CACHE": str(tmp_path / "cache"),
            "HF_HUB_OFFLINE": False,
            "HF_TOKEN_PATH": str(tmp_path / "no-token"),
        }
        for name, value in settings.items():
            monkeypatch.setattr(constants, name, value)
        monkeypatch.setenv(offline.VARIABLE, "0")
        yield Hub(fake, server, tmp_path, cells)
