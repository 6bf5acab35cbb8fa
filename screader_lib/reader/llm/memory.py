"""How much memory the LLM needs, and how many tokens it can read in one batch.

Counted per token, in elements of the LLM's own type: a layer of hidden size h, with queries of
width q in all and an inner width i, keeps 2h + 4q + 2i for its backward pass (what comes into the
two norms; queries, keys, values and what attention gives; gate and input of the gated unit), or h
where it is checkpointed, and holds about 2h + 4q + 3i for the time it runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from screader_lib.errors import ScReaderError
from screader_lib.exchange.summary import human_size
from screader_lib.reader.llm.decoder import is_supported
from screader_lib.reader.llm.float8 import Float8Linear
from screader_lib.reader.llm.frozen_llm import FrozenLLM
from screader_lib.reader.llm.machine import Machine

CUDA_CONTEXT = 800 << 20
BYTES_PER_TRAINED = 16  # float32 value, gradient and two moments
LIBRARY_FACTOR = 2  # the library's own layers keep about twice as much


@dataclass(frozen=True)
class Costs:
    """Bytes: ``fixed``, and per token: ``running`` while one layer runs, ``saved`` by each layer
    for the backward pass, ``input`` of a layer, and ``outside`` the layers."""

    layers: int
    fixed: int
    running: int
    saved: int
    input: int
    outside: int

    @classmethod
    def of(cls, llm: FrozenLLM, trained: int, others: int, on_gpu: bool) -> Costs:
        """For an LLM, ``trained`` parameters and ``others`` bytes beside them."""
        config: Any = llm.model.config
        element = max(2, llm.model.dtype.itemsize)
        hidden, inner = config.hidden_size, config.intermediate_size
        heads = config.num_attention_heads
        queries = heads * (getattr(config, "head_dim", None) or hidden // heads)
        factor = 1 if is_supported(llm.model) else LIBRARY_FACTOR
        tensors = [*llm.model.parameters(), *llm.model.buffers()]
        weights = sum(each.numel() * each.element_size() for each in tensors)
        if trained:  # for the backward pass, those of fp8 lie there a second time
            eight = [each for each in llm.model.modules() if isinstance(each, Float8Linear)]
            weights += sum(each.weight.numel() for each in eight)
        if llm.shards > 1:  # and two whole layers: one that runs, one that comes next
            weights = weights // llm.shards + 2 * weights // llm.identity.layers
        return cls(
            layers=llm.identity.layers,
            fixed=weights + others + trained * BYTES_PER_TRAINED + CUDA_CONTEXT * on_gpu,
            running=factor * (2 * hidden + 4 * queries + 3 * inner) * element + 8 * hidden,
            saved=factor * (2 * hidden + 4 * queries + 2 * inner) * element,
            input=hidden * element,
            outside=16 * hidden + 3 * hidden * element,
        )

    def per_token(self, checkpointed: int | None) -> int:
        """With ``checkpointed`` layers; None: forward only."""
        if checkpointed is None:
            return self.running + self.outside
        usual = self.layers - checkpointed
        running = 2 * self.running + (self.saved if checkpointed else 0)
        return running + 2 * self.outside + usual * self.saved + checkpointed * self.input


@dataclass(frozen=True)
class MemoryPlan:
    """``tokens`` per batch and ``checkpointed`` layers, and the bytes ``needed`` in all."""

    tokens: int
    checkpointed: int
    needed: int
    fixed: int
    limit: int | None

    def summary(self, layers: int) -> str:
        """One line for the user."""
        text = f"the LLM reads up to {self.tokens:,} tokens per batch: {human_size(self.needed)} "
        text += f"of memory, including {human_size(self.fixed)} for weights"
        if self.limit is not None:
            text += f"; {human_size(self.limit)} available"
        if self.checkpointed:
            text += f"; {self.checkpointed} of {layers} layers are recomputed to save memory"
        return text + "."


def plan(
    costs: Costs, machine: Machine, max_tokens: int, longest: int, backward: bool
) -> MemoryPlan:
    """Batches of ``max_tokens``, or as many as fit; checkpoint as few layers as let a cell fit.

    ``longest``: tokens of the longest cell; ``backward``: gradients are needed. ScReaderError
    where --max-memory does not suffice for one cell.
    """
    limit = machine.memory_limit
    if not backward:
        choices: Sequence[int | None] = [None]
    elif machine.checkpointed is None:
        choices = range(costs.layers + 1)
    else:
        choices = [min(costs.layers, machine.checkpointed)]
    for checkpointed in choices:
        per_token = costs.per_token(checkpointed)
        fits = max_tokens if limit is None else (limit - costs.fixed) // per_token
        if fits >= longest:
            break
    if fits < longest and machine.max_memory is not None:
        required = human_size(costs.fixed + per_token * longest)
        raise ScReaderError(
            f"one cell of {longest:,} tokens needs {required} of memory, more than --max-memory.",
            remedy="Allow more memory, or use --quantize 8bit or fewer --genes-per-cell.",
        )
    tokens = max(1, min(max_tokens, fits))
    needed = costs.fixed + per_token * max(tokens, longest)
    return MemoryPlan(tokens, checkpointed or 0, needed, costs.fixed, limit)
