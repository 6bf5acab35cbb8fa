"""What train-reader and predict plan for Llama-13B on cards of several sizes.

    python benchmarks/gpu_plans.py

Nothing is run: the LLM is made without memory, and its needs are counted as the tools count them.
The rates are what arithmetic allows at 60 % (predict) and 55 % (train-reader) of the vendor's dense
bfloat16 rate; they are calculated, not measured. Vendors' rates: data sheets of RTX 4090 (165
TFLOP/s), A100 (312), H100 SXM and H200 (989).
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import LlamaConfig, LlamaModel

from screader_lib.errors import ScReaderError
from screader_lib.reader.llm.frozen_llm import FrozenLLM, LLMIdentity
from screader_lib.reader.llm.machine import Machine
from screader_lib.reader.llm.memory import Costs, MemoryPlan, plan

CARDS = [("RTX 4090", 24, 165), ("A100", 40, 312), ("H100", 80, 989), ("H200", 141, 989)]
GENES, INSTRUCTION, MOST_TOKENS = 2048, 20, 16_384
TRAINED, TABLE = 5120 * 385 + 5120 * 41, 4 * 20_000 * 384
TFLOP_A_CELL = 54
SHARE = {"predict": 0.60, "train-reader": 0.55}
BYTES = {"none": 1.0, "fp8": 0.5, "8bit": 0.5, "4bit": 0.25}  # of a bfloat16 weight
TURNED = 1.0  # in training, fp8 weights lie there a second time for the backward pass


def llm() -> FrozenLLM:
    """Llama-2-13B without memory."""
    config = LlamaConfig(
        hidden_size=5120, intermediate_size=13824, num_hidden_layers=40, num_attention_heads=40,
        num_key_value_heads=40, vocab_size=32_000, max_position_embeddings=4096,
    )  # fmt: skip
    with torch.device("meta"):
        model: Any = LlamaModel(config).to(torch.bfloat16)
    words = torch.zeros(INSTRUCTION, 5120)
    return FrozenLLM(model, LLMIdentity("Llama-13B", "", "", 40, 5120, ""), words, 1.0)


def planned(model: FrozenLLM, card: int, quantize: str, work: str) -> MemoryPlan | None:
    """The plan for a card of so many GB; None where not even one cell fits."""
    training = work == "train-reader"
    costs = Costs.of(model, TRAINED if training else 0, TABLE, on_gpu=True)
    weights = sum(2 * each.numel() for each in model.model.parameters())
    share = TURNED if quantize == "fp8" and training else BYTES[quantize]
    fixed = costs.fixed - int((1 - share) * weights)
    costs = Costs(costs.layers, fixed, costs.running, costs.saved, costs.input, costs.outside)
    limit = int(0.94 * card * 1e9)
    try:
        return plan(costs, Machine("cuda", limit), MOST_TOKENS, GENES + INSTRUCTION + 1, training)
    except ScReaderError:
        return None


def rows() -> list[str]:
    """The table's lines."""
    model = llm()
    head = "GPU | GB | tool | `--quantize` | tokens at once | recomputed layers | GB used | cells/s"
    lines = [f"| {head} |", "|---" * 8 + "|"]
    for name, size, rate in CARDS:
        for work, share in SHARE.items():
            for quantize in ("none", "fp8", "8bit", "4bit"):
                found = planned(model, size, quantize, work)
                if found is None or (quantize in ("8bit", "4bit") and size > 40):
                    continue
                if quantize == "fp8" and name == "A100":
                    continue  # it has no such arithmetic
                lines.append(_row(name, size, work, quantize, found, share * rate))
    return lines


def _row(name: str, size: int, work: str, quantize: str, found: MemoryPlan, rate: float) -> str:
    each = TFLOP_A_CELL
    if work == "train-reader":
        each *= 2
        each += TFLOP_A_CELL * found.checkpointed / 40
    expected = f"{rate / each:.1f}" if quantize == "none" else "–"
    return (
        f"| {name} | {size} | {work} | {quantize} | {found.tokens:,} | {found.checkpointed} | "
        f"{found.needed / 1e9:.1f} | {expected} |"
    )


if __name__ == "__main__":
    print("\n".join(rows()))
