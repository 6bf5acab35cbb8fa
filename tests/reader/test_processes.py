"""Two processes give what one gives: on the CPU, connected by gloo, as a launcher starts them."""

from __future__ import annotations

import multiprocessing
import os
import socket
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from running import command, environment
from small_files import call, fail, succeed
from transformers import AutoModel

from screader_lib import launch
from screader_lib.reader.llm.decoder import is_supported, read
from screader_lib.reader.llm.frozen_llm import FrozenLLM, LLMIdentity

CLOSE = 1e-5
TRAINED = ["--precision", "float32", "--warm-start-epochs", 2, "--epochs", 1, "--batch-size", 24,
           "--genes-per-cell", 12, "--micro-batch-tokens", 100, "--gene-offsets", 0.5,
           "--no-gene-scores", "--learning-rate", 1e-2]  # fmt: skip
WORKER = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}


def start_both(folder: Path, tool: str, *words: object) -> str:
    """Run a tool in two processes, forked from this one; returns their messages."""
    import accelerate  # noqa: F401  so that the two need not

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    fork = multiprocessing.get_context("fork")
    both = [fork.Process(target=_work, args=(folder, index, port, tool, words)) for index in (0, 1)]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
        process.kill()
    messages = "".join((folder / f"{index}.txt").read_text() for index in (0, 1))
    assert [process.exitcode for process in both] == [0, 0], messages
    return messages


def _work(folder: Path, index: int, port: str, tool: str, words: tuple[object, ...]) -> None:
    from accelerate.state import PartialState

    PartialState._reset_state()
    torch.set_num_threads(1)  # a pool of threads that an earlier test started is not here
    os.environ.update(WORKER, RANK=str(index), LOCAL_RANK=str(index), MASTER_PORT=port)
    result = call(tool, *words)
    (folder / f"{index}.txt").write_text(result.stderr)
    sys.exit(result.exit_code)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory, cells: Path, llama: Path) -> Path:
    """A reader trained by one process."""
    path = tmp_path_factory.mktemp("one") / "reader.h5"
    result = succeed("train-reader", cells, "--llm", llama, *TRAINED, "-o", path)
    assert "have no weight" not in result.stderr
    return path


def assert_same_reader(actual: Path, expected: Path) -> None:
    with h5py.File(actual) as one, h5py.File(expected) as other:
        assert set(one["tensors"]) == set(other["tensors"])
        for name, values in other["tensors"].items():
            assert np.abs(one["tensors"][name][()] - values[()]).max() <= CLOSE, name
        assert one["history/loss"][()] == pytest.approx(other["history/loss"][()], abs=CLOSE)


def assert_same_predictions(
    actual: Path, expected: Path, names: tuple[str, ...] = ("probability", "X_screader")
) -> None:
    with h5py.File(actual) as one, h5py.File(expected) as other:
        calls = [file["obs/predicted_label/codes"][()] for file in (one, other)]
        assert np.array_equal(*calls)
        for name in names:
            assert np.abs(one["obsm"][name][()] - other["obsm"][name][()]).max() <= 1e-4, name


@pytest.fixture(scope="module")
def calls(reader: Path, cells: Path) -> Path:
    """Its predictions by one process."""
    path = reader.with_name("calls.h5ad")
    succeed("predict", cells, "-r", reader, "--explain", 3, "-o", path)
    return path


def test_training_and_prediction(
    tmp_path: Path, cells: Path, llama: Path, reader: Path, calls: Path
) -> None:
    """Also cross-validation, whose folds are files that the processes share."""
    output, oof, two = tmp_path / "r.h5", tmp_path / "oof.h5ad", tmp_path / "two.h5ad"
    words = [cells, "--llm", llama, *TRAINED, "--folds", 2, "--oof-predictions", oof]
    messages = start_both(tmp_path, "train-reader", *words, "-o", output)
    assert_same_reader(output, reader)
    succeed("validate", output, oof)
    assert messages.count(" training and ") == 3  # two folds, all cells: once each
    messages = start_both(tmp_path, "predict", cells, "-r", reader, "--explain", 3, "-o", two)
    names = ("probability", "X_screader", "explanation_part", "explanation_gene")
    assert_same_predictions(two, calls, names)
    assert messages.count("90 cells predicted") == 1
    files = {path.name for path in tmp_path.iterdir()}
    assert files == {"oof.h5ad", "r.h5", "two.h5ad", "0.txt", "1.txt"}


