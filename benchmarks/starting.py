"""How long small commands take, where loading models and compiling is most of it.

    python benchmarks/starting.py [REPEATS]

Runs the executables of this Python's environment on the small cells of galaxy_wrappers/test-data,
with an empty cache of compiled code before the first run, and prints the seconds of each run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DATA = Path(__file__).parents[1] / "galaxy_wrappers" / "test-data"
ONE_LAYER = ("--llm-layers", 1, "--epochs", 1)
COMMANDS: dict[str, tuple[object, ...]] = {
    "screader info": (DATA / "cells.h5ad",),
    "screader validate": (DATA / "cells.h5ad",),
    "annotate": (DATA / "counts.h5ad", "-r", "human-pancreas", "--force", "-o", "annotated.h5ad"),
    "train-reader --method pooled": (DATA / "cells.h5ad", "-o", "pooled.h5"),
    "predict, no LLM": (DATA / "new-cells.h5ad", "-r", "pooled.h5", "-o", "pooled.h5ad"),
    "embed-genes": (DATA / "descriptions.h5ad", "--no-cache", "-o", "embeddings.h5ad"),
    "train-reader": (DATA / "cells.h5ad", *ONE_LAYER, "-o", "reader.h5"),
    "predict": (DATA / "new-cells.h5ad", "-r", "reader.h5", "-o", "predictions.h5ad"),
    "plot umap": ("predictions.h5ad", "--cells", DATA / "new-cells.h5ad", "-o", "umap.png"),
    "plot report": ("predictions.h5ad", "--cells", DATA / "new-cells.h5ad", "-o", "report.html"),
}


def seconds(folder: Path, command: str) -> float:
    """One run."""
    quiet = [] if command.startswith("screader") else ["--quiet"]  # which have nothing to say
    words = [*command.partition(",")[0].split(), *COMMANDS[command], *quiet]
    words[0] = Path(sys.executable).with_name(str(words[0]))
    told = {
        "SCREADER_OFFLINE": "1",
        "NUMBA_CACHE_DIR": str(folder / "numba"),
        "MPLCONFIGDIR": str(folder / "matplotlib"),
    }
    start = time.monotonic()
    subprocess.run(
        list(map(str, words)), cwd=folder, env={**os.environ, **told}, check=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return time.monotonic() - start


def main() -> None:
    """A row for each command."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    print("| command |" + "".join(f" run {run + 1} |" for run in range(repeats)))
    print("|---|" + "---|" * repeats)
    with tempfile.TemporaryDirectory() as name:
        for command in COMMANDS:
            found = [seconds(Path(name), command) for _ in range(repeats)]
            print(f"| `{command}` |" + "".join(f" {one:.1f} s |" for one in found), flush=True)


if __name__ == "__main__":
    main()
