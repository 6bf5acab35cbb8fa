"""Two processes give what one gives: on the CPU, connected by gloo, as a launcher starts them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from running import command, environment
from small_files import call, fail, succeed

CLOSE = 1e-5
TRAINED = ["--precision", "float32", "--warm-start-epochs", 2, "--epochs", 1, "--batch-size", 24,
           "--genes-per-cell", 12, "--micro-batch-tokens", 100, "--gene-offsets", 0.5]  # fmt: skip
LAUNCHED = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}


def launch(folder: Path, tool: str, *words: object) -> subprocess.CompletedProcess[str]:
    """Run a tool in two processes, as accelerate launch does."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone",
                "--nproc_per_node", "2", "--no_python"]  # fmt: skip
    return subprocess.run(
        [*launcher, *command(tool, *words)], cwd=folder, env=environment(folder),
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory, cells: Path, llama: Path) -> Path:
    """A reader trained by one process."""
    path = tmp_path_factory.mktemp("one") / "reader.h5"
    succeed("train-reader", cells, "--llm", llama, *TRAINED, "-o", path)
    return path


def said(run: subprocess.CompletedProcess[str], tool: str) -> list[str]:
    return [line for line in run.stderr.splitlines() if line.startswith(tool)]


def test_training(tmp_path: Path, cells: Path, llama: Path, reader: Path) -> None:
    """Also cross-validation, whose folds are files that the processes share."""
    output, calls = tmp_path / "r.h5", tmp_path / "calls.h5ad"
    words = [cells, "--llm", llama, *TRAINED, "--folds", 2]
    run = launch(tmp_path, "train-reader", *words, "--oof-predictions", calls, "-o", output)
    assert run.returncode == 0, run.stderr
    with h5py.File(output) as found, h5py.File(reader) as wanted:
        assert set(found["tensors"]) == set(wanted["tensors"])
        for name, values in wanted["tensors"].items():
            assert np.abs(found["tensors"][name][()] - values[()]).max() <= CLOSE, name
        assert found["history/loss"][()] == pytest.approx(wanted["history/loss"][()], abs=CLOSE)
    succeed("validate", output, calls)
    lines = said(run, "train-reader")
    assert (
        sum("validation cells of" in line for line in lines) == 3
    )  # two folds, all cells: once each
    assert sorted(path.name for path in tmp_path.iterdir()) == ["calls.h5ad", "r.h5"]


def test_prediction(tmp_path: Path, cells: Path, reader: Path) -> None:
    one, two = tmp_path / "one.h5ad", tmp_path / "two.h5ad"
    words = [cells, "-r", reader, "--explain", 3]
    succeed("predict", *words, "-o", one)
    run = launch(tmp_path, "predict", *words, "-o", two)
    assert run.returncode == 0, run.stderr
    with h5py.File(one) as wanted, h5py.File(two) as found:
        assert np.array_equal(
            found["obs/predicted_label/codes"][()], wanted["obs/predicted_label/codes"][()]
        )
        for name in ("probability", "X_screader", "explanation_part"):
            difference = found["obsm"][name][()] - wanted["obsm"][name][()]
            assert np.abs(difference).max() <= CLOSE, name
        assert np.array_equal(
            found["obsm/explanation_gene"][()], wanted["obsm/explanation_gene"][()]
        )
    assert len([line for line in said(run, "predict") if "90 cells predicted" in line]) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.h5ad", "two.h5ad"]


def test_failing_input_ends_all(tmp_path: Path, cells: Path) -> None:
    run = launch(tmp_path, "predict", cells, "-r", tmp_path / "none.h5", "-o", tmp_path / "p.h5ad")
    assert run.returncode == 1 and "none.h5: no such file" in run.stderr
    assert not list(tmp_path.glob("p.h5ad*"))


