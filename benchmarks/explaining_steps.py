"""How many steps integrated gradients take where the LLM counts.

    python benchmarks/explaining_steps.py READER CELLS [--cells 6]

READER has an LLM with weight (`--pooling cls,mean`). The head alone is explained, without the
genes' own scores, whose part is exact. Prints, for each rule and number of steps, the gap (see
reader/model/attribution.py) and how many of the five top genes are those of the finest rule.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from screader_lib.cells.cells_file import CellSequences
from screader_lib.exchange.opening import open_exchange
from screader_lib.reader.confidence.explanation import top
from screader_lib.reader.methods import methods
from screader_lib.reader.model import attribution
from screader_lib.reader.model.neural_reader import NeuralReader
from screader_lib.reader.model.reader_model import Batch
from screader_lib.reader.reader_file import read_reader

Rule = tuple[list[float], list[float]]
FINEST = 128


def rules() -> dict[str, Rule]:
    """Nodes and weights by name; the last is the reference."""
    found = {f"midpoints, {n}": ([(i + 0.5) / n for i in range(n)], [1 / n] * n) for n in (16, 64)}
    for power, counts in ((1, (16, 32)), (attribution.POWER, (8, 16, 32, 64, FINEST))):
        for n in counts:
            found[f"Gauss-Legendre, power {power}, {n}"] = attribution.nodes(n, power)
    return found


def integrate(logits_of: attribution.Logits, batch: Batch, calls: Tensor, rule: Rule) -> Tensor:
    """The genes' parts with these nodes."""
    total = torch.zeros_like(batch.weights)
    for share, factor in zip(*rule, strict=True):
        point = attribution.along_path(batch, share)
        point.weights = point.weights.detach().requires_grad_()
        odds = attribution.log_odds(logits_of(point), calls)
        total += factor * torch.autograd.grad(odds.sum(), point.weights)[0]
    return total * batch.weights


def main() -> None:
    """One row for each rule."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reader", type=Path)
    parser.add_argument("cells", type=Path)
    parser.add_argument("--cells", dest="count", type=int, default=6)
    given = parser.parse_args()
    with open_exchange(given.reader, "reader") as opened:
        reader = methods.restore(read_reader(opened))
    assert isinstance(reader, NeuralReader) and reader.uses_llm
    with open_exchange(given.cells, "cells") as opened:
        cells = CellSequences(opened)
        rows = np.linspace(0, len(cells) - 1, given.count).astype(int)
        table, batch = reader.table_of(cells), reader.read(cells, rows)
        head = partial(reader.model, poolings=reader.poolings)

        def logits_of(part: Batch) -> Tensor:
            return head(table, part)[0]

        with torch.no_grad():
            calls = logits_of(batch).argmax(1)
            last, first = (
                attribution.log_odds(logits_of(attribution.along_path(batch, share)), calls)
                for share in (1.0, 0.0)
            )
        found = {}
        for name, rule in rules().items():
            start = time.monotonic()
            parts = integrate(logits_of, batch, calls, rule)
            found[name] = parts, (time.monotonic() - start) / len(rows)
        genes = batch.genes.numpy()
        best = top(genes, parts.numpy(), 5)[0]
        print("| rule, steps | gap, median | gap, largest | top 5 | seconds a cell |")
        print("|---|---|---|---|---|")
        for name, (parts, seconds) in found.items():
            gap = attribution.gaps(parts, (last - first).double()).numpy()
            own = top(genes, parts.numpy(), 5)[0]
            same = np.mean([np.isin(a, b).mean() for a, b in zip(own, best, strict=True)])
            print(
                f"| {name} | {np.median(gap):.1%} | {gap.max():.1%} | {same:.2f} | {seconds:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
