"""Loading frozen LLMs, also in eight-bit floats; what they keep in memory, and too little of it."""

from __future__ import annotations

import copy
import runpy
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from recording_reporter import RecordingReporter
from safetensors.torch import load_file, save_file
from small_files import call, fail, succeed, write_llama
from torch import Tensor
from transformers import LlamaConfig, LlamaModel

from screader_lib.cells.cells_file import CellSequences
from screader_lib.command_line.options import MemorySize
from screader_lib.errors import ScReaderError
from screader_lib.reader.llm import float8
from screader_lib.reader.llm.decoder import Decoder
from screader_lib.reader.llm.float8 import Float8Linear, to_float8
from screader_lib.reader.llm.frozen_llm import FrozenLLM, LLMIdentity, load_llm
from screader_lib.reader.llm.machine import GPU_SHARE, Machine, prepare
from screader_lib.reader.llm.memory import BYTES_PER_TRAINED, Costs, plan
from screader_lib.reader.llm.weights import packaged_gguf
from screader_lib.reader.model import training
from screader_lib.reader.settings import settings_for
from screader_lib.reader.task import make_task


def load(llama: Path, **settings: Any) -> FrozenLLM:
    return load_llm(str(llama), instruction="Genes of", precision="float32", **settings)


def test_it_is_frozen_and_complete(llama: Path) -> None:
    llm = load(llama)
    assert not llm.model.training
    assert not any(parameter.requires_grad for parameter in llm.model.parameters())
    assert llm.identity.layers == 3 and llm.identity.hidden_size == 32
    assert not isinstance(llm.model.norm, torch.nn.Identity)
    table: torch.Tensor = llm.model.get_input_embeddings().weight
    assert torch.equal(llm.instruction, table[torch.tensor([1, 0])])
    assert llm.token_norm == pytest.approx(float(table.norm(dim=1).mean()))


def test_a_shortened_one_has_no_final_norm(llama: Path) -> None:
    llm = load(llama, layers=2)
    assert len(llm.model.layers) == llm.identity.layers == 2
    assert isinstance(llm.model.norm, torch.nn.Identity)
    assert load(llama, layers=99).identity.layers == 3


def test_random_weights_follow_the_seed(llama: Path) -> None:
    def weights(seed: int | None) -> torch.Tensor:
        return load(llama, random_seed=seed).model.layers[0].mlp.up_proj.weight

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))
    assert not torch.equal(weights(1), weights(None))


def test_identity_follows_the_weights(llama: Path, tmp_path: Path) -> None:
    same = shutil.copytree(llama, tmp_path / "same")
    other = write_llama(tmp_path / "other", seed=1)
    assert load(same).identity.weights == load(llama).identity.weights
    assert load(other).identity.weights != load(llama).identity.weights


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def cut(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])


