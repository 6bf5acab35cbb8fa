"""How near train-reader and predict come to what the device can multiply, as Llama-13B.

    python benchmarks/gpu.py                       on a GPU, all shapes: some minutes
    python benchmarks/gpu.py --compile             the same with torch.compile
    python benchmarks/gpu.py --reduced             small shapes on the CPU, to see that it runs

Random weights in the shapes of Llama-2-13B (40 layers, 5,120 wide, inner width 13,824, 40 heads)
are made on the device; the reader projects gene embeddings, lets the LLM read and classifies its
output at cls. Beside it, in the same run, the straightforward way: AutoModelForCausalLM with
padded batches of 8, an attention mask, logits at all positions and, in training, gradient
checkpointing. The share is of the matrix rate measured in this run. FLOP are those of the layers'
products and of causal attention, as they are computed. Needs numpy, h5py, torch, transformers,
click and rich alone.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, LlamaModel

from screader_lib.reader.llm.decoder import compile_layers
from screader_lib.reader.llm.float8 import TYPE as FLOAT8
from screader_lib.reader.llm.float8 import to_float8
from screader_lib.reader.llm.frozen_llm import FrozenLLM, LLMIdentity
from screader_lib.reader.llm.machine import Machine
from screader_lib.reader.llm.memory import Costs, MemoryPlan, plan
from screader_lib.reader.model.reader_model import Batch, GeneTable, ReaderModel
from screader_lib.reader.model.training import add_gradients, gradients_of
from screader_lib.reader.settings import TrainingSettings

FULL = {"hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 40,
        "num_attention_heads": 40}  # fmt: skip
REDUCED = {"hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 6,
           "num_attention_heads": 4}  # fmt: skip
GENES, FEATURES, LABELS, INSTRUCTION = 20_000, 384, 20, 20
PADDED = 8  # cells a batch of the straightforward way
MOST_TOKENS = 16_384
COLUMNS = (
    "implementation",
    "tool",
    "precision",
    "genes",
    "cells/s",
    "tokens/s",
    "TFLOP/s",
    "fraction of the matrix rate",
    "cells at once",
    "recomputed layers",
    "peak GB",
    "planned GB",
)


@dataclass
class Bench:
    """Where and on what."""

    device: torch.device
    shapes: dict[str, int]
    seconds: float
    compiled: bool = False

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    def sync(self) -> None:
        if self.on_gpu:
            torch.cuda.synchronize()

    def time_of(self, work: Callable[[], object]) -> float:
        """Seconds of one ``work``: the median of as many as fit into the time, 3 at least."""
        work()
        self.sync()
        found: list[float] = []
        begin = time.perf_counter()
        while len(found) < 3 or time.perf_counter() - begin < self.seconds:
            start = time.perf_counter()
            work()
            self.sync()
            found.append(time.perf_counter() - start)
        return float(np.median(found))

    def peak(self) -> str:
        """GB since the last call; not known on a CPU."""
        if not self.on_gpu:
            return "–"
        found = torch.cuda.max_memory_allocated() / 1e9
        torch.cuda.reset_peak_memory_stats()
        return f"{found:.1f}"

    def matrix_rate(self, precision: str) -> float:
        """TFLOP/s of the layers' own products, best of three sizes."""
        hidden, inner = self.shapes["hidden_size"], self.shapes["intermediate_size"]
        rates = []
        for rows in (4096, 8192, 16384) if self.on_gpu else (512, 1024):
            one = torch.randn(rows, hidden, device=self.device).bfloat16()
            other = torch.randn(inner, hidden, device=self.device).bfloat16()
            if precision == "fp8":
                one, other = one.to(FLOAT8), other.to(FLOAT8)
                scales = (
                    torch.ones(rows, 1, device=self.device),
                    torch.ones(1, inner, device=self.device),
                )
                work = lambda a=one, b=other, s=scales: torch._scaled_mm(  # noqa: E731
                    a, b.t(), scale_a=s[0], scale_b=s[1], out_dtype=torch.bfloat16
                )
            else:
                work = lambda a=one, b=other: a @ b.t()  # noqa: E731
            rates.append(2 * rows * hidden * inner / self.time_of(work) / 1e12)
        return max(rates)


