"""What all tests share: no network, no keys, no user folders, one thread."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

os.environ.update(
    SCREADER_OFFLINE="1",
    HF_HUB_OFFLINE="1",
    TOKENIZERS_PARALLELISM="false",
    OMP_NUM_THREADS="1",
    NUMBA_NUM_THREADS="1",
)
CACHE = Path(sys.prefix) / "cache"  # compiled code and fonts, made once for all processes
os.environ.update(NUMBA_CACHE_DIR=str(CACHE / "numba"), MPLCONFIGDIR=str(CACHE / "matplotlib"))
for secret in ("NCBI_API_KEY", "OPENAI_API_KEY", "HF_TOKEN", "SOURCE_DATE_EPOCH"):
    os.environ.pop(secret, None)


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny randomly initialised Llama in a folder."""
    from small_files import write_llama

    return write_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="session")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ninety labelled cells of three types, forty genes."""
    from small_files import write_cells

    return write_cells(tmp_path_factory.mktemp("cells"))
