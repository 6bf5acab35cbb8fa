"""How much faster `predict` calls the LLM than the straightforward way, and whether calls agree.

    python benchmarks/prediction.py CELLS READER [--genes 64 256 1024] [--cells 64 32 16]

READER is read with the LLM that it was trained with, CELLS are those it was built for, cut to so
many genes each. The straightforward way, in the same run and in turns: AutoModelForCausalLM in
float32, batches of 8 cells in the order of the file, padded to the longest of the batch, with an
attention mask, the instruction in every sequence, logits at all positions. Cells per second are
medians of the rounds; memory is the largest during a round above what rested before it (Linux).
The matrix rate is that of the LLM's largest product, 512 or 1,024 tokens at once, in the precision
of the row and in the same rounds; the fraction counts the products of the genes' tokens in all
layers and their causal attention, as they are computed, and nothing of the instruction.
"""

from __future__ import annotations

import argparse
import ctypes
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PretrainedConfig

from screader_lib.cells.cells_file import CellSequences
from screader_lib.exchange.opening import open_exchange
from screader_lib.exchange.summary import human_size
from screader_lib.reader.llm.decoder import layout
from screader_lib.reader.llm.machine import Machine, prepare
from screader_lib.reader.llm.weights import find_weights
from screader_lib.reader.methods import methods
from screader_lib.reader.model.neural_reader import NeuralReader
from screader_lib.reader.reader_file import StoredReader, check_cells, read_reader
from screader_lib.reader.settings import TrainingSettings
from screader_lib.reporting import SILENT

REPEATS = 20  # of a product that is timed
PADDED = 8  # cells a batch of the straightforward way
Way = Callable[[CellSequences, np.ndarray], np.ndarray]