def without_a_layer(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    left = {name: value for name, value in weights.items() if "layers.1." not in name}
    save_file(left, folder / "model.safetensors", metadata={"format": "pt"})


def without_tokenizer(folder: Path) -> None:
    for path in folder.glob("*token*"):
        path.unlink()


DAMAGE: dict[Callable[[Path], object], str] = {
    pickled: r"no \*.safetensors",
    cut: "cannot be loaded",
    without_a_layer: "lack 9 of its weights",
    without_tokenizer: "no readable tokenizer",
    shutil.rmtree: "no such folder",
}


@pytest.mark.parametrize(("damage", "message"), DAMAGE.items(), ids=DAMAGE.values())
def test_refused_in_one_line(
    llama: Path, tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    folder = shutil.copytree(llama, tmp_path / "llm")
    damage(folder)
    with pytest.raises(ScReaderError, match=message) as error:
        load_llm(str(folder), instruction="Genes of")
    assert "\n" not in str(error.value)


def test_the_packaged_one_is_not_quantized() -> None:
    try:
        packaged_gguf()
    except ScReaderError:
        pytest.skip("the packaged LLM is not installed")
    with pytest.raises(ScReaderError, match="--quantize 8bit works neither"):
        load_llm("packaged", instruction="", quantize="8bit")


@pytest.mark.parametrize("quantize", ["8bit", "4bit"])
def test_quantized(llama: Path, quantize: str) -> None:
    pytest.importorskip("bitsandbytes", reason="the gpu extra is not installed")
    llm = load_llm(str(llama), instruction="Genes of", quantize=quantize)
    values = torch.randn(1, 4, 32, dtype=llm.model.dtype, requires_grad=True)
    output = llm.model(inputs_embeds=values, use_cache=False).last_hidden_state
    output.float().square().sum().backward()
    assert values.grad is not None and values.grad.abs().sum() > 0
    assert "bitsandbytes" in type(llm.model.layers[0].mlp.up_proj).__module__


def test_quantizing_without_its_package(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ScReaderError, match=r"suite\[gpu\]"):
        load_llm(str(llama), instruction="", quantize="8bit")


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
    told = [one for one in reporter.warnings if "warm-up" not in one]
    assert 1 <= len(told) <= 10
    assert all("out of memory" in one and "continuing with" in one for one in told)
    assert sum(tokens > 50 for tokens in sizes) == len(told)  # learnt, not retried
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
    words += ["--validation", 0, "--max-memory", "2M", "--checkpoint-activations", 1, "-o", reader]
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


ON_CPU = pytest.mark.skipif(
    not float8.runs_on_cpu(), reason="this PyTorch multiplies no 8-bit floats on the CPU"
)


def linear(bias: bool = False) -> torch.nn.Linear:
    torch.manual_seed(0)
    return torch.nn.Linear(HIDDEN, 48, bias=bias).bfloat16().requires_grad_(False)


def cosine(one: torch.Tensor, other: torch.Tensor) -> float:
    flat = one.detach().flatten().float(), other.detach().flatten().float()
    return float(torch.nn.functional.cosine_similarity(*flat, 0))


@ON_CPU
@pytest.mark.parametrize("bias", [False, True], ids=["plain", "bias"])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_products_and_gradients_are_near(bias: bool, scale: float) -> None:
    usual = linear(bias)
    eight = Float8Linear(usual)
    values = (scale * torch.randn(3, 5, HIDDEN)).bfloat16().requires_grad_()
    one, other = usual(values), eight(values)
    assert other.dtype == torch.bfloat16 and other.shape == one.shape
    assert cosine(one, other) > 0.998
    upstream = torch.randn_like(one)
    gradients = [torch.autograd.grad(each, values, upstream)[0] for each in (one, other)]
    assert cosine(*gradients) > 0.998


@ON_CPU
def test_what_float8_can_represent_comes_out_exactly() -> None:
    usual = linear()
    usual.weight.copy_(torch.eye(48, HIDDEN))
    values = torch.zeros(2, HIDDEN).bfloat16()
    assert not Float8Linear(usual)(values).any()
    values[0, 3], values[1, 5] = 1.75, -0.0625
    eight = Float8Linear(usual)
    assert torch.equal(eight(values), usual(values))
    assert eight.weight.element_size() == 1 and "transposed" not in vars(eight)
    eight(values.requires_grad_()).sum().backward()
    assert torch.equal(eight.transposed.t().float(), eight.weight.float())


@ON_CPU
def test_a_token_does_not_depend_on_those_beside_it() -> None:
    eight = Float8Linear(linear())
    values = torch.randn(4, HIDDEN).bfloat16()
    beside = torch.cat([values, 1e4 * values])
    assert torch.equal(eight(beside)[:4], eight(values))


@ON_CPU
def test_a_decoder_and_the_memory_that_is_counted() -> None:
    llm = llama_of(torch.bfloat16)
    usual, eight = llm.model, copy.deepcopy(llm.model)
    to_float8(eight)
    names = [name for name, part in eight.named_modules() if isinstance(part, Float8Linear)]
    assert len(names) == LAYERS * 7
    values = torch.randn(2, 9, HIDDEN).bfloat16()
    one, other = (Decoder(model)(values, []) for model in (usual, eight))
    assert cosine(one, other) > 0.97 and not torch.equal(one, other)

    def fixed(model: Any, trained: int) -> int:
        return Costs.of(replace(llm, model=model), trained, 0, on_gpu=False).fixed

    weights = LAYERS * (4 * HIDDEN**2 + 3 * HIDDEN * INNER)
    assert fixed(usual, 0) - fixed(eight, 0) == pytest.approx(weights, abs=300)
    assert fixed(eight, 1) - fixed(eight, 0) == weights + BYTES_PER_TRAINED


def test_a_gpu_without_such_floats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (8, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "A100")
    with pytest.raises(ScReaderError, match="A100 has no 8-bit floats"):
        float8.check_device(torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (9, 0))
    float8.check_device(torch.device("cuda"))


def test_a_pytorch_without_such_floats_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise NotImplementedError

    float8.runs_on_cpu.cache_clear()
    monkeypatch.setattr(torch, "_scaled_mm", missing)
    with pytest.raises(ScReaderError, match="multiplies no 8-bit floats on the CPU"):
        float8.check_device(torch.device("cpu"))
    float8.runs_on_cpu.cache_clear()


@ON_CPU
def test_from_the_command_line(tmp_path: Path, cells: Path, llama: Path) -> None:
    """A reader trained in bfloat16 calls the same in eight bits; one can be trained in them too."""
    words = ["--llm", llama, "--warm-start-epochs", 2, "--epochs", 2, "--genes-per-cell", 12,
             "--validation", 0]  # fmt: skip
    reader = tmp_path / "r.h5"
    succeed("train-reader", cells, *words, "--precision", "bfloat16", "-o", reader)
    calls, latents = [], []
    for name, quantize in (("usual", "none"), ("eight", "fp8")):
        path = tmp_path / f"{name}.h5ad"
        succeed("predict", cells, "-r", reader, "--quantize", quantize, "-o", path)
        with h5py.File(path) as file:
            calls.append(file["obs/predicted_label/codes"][()])
            latents.append(file["obsm/X_screader"][()])
    assert np.array_equal(*calls) and not np.array_equal(*latents)
    succeed("train-reader", cells, *words, "--quantize", "fp8", "-o", reader)
    succeed("predict", cells, "-r", reader, "-o", tmp_path / "again.h5ad")
    odd = write_llama(tmp_path / "odd", hidden=40)
    line = fail("train-reader", cells, "--llm", odd, "--quantize", "fp8", "-o", tmp_path / "o.h5")
    assert "q_proj is 40 × 40; 8-bit floats need multiples of 16" in line


@pytest.mark.parametrize(
    ("gpu", "given", "limit"),
    [
        (0, None, 2_048 * 10**6),  # the job's, on the CPU
        (0, 10**9, 10**9),  # what the user says
        (80 * 10**9, None, int(GPU_SHARE * (80 * 10**9))),  # never the job's, on a GPU
        (80 * 10**9, 10**9, 10**9),
    ],
)
def test_a_job_plans_with_its_own_memory_or_the_gpus(
    gpu: int, given: int | None, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a stand-in of the GPU; a container may lack CUDA_VISIBLE_DEVICES."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("SCREADER_MEMORY_MB", "2048")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(gpu))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    properties = SimpleNamespace(total_memory=gpu)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    assert prepare("auto", given).memory_limit == limit


@pytest.mark.parametrize("granted", ["4G", "-1", "0"])
def test_a_job_whose_memory_is_no_number_is_told(
    granted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCREADER_MEMORY_MB", granted)
    with pytest.raises(ScReaderError, match="SCREADER_MEMORY_MB"):
        prepare("cpu")
