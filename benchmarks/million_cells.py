"""How long `plot umap` takes for a million cells, coordinates computed or given, and its memory.

    python benchmarks/million_cells.py [--cells 1000000] [--types 61] [--hidden 576] [--keep FOLDER]

Prints a table in Markdown. Each picture is drawn by a process of its own; memory is the largest
resident set of that process.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from screader_lib.exchange import encoding, provenance
from screader_lib.exchange.table import Categorical, Table, strings
from screader_lib.exchange.writing import create

BLOCK = 50_000


def write_predictions(
    path: Path, coordinates: Path, cells: int, types: int, hidden: int, columns_more: int = 0
) -> None:
    """A predictions file with clustered vectors and further columns, and coordinates for it."""
    random = np.random.default_rng(0)
    names = tuple(f"type {number:02}" for number in range(types))
    share = 1 / np.arange(1, types + 1) ** 0.7
    codes = random.choice(types, cells, p=share / share.sum()).astype(np.int32)
    called = np.where(random.random(cells) < 0.95, codes, 0).astype(np.int32)
    ids = strings(f"AAACCTG{number:09}-1" for number in range(cells))
    columns = {
        "predicted_label": Categorical(called, names),
        "predicted_ontology_id": Categorical(np.zeros(cells, np.int32), ("",)),
        "confidence": random.uniform(0.5, 1, cells).astype(np.float32),
        "second_label": Categorical(np.zeros(cells, np.int32), names),
        "status": Categorical(np.zeros(cells, np.int32), ("assigned", "unassigned")),
        "true_label": Categorical(codes, names),
    }
    for number in range(columns_more):
        columns[f"score {number}"] = random.normal(0, 1, cells).astype(np.float32)
    centres = random.normal(0, 1.5, (types, hidden)).astype(np.float32)
    with create("predictions", path, provenance.make("predict", {}, {}, [])) as file:
        encoding.begin_anndata(file, Table(ids, columns), Table(strings([])))
        vectors = encoding.create_rows(
            file["obsm"], "X_screader", (cells, hidden), np.float32, 4096
        )
        for start in range(0, cells, BLOCK):
            part = codes[start : start + BLOCK]
            noise = random.normal(0, 1, (len(part), hidden)).astype(np.float32)
            vectors[start : start + BLOCK] = centres[part] + noise
        probability = encoding.create_rows(
            file["obsm"], "probability", (cells, types), np.float32, 4096
        )
        for start in range(0, cells, BLOCK):
            part = called[start : start + BLOCK]
            probability[start : start + BLOCK] = np.eye(types, dtype=np.float32)[part]
        encoding.write_strings(file["uns"], "labels", strings(names))
        encoding.write_strings(file["uns"], "label_ontology_ids", strings([""] * types))
        encoding.write_text(file["uns"], "method", "screader")
    places = random.normal(0, 12, (types, 2))
    points = (places[codes] + random.normal(0, 1, (cells, 2))).astype(np.float32)
    with coordinates.open("wb") as stream:
        np.savez_compressed(
            stream,
            panels=np.array(["after scReader"]),
            cells_0=ids.astype(np.str_),
            coordinates_0=points,
        )


def measure(command: list[str]) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and largest memory in GB of a command."""
    begin = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"failed: {' '.join(command)}")
    wall = time.perf_counter() - begin
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e9


def main() -> None:
    """Write the files, draw the pictures, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=1_000_000)
    parser.add_argument("--types", type=int, default=61)
    parser.add_argument("--hidden", type=int, default=576, help="Width of the cell vectors.")
    parser.add_argument("--keep", type=Path, help="Keep the files in this folder.")
    options = parser.parse_args()
    plot = [str(Path(sys.executable).with_name("plot")), "umap"]
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        predictions, coordinates = folder / "predictions.h5ad", folder / "umap.npz"
        write_predictions(predictions, coordinates, options.cells, options.types, options.hidden)
        print(
            "| cells | types | coordinates | format | seconds | CPU seconds | GB of memory | "
            "MB of output |"
        )
        print("|---|---|---|---|---|---|---|---|")
        for source, form in (
            ("computed", "png"),
            *(("given", form) for form in ("png", "svg", "pdf")),
        ):
            picture = folder / f"{source}.{form}"
            given = ["--coordinates", str(coordinates)] if source == "given" else []
            seconds, processor, memory = measure(
                [*plot, str(predictions), *given, "-o", str(picture)]
            )
            size = picture.stat().st_size / 1e6
            print(
                f"| {options.cells:,} | {options.types} | {source} | {form} | {seconds:.0f} | "
                f"{processor:.0f} | {memory:.1f} | {size:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
