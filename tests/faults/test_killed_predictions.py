"""A prediction that was killed goes on from the calls it had kept, to the same bytes."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from running import run
from small_files import CELLS, call, fail, succeed, write_cells, write_expression

from screader_lib.exchange import provenance
from screader_lib.reader.prediction import write_predictions
from screader_lib.reader.prediction.prediction_checkpoint import MARK, PredictionCheckpoint

BLOCK = 16
BLOCKS = -(-CELLS // BLOCK)
SCREADER = ["--llm-layers", 1, "--epochs", 1, "--warm-start-epochs", 2, "--genes-per-cell", 8,
            "--validation", 0]  # fmt: skip


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_predictions, "BLOCK", BLOCK)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory, cells: Path, llama: Path) -> Path:
    """A reader with an LLM."""
    path = tmp_path_factory.mktemp("reader") / "reader.h5"
    succeed("train-reader", cells, "--llm", llama, *SCREADER, "-o", path)
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, cells: Path, reader: Path) -> bytes:
    """What a run that nothing disturbs writes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write_predictions, "BLOCK", BLOCK)
        path = tmp_path_factory.mktemp("whole") / "calls.h5ad"
        succeed("predict", cells, "-r", reader, "--explain", 4, "-o", path)
    return path.read_bytes()


class Counted:
    """Counts the blocks that are called, and kills this process at one of them."""

    def __init__(self, fatal: int = 0) -> None:
        self.calls, self.fatal, self.usual = 0, fatal, write_predictions.predict_block

    def __call__(self, *words: Any) -> Any:
        self.calls += 1
        if self.calls == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.usual(*words)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    monkeypatch.setattr(write_predictions, "predict_block", counted := Counted())
    return counted


def killed_at(block: int, *words: object) -> None:
    """Run predict in a fork that dies when it is to call ``block``, from 1."""
    child = os.fork()
    if not child:
        try:
            write_predictions.predict_block = Counted(block)  # type: ignore[assignment]
            call("predict", *words)
        finally:
            os._exit(99)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.parametrize("block", [1, BLOCKS], ids=["first", "last"])
def test_a_kill_costs_one_block(
    tmp_path: Path, cells: Path, reader: Path, whole: bytes, counted: Counted, block: int
) -> None:
    output = tmp_path / "calls.h5ad"
    words = [cells, "-r", reader, "--explain", 4, "-o", output]
    output.write_bytes(b"old")
    killed_at(block, *words)
    assert output.read_bytes() == b"old"
    result = succeed("predict", *words)
    assert counted.calls == BLOCKS - block + 1
    assert output.read_bytes() == whole
    assert ("resuming with" in result.stderr) == (block > 1)
    assert [path.name for path in tmp_path.iterdir()] == ["calls.h5ad"]


def test_a_kill_without_vectors(
    tmp_path: Path, cells: Path, reader: Path, counted: Counted
) -> None:
    whole, resumed = (tmp_path / name for name in ("whole.h5ad", "resumed.h5ad"))
    words = [cells, "-r", reader, "--no-vectors", "-o"]
    succeed("predict", *words, whole)
    killed_at(3, *words, resumed)
    succeed("predict", *words, resumed)
    assert counted.calls == 2 * BLOCKS - 2
    with h5py.File(whole) as a, h5py.File(resumed) as b:
        assert "X_screader" not in b["obsm"]
        assert np.array_equal(a["obsm/probability"][()], b["obsm/probability"][()])


