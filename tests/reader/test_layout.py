"""The token sequence: what the LLM is handed, and that a cell stands for itself."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from screader_lib.option_values import ORDERS
from screader_lib.reader.llm import token_sequence
from screader_lib.reader.llm.frozen_llm import FrozenLLM, load_llm


@pytest.fixture(scope="module")
def llm(llama: Path) -> FrozenLLM:
    return load_llm(str(llama), instruction="Genes of one cell", precision="float32")


def words(length: int, width: int, instruction: int, order: str) -> list[str]:
    """One cell's tokens in words, padded."""
    genes = [f"gene {number}" for number in range(length)]
    told = [f"word {number}" for number in range(instruction)]
    whole = told + genes if order.startswith("instruction") else genes + told
    return [*whole, "cls", *["nothing"] * (width - length)]


@pytest.mark.parametrize("order", ORDERS)
@given(lengths=st.lists(st.integers(0, 6), min_size=1, max_size=5), instruction=st.integers(0, 4))
def test_layout_equals_reference(order: str, lengths: list[int], instruction: int) -> None:
    width = max(1, *lengths)
    names = [f"gene {n}" for n in range(width)] + [f"word {n}" for n in range(instruction)]
    names += ["cls", "nothing"]
    source, first = token_sequence.layout(torch.tensor(lengths), width, instruction, order)
    for length, row in zip(lengths, source.tolist(), strict=True):
        assert [names[place] for place in row] == words(length, width, instruction, order)
    assert first == (instruction if order.startswith("instruction") else 0)


@pytest.mark.parametrize("order", ORDERS)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_a_cell_stands_for_itself(llm: FrozenLLM, order: str, data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.integers(1, 9), min_size=2, max_size=4))
    padding = data.draw(st.integers(0, 5))
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(len(lengths), max(lengths) + padding, 32, generator=generator)
    cls = torch.randn(32, generator=generator)
    with torch.inference_mode():
        together = token_sequence.read(llm, tokens, torch.tensor(lengths), cls, order)
        for cell, length in enumerate(lengths):
            own = tokens[cell : cell + 1, :length]
            alone = token_sequence.read(llm, own, torch.tensor([length]), cls, order)
            for part, all_cells in together.items():
                assert torch.allclose(alone[part][0], all_cells[cell], atol=1e-5)


def test_order_and_content_matter(llm: FrozenLLM) -> None:
    generator = torch.Generator().manual_seed(0)
    tokens, cls = torch.randn(1, 5, 32, generator=generator), torch.ones(32)
    length = torch.tensor([5])
    with torch.inference_mode():
        usual = token_sequence.read(llm, tokens, length, cls, ORDERS[0])["cls"]
        for other in (
            token_sequence.read(llm, tokens.flip(1), length, cls, ORDERS[0])["cls"],
            token_sequence.read(llm, tokens, length, cls, ORDERS[1])["cls"],
            token_sequence.read(llm, tokens, length, -cls, ORDERS[0])["cls"],
        ):
            assert not torch.allclose(usual, other, atol=1e-3)
