"""What the LLM's work keeps in memory, what is planned, and what happens when it does not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
from screader_lib.errors import ScReaderError
from screader_lib.exchange.opening import open_exchange
from screader_lib.reader.llm import memory
from screader_lib.reader.llm.decoder import Decoder, gated_unit, rms_norm
from screader_lib.reader.llm.frozen_llm import FrozenLLM, LLMIdentity, load_llm
from screader_lib.reader.llm.machine import Machine
from screader_lib.reader.llm.memory import Costs, plan
from screader_lib.reader.model import training
from screader_lib.reader.model.batches import BatchRunner
from screader_lib.reader.settings import settings_for
from screader_lib.reader.task import Task, make_task

HIDDEN, INNER, LAYERS, CELLS, TOKENS = 64, 176, 6, 2, 40
QUICK = {"precision": "float32", "warm_start_epochs": 2, "epochs": 1, "batch_size": 16,
         "genes_per_cell": 12, "instruction": "Genes"}  # fmt: skip


def llama_of(dtype: torch.dtype) -> FrozenLLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=16, hidden_size=HIDDEN, intermediate_size=INNER, num_hidden_layers=LAYERS,
        num_attention_heads=4, num_key_value_heads=4,
    )  # fmt: skip
    model = LlamaModel(config).to(dtype).eval().requires_grad_(False)
    return FrozenLLM(
        model, LLMIdentity("", "", "", LAYERS, HIDDEN, ""), torch.zeros(0, HIDDEN), 1.0
    )


def kept_bytes(llm: FrozenLLM, run: Callable[[Tensor], Tensor]) -> int:
    """Bytes that ``run`` keeps for the backward pass, without parameters; each storage once."""
    parameters = {each.untyped_storage().data_ptr() for each in llm.model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    inputs = torch.randn(CELLS, TOKENS, HIDDEN, dtype=llm.model.dtype, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = run(inputs)
    assert output.requires_grad
    return sum(kept.values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_a_layer_keeps_what_is_counted_and_the_librarys_own_more(dtype: torch.dtype) -> None:
    llm = llama_of(dtype)
    costs = Costs.of(llm, 0, 0, on_gpu=False)
    ours = kept_bytes(llm, lambda values: Decoder(llm.model)(values, []))
    assert ours / (CELLS * TOKENS * LAYERS) == pytest.approx(costs.kept, rel=0.1)
    theirs = kept_bytes(
        llm, lambda values: llm.model(inputs_embeds=values, use_cache=False).last_hidden_state
    )
    assert theirs > (1.2 if dtype == torch.float32 else 1.35) * ours


@pytest.mark.parametrize("checkpointed", [1, 4, LAYERS])
def test_checkpointed_layers_keep_their_input_alone(checkpointed: int) -> None:
    llm = llama_of(torch.bfloat16)
    costs = Costs.of(llm, 0, 0, on_gpu=False)
    kept = kept_bytes(llm, lambda values: Decoder(llm.model, checkpointed)(values, []))
    wanted = (checkpointed + 1) * costs.input + (LAYERS - checkpointed) * costs.kept
    assert kept / (CELLS * TOKENS) == pytest.approx(wanted, rel=0.15)


@pytest.mark.parametrize("checkpointed", [0, 2, LAYERS, 99])
@pytest.mark.parametrize("read", [None, torch.tensor([3, 30])], ids=["all", "one-place"])
def test_checkpointing_changes_no_gradient(checkpointed: int, read: Tensor | None) -> None:
    llm = llama_of(torch.float32)
    values = torch.randn(CELLS, TOKENS, HIDDEN, requires_grad=True)
    before = Decoder(llm.model).prefix(torch.randn(3, HIDDEN))
    found = []
    for layers in (0, checkpointed):
        output = Decoder(llm.model, layers)(values, before, read)
        found.append((output, *torch.autograd.grad(output.square().sum(), values)))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=["float64", "bfloat16"])
@pytest.mark.parametrize("what", ["norm", "gated unit"])
def test_frozen_steps_are_the_librarys(dtype: torch.dtype, what: str) -> None:
    layer: Any = llama_of(dtype).model.layers[0]
    values = torch.randn(CELLS, TOKENS, HIDDEN, dtype=dtype, requires_grad=True)
    if what == "norm":
        layer.input_layernorm.weight.data.uniform_(0.5, 2)
        pair = rms_norm(layer.input_layernorm, values), layer.input_layernorm(values)
    else:
        pair = gated_unit(layer.mlp, values), layer.mlp(values)
    assert torch.equal(*pair)
    upstream = torch.randn_like(values)
    one, other = (torch.autograd.grad(each, values, upstream)[0] for each in pair)
    torch.testing.assert_close(
        one, other, rtol=1e-2 if dtype == torch.bfloat16 else 1e-5, atol=1e-6
    )


def test_a_unit_with_another_activation_goes_its_own_way() -> None:
    layer: Any = llama_of(torch.float32).model.layers[0]
    layer.mlp.act_fn = torch.nn.GELU()
    values = torch.randn(2, 3, HIDDEN)
    assert torch.equal(gated_unit(layer.mlp, values), layer.mlp(values))


COSTS = Costs(
    layers=40, fixed=26 * 10**9, passing=150_000, kept=117_000, input=10_240, outside=110_000
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
    found = plan(COSTS, Machine("cpu", limit), 16_384, 2_060, backward)
    each = COSTS.per_token(found.checkpointed if backward else None)
    assert found.tokens >= 2_060 or limit is None
    if limit is not None:
        assert found.needed <= limit
        assert found.tokens == 16_384 or COSTS.fixed + each * (found.tokens + 1) > limit
        if found.checkpointed:
            fewer = COSTS.per_token(found.checkpointed - 1)
            assert COSTS.fixed + fewer * 2_060 > limit
    assert found.checkpointed == checkpointed
    assert found.tokens == pytest.approx(tokens, rel=0.05)


def test_a_cell_that_does_not_fit() -> None:
    with pytest.raises(ScReaderError, match="one cell of 2,060 tokens needs"):
        plan(COSTS, Machine("cpu", 26 * 10**9 + 10**8), 16_384, 2_060, True)


def test_layers_that_are_asked_for() -> None:
    machine = Machine("cpu", None, 7)
    assert plan(COSTS, machine, 16_384, 2_060, True).checkpointed == 7
    assert plan(COSTS, Machine("cpu", None, 10**6), 16_384, 2_060, True).checkpointed == 40
    assert plan(COSTS, machine, 16_384, 2_060, False).checkpointed == 0


def full(most: int, usual: Callable[..., Any], seen: list[int]) -> Callable[..., Any]:
    """The decoder on a device whose memory holds ``most`` tokens."""

    def run(decoder: Any, values: Tensor, *words: Any) -> Any:
        tokens = values.shape[0] * values.shape[1]
        seen.append(tokens)
        if tokens > most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return usual(decoder, values, *words)

    return run


@pytest.fixture(scope="module")
def sequences(cells: Path) -> Iterator[CellSequences]:
    with open_exchange(cells, "cells") as opened:
        yield CellSequences(opened)


def task_of(sequences: CellSequences, told: RecordingReporter) -> Task:
    settings = settings_for("screader", "default", QUICK)
    return make_task(sequences, settings, reporter=told)


def test_out_of_memory_halves_the_micro_batch_and_gives_the_same_reader(
    sequences: CellSequences, llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm = load_llm(str(llama), instruction="Genes", precision="float32")
    wanted = training.train_neural(task_of(sequences, RecordingReporter()), llm)
    told, seen = RecordingReporter(), list[int]()
    monkeypatch.setattr(Decoder, "__call__", full(50, Decoder.__call__, seen))
    found = training.train_neural(task_of(sequences, told), llm)
    for name, values in wanted.tensors.items():
        assert np.allclose(values, found.tensors[name], atol=1e-5), name
    assert 1 <= len(told.warnings) <= 10
    assert all("out of memory" in one and "continuing with" in one for one in told.warnings)
    assert sum(tokens > 50 for tokens in seen) == len(told.warnings)  # learnt, not tried again
    assert max(seen[-20:]) <= 50


def test_a_failure_in_the_backward_pass_leaves_nothing_half_added(
    sequences: CellSequences, llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm = load_llm(str(llama), instruction="Genes", precision="float32")
    wanted = training.train_neural(task_of(sequences, RecordingReporter()), llm)
    usual, failures = torch.autograd.grad, []

    def grad(loss: Tensor, *words: Any, **named: Any) -> Any:
        found = usual(loss, *words, **named)
        if len(failures) < 3:
            failures.append(1)
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return found

    monkeypatch.setattr(torch.autograd, "grad", grad)
    settings = settings_for("screader", "default", {**QUICK, "warm_start_epochs": 0})
    with monkeypatch.context() as patch:
        patch.setattr(torch.autograd, "grad", usual)
        wanted = training.train_neural(make_task(sequences, settings), llm)
    found = training.train_neural(make_task(sequences, settings), llm)
    assert len(failures) == 3
    for name, values in wanted.tensors.items():
        assert np.allclose(values, found.tensors[name], atol=1e-5), name


def test_a_cell_that_fails_alone_ends_in_one_line(
    tmp_path: Path, cells: Path, llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Decoder, "__call__", full(3, Decoder.__call__, []))
    line = fail(
        "train-reader", cells, "--llm", llama, "--warm-start-epochs", 1, "-o", tmp_path / "r.h5"
    )
    assert "out of memory with a single cell" in line
    assert not (tmp_path / "r.h5").exists()


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    def compute(indices: np.ndarray) -> None:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"):
        list(BatchRunner(100).map(np.full(4, 10), compute))


def test_what_the_cpus_allocator_says_is_a_lack_of_memory() -> None:
    def compute(indices: np.ndarray) -> list[int]:
        if len(indices) > 1:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried …")
        return indices.tolist()

    runner = BatchRunner(64)
    batches = list(runner.map(np.full(5, 10), compute))
    assert [result for _, result in batches] == [[0], [1], [2], [3], [4]]
    assert [indices.tolist() for indices, _ in batches] == [[0], [1], [2], [3], [4]]
    assert runner.max_tokens == 10


def test_max_memory_from_the_command_line(tmp_path: Path, cells: Path, llama: Path) -> None:
    reader, calls = tmp_path / "r.h5", tmp_path / "p.h5ad"
    words = ["--llm", llama, "--warm-start-epochs", 1, "--genes-per-cell", 12]
    said = succeed(
        "train-reader", cells, *words, "--max-memory", "2M", "--checkpoint-activations", 1,
        "-o", reader,
    ).stderr  # fmt: skip
    said = " ".join(said.split())
    assert "tokens per batch" in said and "2.0 MB available" in said and "1 of 3 layers" in said
    said = succeed("predict", cells, "-r", reader, "--max-memory", "1M", "-o", calls).stderr
    assert "1.0 MB available" in " ".join(said.split())
    line = fail("predict", cells, "-r", reader, "--max-memory", "100k", "-o", tmp_path / "no")
    assert "one cell of" in line and "--max-memory" in line and not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    ("option", "value"),
    [("--max-memory", "much"), ("--max-memory", "0"), ("--max-memory", "-3G"),
     ("--max-memory", "nan"), ("--max-memory", "infG"),
     ("--checkpoint-activations", "some"), ("--checkpoint-activations", "-1")],
)  # fmt: skip
def test_wrong_usage(cells: Path, option: str, value: str) -> None:
    assert call("train-reader", cells, option, value, "-o", "no.h5").exit_code == 2


@pytest.mark.parametrize(
    ("text", "size"),
    [("20G", 20 * 10**9), ("512m", 512 * 10**6), ("1.5TB", 15 * 10**11), ("4096", 4096),
     ("80 GB", 80 * 10**9)],
)  # fmt: skip
def test_sizes(text: str, size: int) -> None:
    from screader_lib.command_line.options import MemorySize

    assert MemorySize().convert(text, None, None) == size
    assert memory.human_size(size)