def test_a_kill_while_the_file_is_finished_costs_no_block(
    tmp_path: Path, cells: Path, reader: Path, whole: bytes, counted: Counted,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    output = tmp_path / "calls.h5ad"
    words = [cells, "-r", reader, "--explain", 4, "-o", output]
    with monkeypatch.context() as patch:
        patch.setattr(provenance, "write", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
        fail("predict", *words)
    assert counted.calls == BLOCKS and not output.exists()
    succeed("predict", *words)
    assert counted.calls == BLOCKS and output.read_bytes() == whole


def test_a_damaged_block_is_called_again(
    tmp_path: Path, cells: Path, reader: Path, whole: bytes, counted: Counted
) -> None:
    output = tmp_path / "calls.h5ad"
    words = [cells, "-r", reader, "--explain", 4, "-o", output]
    killed_at(4, *words)
    kept = sorted((tmp_path / "calls.h5ad.unfinished").glob("block-*.h5"))
    assert len(kept) == 3
    kept[0].write_bytes(kept[0].read_bytes()[:-100])
    with h5py.File(kept[1], "a") as file:
        del file["evidence"]
    result = succeed("predict", *words)
    assert counted.calls == BLOCKS - 1 and result.stderr.count("is damaged") == 2
    assert output.read_bytes() == whole


OTHER = {
    "options": ["--explain", 3],
    "shard": ["--shard", "1/2"],
    "vectors": ["--no-vectors"],
    "precision": ["--precision", "bfloat16"],
}


@pytest.mark.parametrize("what", [*OTHER, "cells"])
def test_calls_of_another_prediction_are_not_taken_up(
    tmp_path: Path, cells: Path, reader: Path, counted: Counted, what: str
) -> None:
    output = tmp_path / "calls.h5ad"
    killed_at(3, cells, "-r", reader, "-o", output)
    if what == "cells":
        cells = write_cells(tmp_path, seed=3)
    result = succeed("predict", cells, "-r", reader, *OTHER.get(what, []), "-o", output)
    assert "belongs to another prediction; starting afresh" in " ".join(result.stderr.split())
    assert counted.calls == (BLOCKS // 2 if what == "shard" else BLOCKS)


def test_thresholds_do_not_make_another_prediction(
    tmp_path: Path, cells: Path, reader: Path, counted: Counted
) -> None:
    output = tmp_path / "calls.h5ad"
    killed_at(BLOCKS, cells, "-r", reader, "-o", output)
    succeed("predict", cells, "-r", reader, "--min-confidence", 0.6, "-o", output)
    assert counted.calls == 1


def test_a_folder_of_ones_own_loses_the_blocks_alone(
    tmp_path: Path, cells: Path, reader: Path, counted: Counted
) -> None:
    kept = tmp_path / "kept"
    words = [cells, "-r", reader, "--checkpoint", kept]
    killed_at(3, *words, "-o", tmp_path / "one.h5ad")
    blocks = {"block-0000000.h5", "block-0000001.h5"}
    assert {path.name for path in kept.iterdir()} == {MARK, *blocks}
    (kept / "notes.txt").write_text("words")
    (kept / ".block-0000002.h5.abc.partial").write_text("half")
    succeed("predict", *words, "-o", tmp_path / "other.h5ad")
    assert counted.calls == BLOCKS - 2
    assert [path.name for path in kept.iterdir()] == ["notes.txt"]


def test_a_folder_of_other_things_is_refused_and_stays(
    tmp_path: Path, cells: Path, reader: Path
) -> None:
    precious = tmp_path / "kept" / "thesis.txt"
    precious.parent.mkdir()
    precious.write_text("words")
    line = fail(
        "predict", cells, "-r", reader, "--checkpoint", precious.parent, "-o", tmp_path / "p.h5ad"
    )
    assert "is not the folder of an unfinished prediction" in line
    assert precious.read_text() == "words" and not (tmp_path / "p.h5ad").exists()


def test_to_standard_output_nothing_is_kept(tmp_path: Path, cells: Path, reader: Path) -> None:
    done = run("predict", cells, "-r", reader, home=tmp_path, cwd=tmp_path)
    (tmp_path / "out.h5ad").write_bytes(done.stdout)
    with h5py.File(tmp_path / "out.h5ad") as file:
        assert len(file["obs/id"]) == CELLS
    assert not list(tmp_path.glob("*.unfinished"))


def test_cells_of_several_windows_come_as_they_are(
    tmp_path: Path, reader: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read in passing equals what is read at once."""
    from screader_lib.cells import cells_file
    from screader_lib.cells.cells_file import CellSequences
    from screader_lib.exchange.opening import open_exchange

    monkeypatch.setattr(cells_file, "WINDOW", 7)
    monkeypatch.setattr(cells_file, "WINDOWS", 3)
    write_expression(tmp_path / "counts-1.h5ad", 1)
    with open_exchange(write_cells(tmp_path, seed=1), "cells") as opened:
        once, passing = CellSequences(opened), CellSequences(opened, sequential=True)
        for rows in (np.arange(90), np.array([3, 1, 2]), np.array([88, 0, 40, 41]), np.arange(20)):
            for one, other in zip(once.rows(rows), passing.rows(rows), strict=True):
                assert np.array_equal(one, other) and one.dtype == other.dtype
        assert passing._window.cache_info().currsize <= 3


def test_a_block_whose_values_changed_is_called_again(
    tmp_path: Path, cells: Path, reader: Path, whole: bytes
) -> None:
    output = tmp_path / "calls.h5ad"
    words = [cells, "-r", reader, "--explain", 4, "-o", output]
    killed_at(3, *words)
    with h5py.File(tmp_path / "calls.h5ad.unfinished" / "block-0000000.h5", "a") as file:
        file["probability"][...] = file["probability"][()][:, ::-1]
    assert succeed("predict", *words).stderr.count("is damaged") == 1
    assert output.read_bytes() == whole


def test_of_two_predictions_to_one_output_one_is_refused(
    tmp_path: Path, cells: Path, reader: Path
) -> None:
    folder = tmp_path / "calls.h5ad.unfinished"
    first = PredictionCheckpoint(folder, "another")
    first.begin()
    told = fail("predict", cells, "-r", reader, "-o", tmp_path / "calls.h5ad")
    assert "another prediction to the same output is running" in told
    first.remove()
    assert not folder.exists()
    succeed("predict", cells, "-r", reader, "-o", tmp_path / "calls.h5ad")


def test_a_refusal_leaves_no_folder(tmp_path: Path, cells: Path, reader: Path) -> None:
    damaged = tmp_path / "reader.h5"
    damaged.write_bytes(reader.read_bytes())
    with h5py.File(damaged, "a") as file:
        for tensor in file["tensors"].values():
            tensor[...] = np.float32(3e38)
    told = fail("predict", cells, "-r", damaged, "-o", tmp_path / "calls.h5ad")
    assert "not finite" in told
    assert [path.name for path in tmp_path.iterdir()] == ["reader.h5"]
