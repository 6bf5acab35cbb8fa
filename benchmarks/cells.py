"""How long `build-cells` takes beside merely reading the matrix, and how its memory grows.

    python benchmarks/cells.py EMBEDDINGS TILED [TILED ...] [--rounds 3] [--naive-up-to 100000]

TILED are made by tile_cells.py. For each, in turns, whole processes: reading its matrix with
anndata; `build-cells`; and, in the first round and up to a number of cells, a straightforward
rank-value encoder on numpy (normalise, divide by median, argsort, cell by cell) that reads the
whole matrix. Seconds of the wall clock and of all processors are medians over the rounds, memory
the largest resident set. Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import h5py

READ = """
import sys, h5py
from anndata.io import read_elem
with h5py.File(sys.argv[1]) as file:
    read_elem(file["X"])
"""

NAIVE = """
import sys
import h5py
import numpy as np
from anndata.io import read_elem
GENES, MOST = 3000, 2048
with h5py.File(sys.argv[1]) as file:
    matrix = read_elem(file["X"]).astype(np.float32)
total = np.asarray(matrix.sum(1)).ravel()
matrix.data *= np.repeat(1e4 / np.maximum(total, 1), np.diff(matrix.indptr)).astype(np.float32)
columns = matrix.tocsc()
logs = columns.copy()
logs.data = np.log1p(logs.data)
mean = np.asarray(logs.mean(0)).ravel()
logs.data **= 2
variance = np.asarray(logs.mean(0)).ravel() - mean**2
chosen = np.sort(np.argsort(-variance)[:GENES])
columns = columns[:, chosen]
medians = np.array([np.median(columns.data[a:b]) if b > a else 1
                    for a, b in zip(columns.indptr[:-1], columns.indptr[1:])], np.float32)
rows = columns.tocsr()
index = np.full((rows.shape[0], MOST), -1, np.int32)
weight = np.zeros((rows.shape[0], MOST), np.float32)
for cell in range(rows.shape[0]):
    part = slice(rows.indptr[cell], rows.indptr[cell + 1])
    values, genes = rows.data[part], rows.indices[part]
    order = np.argsort(-values / medians[genes], kind="stable")[:MOST]
    index[cell, :len(order)], weight[cell, :len(order)] = genes[order], np.log1p(values[order])
with h5py.File(sys.argv[2], "w") as file:
    for name, values in (("gene_index", index), ("gene_weight", weight)):
        file.create_dataset(name, data=values, compression="gzip", compression_opts=1,
                            shuffle=True, chunks=(16, MOST))
"""


def measured(command: Sequence[str]) -> tuple[float, float, float]:
    """Wall seconds, seconds of the processors, the largest resident set in MB of a command."""
    begin = time.perf_counter()
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"failed: {' '.join(command)}")
    wall = time.perf_counter() - begin
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6


def row(tiled: Path, embeddings: Path, folder: Path, rounds: int, naive_up_to: int) -> str:
    """One line of the table."""
    with h5py.File(tiled) as file:
        cells = int(file["X"].attrs["shape"][0])
        compression = file["X/data"].compression or "none"
    output = folder / "cells.h5ad"
    build = str(Path(sys.executable).with_name("build-cells"))
    commands = {
        "read": [sys.executable, "-c", READ, str(tiled)],
        "build": [build, str(tiled), "-e", str(embeddings), "-o", str(output)],
    }
    if cells <= naive_up_to:
        commands["naive"] = [sys.executable, "-c", NAIVE, str(tiled), str(folder / "naive.h5")]
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in commands}
    for number in range(rounds):
        for name, command in commands.items():
            if name != "naive" or not number:
                found[name].append(measured(command))
    ratio = median(b[0] / a[0] for a, b in zip(found["read"], found["build"], strict=True))
    shown = [
        f"{median(one[0] for one in found[name]):.1f} | {median(one[1] for one in found[name]):.1f}"
        f" | {max(one[2] for one in found[name]):,.0f}"
        if name in found
        else "– | – | –"
        for name in ("read", "build", "naive")
    ]
    size = output.stat().st_size / cells / 1e3
    return f"| {cells:,} | {compression} | {' | '.join(shown)} | {ratio:.2f} | {size:.1f} |"


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("embeddings", type=Path)
    parser.add_argument("tiled", type=Path, nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--naive-up-to", type=int, default=100_000)
    options = parser.parse_args()
    print("| cells | compression | reading: s | CPU s | MB | build-cells: s | CPU s | MB "
          "| naive: s | CPU s | MB | build-cells / reading | kB per cell |")  # fmt: skip
    print("|" + "---|" * 13)
    with tempfile.TemporaryDirectory() as folder:
        for tiled in options.tiled:
            settings = (Path(folder), options.rounds, options.naive_up_to)
            print(row(tiled, options.embeddings, *settings), flush=True)


if __name__ == "__main__":
    main()
