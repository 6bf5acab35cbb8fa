"""What the LLM keeps in memory, what is planned, and what happens when it does not fit."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recording_reporter import RecordingReporter
from small_files import call, fail, succeed
from torch import Tensor
from transformers import LlamaConfig, LlamaModel

from screader_lib.cells.cells_file import CellSequences
from screader_lib.command_line.options import MemorySize
from screader_lib.errors import ScReaderError
from screader_lib.reader.llm.decoder import Decoder
from screader_lib.reader.llm.frozen_llm import FrozenLLM, LLMIdentity
from screader_lib.reader.llm.machine import Machine
from screader_lib.reader.llm.memory import Costs, plan
from screader_lib.reader.model import training
from screader_lib.reader.settings import settings_for
from screader_lib.reader.task import make_task

HIDDEN, INNER, LAYERS, CELLS, TOKENS = 64, 176, 6, 2, 40
QUICK = {"precision": "float32", "warm_start_epochs": 2, "epochs": 1, "batch_size": 16,
         "genes_per_cell": 12}  # fmt: skip


def llama_of(dtype: torch.dtype) -> FrozenLLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=16, hidden_size=HIDDEN, intermediate_size=INNER, num_hidden_layers=LAYERS,
        num_attention_heads=4, num_key_value_heads=4,
    )  # fmt: skip
    model = LlamaModel(config).to(dtype).eval().requires_grad_(False)
    identity = LLMIdentity("", "", "", LAYERS, HIDDEN, "")
    return FrozenLLM(model, identity, torch.zeros(0, HIDDEN), 1.0)


def saved_bytes(llm: FrozenLLM, forward: Callable[[Tensor], Tensor]) -> int:
    """Bytes saved for the backward pass, without parameters; each storage once."""
    parameters = {each.untyped_storage().data_ptr() for each in llm.model.parameters()}
    saved: dict[int, int] = {}

    def save(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    inputs = torch.randn(CELLS, TOKENS, HIDDEN, dtype=llm.model.dtype, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
        outputs = forward(inputs)
    assert outputs.requires_grad
    return sum(saved.values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_layer_keeps_what_is_counted_and_the_librarys_own_more(dtype: torch.dtype) -> None:
    llm = llama_of(dtype)
    costs = Costs.of(llm, 0, 0, on_gpu=False)
    ours = saved_bytes(llm, lambda values: Decoder(llm.model)(values, []))
    assert ours / (CELLS * TOKENS * LAYERS) == pytest.approx(costs.saved, rel=0.1)
    theirs = saved_bytes(
        llm, lambda values: llm.model(inputs_embeds=values, use_cache=False).last_hidden_state
    )
    assert theirs > (1.2 if dtype == torch.float32 else 1.35) * ours


@pytest.mark.parametrize("checkpointed", [1, 4, LAYERS])
def test_checkpointed_layers_keep_their_input_alone(checkpointed: int) -> None:
    llm = llama_of(torch.bfloat16)
    costs = Costs.of(llm, 0, 0, on_gpu=False)
    saved = saved_bytes(llm, lambda values: Decoder(llm.model, checkpointed)(values, []))
    expected = (checkpointed + 1) * costs.input + (LAYERS - checkpointed) * costs.saved
    assert saved / (CELLS * TOKENS) == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("checkpointed", [2, 99])
@pytest.mark.parametrize("positions", [None, torch.tensor([3, 30])], ids=["all", "one-position"])
def test_checkpointing_changes_no_gradient(checkpointed: int, positions: Tensor | None) -> None:
    llm = llama_of(torch.float32)
    values = torch.randn(CELLS, TOKENS, HIDDEN, requires_grad=True)
    prefix = Decoder(llm.model).prefix(torch.randn(3, HIDDEN))
    results = []
    for layers in (0, checkpointed):
        output = Decoder(llm.model, layers)(values, prefix, positions)
        results.append((output, *torch.autograd.grad(output.square().sum(), values)))
    for usual, recomputed in zip(*results, strict=True):
        assert torch.equal(usual, recomputed)


COSTS = Costs(
    layers=40, fixed=26 * 10**9, running=150_000, saved=117_000, input=10_240, outside=110_000
)


@pytest.mark.parametrize(
    ("gigabytes", "backward", "tokens", "checkpointed"),
    [
        pytest.param(None, True, 16_384, 0, id="no-limit"),
        pytest.param(132, True, 16_384, 0, id="141-GB-card"),
        pytest.param(75, True, 9_445, 0, id="80-GB-card"),
        pytest.param(36, True, 2_080, 5, id="40-GB-card"),
        pytest.param(29, True, 2_190, 37, id="29-GB"),
        pytest.param(75, False, 16_384, 0, id="80-GB-card-predict"),
        pytest.param(27, False, 3_846, 0, id="27-GB-predict"),
    ],
)
def test_plans(gigabytes: int | None, backward: bool, tokens: int, checkpointed: int) -> None:
    """Llama-13B in bfloat16, cells of 2,060 tokens."""
    limit = None if gigabytes is None else gigabytes * 10**9
    planned = plan(COSTS, Machine("cpu", limit), 16_384, 2_060, backward)
    if limit is not None:
        assert planned.tokens >= 2_060 and planned.needed <= limit
        if planned.checkpointed:
            fewer = COSTS.per_token(planned.checkpointed - 1)
            assert COSTS.fixed + fewer * 2_060 > limit
    assert planned.checkpointed == checkpointed
    assert planned.tokens == pytest.approx(tokens, rel=0.05)


def test_layers_that_are_asked_for_and_a_cell_that_does_not_fit() -> None:
    machine = Machine("cpu", None, 7)
    assert plan(COSTS, machine, 16_384, 2_060, True).checkpointed == 7
    assert plan(COSTS, Machine("cpu", None, 10**6), 16_384, 2_060, True).checkpointed == 40
    assert plan(COSTS, machine, 16_384, 2_060, False).checkpointed == 0
    with pytest.raises(ScReaderError, match="one cell of 2,060 tokens needs"):
        plan(COSTS, Machine("cpu", 26 * 10**9 + 10**8), 16_384, 2_060, True)


def test_the_page_on_gpus_has_the_plans_that_the_tools_make() -> None:
    root = Path(__file__).parents[2]
    rows = runpy.run_path(str(root / "benchmarks" / "gpu_plans.py"))["rows"]()
    assert len(rows) > 15
    assert "\n".join(rows) in (root / "docs" / "gpu.md").read_text("utf-8")


def train(
    sequences: CellSequences, llm: FrozenLLM, reporter: RecordingReporter, **given: Any
) -> dict[str, np.ndarray]:
    settings = settings_for("screader", "default", {**QUICK, **given})
    return training.train_neural(make_task(sequences, settings, reporter=reporter), llm).tensors


def assert_same(actual: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    for name, values in expected.items():
        assert np.allclose(values, actual[name], atol=1e-5), name


def test_out_of_memory_halves_the_batch_and_gives_the_same_reader(
    sequences: CellSequences, llm: FrozenLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = train(sequences, llm, RecordingReporter())
    reporter, sizes, original = RecordingReporter(), list[int](), Decoder.__call__

    def limited(decoder: Decoder, values: Tensor, *words: Any) -> Any:
        sizes.append(values.shape[0] * values.shape[1])
        if sizes[-1] > 50:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return original(decoder, values, *words)

    monkeypatch.setattr(Decoder, "__call__", limited)
    assert_same(train(sequences, llm, reporter), expected)
    assert 1 <= len(reporter.warnings) <= 10
    assert all("out of memory" in one and "continuing with" in one for one in reporter.warnings)
    assert sum(tokens > 50 for tokens in sizes) == len(reporter.warnings)  # learnt, not retried
    assert max(sizes[-20:]) <= 50


def test_a_failure_in_the_backward_pass_leaves_nothing_half_added(
    sequences: CellSequences, llm: FrozenLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = train(sequences, llm, RecordingReporter(), warm_start_epochs=0)
    original, reporter = torch.autograd.grad, RecordingReporter()

    def grad(*words: Any, **named: Any) -> Any:
        gradients = original(*words, **named)
        if len(reporter.warnings) < 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return gradients

    monkeypatch.setattr(torch.autograd, "grad", grad)
    assert_same(train(sequences, llm, reporter, warm_start_epochs=0), expected)
    assert len(reporter.warnings) == 3


def test_max_memory_from_the_command_line(tmp_path: Path, cells: Path, llama: Path) -> None:
    reader, calls = tmp_path / "r.h5", tmp_path / "p.h5ad"
    words = ["--llm", llama, "--warm-start-epochs", 1, "--genes-per-cell", 12]
    words += ["--max-memory", "2M", "--checkpoint-activations", 1, "-o", reader]
    stderr = " ".join(succeed("train-reader", cells, *words).stderr.split())
    assert "tokens per batch" in stderr
    assert "2.0 MB available" in stderr and "1 of 3 layers" in stderr
    stderr = succeed("predict", cells, "-r", reader, "--max-memory", "1M", "-o", calls).stderr
    assert "1.0 MB available" in " ".join(stderr.split())
    line = fail("predict", cells, "-r", reader, "--max-memory", "100k", "-o", tmp_path / "no")
    assert "one cell of" in line and "--max-memory" in line and not (tmp_path / "no").exists()
    for layers in ("some", "-1"):
        words = ["--checkpoint-activations", layers, "-o", tmp_path / "no"]
        assert call("train-reader", cells, *words).exit_code == 2


@pytest.mark.parametrize("size", ["much", "0", "-3G", "nan", "infG"])
def test_wrong_sizes(cells: Path, size: str) -> None:
    assert call("train-reader", cells, "--max-memory", size, "-o", "no.h5").exit_code == 2


@pytest.mark.parametrize(
    ("text", "size"),
    [("20G", 20 * 10**9), ("512m", 512 * 10**6), ("1.5TB", 15 * 10**11), ("4096", 4096),
     ("80 GB", 80 * 10**9)],
)  # fmt: skip
def test_sizes(text: str, size: int) -> None:
    assert MemorySize().convert(text, None, None) == size