def random_model(kind: type, bench: Bench) -> Any:
    """A Llama with random weights, made on the device in bfloat16."""
    config = LlamaConfig(
        **bench.shapes, num_key_value_heads=bench.shapes["num_attention_heads"], vocab_size=32_000,
        max_position_embeddings=4096,
    )  # fmt: skip
    with torch.device("meta"):
        model = kind(config)
    model = model.to(torch.bfloat16).to_empty(device=bench.device)
    for parameter in model.parameters():
        nn.init.normal_(parameter, 0, 0.02) if parameter.ndim > 1 else nn.init.ones_(parameter)
    inner = model if kind is LlamaModel else model.model
    inner.rotary_emb = type(inner.rotary_emb)(config).to(bench.device)
    return model.eval().requires_grad_(False)


def reader_of(bench: Bench, precision: str, genes: int) -> tuple[ReaderModel, GeneTable, FrozenLLM]:
    """A reader of cls alone around a random LLM."""
    model = random_model(LlamaModel, bench)
    if precision == "fp8":
        to_float8(model)
    if bench.compiled:
        compile_layers(model)
    hidden, layers = bench.shapes["hidden_size"], bench.shapes["num_hidden_layers"]
    words = torch.randn(INSTRUCTION, hidden, device=bench.device) * 0.02
    llm = FrozenLLM(model, LLMIdentity("random", "", "", layers, hidden, ""), words, 1.0)
    settings = TrainingSettings(pooling=("cls",), genes_per_cell=genes, gene_scores=False)
    reader = ReaderModel(settings, GENES, FEATURES, LABELS, llm).to(bench.device)
    reader.token_scale.fill_(0.02)
    nn.init.normal_(reader.head.weight, 0, 0.02)
    return reader, GeneTable(torch.randn(GENES, FEATURES, device=bench.device), None, None), llm


def batch_of(cells: int, genes: int, device: torch.device) -> Batch:
    """Cells of ``genes`` random genes each."""
    chosen = torch.stack([torch.randperm(GENES, device=device)[:genes] for _ in range(cells)])
    return Batch(chosen, torch.rand(cells, genes, device=device))


def work_of_cell(shapes: dict[str, int], genes: int) -> float:
    """TFLOP forward: all but the last layer in full, of the last keys and values alone."""
    hidden, inner, layers = (
        shapes[n] for n in ("hidden_size", "intermediate_size", "num_hidden_layers")
    )
    tokens = genes + 1
    full = 2 * (4 * hidden**2 + 3 * hidden * inner) * tokens
    attention = 4 * hidden * (tokens * tokens / 2 + tokens * INSTRUCTION)
    return ((layers - 1) * (full + attention) + 4 * hidden**2 * tokens) / 1e12


