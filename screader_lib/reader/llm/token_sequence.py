"""Lays out the token sequence and calls the LLM.

cls comes right after the last real token and padding on the right of it; attention is causal,
so no mask is needed and the fast kernels apply. An instruction that comes first is the same for
all cells: its keys and values are computed once.
"""

from __future__ import annotations

import torch
from torch import Tensor

from screader_lib.reader.llm.decoder import Decoder, KeysValues, is_supported
from screader_lib.reader.llm.frozen_llm import FrozenLLM

INSTRUCTION_FIRST = "instruction-cell-cls"


def read(
    llm: FrozenLLM,
    tokens: Tensor,
    lengths: Tensor,
    cls: Tensor,
    order: str,
    poolings: tuple[str, ...] = ("cls", "mean"),
) -> dict[str, Tensor]:
    """Let the LLM read cells.

    ``tokens`` float32 (cells, width, hidden), ``lengths`` int64 (cells,), ``cls`` (hidden,).
    Returns, float32 (cells, hidden), the output at ``cls`` and, where ``poolings`` ask for it,
    the ``mean`` output over the genes (zero for a cell without genes).
    """
    cells, width, hidden = tokens.shape
    instruction, dtype = llm.instruction.to(tokens), llm.model.dtype
    supported = is_supported(llm.model)
    prefix: list[KeysValues] = []
    if supported and order == INSTRUCTION_FIRST and len(instruction):
        if llm.prefix is None:
            llm.prefix = Decoder(llm.model).prefix(instruction)
        prefix, instruction = llm.prefix, instruction[:0]
    source, first_gene = layout(lengths, width, len(instruction), order)
    parts = [
        tokens.to(dtype),
        instruction.expand(cells, -1, -1).to(dtype),
        cls.expand(cells, 1, hidden).to(dtype),
        tokens.new_zeros(cells, 1, hidden, dtype=dtype),
    ]
    embedded = torch.cat(parts, 1).gather(1, source[..., None].expand(-1, -1, hidden))
    last = lengths + len(instruction)
    decoder = Decoder(llm.model, llm.checkpointed)
    if supported and "mean" not in poolings:
        return {"cls": decoder(embedded, prefix, last)[:, 0].float()}
    if supported:
        outputs = decoder(embedded, prefix)
    else:
        outputs = llm.model(inputs_embeds=embedded, use_cache=False).last_hidden_state
    genes = outputs[:, first_gene : first_gene + width].float()
    is_gene = torch.arange(width, device=lengths.device)[None] < lengths[:, None]
    return {
        "cls": outputs[torch.arange(cells, device=outputs.device), last].float(),
        "mean": (genes * is_gene[..., None]).sum(1) / lengths.clamp(min=1)[:, None],
    }


def layout(lengths: Tensor, width: int, instruction: int, order: str) -> tuple[Tensor, int]:
    """Where each token comes from, and where genes begin.

    The source is [genes 0…width−1 | instruction | cls | nothing]. Returns source indices int64
    (cells, tokens) and the position of the first gene (0 or ``instruction``).
    """
    position = torch.arange(width + instruction + 1, device=lengths.device)[None]
    length = lengths[:, None]
    cls, nothing = width + instruction, width + instruction + 1
    if order == INSTRUCTION_FIRST:
        first_gene = instruction
        is_instruction, instruction_index = position < instruction, position
        gene_index = position - instruction
    else:
        first_gene = 0
        is_instruction = (position >= length) & (position < length + instruction)
        instruction_index, gene_index = position - length, position.expand(len(lengths), -1)
    is_gene = (gene_index >= 0) & (gene_index < length) & ~is_instruction
    source = torch.full((len(lengths), position.shape[1]), nothing, device=lengths.device)
    source = torch.where(is_gene, gene_index, source)
    source = torch.where(is_instruction, width + instruction_index, source)
    return torch.where(position == length + instruction, cls, source), first_gene
