"""The one place that lays out the token sequence and calls the LLM.

cls comes right after the last real token and padding on the right of it; attention is causal,
so no mask is needed and the fast kernels apply. An instruction that comes first is the same for
all cells: its keys and values are computed once.
"""

from __future__ import annotations

import torch
from torch import Tensor

from screader_lib.reader.llm.decoder import Decoder, Shared, is_known
from screader_lib.reader.llm.frozen_llm import FrozenLLM


def layout(lengths: Tensor, width: int, instruction: int, order: str) -> tuple[Tensor, Tensor]:
    """Where each token comes from, and where genes begin.

    The source is [genes 0…width−1 | instruction | cls | nothing]. Returns source numbers int64
    (cells, tokens) and the position of the first gene (0 or ``instruction``).
    """
    place = torch.arange(width + instruction + 1, device=lengths.device)[None]
    length = lengths[:, None]
    cls, nothing = width + instruction, width + instruction + 1
    if order == "instruction-cell-cls":
        first_gene = instruction
        is_instruction, instruction_number = place < instruction, place
        gene_number = place - instruction
    else:
        first_gene = 0
        is_instruction = (place >= length) & (place < length + instruction)
        instruction_number, gene_number = place - length, place.expand(len(lengths), -1)
    is_gene = (gene_number >= 0) & (gene_number < length) & ~is_instruction
    source = torch.full((len(lengths), place.shape[1]), nothing, device=lengths.device)
    source = torch.where(is_gene, gene_number, source)
    source = torch.where(is_instruction, width + instruction_number, source)
    source = torch.where(place == length + instruction, cls, source)
    return source, torch.tensor(first_gene)


def read(
    llm: FrozenLLM,
    tokens: Tensor,
    lengths: Tensor,
    cls: Tensor,
    order: str,
    wanted: tuple[str, ...] = ("cls", "mean"),
) -> dict[str, Tensor]:
    """Let the LLM read cells.

    ``tokens`` float32 (cells, width, hidden), ``lengths`` int64 (cells,), ``cls`` (hidden,).
    Returns, float32 (cells, hidden), those ``wanted`` of the output at ``cls`` and the ``mean``
    output over the genes (zero for a cell without genes).
    """
    cells, width, hidden = tokens.shape
    words, dtype = llm.instruction.to(tokens), llm.model.dtype
    shared = _shared(llm, order) if is_known(llm.model) else []
    if shared:
        words = words[:0]
    source, first_gene = layout(lengths, width, len(words), order)
    parts = [
        tokens.to(dtype),
        words.expand(cells, -1, -1).to(dtype),
        cls.expand(cells, 1, hidden).to(dtype),
        tokens.new_zeros(cells, 1, hidden, dtype=dtype),
    ]
    embedded = torch.cat(parts, 1).gather(1, source[..., None].expand(-1, -1, hidden))
    last = lengths + len(words)
    if "mean" not in wanted and is_known(llm.model):
        return {"cls": _decoder(llm)(embedded, shared, last)[:, 0].float()}
    output = _all_outputs(llm, embedded, shared)
    found = {"cls": output[torch.arange(cells, device=output.device), last].float()}
    genes = output[:, int(first_gene) : int(first_gene) + width].float()
    inside = torch.arange(width, device=lengths.device)[None] < lengths[:, None]
    found["mean"] = (genes * inside[..., None]).sum(1) / lengths.clamp(min=1)[:, None]
    return found


def _all_outputs(llm: FrozenLLM, embedded: Tensor, shared: Shared) -> Tensor:
    if is_known(llm.model):
        return _decoder(llm)(embedded, shared)
    return llm.model(inputs_embeds=embedded, use_cache=False).last_hidden_state


def _decoder(llm: FrozenLLM) -> Decoder:
    return Decoder(llm.model, llm.checkpointed)


def _shared(llm: FrozenLLM, order: str) -> Shared:
    """Keys and values of an instruction that comes first; computed once for each LLM."""
    if order != "instruction-cell-cls" or not len(llm.instruction):
        return []
    if llm.shared is None:
        llm.shared = Decoder(llm.model).shared(llm.instruction)
    return llm.shared