def run_reader(bench: Bench, precision: str, genes: int, rate: float) -> None:
    """Measure predict and train-reader, and print their lines."""
    reader, table, llm = reader_of(bench, precision, genes)
    trained = sum(each.numel() for each in reader.parameters())
    machine = Machine(bench.device.type)
    for mode in ("predict", "train-reader"):
        training = mode == "train-reader"
        costs = Costs.of(llm, trained if training else 0, 4 * GENES * FEATURES, bench.on_gpu)
        found = plan(costs, machine, MOST_TOKENS, genes + 1, backward=training)
        llm.checkpointed = found.checkpointed
        cells = max(1, found.tokens // (genes + 1))
        batch = batch_of(cells, genes, bench.device)
        truth = torch.zeros(cells, dtype=torch.long, device=bench.device)
        bench.peak()
        seconds = bench.time_of(step(reader, table, batch, truth, training))
        print_row(bench, mode, precision, genes, cells, seconds, rate, found)


def step(
    reader: ReaderModel, table: GeneTable, batch: Batch, truth: Tensor, training: bool
) -> Callable[[], object]:
    """One micro-batch; in training with its share of the optimiser."""
    if not training:
        return torch.no_grad()(lambda: reader(table, batch)[0].argmax(1).cpu())
    optimiser = torch.optim.AdamW(reader.parameters())

    def train() -> None:
        parameters = tuple(reader.parameters())
        reader.zero_grad()
        loss = nn.functional.cross_entropy(reader(table, batch)[0], truth)
        add_gradients(parameters, gradients_of(loss, parameters)[0])
        optimiser.step()

    return train


def run_straightforward(bench: Bench, genes: int, rate: float) -> None:
    """The same cells by AutoModelForCausalLM, as one would write it first."""
    model = random_model(LlamaForCausalLM, bench)
    hidden, tokens = bench.shapes["hidden_size"], genes + INSTRUCTION + 1
    inputs = torch.randn(PADDED, tokens, hidden, device=bench.device).bfloat16()
    mask = torch.ones(PADDED, tokens, dtype=torch.long, device=bench.device)
    mask[1:, -1] = 0  # one token of padding makes the library build the mask

    def predict() -> None:
        with torch.no_grad():
            model(inputs_embeds=inputs, attention_mask=mask).logits[:, -1].argmax(1).cpu()

    def train() -> None:
        values = inputs.detach().requires_grad_()
        model(inputs_embeds=values, attention_mask=mask).logits[:, -1].float().mean().backward()

    for mode, work in (("predict", predict), ("train-reader", train)):
        if mode == "train-reader":
            model.train()  # there is no dropout in Llama; checkpointing asks for it
            model.gradient_checkpointing_enable({"use_reentrant": False})
        bench.peak()
        try:
            seconds = bench.time_of(work)
        except torch.OutOfMemoryError:
            print(f"| straightforward | {mode} | bf16 | {genes:,} | out of memory |" + " – |" * 7)
            continue
        print_row(bench, mode, "bf16", genes, PADDED, seconds, rate, None)


def print_row(
    bench: Bench, mode: str, precision: str, genes: int, cells: int, seconds: float, rate: float,
    planned: MemoryPlan | None,
) -> None:  # fmt: skip
    """One line of the table."""
    work = work_of_cell(bench.shapes, genes) * (2 if mode == "train-reader" else 1)
    done = work * cells / seconds
    way = "straightforward" if planned is None else "scReader"
    needed = "–" if planned is None else f"{planned.needed / 1e9:.1f}"
    twice = "–" if planned is None else planned.checkpointed
    print(
        f"| {way} | {mode} | {precision} | {genes:,} | {cells / seconds:.2f} | "
        f"{cells * (genes + 1) / seconds:,.0f} | {done:.3g} | {done / rate:.1%} | {cells} | "
        f"{twice} | {bench.peak()} | {needed} |",
        flush=True,
    )


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reduced", action="store_true")
    parser.add_argument("--genes", type=int, nargs="+")
    parser.add_argument("--seconds", type=float, default=8.0, help="for each line at least")
    parser.add_argument("--compile", action="store_true", help="torch.compile the layers")
    options = parser.parse_args()
    on_gpu = torch.cuda.is_available() and not options.reduced
    device = torch.device("cuda" if on_gpu else "cpu")
    torch.manual_seed(0)
    bench = Bench(
        device, FULL if on_gpu else REDUCED, options.seconds if on_gpu else 1.0, options.compile
    )
    genes = options.genes or ([512, 1024, 2048] if on_gpu else [64, 256])
    name = torch.cuda.get_device_name() if on_gpu else f"CPU, {torch.get_num_threads()} threads"
    print(f"{datetime.now(UTC):%Y-%m-%d}, {name}, torch {torch.__version__}; {bench.shapes}"
          f"{'; compiled' * options.compile}\n")  # fmt: skip
    rates = {precision: bench.matrix_rate(precision) for precision in ("bf16", "fp8")}
    shown = ", ".join(f"{name} {rate:.3g} TFLOP/s" for name, rate in rates.items())
    print(f"matrix rate measured in this run: {shown}\n")
    print(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|")
    for width in genes:
        for precision, rate in rates.items():
            run_reader(bench, precision, width, rate)
        run_straightforward(bench, width, rates["bf16"])


if __name__ == "__main__":
    main()
