"""Labels as people write them: those that say nothing, near twins, and codes."""

from __future__ import annotations

from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
from small_files import TYPES, counts, expression, succeed, write_embeddings

from screader_lib.cells.obs.labels import Labels, is_known
from screader_lib.exchange import encoding

VALUES, KNOWN = counts()


@pytest.fixture(scope="module")
def embeddings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_embeddings(tmp_path_factory.mktemp("embeddings") / "e.h5ad")


def built(folder: Path, embeddings: Path, labels: object, *words: str) -> tuple[dict, str]:
    """Cells of each label, an unlabelled one under "", and what the tool says."""
    expression(VALUES, KNOWN, given=labels).write_h5ad(folder / "x.h5ad")
    target = folder / "c.h5ad"
    words = (folder / "x.h5ad", "-e", embeddings, "--label", "given", *words, "-o", target)
    said = succeed("build-cells", *words).stderr
    labels = anndata.read_h5ad(target).obs["label"].cat.add_categories("").fillna("")
    return labels.value_counts()[lambda sizes: sizes > 0].to_dict(), said


@pytest.mark.parametrize(
    "text", ["NA", "<NA>", "n/a", "Unassigned", "", " NaN ", "None", "unlabeled", "Not assigned"]
)
def test_a_text_that_says_there_is_no_label(tmp_path: Path, embeddings: Path, text: str) -> None:
    labels = np.where(np.arange(len(KNOWN)) < 12, text, KNOWN)
    sizes, said = built(tmp_path, embeddings, labels)
    assert sizes == {"": 12, "alpha": 26, "beta": 26, "delta": 26}
    assert "labels are those of given: 3 types, 78 cells." in said
    name = repr(text) if text else "empty"
    assert f"12 cells without a label: {name} (12)." in said


def test_codes_of_missing_categories_as_r_writes_them(tmp_path: Path, embeddings: Path) -> None:
    expression(VALUES, KNOWN).write_h5ad(tmp_path / "x.h5ad")
    with h5py.File(tmp_path / "x.h5ad", "a") as file:
        codes = file["obs/cell_type/codes"][()].astype(np.int32)
        codes[:9] = np.iinfo(np.int32).min  # R's NA
        del file["obs/cell_type/codes"]
        encoding.write_array(file["obs/cell_type"], "codes", codes)
    words = (tmp_path / "x.h5ad", "-e", embeddings, "--label", "cell_type")
    succeed("build-cells", *words, "-o", tmp_path / "c.h5ad")
    labels = anndata.read_h5ad(tmp_path / "c.h5ad").obs["label"]
    assert labels[:9].isna().all() and labels[9:].tolist() == KNOWN[9:].tolist()


@pytest.mark.parametrize("name", ["NK", "Na+", "CD4-", "nonclassical", "0", "doublet"])
def test_a_label_that_says_something(name: str) -> None:
    assert is_known(name)


def test_near_twins_are_told_and_merged_where_asked_for(tmp_path: Path, embeddings: Path) -> None:
    labels = KNOWN.copy()
    labels[np.flatnonzero(KNOWN == "beta")[:10]] = "beta "
    labels[np.flatnonzero(KNOWN == "alpha")[:20]] = "Alpha"
    sizes, said = built(tmp_path, embeddings, labels)
    assert sizes == {"Alpha": 20, "alpha": 10, "beta": 20, "beta ": 10, "delta": 30}
    twins = "'Alpha' (20), 'alpha' (10); 'beta' (20), 'beta ' (10)"
    assert f"are different types: {twins}. --merge-labels" in said
    sizes, said = built(tmp_path, embeddings, labels, "--merge-labels", "--drop-labels", "delta")
    assert sizes == {"Alpha": 30, "beta": 30}
    assert "2 types, 60 cells." in said and f"spaces or hyphens were merged: {twins}." in said
    assert "warning" not in said


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("T cell", "t_cell", True),
        ("T-cell", "T cell", True),
        ("T\u00a0cell", "T cell", True),
        ("CD4+", "CD4-", False),
        ("CD4", "CD4-", False),
        ("B cell", "T cell", False),
    ],
)
def test_near_twins(one: str, other: str, alike: bool) -> None:
    labels = Labels()
    labels.counts.update({one: 2, other: 1})
    assert labels.twins == ([[one, other]] if alike else [])


@pytest.mark.parametrize("form", [int, float, lambda code: code == 1])
def test_codes_in_place_of_names_are_told(tmp_path: Path, embeddings: Path, form: object) -> None:
    labels = [form(TYPES.index(kind)) for kind in KNOWN]
    _, said = built(tmp_path, embeddings, labels)
    assert "are these clusters, or codes of names that were lost?" in said


def test_names_are_no_codes() -> None:
    labels = Labels()
    labels.counts.update(["0", "1", "NA", "beta"])
    assert not labels.are_codes
