"""Frozen layers in eight-bit floats: near the layers they stand for, cell by cell."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from small_files import fail, succeed, write_llama
from transformers import LlamaConfig, LlamaModel

from screader_lib.errors import ScReaderError
from screader_lib.reader.llm import float8
from screader_lib.reader.llm.decoder import Decoder
from screader_lib.reader.llm.float8 import Float8Linear, to_float8
from screader_lib.reader.llm.frozen_llm import FrozenLLM, LLMIdentity
from screader_lib.reader.llm.memory import BYTES_PER_TRAINED, Costs

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
