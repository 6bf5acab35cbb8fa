"""Are the workflows' outputs those of the command line, on the same data and seed?

The commands are those that the workflows' steps stand for. Files are compared value by value; what
tells who made them, when and from which files, is left out (``uns/screader``, and the hash of the
gene embeddings' file in a reader).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

DATA = Path(__file__).parent / "test-data"
MADE_BY = "uns/screader"
FOLDS, LAYERS, GENES, SEED = "2", "1", "24", "1"  # of the workflow's test


def run(folder: Path, *words: object) -> None:
    """One executable of this environment, without a network, with one thread as the server has."""
    told = os.environ | {"SCREADER_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    command = [str(Path(sys.executable).with_name(str(words[0]))), *map(str, words[1:]), "--quiet"]
    subprocess.run(command, cwd=folder, env=told, check=True)


def train_and_evaluate(folder: Path) -> dict[str, list[Path]]:
    """Outputs of the workflow, by label, made by the command line."""
    counts = DATA / "counts.h5ad"
    run(folder, "fetch-descriptions", "--genes", counts, "--source", "packaged", "-o", "d.h5ad")
    run(folder, "embed-genes", "d.h5ad", "-o", "e.h5ad")
    run(folder, "build-cells", counts, "-e", "e.h5ad", "--label", "cell_type", "-k", GENES,
        "-o", "cells.h5ad")  # fmt: skip
    train = ("train-reader", "cells.h5ad", "--llm-layers", LAYERS, "--seed", SEED)
    run(folder, *train, "-o", "reader.h5")
    folds = []
    for fold in range(1, int(FOLDS) + 1):
        reader, calls = f"fold-{fold}.h5", f"fold-{fold}.h5ad"
        run(folder, *train, "--folds", FOLDS, "--fold", fold, "-o", reader)
        run(folder, "predict", "cells.h5ad", "-r", reader, "--held-out", "--explain", 10,
            "-o", calls)  # fmt: skip
        folds.append(calls)
    run(folder, "screader", "gather", *folds, "-o", "gathered.h5ad")
    run(folder, "plot", "confusion", "gathered.h5ad", "--name", "gathered", "--dpi", 150,
        "-o", "confusion.png")  # fmt: skip
    names = {"Gene embeddings": "e.h5ad", "Reader": "reader.h5"}
    names |= {"Calls of cells held out": "gathered.h5ad"}
    return {label: [folder / name] for label, name in names.items()}


def annotate(folder: Path) -> dict[str, list[Path]]:
    """The same of the workflow that annotates samples."""
    calls = []
    for number, sample in enumerate(("new.h5ad", "new-10x.h5")):
        cells, name = f"cells-{number}.h5ad", f"calls-{number}.h5ad"
        run(folder, "build-cells", DATA / sample, "-e", DATA / "embeddings.h5ad",
            "--like", DATA / "reader.h5", "-o", cells)  # fmt: skip
        run(folder, "predict", cells, "-r", DATA / "reader.h5", "--explain", 10, "-o", name)
        calls.append(folder / name)
    return {"Predictions": calls}


SHELL = {"annotate-cells": annotate, "train-and-evaluate": train_and_evaluate}


def differences(one: Path, other: Path) -> list[str]:
    """Where two files differ: names of elements, empty where they are alike."""
    with h5py.File(one) as left, h5py.File(other) as right:
        here, there = dict(elements(left)), dict(elements(right))
        found = sorted(set(here) ^ set(there))
        return found + [
            name for name in sorted(set(here) & set(there)) if not alike(here[name], there[name])
        ]


def elements(file: h5py.File) -> Iterator[tuple[str, Any]]:
    """Datasets by name, but those that tell who made the file."""
    names: list[str] = []
    file.visit(names.append)
    for name in names:
        if isinstance(file[name], h5py.Dataset) and MADE_BY not in name:
            value = file[name][()]
            if name == "embedding":
                value = re.sub(rb'"sha256": "[0-9a-f]+"', b"", value)
            yield name, value


def alike(one: Any, other: Any) -> bool:
    """Equal to the last bit; NaN equals NaN."""
    left, right = np.asarray(one), np.asarray(other)
    if left.shape != right.shape or left.dtype != right.dtype:
        return False
    numbers = left.dtype.kind == "f"
    return bool(np.array_equal(left, right, equal_nan=numbers))


def outputs_of(server: Any, label: str, invocation: dict[str, Any]) -> list[str]:
    """The datasets that an output of an invocation is, in the order of their collection."""
    if label in invocation["outputs"]:
        return [invocation["outputs"][label]["id"]]
    found = invocation["output_collections"][label]["id"]
    collection = server.call(f"dataset_collections/{found}?instance_type=history")
    return [element["object"]["id"] for element in collection["elements"]]


def newest_invocation(server: Any, name: str) -> dict[str, Any]:
    """The last run of the workflow with this name."""
    for brief in server.call(
        "invocations?sort_by=create_time&sort_desc=true&include_nested_invocations=false"
    ):
        workflow = server.call(f"workflows/{brief['workflow_id']}?instance=true")
        if workflow["name"].startswith(name):
            return server.call(f"invocations/{brief['id']}")
    raise LookupError(f"no run of {name}")


def make(workflow: str, folder: Path) -> dict[str, list[Path]]:
    """The workflow's outputs, by label, made by the command line in a new folder."""
    folder.mkdir(parents=True)
    return SHELL[workflow](folder)


def compare(server: Any, name: str, made: dict[str, list[Path]], folder: Path) -> list[str]:
    """What differs between the newest run of a workflow and what the command line made."""
    invocation = newest_invocation(server, name)
    found = []
    for label, files in made.items():
        datasets = outputs_of(server, label, invocation)
        if len(datasets) != len(files):
            found.append(f"{label}: {len(datasets)} files, not {len(files)}")
        for number, (dataset, file) in enumerate(zip(datasets, files, strict=False)):
            target = folder / f"galaxy-{label}-{number}"
            target.write_bytes(server.content(dataset))
            found += [f"{label}: {element}" for element in differences(target, file)]
    return found
