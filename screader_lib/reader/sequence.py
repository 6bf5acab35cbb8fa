"""The one place that lays out the token sequence and calls the LLM.

cls comes right after the last real token and padding on the right of it; attention is causal,
so no mask is needed and the fast kernels apply.
"""

from __future__ import annotations

import torch
from torch import Tensor

from screader_lib.reader.llm import FrozenLLM


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
    llm: FrozenLLM, tokens: Tensor, lengths: Tensor, cls: Tensor, order: str
) -> tuple[Tensor, Tensor]:
    """Let the LLM read cells.

    ``tokens`` float32 (cells, width, hidden), ``lengths`` int64 (cells,), ``cls`` (hidden,).
    Returns, float32 (cells, hidden), the output at cls and the mean output over the genes
    (zero for a cell without genes).
    """
    cells, width, hidden = tokens.shape
    words = llm.instruction.to(tokens)
    source, first_gene = layout(lengths, width, len(words), order)
    parts = [
        tokens,
        words.expand(cells, -1, -1),
        cls.expand(cells, 1, hidden),
        tokens.new_zeros(cells, 1, hidden),
    ]
    embedded = torch.cat(parts, 1).gather(1, source[..., None].expand(-1, -1, hidden))
    output = llm.model(
        inputs_embeds=embedded.to(llm.model.dtype), use_cache=False
    ).last_hidden_state
    at_cls = output[torch.arange(cells, device=output.device), lengths + len(words)].float()
    genes = output[:, int(first_gene) : int(first_gene) + width].float()
    inside = torch.arange(width, device=lengths.device)[None] < lengths[:, None]
    total = (genes * inside[..., None]).sum(1)
    return at_cls, total / lengths.clamp(min=1)[:, None]
