"""A hub for the tests of this folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_files import write_llama

from screader_lib import offline

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "genes"))

from fake_hub import FakeHub
from hub_place import Place
from loopback import serving


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions of a tiny model."""
    folder = tmp_path_factory.mktemp("models")
    write_llama(folder / "first", layers=2)
    write_llama(folder / "second", layers=2, seed=1)
    return folder


@pytest.fixture
def place(
    models: Path, cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    """A hub that this process's Hugging Face library asks, with a network and an empty cache."""
    from huggingface_hub import constants

    hub = FakeHub({"main": models / "first", "v2": models / "second"})
    with serving(hub) as server:
        hub.port = int(server.url.rsplit(":", 1)[1])
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setenv(offline.VARIABLE, "0")
        yield Place(hub, server, tmp_path, cells)
