"""A zarr store that was not copied whole is refused, and one that leaves out zeros is read."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
import zarr
from scipy import sparse
from small_files import counts, expression

from screader_lib.cells.formats.open_expression import open_expression
from screader_lib.errors import ScReaderError

VALUES, TYPES = counts(cells=300)
SAMPLES = ["a"] * 170 + ["b"] * 130  # sorted, so that whole chunks of codes are 0 and left out
STEP = {1: (50,), 2: (50, 10)}
FINE = ("obs/sample/codes", "obs/is_rare", "obs/one/codes")


def rechunked(group: zarr.Group) -> None:
    """Every array in small chunks, without those of zeros."""
    for name in list(group):
        element = group[name]
        if isinstance(element, zarr.Group):
            rechunked(element)
        elif element.ndim and element.size:
            values, attributes = element[...], dict(element.attrs)
            del group[name]
            chunks = tuple(map(min, STEP[values.ndim], values.shape))
            kind: Any = str if values.dtype == object else element.dtype  # NumPy 1's strings
            new = group.create_array(name, shape=values.shape, dtype=kind, chunks=chunks)
            new[...] = values
            new.attrs.update(attributes)


@pytest.fixture(scope="module", params=["sparse 3", "dense 2"])
def store(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    layout, version = request.param.split()
    more = {
        "sample": SAMPLES, "one": ["x"] * 300, "depth": np.arange(1.0, 301),
        "is_rare": np.arange(300) == 299,
    }  # fmt: skip
    data = expression(VALUES, TYPES, **more)
    data.strings_to_categoricals()
    matrix = VALUES.astype(np.float32)
    data.X = matrix if layout == "dense" else sparse.csr_matrix(matrix)
    path = tmp_path_factory.mktemp("store") / "x.zarr"
    with warnings.catch_warnings(), anndata.settings.override(zarr_write_format=int(version)):
        warnings.simplefilter("ignore")
        data.write_zarr(path)
        rechunked(zarr.open_group(path, mode="a", use_consolidated=False))
        zarr.consolidate_metadata(path)
    return path


def chunks_of(path: Path) -> Iterator[str]:
    for file in sorted(path.rglob("*")):
        if file.is_file() and not file.name.startswith(".z") and file.name != "zarr.json":
            yield str(file.relative_to(path))


def read(path: Path) -> dict[str, np.ndarray]:
    with open_expression(path, str(path)) as opened:
        obs = opened.obs.load()
        columns = {name: obs.strings(name) for name in (*obs.columns, obs.index_name)}
        blocks = [opened.read(*span).toarray() for span in opened.spans()]
        return {**columns, "X": np.concatenate(blocks), "genes": opened.genes.index}


def test_each_chunk_that_is_not_copied_is_missed(store: Path, tmp_path: Path) -> None:
    whole = read(store)
    assert np.array_equal(whole["X"], VALUES) and whole["sample"].tolist() == SAMPLES
    copy = shutil.copytree(store, tmp_path / "copy.zarr")
    names = [name for name in chunks_of(store) if name.startswith(("obs/", "var/", "X"))]
    assert len(names) > 30
    refused = 0
    for name in names:
        (copy / name).unlink()
        try:
            told = read(copy)
        except ScReaderError as error:
            refused += 1
            assert "lacks " in str(error) and "copy.zarr" in str(error)
        else:
            assert name.startswith(FINE), name
            assert np.array_equal(told["X"], VALUES)
        shutil.copy(store / name, copy / name)
    assert refused >= len(names) - 6


def test_a_gigantic_chunk_is_refused(store: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(store, tmp_path / "copy.zarr")
    group = zarr.open_group(copy, mode="a", use_consolidated=False)
    del group["obs/depth"]
    group.create_array("obs/depth", shape=(300,), dtype="f8", chunks=(2**40,))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(copy)
    with pytest.raises(ScReaderError, match="declares chunks of"):
        read(copy)
