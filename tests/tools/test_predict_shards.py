"""``predict --shard`` and ``screader gather``: what several runs call is what one would have."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
from fold_files import write_obo
from hypothesis import given, settings
from hypothesis import strategies as st
from small_files import ONE_READER, call, fail, succeed, write_cells

from screader_lib.reader.prediction import write_predictions
from screader_lib.reader.prediction.write_predictions import Shard

BLOCK = 16
METHODS = {
    "screader": ["--llm-layers", 1, "--epochs", 1, "--warm-start-epochs", 2,
                 "--genes-per-cell", 8, "--micro-batch-tokens", 120, "--validation", 0],
    "genept-w": ["--method", "genept-w"],
}  # fmt: skip
EXPLAIN = ["--explain", 4]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_predictions, "BLOCK", BLOCK)


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory, cells: Path, llama: Path) -> dict[str, Path]:
    """A reader of each method, and one of a fold."""
    folder = tmp_path_factory.mktemp("readers")
    words = {**METHODS, "fold": [*METHODS["genept-w"], "--folds", 2, "--fold", 1]}
    for name, more in words.items():
        llm = ["--llm", llama] if name == "screader" else []
        succeed("train-reader", cells, *llm, *ONE_READER, *more, "-o", folder / f"{name}.h5")
    return {name: folder / f"{name}.h5" for name in words}


def in_shards(folder: Path, count: int, *words: object) -> list[Path]:
    """The predictions of each shard."""
    files = [folder / f"part-{number}.h5ad" for number in range(1, count + 1)]
    for number, file in enumerate(files, 1):
        succeed("predict", *words, "--shard", f"{number}/{count}", "-o", file)
    succeed("validate", *files)
    return files


def differences(one: h5py.Group, other: h5py.Group, path: str = "") -> list[str]:
    """Elements that are not the same, but for what tells how the file was made."""
    found = [f"{path}/{name}" for name in set(one) ^ set(other)]
    for name in set(one) & set(other):
        a, b, here = one[name], other[name], f"{path}/{name}"
        if here == "/uns/screader":
            continue
        if dict(a.attrs).keys() != dict(b.attrs).keys():
            found.append(f"{here}: attributes")
        if isinstance(a, h5py.Group):
            found += differences(a, b, here)
        elif a.dtype != b.dtype or a.chunks != b.chunks or not np.array_equal(a[()], b[()]):
            found.append(here)
    return found


def assert_gathered_is_whole(folder: Path, count: int, *words: object) -> tuple[Path, list[Path]]:
    """Predictions in shards and in one run are the same; returns the latter and the shards."""
    whole, joined = folder / "whole.h5ad", folder / "joined.h5ad"
    predicted = succeed("predict", *words, "-o", whole).stderr
    files = in_shards(folder, count, *words)
    gathered = succeed("screader", "gather", *files[::-1], "-o", joined).stderr
    succeed("validate", joined)
    with h5py.File(whole) as a, h5py.File(joined) as b:
        assert differences(a, b) == []
    for text in ("cells predicted", "against the known labels"):
        lines = [line.partition(": ")[2] for line in predicted.splitlines() if text in line]
        assert lines == [line.partition(": ")[2] for line in gathered.splitlines() if text in line]
    return whole, files


@pytest.mark.parametrize(
    ("method", "count", "labelled"),
    [("screader", 3, True), ("genept-w", 7, False)],
)
def test_gathered_shards_are_the_unsharded_run(
    tmp_path: Path, cells: Path, readers: dict[str, Path], method: str, count: int, labelled: bool
) -> None:
    if not labelled:
        cells = write_cells(tmp_path, name="plain.h5ad")
        with h5py.File(cells, "a") as file:
            order = [name for name in file["obs"].attrs["column-order"] if name != "label"]
            file["obs"].attrs["column-order"] = order
            del file["obs/label"]
    words = [cells, "-r", readers[method], "--min-confidence", 0.5, *EXPLAIN]
    assert_gathered_is_whole(tmp_path, count, *words)


@pytest.mark.parametrize("method", METHODS)
def test_without_vectors_all_else_is_the_same(
    tmp_path: Path, cells: Path, readers: dict[str, Path], method: str
) -> None:
    words = [cells, "-r", readers[method], *EXPLAIN]
    succeed("predict", *words, "-o", tmp_path / "with.h5ad")
    without, _ = assert_gathered_is_whole(tmp_path, 2, *words, "--no-vectors")
    with h5py.File(tmp_path / "with.h5ad") as a, h5py.File(without) as b:
        assert set(differences(a, b)) == {"/obsm/X_screader", "/uns/latent"}
    succeed("plot", "report", without, "-o", tmp_path / "report.html")
    assert "hold no vectors of the cells" in (tmp_path / "report.html").read_text("utf-8")
    line = fail("plot", "umap", without, "-o", tmp_path / "umap.png")
    assert "has no cell vectors. Give the predictions of one reader, made without" in line


def test_with_an_ontology(tmp_path: Path, cells: Path, readers: dict[str, Path]) -> None:
    words = [cells, "-r", readers["genept-w"], "--ontology", write_obo(tmp_path / "cl.obo")]
    whole, _ = assert_gathered_is_whole(tmp_path, 3, *words, "--min-confidence", 0.999)
    assert set(anndata.read_h5ad(whole).obs["status"]) >= {"assigned", "backed-off"}


def test_shards_of_a_folds_held_out_cells(
    tmp_path: Path, cells: Path, readers: dict[str, Path]
) -> None:
    words = [cells, "-r", readers["fold"], "--held-out"]
    whole, files = assert_gathered_is_whole(tmp_path, 2, *words)
    line = fail("screader", "gather", files[0], whole, "-o", tmp_path / "no.h5ad")
    assert "part-1.h5ad: is a shard of a fold's held-out cells. Gather the shards" in line


def test_a_shard_without_cells(tmp_path: Path, cells: Path, readers: dict[str, Path]) -> None:
    output = tmp_path / "empty.h5ad"
    result = succeed("predict", cells, "-r", readers["genept-w"], "--shard", "9/9", "-o", output)
    assert "the shard holds no cells" in result.stderr
    succeed("validate", output)
    assert anndata.read_h5ad(output).shape == (0, 0)


@pytest.fixture(scope="module")
def parts(
    tmp_path_factory: pytest.TempPathFactory, cells: Path, readers: dict[str, Path]
) -> list[Path]:
    """Three shards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write_predictions, "BLOCK", BLOCK)
        folder = tmp_path_factory.mktemp("parts")
        return in_shards(folder, 3, cells, "-r", readers["genept-w"])


