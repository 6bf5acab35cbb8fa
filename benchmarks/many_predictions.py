"""How long `predict` takes for many cells, and how its memory grows.

    python benchmarks/many_predictions.py CELLS [CELLS ...] [--shards 4]

CELLS come from build-cells, with labels, the first of them small: a reader is trained on it,
through a tiny randomly initialised LLM (2 layers, 64 wide) that reads 16 genes of each cell. Then,
as whole processes, for each: `predict`; and `screader gather` of as many shards, whose
probabilities and vectors are compared with those of the one run. Seconds of the wall clock and of
all processors, memory the largest resident set. Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
from cells import measured

READER = ["--method", "screader", "--genes-per-cell", "16", "--warm-start-epochs", "2",
          "--epochs", "1", "--pooling", "cls"]  # fmt: skip
SAME = ("obsm/probability", "obsm/X_screader", "obs/confidence", "obs/predicted_label/codes")
ROWS_AT_ONCE = 65_536


def tiny_llm(folder: Path) -> Path:
    """A randomly initialised Llama in a folder; the reader is given an empty instruction."""
    import torch
    from transformers import LlamaConfig, LlamaModel

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=4, initializer_range=0.2,
    )  # fmt: skip
    LlamaModel(config).save_pretrained(folder)
    return folder


def tool(name: str, *words: object) -> list[str]:
    """The command line of an executable of this environment."""
    return [str(Path(sys.executable).with_name(name)), *map(str, words)]


def equal(one: Path, other: Path) -> bool:
    """Whether two predictions say the same to the last bit."""
    with h5py.File(one) as a, h5py.File(other) as b:
        return all(
            np.array_equal(
                a[name][start : start + ROWS_AT_ONCE], b[name][start : start + ROWS_AT_ONCE]
            )
            for name in SAME
            for start in range(0, len(a[name]), ROWS_AT_ONCE)
        )


def row(cells: Path, reader: Path, folder: Path, shards: int) -> str:
    """One line of the table."""
    whole, joined = folder / "whole.h5ad", folder / "joined.h5ad"
    wall, busy, memory = measured(tool("predict", cells, "-r", reader, "-o", whole))
    parts = []
    for number in range(1, shards + 1):
        part = folder / f"part-{number}.h5ad"
        words = [cells, "-r", reader, "--shard", f"{number}/{shards}", "-o", part]
        parts.append((part, *measured(tool("predict", *words))))
    files = [part[0] for part in parts]
    gathered = measured(tool("screader", "gather", *files, "-o", joined))
    with h5py.File(whole) as file:
        count = len(file["obs/confidence"])
    same = "yes" if equal(whole, joined) else "NO"
    return (
        f"| {count:,} | {wall:.1f} | {busy:.1f} | {count / wall:,.0f} | {memory:,.0f} | "
        f"{max(part[3] for part in parts):,.0f} | {gathered[0]:.1f} | {gathered[2]:,.0f} | "
        f"{same} | {whole.stat().st_size / 1e6:,.0f} |"
    )


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cells", type=Path, nargs="+")
    parser.add_argument("--shards", type=int, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        llm, reader = tiny_llm(folder / "llm"), folder / "reader.h5"
        words = [options.cells[0], *READER, "--llm", llm, "--instruction", "", "-o", reader]
        measured(tool("train-reader", *words))
        print("| cells | predict: s | CPU s | cells/s | MB | one shard: MB | gather: s | MB "
              "| merged file identical | file: MB |")  # fmt: skip
        print("|" + "---|" * 10)
        for cells in options.cells:
            print(row(cells, reader, folder, options.shards), flush=True)


if __name__ == "__main__":
    main()
