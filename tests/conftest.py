"""What all tests share: no network, no keys, no user folders, one thread."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import pytest

if TYPE_CHECKING:
    from screader_lib.genes.catalog import Catalog
    from screader_lib.genes.sources.tables import PackagedFacts

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


@pytest.fixture(scope="session", autouse=True)
def packaged_facts() -> Iterator[None]:
    """Facts of a species are read once by each process of the tests, as that takes seconds."""
    from screader_lib.genes.sources import tables

    usual, read = tables.PackagedFacts.catalog, dict[int, "Catalog"]()

    def catalog(facts: PackagedFacts, names: Sequence[str], gene_ids: Sequence[str]) -> Catalog:
        tax_id = facts.organism.tax_id
        if tax_id not in read:
            read[tax_id] = usual(facts, names, gene_ids)
        return read[tax_id]

    with mock.patch.object(tables.PackagedFacts, "catalog", catalog):
        yield
