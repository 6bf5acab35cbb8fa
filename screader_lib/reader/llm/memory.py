"""How much memory the LLM's work needs, and how many tokens it reads at once.

Counted per token, in elements of the LLM's own type: a layer of hidden size h, with queries of
width q in all and an inner width i, keeps 2h + 4q + 2i for its backward pass (what comes into the
two norms; queries, keys, values and what attention gives; gate and input of the gated unit), or h
where it is checkpointed, and holds about 2h + 4q + 3i for the time it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from screader_lib.errors import ScReaderError
from screader_lib.exchange.summary import human_size
from screader_lib.reader.llm.decoder import is_known
from screader_lib.reader.llm.float8 import Float8Linear
from screader_lib.reader.llm.frozen_llm import FrozenLLM
from screader_lib.reader.llm.machine import Machine
from screader_lib.reporting import SILENT, Reporter

CUDA_CONTEXT = 800 << 20
BYTES_OF_TRAINED = 16  # float32 value, gradient and two moments
LIBRARY_FACTOR = 2  # the library's own layers keep about twice as much


@dataclass(frozen=True)
class Costs:
    """Bytes: ``fixed``, and of each token: ``passing`` while one layer runs, ``kept`` by each
    layer for the backward pass, ``input`` of a layer, and ``outside`` the layers."""

    layers: int
    fixed: int
    passing: int
    kept: int
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
        known = 1 if is_known(llm.model) else LIBRARY_FACTOR
        tensors = [*llm.model.parameters(), *llm.model.buffers()]
        weights = sum(each.numel() * each.element_size() for each in tensors)
        if trained:  # for the backward pass, those of fp8 lie there a second time
            eight = [each for each in llm.model.modules() if isinstance(each, Float8Linear)]
            weights += sum(each.weight.numel() for each in eight)
        if llm.pieces > 1:  # and two layers in one piece, one that runs, one that comes next
            weights = weights // llm.pieces + 2 * weights // llm.identity.layers
        return cls(
            layers=llm.identity.layers,
            fixed=weights + others + trained * BYTES_OF_TRAINED + CUDA_CONTEXT * on_gpu,
            passing=known * (2 * hidden + 4 * queries + 3 * inner) * element + 8 * hidden,
            kept=known * (2 * hidden + 4 * queries + 2 * inner) * element,
            input=hidden * element,
            outside=16 * hidden + 3 * hidden * element,
        )

    def per_token(self, checkpointed: int | None) -> int:
        """With ``checkpointed`` layers; None: forward only."""
        if checkpointed is None:
            return self.passing + self.outside
        kept = self.layers - checkpointed
        passing = 2 * self.passing + (self.kept if checkpointed else 0)
        return passing + 2 * self.outside + kept * self.kept + checkpointed * self.input


@dataclass(frozen=True)
class MemoryPlan:
    """``tokens`` at once and ``checkpointed`` layers, and the bytes they need with all else."""

    tokens: int
    checkpointed: int
    needed: int
    fixed: int
    limit: int | None

    def spoken(self, layers: int) -> str:
        """In words."""
        text = f"the LLM reads {self.tokens:,} tokens at once at most"
        text += f": {human_size(self.needed)} of memory"
        text += f", {human_size(self.fixed)} of them for weights"
        if self.limit is not None:
            text += f"; {human_size(self.limit)} are there"
        if self.checkpointed:
            text += f"; {self.checkpointed} of {layers} layers are computed twice to save memory"
        return text + "."


def plan(
    costs: Costs, machine: Machine, most_tokens: int, longest: int, backward: bool
) -> MemoryPlan:
    """At most ``most_tokens`` at once; as few layers checkpointed as let the ``longest`` cell fit.

    ``longest`` in tokens; ``backward``: gradients are needed. ScReaderError where --max-memory
    does not suffice for one cell.
    """
    limit = machine.limit
    for checkpointed in _checkpointings(machine, costs.layers, backward):
        each = costs.per_token(checkpointed)
        fits = most_tokens if limit is None else (limit - costs.fixed) // each
        if fits >= longest:
            break
    if fits < longest and machine.max_memory is not None:
        raise ScReaderError(
            f"one cell of {longest:,} tokens needs "
            f"{human_size(costs.fixed + each * longest)} of memory, more than --max-memory.",
            remedy="Allow more, or use --quantize 8bit or fewer --genes-per-cell.",
        )
    tokens = max(1, min(most_tokens, fits))
    needed = costs.fixed + each * max(tokens, longest)
    return MemoryPlan(tokens, checkpointed or 0, needed, costs.fixed, limit)


def _checkpointings(machine: Machine, layers: int, backward: bool) -> list[int | None]:
    """Numbers of checkpointed layers to try in turn."""
    if not backward:
        return [None]
    if machine.checkpointed is not None:
        return [min(layers, machine.checkpointed)]
    return list(range(layers + 1))


Work = Callable[[np.ndarray], Callable[[], None]]


class TokenBudget:
    """Tokens that the LLM reads at once: halved when the memory does not suffice after all.

    ``planned`` stays, so that all processes cut cells into the same groups.
    """

    def __init__(self, tokens: int, reporter: Reporter = SILENT) -> None:
        self.planned = self.tokens = tokens
        self.reporter = reporter

    def run(self, places: np.ndarray, width: int, work: Work) -> None:
        """Do ``work`` on places of ``width`` tokens each, or on parts of them one by one.

        It returns what stores its result, which is called where it did not fail for want of
        memory. ScReaderError where it fails so on a single place.
        """
        waiting = [places]
        while waiting:
            part = waiting.pop()
            fits = max(1, self.tokens // width)
            if len(part) > fits and self.tokens < self.planned:
                waiting += [part[fits:], part[:fits]]
            elif (store := _result(work, part)) is not None:
                store()
            else:
                self._shrink(len(part), width)
                waiting.append(part)

    def _shrink(self, places: int, width: int) -> None:
        if places == 1:
            raise ScReaderError(
                "the memory does not suffice for one cell.",
                remedy="Use --checkpoint-activations all, --quantize 8bit, fewer "
                "--genes-per-cell or a larger device.",
            )
        self.tokens = (places // 2) * width
        self.reporter.warning(
            f"out of memory with {places} cells at once: going on with {self.tokens:,} tokens at "
            "most."
        )


def _result(work: Work, places: np.ndarray) -> Callable[[], None] | None:
    """None for want of memory."""
    try:
        return work(places)
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
    if torch.cuda.is_available():  # here the failed tensors are no longer held by the error
        torch.cuda.empty_cache()
    return None


def _is_out_of_memory(error: RuntimeError) -> bool:
    """torch's own kind, and what its allocator for the CPU says."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