def test_an_assisting_process_writes_nothing_and_says_which_it_is(
    tmp_path: Path, cells: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in LAUNCHED.items():
        monkeypatch.setenv(name, value)
    line = fail("predict", cells, "-r", tmp_path / "no.h5", "-o", tmp_path / "p.h5ad")
    assert line.startswith("predict (process 2 of 2): error:")
    succeed("build-cells", cells.with_name("counts-0.h5ad"), "-e",
            cells.with_name("embeddings.h5ad"), "-o", tmp_path / "c.h5ad")  # fmt: skip
    assert not list(tmp_path.iterdir())


def test_several_processes_take_no_pipes(
    cells: Path, reader: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in LAUNCHED.items():
        monkeypatch.setenv(name, value)
    for words in (["-", "-r", reader, "-o", "x.h5ad"], [cells, "-r", reader]):
        result = call("predict", *words)
        assert result.exit_code == 2 and "several processes need files" in result.stderr


def test_half_a_launcher_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """RANK alone may be there for other reasons."""
    from screader_lib import launch

    monkeypatch.setenv("RANK", "3")
    assert launch.process_count() == 1 and not launch.is_worker()


def test_the_llms_layers_over_both(tmp_path: Path, cells: Path, llama: Path, reader: Path) -> None:
    """Groups of cells do not come out even: one process works for nothing at times."""
    output, calls = tmp_path / "r.h5", tmp_path / "p.h5ad"
    words = [cells, "--llm", llama, *TRAINED, "--device", "spread"]
    run = launch(tmp_path, "train-reader", *words, "-o", output)
    assert run.returncode == 0, run.stderr
    with h5py.File(output) as found, h5py.File(reader) as wanted:
        for name, values in wanted["tensors"].items():
            assert np.abs(found["tensors"][name][()] - values[()]).max() <= CLOSE, name
    run = launch(tmp_path, "predict", cells, "-r", reader, "--device", "spread", "-o", calls)
    assert run.returncode == 0, run.stderr
    succeed("predict", cells, "-r", reader, "-o", tmp_path / "one.h5ad")
    with h5py.File(calls) as found, h5py.File(tmp_path / "one.h5ad") as wanted:
        difference = found["obsm/X_screader"][()] - wanted["obsm/X_screader"][()]
        assert np.abs(difference).max() <= 1e-4


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("groups", [0, 1, 5, 6])
def test_dealing(count: int, groups: int) -> None:
    from screader_lib.reader.llm.processes import Processes

    names = list(range(groups))
    dealt = [list(Processes(number, count).share(names)) for number in range(count)]
    assert sorted(group for one in dealt for group, counts in one if counts) == names
    in_step = [list(Processes(number, count).share(names, True)) for number in range(count)]
    assert len({len(one) for one in in_step}) == 1
    assert [[group for group, counts in one if counts] for one in in_step] == [
        [group for group, _ in one] for one in dealt
    ]


def test_an_llm_on_several_devices_is_called_by_the_library(tmp_path: Path, llama: Path) -> None:
    """Its last layer lies on the disk here, as it would on another GPU."""
    import torch
    from transformers import AutoModel

    from screader_lib.reader.llm.decoder import is_supported
    from screader_lib.reader.llm.frozen_llm import FrozenLLM, LLMIdentity
    from screader_lib.reader.llm.token_sequence import read

    places = {"embed_tokens": "cpu", "layers.0": "cpu", "layers.1": "cpu", "layers.2": "disk",
              "norm": "cpu", "rotary_emb": "cpu"}  # fmt: skip
    usual = AutoModel.from_pretrained(llama).eval()
    spread = AutoModel.from_pretrained(llama, device_map=places, offload_folder=tmp_path).eval()
    assert is_supported(usual) and not is_supported(spread)
    tokens = torch.randn(3, 6, 32)
    found = []
    for model in (usual, spread):
        llm = FrozenLLM(model, LLMIdentity("", "", "", 3, 32, ""), torch.randn(0, 32), 1.0)
        with torch.no_grad():
            found.append(
                read(llm, tokens, torch.tensor([6, 2, 0]), torch.ones(32), "instruction-cell-cls")
            )
    for name in ("cls", "mean"):
        torch.testing.assert_close(found[0][name], found[1][name], rtol=1e-4, atol=1e-5)


def test_spread_in_one_process_without_a_gpu(tmp_path: Path, cells: Path, reader: Path) -> None:
    one, other = tmp_path / "one.h5ad", tmp_path / "other.h5ad"
    succeed("predict", cells, "-r", reader, "-o", one)
    succeed("predict", cells, "-r", reader, "--device", "spread", "-o", other)
    with h5py.File(one) as a, h5py.File(other) as b:
        assert np.allclose(a["obsm/X_screader"][()], b["obsm/X_screader"][()], atol=1e-5)
