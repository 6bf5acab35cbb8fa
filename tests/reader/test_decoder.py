"""The token sequence, and the LLM called layer by layer: the same as the library's own call."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from screader_lib.option_values import ORDERS
from screader_lib.reader.llm import decoder as decoder_module
from screader_lib.reader.llm.decoder import Decoder, gated_unit, is_supported, rms_norm
from screader_lib.reader.llm.frozen_llm import FrozenLLM

CELLS, TOKENS, HIDDEN = 5, 7, 32
SIZES = {
    "vocab_size": 50, "hidden_size": HIDDEN, "intermediate_size": 48, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128,
}  # fmt: skip
LONG = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16}  # fmt: skip
KINDS: dict[str, tuple[str, dict]] = {
    "llama": ("Llama", {}),
    "llama-long": ("Llama", {"rope_scaling": LONG}),
    "llama-biased": ("Llama", {"attention_bias": True}),
    "mistral": ("Mistral", {"sliding_window": None}),
    "qwen2": ("Qwen2", {}),
    "qwen3": ("Qwen3", {"head_dim": 16}),
}


def make_model(family: str, **more: Any) -> Any:
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**SIZES, **more)
    model = getattr(transformers, f"{family}Model")(config).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.3)
    return model


@pytest.fixture(params=list(KINDS))
def model(request: pytest.FixtureRequest) -> Any:
    family, more = KINDS[request.param]
    return make_model(family, **more)


def inputs(tokens: int = TOKENS, cells: int = CELLS) -> Tensor:
    return torch.randn(cells, tokens, HIDDEN, generator=torch.Generator().manual_seed(tokens))


def library(model: Any, values: Tensor) -> Tensor:
    return model(inputs_embeds=values, use_cache=False).last_hidden_state


def assert_same(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


def test_outputs_and_gradients_are_the_librarys(model: Any) -> None:
    assert is_supported(model)
    ours, theirs = inputs().requires_grad_(), inputs().requires_grad_()
    outputs = Decoder(model)(ours, []), library(model, theirs)
    assert_same(*outputs)
    for each in outputs:
        (each**2).sum().backward()
    assert ours.grad is not None and theirs.grad is not None
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("prefix_length", [0, 4])
def test_a_prefix_comes_before_each_cell_and_positions_are_picked(
    model: Any, prefix_length: int
) -> None:
    first = inputs(prefix_length, 1)
    whole = library(model, torch.cat([first.expand(CELLS, -1, -1), inputs()], 1))[:, prefix_length:]
    decoder, positions = Decoder(model), torch.tensor([0, 6, 3, 3, 5])
    prefix = decoder.prefix(first[0]) if prefix_length else []
    assert_same(decoder(inputs(), prefix), whole)
    picked = decoder(inputs(), prefix, positions)[:, 0]
    assert_same(picked, whole[torch.arange(CELLS), positions])


def test_what_is_not_supported_is_left_to_the_library() -> None:
    assert not is_supported(make_model("Mistral", sliding_window=4))
    rope = {"rope_type": "dynamic", "factor": 2.0}
    assert not is_supported(make_model("Llama", rope_scaling=rope))
    mlp = make_model("Llama").layers[0].mlp
    mlp.act_fn = torch.nn.GELU()
    assert torch.equal(gated_unit(mlp, inputs()), mlp(inputs()))


def test_compiled_layers() -> None:
    """Traced as for a compiler; what it makes of it is torch's own."""
    model, values = make_model("Llama"), inputs().requires_grad_()
    prefix, positions = Decoder(model).prefix(inputs(4, 1)[0]), torch.tensor([0, 6, 3, 3, 5])

    def outputs() -> list[Tensor]:
        every, some = Decoder(model, 1)(values, prefix), Decoder(model)(values, prefix, positions)
        return [every, some, *torch.autograd.grad(every.square().sum(), values)]

    expected = outputs()
    decoder_module.compile_layers(model, backend="eager")
    for actual, wanted in zip(outputs(), expected, strict=True):
        assert_same(actual, wanted)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=["float64", "bfloat16"])
@pytest.mark.parametrize("step", ["norm", "gated unit"])
def test_frozen_steps_are_the_librarys(dtype: torch.dtype, step: str) -> None:
    layer = make_model("Llama").to(dtype).layers[0]
    values = inputs().to(dtype).requires_grad_()
    if step == "norm":
        layer.input_layernorm.weight.data.uniform_(0.5, 2)
        pair = rms_norm(layer.input_layernorm, values), layer.input_layernorm(values)
    else:
        pair = gated_unit(layer.mlp, values), layer.mlp(values)
    assert torch.equal(*pair)
    upstream = torch.randn_like(values)
    ours, theirs = (torch.autograd.grad(each, values, upstream)[0] for each in pair)
    rtol, atol = (2e-2, 2e-2) if dtype == torch.bfloat16 else (1e-5, 1e-6)
    torch.testing.assert_close(ours, theirs, rtol=rtol, atol=atol)


def words(length: int, width: int, instruction: int, order: str) -> list[str]:
    """One cell's tokens in words, padded."""
    genes = [f"gene {number}" for number in range(length)]
    first = [f"word {number}" for number in range(instruction)]
    whole = first + genes if order.startswith("instruction") else genes + first
    return [*whole, "cls", *["nothing"] * (width - length)]


@pytest.mark.parametrize("order", ORDERS)
@given(lengths=st.lists(st.integers(0, 6), min_size=1, max_size=5), instruction=st.integers(0, 4))
def test_layout_equals_reference(order: str, lengths: list[int], instruction: int) -> None:
    width = max(1, *lengths)
    names = [f"gene {n}" for n in range(width)] + [f"word {n}" for n in range(instruction)]
    names += ["cls", "nothing"]
    source, first = decoder_module.layout(torch.tensor(lengths), width, instruction, order)
    for length, row in zip(lengths, source.tolist(), strict=True):
        assert [names[index] for index in row] == words(length, width, instruction, order)
    assert first == (instruction if order.startswith("instruction") else 0)


def read(llm: FrozenLLM, tokens: Tensor, lengths: Tensor, order: str, **more: Any) -> dict:
    return decoder_module.read(llm, tokens, lengths, torch.ones(HIDDEN), order, **more)


@pytest.mark.parametrize("order", ORDERS)
def test_poolings_are_those_of_the_library(
    llm: FrozenLLM, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = torch.tensor([7, 0, 3, 1, 6])
    ours = read(llm, inputs(), lengths, order)
    alone = read(llm, inputs(), lengths, order, poolings=("cls",))
    monkeypatch.setattr(decoder_module, "is_supported", lambda model: False)
    theirs = read(replace(llm, prefix=None), inputs(), lengths, order)
    assert set(ours) == set(theirs) == {"cls", "mean"} and set(alone) == {"cls"}
    for name, values in ours.items():
        assert_same(values, theirs[name])
    assert_same(alone["cls"], ours["cls"])


def test_an_instruction_first_read_without_gradients_serves_training_too(llm: FrozenLLM) -> None:
    lengths = torch.full((CELLS,), TOKENS)
    with torch.inference_mode():
        read(llm, inputs(), lengths, ORDERS[0])
    tokens = inputs().requires_grad_()
    read(llm, tokens, lengths, ORDERS[0])["mean"].sum().backward()
    assert tokens.grad is not None and tokens.grad.abs().sum() > 0
