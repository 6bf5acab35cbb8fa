"""The LLM called layer by layer gives what the library's own call gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from screader_lib.reader.llm import token_sequence
from screader_lib.reader.llm.decoder import Decoder, compile_layers, is_supported
from screader_lib.reader.llm.frozen_llm import FrozenLLM, load_llm

CELLS, TOKENS, HIDDEN = 5, 7, 32
SIZES = {
    "vocab_size": 50, "hidden_size": HIDDEN, "intermediate_size": 48, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128,
}  # fmt: skip
KINDS = {
    "llama": (transformers.LlamaModel, transformers.LlamaConfig, {}),
    "llama-long": (transformers.LlamaModel, transformers.LlamaConfig, {
        "rope_scaling": {
            "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 16,
        }
    }),
    "llama-biased": (transformers.LlamaModel, transformers.LlamaConfig, {"attention_bias": True}),
    "mistral": (transformers.MistralModel, transformers.MistralConfig, {"sliding_window": None}),
    "qwen2": (transformers.Qwen2Model, transformers.Qwen2Config, {}),
    "qwen3": (transformers.Qwen3Model, transformers.Qwen3Config, {"head_dim": 16}),
}  # fmt: skip


@pytest.fixture(params=list(KINDS))
def model(request: pytest.FixtureRequest) -> Any:
    kind, config, further = KINDS[request.param]
    torch.manual_seed(0)
    made = kind(config(**SIZES, **further)).eval().requires_grad_(False)
    for parameter in made.parameters():
        parameter.data.normal_(0, 0.3)
    return made


def values(tokens: int = TOKENS, cells: int = CELLS) -> Tensor:
    return torch.randn(cells, tokens, HIDDEN, generator=torch.Generator().manual_seed(tokens))


def library(model: Any, inputs: Tensor) -> Tensor:
    return model(inputs_embeds=inputs, use_cache=False).last_hidden_state


def assert_same(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_all_outputs(model: Any) -> None:
    assert is_supported(model)
    assert_same(Decoder(model)(values(), []), library(model, values()))


def test_shared_tokens_come_before_each_cell(model: Any) -> None:
    first = values(4, 1)
    whole = torch.cat([first.expand(CELLS, -1, -1), values()], 1)
    decoder = Decoder(model)
    assert_same(decoder(values(), decoder.prefix(first[0])), library(model, whole)[:, 4:])


@pytest.mark.parametrize("first", [0, 4])
def test_outputs_at_the_places_that_are_read(model: Any, first: int) -> None:
    decoder, places = Decoder(model), torch.tensor([0, 6, 3, 3, 5])
    before = decoder.prefix(values(first, 1)[0]) if first else []
    wanted = decoder(values(), before)[torch.arange(CELLS), places]
    assert_same(decoder(values(), before, places)[:, 0], wanted)


def test_gradients(model: Any) -> None:
    ours, theirs = values().requires_grad_(), values().requires_grad_()
    (Decoder(model)(ours, []) ** 2).sum().backward()
    (library(model, theirs) ** 2).sum().backward()
    assert ours.grad is not None and theirs.grad is not None
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("kind", "further"),
    [
        pytest.param("mistral", {"sliding_window": 4}, id="window"),
        pytest.param("llama", {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, id="rope"),
    ],
)
def test_what_this_module_does_not_compute_is_left_to_the_library(kind: str, further: dict) -> None:
    made, config, _ = KINDS[kind]
    assert not is_supported(made(config(**SIZES, **further)))


@pytest.fixture
def small(llama: Path) -> FrozenLLM:
    return load_llm(str(llama), instruction="Genes of one cell", precision="float32")


def read(llm: FrozenLLM, tokens: Tensor, lengths: Tensor, order: str, **more: Any) -> dict:
    return token_sequence.read(llm, tokens, lengths, torch.ones(HIDDEN), order, **more)


@pytest.mark.parametrize("order", ["instruction-cell-cls", "cell-instruction-cls"])
def test_read_outs_are_those_of_the_library(
    small: FrozenLLM, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = torch.tensor([7, 0, 3, 1, 6])
    ours = read(small, values(), lengths, order)
    alone = read(small, values(), lengths, order, poolings=("cls",))
    monkeypatch.setattr(token_sequence, "is_supported", lambda model: False)
    theirs = read(replace(small, prefix=None), values(), lengths, order)
    assert set(ours) == set(theirs) == {"cls", "mean"} and set(alone) == {"cls"}
    for name, found in ours.items():
        assert_same(found, theirs[name])
    assert_same(alone["cls"], ours["cls"])


def test_an_instruction_first_read_without_gradients_serves_training_too(small: FrozenLLM) -> None:
    lengths = torch.full((CELLS,), TOKENS)
    with torch.inference_mode():
        read(small, values(), lengths, "instruction-cell-cls")
    tokens = values().requires_grad_()
    read(small, tokens, lengths, "instruction-cell-cls")["mean"].sum().backward()
    assert tokens.grad is not None and tokens.grad.abs().sum() > 0


def test_compiled_layers(model: Any) -> None:
    """Traced as for a compiler; what it makes of it is torch's own."""
    before, places = Decoder(model).prefix(values(4, 1)[0]), torch.tensor([0, 6, 3, 3, 5])
    inputs = values().requires_grad_()

    def found() -> list[Tensor]:
        every, some = Decoder(model, 1)(inputs, before), Decoder(model)(inputs, before, places)
        return [every, some, *torch.autograd.grad(every.square().sum(), inputs)]

    wanted = found()
    compile_layers(model, backend="eager")
    for one, other in zip(found(), wanted, strict=True):
        assert_same(one, other)
