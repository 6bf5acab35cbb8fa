"""Calls made while the cells are read: those that the file of their sequences gives."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pytest
from running import invoke
from scipy import sparse
from small_files import GENES, counts, expression

from screader_lib.annotation.annotate import Annotation, AnnotationOptions, annotate
from screader_lib.annotation.by_reader.answers import LoadedReader
from screader_lib.annotation.sample import SampleOptions
from screader_lib.cells.cells_in_blocks import StoredWeights
from screader_lib.cells.formats import expression as formats
from screader_lib.cells.formats.open_expression import open_expression
from screader_lib.exchange import provenance
from screader_lib.exchange.opening import open_exchange

CELLS = 130


def sample(path: Path, genes: int) -> Path:
    """Cells of which one is empty, with the first of the genes."""
    values, types = counts(11, CELLS)
    values[40] = 0
    expression(values[:, :genes], types).write_h5ad(path)
    return path


def called(reader: Path, source: Path, folder: Path, **options: object) -> Annotation:
    folder.mkdir()
    made = provenance.make("annotate", {}, {}, [])
    with (
        open_exchange(reader, "reader", name="reader") as opened,
        open_expression(source, source.name) as cells,
    ):
        how = AnnotationOptions(force=True, **options)
        return annotate([cells], LoadedReader(opened), made, folder, how)


@pytest.mark.parametrize("genes", [GENES, 25])
@pytest.mark.parametrize(("per_block", "threads"), [(10**6, 1), (400, 1), (400, 3)])
def test_the_same_calls_as_from_the_file(
    reader: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    genes: int,
    per_block: int,
    threads: int,
) -> None:
    monkeypatch.setattr(formats, "VALUES_PER_BLOCK", per_block)
    source, how = sample(tmp_path / "new.h5ad", genes), SampleOptions(threads=threads)
    passed = called(reader, source, tmp_path / "passed", sample=how)
    filed = called(reader, source, tmp_path / "filed", sample=how, keeps_files=True)
    assert (tmp_path / "filed" / "cells.h5ad").exists()
    assert not (tmp_path / "passed" / "cells.h5ad").exists()
    assert np.abs(passed.cells.probability - filed.cells.probability).max() < 1e-5
    assert passed.cells.label.tolist() == filed.cells.label.tolist()
    columns = passed.calls.columns(), filed.calls.columns()
    assert list(columns[0]) == list(columns[1])
    for name in ("screader_confidence", "screader_familiarity", "screader_consensus_confidence"):
        one, other = (np.asarray(of[name].load()) for of in columns)
        assert one == pytest.approx(other, abs=1e-4)
    one, other = (np.concatenate([*done.calls.obsm["X_screader"]]) for done in (passed, filed))
    assert one == pytest.approx(other, abs=1e-4)


def test_without_vectors_the_rest_is_the_same(reader: Path, tmp_path: Path) -> None:
    source = sample(tmp_path / "new.h5ad", GENES)
    for name, more in (("with", []), ("without", ["--no-vectors"])):
        done = invoke("annotate", source, "-r", reader, *more, "-o", tmp_path / f"{name}.h5ad")
        assert done.exit_code == 0, done.stderr
    whole, less = (anndata.read_h5ad(tmp_path / f"{name}.h5ad") for name in ("with", "without"))
    assert whole.obsm["X_screader"].shape[0] == CELLS and not less.obsm
    assert whole.obs.equals(less.obs)


def test_weights_on_disk() -> None:
    random = np.random.default_rng(0)
    every = sparse.random_array((50, 70_000), density=0.01, rng=random, dtype=np.float32).tocsr()
    stored = StoredWeights()
    for start, stop in ((0, 20), (20, 21), (21, 50)):
        stored.add(every[start:stop])
    for rows in (np.arange(50), np.array([0]), np.array([3, 19, 20, 21, 49])):
        found = stored.read(rows)
        assert found.shape == (len(rows), 70_000) and (found != every[rows]).nnz == 0