class Straightforward:
    """A reader whose LLM is called as the library is most simply called."""

    def __init__(self, settings: TrainingSettings) -> None:
        if settings.llm_layers is not None:
            raise SystemExit("the reader's LLM is shortened: train without --llm-layers.")
        source = find_weights(settings.llm, settings.llm_revision)
        self.llm = AutoModelForCausalLM.from_pretrained(
            source.path, dtype=torch.float32, **source.options
        ).eval()

    @torch.no_grad()
    def logits(self, trained: NeuralReader, cells: CellSequences, rows: np.ndarray) -> np.ndarray:
        """float32 (rows, labels)."""
        batches = (rows[start : start + PADDED] for start in range(0, len(rows), PADDED))
        return np.concatenate([self._batch(trained, cells, batch).numpy() for batch in batches])

    def _batch(self, trained: NeuralReader, cells: CellSequences, rows: np.ndarray) -> Tensor:
        model, table, batch = trained.model, trained.table_of(cells), trained.read(cells, rows)
        first = model.first_genes(batch)
        lengths = (first.genes >= 0).sum(1)
        found = self._read(trained, model.gene_tokens(table, first), lengths)
        if "pool" in model.settings.pooling:
            found["pool"] = model.project_mean(table, batch)
        parts = [model.standardise[part](found[part]) for part in model.settings.pooling]
        logits: Tensor = model.head(torch.cat(parts, 1))
        if table.scores is not None:
            logits = model.gene_logits(table, batch) + model.mix * logits
        return logits

    def _read(self, trained: NeuralReader, tokens: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """What the LLM puts out at cls, and its mean over the genes, float32 (cells, hidden)."""
        words, (cells, width, hidden) = trained.model.llm[0].instruction, tokens.shape
        source, begin = layout(lengths, width, len(words), trained.model.settings.order)
        every = torch.cat(
            [
                tokens,
                words.expand(cells, -1, -1),
                trained.model.cls.expand(cells, 1, hidden),
                tokens.new_zeros(cells, 1, hidden),
            ],
            1,
        )
        embedded = every.gather(1, source[..., None].expand(-1, -1, hidden))
        last = lengths + len(words)
        mask = (torch.arange(embedded.shape[1])[None] <= last[:, None]).long()
        output = self.llm(inputs_embeds=embedded, attention_mask=mask, output_hidden_states=True)
        states = output.hidden_states[-1]
        genes = states[:, begin : begin + width]
        inside = (torch.arange(width)[None] < lengths[:, None])[..., None]
        mean = (genes * inside).sum(1) / lengths.clamp(min=1)[:, None]
        return {"cls": states[torch.arange(cells), last], "mean": mean}


def read_memory(name: str) -> int:
    """Bytes of a line of this process's status, such as VmHWM; 0 where there is none."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(name)), 0)


def measured(way: Way, cells: CellSequences, rows: np.ndarray) -> tuple[np.ndarray, float, int]:
    """The calls, seconds and bytes above what rested."""
    try:
        ctypes.CDLL(None).malloc_trim(0)  # else what the way before gave back still counts
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        rested = read_memory("VmRSS")
    except (OSError, AttributeError):  # not Linux with the GNU library
        rested = 0
    start = time.perf_counter()
    logits = way(cells, rows)
    seconds = time.perf_counter() - start
    return logits.argmax(1), seconds, read_memory("VmHWM") - rested if rested else 0


def restored_as(
    restored: StoredReader, machine: Machine, cells: CellSequences, genes: int, precision: str
) -> NeuralReader:
    """The reader as `predict` has it, at ``genes`` a cell."""
    changed = {"genes_per_cell": genes, "precision": precision}
    restored.settings = restored.settings.changed(changed)
    trained = methods.restore(restored, machine)
    if not isinstance(trained, NeuralReader) or not trained.uses_llm:
        raise SystemExit("the reader's calls have nothing of an LLM: --pooling cls,mean?")
    trained.plan_memory(cells, machine, False, SILENT)
    return trained


def ways_of(straight: Straightforward, readers: dict[str, NeuralReader]) -> dict[str, Way]:
    """The straightforward way first, then `predict`'s in each precision."""

    def reading(reader: NeuralReader) -> Way:
        return lambda cells, rows: reader.outputs(cells, rows)[0]

    some = readers.get("float32") or next(iter(readers.values()))  # its instruction unrounded
    ways: dict[str, Way] = {
        "straightforward, float32": lambda cells, rows: straight.logits(some, cells, rows)
    }
    for precision, reader in readers.items():
        kind = str(reader.model.llm[0].model.dtype).removeprefix("torch.")
        asked = "" if precision == "auto" else f" --precision {precision}"
        ways[f"`predict{asked}`, {kind}"] = reading(reader)
    return ways


def work_of(config: PretrainedConfig, lengths: np.ndarray, instruction: int) -> float:
    """FLOP for cells of so many genes, int (cells,), and cls, after an instruction."""
    hidden, tokens = config.hidden_size, lengths.astype(float) + 1
    shared = config.num_key_value_heads / config.num_attention_heads
    products = 2 * ((2 + 2 * shared) * hidden**2 + 3 * hidden * config.intermediate_size)
    attention = 4 * hidden * (tokens / 2 + instruction)
    return float(config.num_hidden_layers * (tokens * (products + attention)).sum())


def matrix_rate(config: PretrainedConfig, kind: torch.dtype) -> float:
    """FLOP a second of one layer's largest product, the better of two sizes."""
    rates = []
    for tokens in (512, 1024):
        one = torch.randn(tokens, config.hidden_size).to(kind)
        other = torch.randn(config.intermediate_size, config.hidden_size).to(kind)
        one @ other.T
        start = time.perf_counter()
        for _ in range(REPEATS):
            one @ other.T
        work = 2 * tokens * config.hidden_size * config.intermediate_size * REPEATS
        rates.append(work / (time.perf_counter() - start))
    return max(rates)


def compare(
    ways: dict[str, Way],
    cells: CellSequences,
    count: int,
    rounds: int,
    config: PretrainedConfig,
    work: float,
) -> list[str]:
    """What follows the number of genes in the table, of the first ``count`` cells."""
    rows = np.arange(min(count, len(cells)))
    for way in ways.values():
        way(cells, rows[:1])  # what is done once, such as the instruction's keys and values
    found: dict[str, list[tuple[np.ndarray, float, int]]] = {name: [] for name in ways}
    kinds = {name: name.rpartition(", ")[2] for name in ways}
    rates: dict[str, list[float]] = {kind: [] for kind in kinds.values()}
    for _ in range(rounds):
        for kind, of_kind in rates.items():
            of_kind.append(matrix_rate(config, getattr(torch, kind)))
        for name, way in ways.items():
            found[name].append(measured(way, cells, rows))
    first, *_ = found.values()
    usual, base = first[0][0], median(seconds for _, seconds, _ in first)
    lines = []
    for name, runs in found.items():
        calls, seconds = runs[0][0], median(each[1] for each in runs)
        memory = max(each[2] for each in runs)
        lines.append(
            f"{name} | {len(rows) / seconds:.2f} | {base / seconds:.1f} "
            f"| {work / seconds / median(rates[kinds[name]]):.0%} "
            f"| {(calls == usual).sum()} of {len(rows)} | {len(np.unique(calls))} "
            f"| {human_size(memory) if memory else '–'} |"
        )
    return lines


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cells", type=Path)
    parser.add_argument("reader", type=Path)
    parser.add_argument("--genes", nargs="+", type=int, default=[64, 256, 1024])
    parser.add_argument("--cells", dest="counts", nargs="+", type=int, default=[64, 32, 16])
    parser.add_argument("--precision", nargs="+", default=["auto"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    machine = prepare("cpu")
    torch.set_num_threads(given.threads)
    print(
        "| genes per cell | implementation | cells/s | speed-up | of the matrix rate "
        "| identical labels | distinct labels | memory |"
    )
    print("|---|---|---|---|---|---|---|---|", flush=True)
    with open_exchange(given.cells, "cells") as opened, open_exchange(given.reader, "reader") as r:
        cells, restored = CellSequences(opened), read_reader(r)
        check_cells(cells, restored, r.name)
        straight = Straightforward(restored.settings)
        for genes, count in zip(given.genes, given.counts, strict=True):
            readers = {
                each: restored_as(restored, machine, cells, genes, each) for each in given.precision
            }
            some = next(iter(readers.values()))
            config, words = straight.llm.config, len(some.model.llm[0].instruction)

            work = work_of(config, np.minimum(cells.lengths[:count], genes), words)
            ways = ways_of(straight, readers)
            for line in compare(ways, cells, count, given.rounds, config, work):
                print(f"| {genes:,} | {line}", flush=True)


if __name__ == "__main__":
    main()
