"""Loading frozen LLMs, also in eight-bit floats, and refusing what cannot be loaded."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_files import fail, succeed, write_llama
from transformers import LlamaConfig, LlamaModel

from screader_lib.errors import ScReaderError
from screader_lib.reader.llm import float8
from screader_lib.reader.llm.decoder import Decoder
from screader_lib.reader.llm.float8 import Float8Linear, to_float8
from screader_lib.reader.llm.frozen_llm import FrozenLLM, LLMIdentity, load_llm
from screader_lib.reader.llm.memory import BYTES_PER_TRAINED, Costs
from screader_lib.reader.llm.weights import packaged_gguf


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


HIDDEN, INNER, LAYERS = 64, 128, 3


def linear(bias: bool = False) -> torch.nn.Linear:
    torch.manual_seed(0)
    return torch.nn.Linear(HIDDEN, 48, bias=bias).bfloat16().requires_grad_(False)


def cosine(one: torch.Tensor, other: torch.Tensor) -> float:
    flat = one.detach().flatten().float(), other.detach().flatten().float()
    return float(torch.nn.functional.cosine_similarity(*flat, 0))


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


def test_a_token_does_not_depend_on_those_beside_it() -> None:
    eight = Float8Linear(linear())
    values = torch.randn(4, HIDDEN).bfloat16()
    beside = torch.cat([values, 1e4 * values])
    assert torch.equal(eight(beside)[:4], eight(values))


def llama_model() -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=16, hidden_size=HIDDEN, intermediate_size=INNER, num_hidden_layers=LAYERS,
        num_attention_heads=4, initializer_range=0.2,
    )  # fmt: skip
    return LlamaModel(config).bfloat16().eval().requires_grad_(False)


def test_a_decoder_and_the_memory_that_is_counted() -> None:
    usual = llama_model()
    eight = copy.deepcopy(usual)
    to_float8(eight)
    names = [name for name, part in eight.named_modules() if isinstance(part, Float8Linear)]
    assert len(names) == LAYERS * 7
    values = torch.randn(2, 9, HIDDEN).bfloat16()
    one, other = (Decoder(model)(values, []) for model in (usual, eight))
    assert cosine(one, other) > 0.97 and not torch.equal(one, other)

    def fixed(model: Any, trained: int) -> int:
        identity = LLMIdentity("", "", "", LAYERS, HIDDEN, "")
        llm = FrozenLLM(model, identity, torch.zeros(0, HIDDEN), 1.0)
        return Costs.of(llm, trained, 0, on_gpu=False).fixed

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


def test_from_the_command_line(tmp_path: Path, cells: Path, llama: Path) -> None:
    """A reader trained in bfloat16 calls the same in eight bits; one can be trained in them too."""
    words = ["--llm", llama, "--warm-start-epochs", 2, "--epochs", 2, "--genes-per-cell", 12]
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
