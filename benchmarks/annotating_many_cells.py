"""`annotate` and `predict` on many cells beside reading them, and beside CellTypist.

    python benchmarks/annotating_many_cells.py READER EMBEDDINGS REFERENCE TILED [TILED ...]
        [--rounds 3] [--celltypist PYTHON] [--samples 20]

TILED are made by tile_cells.py from REFERENCE, whose ``cell_type1`` the READER knows; EMBEDDINGS
are of the reader's texts. For each, in turns, whole processes: reading the matrix with anndata;
`build-cells --like`; `predict` on what it made, with explanations and without vectors; `annotate`
for each cell's own call, and with the consensus, with and without vectors; and, by a Python that
has it, CellTypist with a model of REFERENCE, from reading to writing. Wall and CPU seconds are
medians, memory the largest resident set. Prints a table in Markdown. ``--samples``: instead, the
first of TILED so many times over, in one process and in one for each.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import h5py
from cells import READ, measured

LEARN = """
import sys, anndata, celltypist, scanpy
cells = anndata.read_h5ad(sys.argv[1])
scanpy.pp.normalize_total(cells, target_sum=1e4)
scanpy.pp.log1p(cells)
celltypist.train(
    cells, labels="cell_type1", n_jobs=2, max_iter=200, feature_selection=True
).write(sys.argv[2])
"""
CALL = """
import sys, anndata, celltypist, scanpy
cells = anndata.read_h5ad(sys.argv[1])
scanpy.pp.normalize_total(cells, target_sum=1e4)
scanpy.pp.log1p(cells)
called = celltypist.annotate(cells, model=sys.argv[2])
called.predicted_labels.to_csv(sys.argv[3])
"""


def commands(
    tiled: Path, given: argparse.Namespace, folder: Path
) -> dict[str, Sequence[str | Path]]:
    """What is measured, in this order."""
    suite = Path(sys.executable).parent
    like = ["-e", given.embeddings, "--like", given.reader]
    annotate = [suite / "screader", "annotate", tiled, "-q", "--reader", given.reader]
    own = [*annotate, "--consensus", "none"]
    found: dict[str, Sequence[str | Path]] = {
        "reading with anndata": [sys.executable, "-c", READ, tiled],
        "`build-cells --like`": [
            suite / "build-cells", "-q", tiled, *like, "-o", folder / "cells.h5ad"
        ],
        "`predict`": [
            suite / "predict", "-q", folder / "cells.h5ad", "-r", given.reader,
            "-o", folder / "predictions.h5ad",
        ],
        "`predict --explain 10`": [
            suite / "predict", "-q", folder / "cells.h5ad", "-r", given.reader,
            "--explain", "10", "-o", folder / "explained.h5ad",
        ],
        "`predict --no-vectors`": [
            suite / "predict", "-q", folder / "cells.h5ad", "-r", given.reader,
            "--no-vectors", "-o", folder / "fewer.h5ad",
        ],
        "`predict --no-vectors --explain 10`": [
            suite / "predict", "-q", folder / "cells.h5ad", "-r", given.reader,
            "--no-vectors", "--explain", "10", "-o", folder / "fewer-explained.h5ad",
        ],
        "`annotate`, own calls as a table": [*own, "--calls", folder / "own.csv"],
        "`annotate --no-vectors`, own calls": [*own, "--no-vectors", "-o", folder / "less.h5ad"],
        "`annotate`, own calls": [*own, "-o", folder / "own.h5ad"],
        "`annotate --no-vectors`": [*annotate, "--no-vectors", "-o", folder / "less.h5ad"],
        "`annotate`": [*annotate, "-o", folder / "annotated.h5ad"],
    }  # fmt: skip
    if given.celltypist:
        model = folder / "model.pkl"
        if not model.exists():
            learn = [given.celltypist, "-c", LEARN, given.reference, model]
            subprocess.run(learn, check=True, capture_output=True)
        found["CellTypist"] = [given.celltypist, "-c", CALL, tiled, model, folder / "called.csv"]
    return found


def measure_samples(given: argparse.Namespace) -> None:
    """Many samples in one process, and each in its own."""
    print("| samples | processes | seconds | CPU seconds | GB |")
    print("|" + "---|" * 5)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        samples = [folder / f"sample-{number}.h5ad" for number in range(given.samples)]
        for sample in samples:
            os.link(given.tiled[0], sample)
        (folder / "out").mkdir()
        output = folder / "out" / "{name}.h5ad"
        words = [Path(sys.executable).with_name("screader"), "annotate", "-q", "-r", given.reader]
        together = measured([*map(str, [*words, *samples, "-o", output])])
        alone = [
            measured([*map(str, [*words, sample, "-o", folder / "out" / "alone.h5ad"])])
            for sample in samples
        ]
        apart = (
            sum(one[0] for one in alone),
            sum(one[1] for one in alone),
            max(m for *_, m in alone),
        )
        for processes, (wall, cpu, memory) in ((1, together), (len(samples), apart)):
            row = f"{wall:.1f} | {cpu:.1f} | {memory / 1e3:.2f}"
            print(f"| {len(samples)} | {processes} | {row} |", flush=True)
    print(f"\nLoad at the end: {os.getloadavg()[0]:.1f}.")


def main() -> None:
    """A row for each command and number of cells."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("reader", "embeddings", "reference"):
        parser.add_argument(name, type=Path)
    parser.add_argument("tiled", type=Path, nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--celltypist", help="a Python with CellTypist 1.7.1")
    parser.add_argument("--samples", type=int, help="measure so many samples instead")
    parser.add_argument("--only", nargs="+", help="words of the commands to measure")
    given = parser.parse_args()
    if given.samples:
        measure_samples(given)
        return
    print("| cells | command | seconds | times reading | CPU seconds | GB |")
    print("|" + "---|" * 6)
    for tiled in given.tiled:
        with h5py.File(tiled) as file, tempfile.TemporaryDirectory() as folder:
            cells = len(file["X/indptr"]) - 1
            to_run = {
                name: words for name, words in commands(tiled, given, Path(folder)).items()
                if not given.only or "reading" in name or any(one in name for one in given.only)
            }  # fmt: skip
            rounds = [
                {name: measured([*map(str, words)]) for name, words in to_run.items()}
                for _ in range(given.rounds)
            ]
        reading = [one["reading with anndata"][0] for one in rounds]
        for name in to_run:
            wall, cpu, memory = (median(one[name][part] for one in rounds) for part in range(3))
            ratio = median(one[name][0] / read for one, read in zip(rounds, reading, strict=True))
            print(
                f"| {cells:,} | {name} | {wall:.1f} | {ratio:.2f} | {cpu:.1f} "
                f"| {memory / 1e3:.2f} |",
                flush=True,
            )
    print(f"\nLoad at the end: {os.getloadavg()[0]:.1f}.")


if __name__ == "__main__":
    main()