def test_the_llms_layers_over_both(
    tmp_path: Path, cells: Path, llama: Path, reader: Path, calls: Path
) -> None:
    """Batches of cells do not come out even: one process computes for nothing at times."""
    output, two, alone = (tmp_path / name for name in ("r.h5", "two.h5ad", "alone.h5ad"))
    words = [cells, "--llm", llama, *TRAINED, "--device", "spread"]
    start_both(tmp_path, "train-reader", *words, "-o", output)
    assert_same_reader(output, reader)
    start_both(tmp_path, "predict", cells, "-r", reader, "--device", "spread", "-o", two)
    assert_same_predictions(two, calls)
    succeed("predict", cells, "-r", reader, "--device", "spread", "-o", alone)  # without a GPU
    assert_same_predictions(alone, calls)


def test_a_launcher_ends_all_on_failing_input(tmp_path: Path, cells: Path) -> None:
    """As accelerate launch starts them."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone",
                "--nproc_per_node", "2", "--no_python"]  # fmt: skip
    words = [cells, "-r", tmp_path / "none.h5", "-o", tmp_path / "p.h5ad"]
    done = subprocess.run(
        [*launcher, *command("predict", *words)], cwd=tmp_path, env=environment(tmp_path),
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 1 and "none.h5: no such file" in done.stderr
    assert not list(tmp_path.glob("p.h5ad*"))


def test_a_worker_writes_nothing_says_which_it_is_and_takes_no_pipes(
    tmp_path: Path, cells: Path, reader: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in WORKER.items():
        monkeypatch.setenv(name, value)
    line = fail("predict", cells, "-r", tmp_path / "no.h5", "-o", tmp_path / "p.h5ad")
    assert line.startswith("predict (process 2 of 2): error:")
    succeed("build-cells", cells.with_name("counts-0.h5ad"), "-e",
            cells.with_name("embeddings.h5ad"), "-o", tmp_path / "c.h5ad")  # fmt: skip
    assert not list(tmp_path.iterdir())
    for words in (["-", "-r", reader, "-o", "x.h5ad"], [cells, "-r", reader]):
        result = call("predict", *words)
        assert result.exit_code == 2 and "several processes need files" in result.stderr
    monkeypatch.delenv("WORLD_SIZE")  # RANK alone may be there for other reasons
    assert launch.process_count() == 1 and not launch.is_worker()


def test_an_llm_on_several_devices_is_called_by_the_library(tmp_path: Path, llama: Path) -> None:
    """Its last layer lies on the disk here, as it would on another GPU."""
    devices = {"embed_tokens": "cpu", "layers.0": "cpu", "layers.1": "cpu", "layers.2": "disk",
               "norm": "cpu", "rotary_emb": "cpu"}  # fmt: skip
    usual = AutoModel.from_pretrained(llama).eval()
    spread = AutoModel.from_pretrained(llama, device_map=devices, offload_folder=tmp_path).eval()
    assert is_supported(usual) and not is_supported(spread)
    tokens, lengths, outputs = torch.randn(3, 6, 32), torch.tensor([6, 2, 0]), []
    for model in (usual, spread):
        llm = FrozenLLM(model, LLMIdentity("", "", "", 3, 32, ""), torch.randn(0, 32), 1.0)
        with torch.no_grad():
            outputs.append(read(llm, tokens, lengths, torch.ones(32), "instruction-cell-cls"))
    for name in ("cls", "mean"):
        torch.testing.assert_close(outputs[0][name], outputs[1][name], rtol=1e-4, atol=1e-5)
