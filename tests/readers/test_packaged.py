"""The readers that come with the suite: valid, small, and right on cells of their own kind."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pytest
from real_data import real
from running import invoke

from screader_lib.exchange import encoding, validation
from screader_lib.exchange.opening import open_exchange
from screader_lib.readers.card import card_of
from screader_lib.readers.fetching import find_reader
from screader_lib.readers.registry import PACKAGED, known_readers

NAMES = ("human-blood", "human-pancreas", "mouse-pancreas")
MAX_BYTES = 5_000_000


def test_the_packaged_readers_are_those() -> None:
    assert tuple(e.name for e in known_readers() if e.known_from == PACKAGED) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_packaged_reader_is_valid_small_and_has_a_card(name: str) -> None:
    path = find_reader(name)
    assert path.stat().st_size <= MAX_BYTES
    with open_exchange(path, "reader") as opened:
        assert not validation.problems(opened.file, opened.schema, values_up_to=None)
        assert card_of(opened)["name"] == name
        assert (encoding.read_strings(opened.file["labels/ontology_id"]) != "").all()
        assert {"cross_validation", "profiles"} <= set(opened.file)
        assert {"symbol", "ensembl_id", "aliases"} <= set(opened.file["genes"])
        assert encoding.read_json(opened.file, "levels")["levels"]
    assert "Limitations" in invoke("screader", "readers", "show", name).stdout


@pytest.mark.parametrize(
    ("name", "cells", "label"),
    [
        ("human-blood", "pbmc_facs.h5ad", "lineage"),
        ("human-pancreas", "baron_human.h5ad", "cell_type1"),
        ("mouse-pancreas", "baron_mouse.h5ad", "cell_type1"),
    ],
)
def test_ten_cells_are_called_right(name: str, cells: str, label: str, tmp_path: Path) -> None:
    """The clearest cells of two types; genes are matched by name to the reader's own vectors."""
    source = anndata.read_h5ad(real(cells), backed="r")
    kinds = {"cell_type1": ("beta", "ductal"), "lineage": ("B cell", "CD14+")}[label]
    expected = {"B cell": "CD19+ B", "CD14+": "CD14+ Monocyte"}
    rows = np.concatenate([np.flatnonzero(source.obs[label] == kind)[:5] for kind in kinds])
    few = source[np.sort(rows)].to_memory()
    few.write_h5ad(tmp_path / "few.h5ad")
    _embeddings_of(name, tmp_path / "genes.h5ad")
    words = ("-e", tmp_path / "genes.h5ad", "--like", name, "-o", tmp_path / "cells.h5ad")
    done = invoke("build-cells", tmp_path / "few.h5ad", *words)
    assert done.exit_code == 0, done.stderr
    done = invoke("predict", tmp_path / "cells.h5ad", "-r", name, "-o", tmp_path / "calls.h5ad")
    assert done.exit_code == 0, done.stderr
    called = anndata.read_h5ad(tmp_path / "calls.h5ad").obs["predicted_label"].astype(str)
    assert list(called) == [expected.get(kind, kind) for kind in few.obs[label]]


def _embeddings_of(name: str, target: Path) -> None:
    """A gene-embeddings file of the reader's own genes."""
    from small_files import write_embeddings

    with open_exchange(find_reader(name), "reader") as opened:
        ids = list(encoding.read_strings(opened.file["genes/id"]))
        vectors = opened.file["genes/embedding"][()]
    write_embeddings(target, ids, dim=vectors.shape[1])