def test_shards_that_are_missing_twice_or_none(
    tmp_path: Path, cells: Path, readers: dict[str, Path], parts: list[Path]
) -> None:
    output = tmp_path / "g.h5ad"
    assert "of 3 shards, these are missing: 1, 3." in fail(
        "screader", "gather", parts[1], "-o", output
    )
    assert "is shard 2, but so is" in fail("screader", "gather", *parts, parts[1], "-o", output)
    whole = tmp_path / "whole.h5ad"
    succeed("predict", cells, "-r", readers["genept-w"], "-o", whole)
    assert "h5ad: " in fail("screader", "gather", *parts, whole, "-o", output)
    assert not output.exists()


@pytest.mark.parametrize(
    ("reader", "words"),
    [
        pytest.param("fold", ["--shard", "2/3"], id="reader"),
        pytest.param("genept-w", ["--shard", "2/3", "--min-confidence", 0.3], id="option"),
        pytest.param("genept-w", ["--shard", "2/4"], id="count"),
    ],
)
def test_a_shard_of_another_prediction(
    tmp_path: Path, cells: Path, readers: dict[str, Path], parts: list[Path],
    reader: str, words: list[object],
) -> None:  # fmt: skip
    stranger, output = tmp_path / "stranger.h5ad", tmp_path / "g.h5ad"
    succeed("predict", cells, "-r", readers[reader], *words, "-o", stranger)
    line = fail("screader", "gather", parts[0], stranger, parts[2], "-o", output)
    assert "stranger.h5ad: is of another prediction than" in line and not output.exists()


@pytest.mark.parametrize("shard", ["0/3", "4/3", "1", "-1/3", "1/2/3", "٣/٤"])
def test_what_is_no_shard(cells: Path, readers: dict[str, Path], shard: str) -> None:
    result = call("predict", cells, "-r", readers["genept-w"], "--shard", shard, "-o", "no.h5ad")
    assert result.exit_code == 2 and "shard" in result.stderr


@settings(deadline=None)
@given(st.integers(0, 200_000), st.integers(1, 300), st.integers(1, 2000))
def test_each_cell_is_in_one_shard(cells: int, count: int, block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write_predictions, "BLOCK", block)
        parts = [Shard(number, count).rows(cells) for number in range(1, count + 1)]
    assert parts[0].start == 0 and parts[-1].stop == cells
    assert all(one.stop == other.start for one, other in pairwise(parts))
    assert all(part.start % block == 0 or part.start == cells for part in parts)
    held = [-(-(part.stop - part.start) // block) for part in parts]
    assert max(held) - min(held) <= 1
