"""An attack on all tools: damaged files, small files that unpack to much, signals at any moment.

    python benchmarks/robustness.py [FILES [SIGNALS]]

Each run on a file is a fork that may take 2 GB and a minute. Prints a table: runs, how they ended,
and findings, which are a signal, a traceback, an unexpected error, control characters on the
terminal, a lost output, something left behind, or more memory or time. Findings go to standard
error. Needs what the tests need; pyarrow for the parquet files.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import h5py

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "faults")]
TOOLS = ("fetch_descriptions", "embed_genes", "build_cells", "train_reader", "predict", "plot",
         "annotate", "validate", "info")  # fmt: skip
IMPORTED = ("torch", "transformers", "anndata", "sklearn.linear_model", "zarr", "pandas")
NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
AFTER_START = 0.1  # seconds, in which Python itself starts and shows what interrupts it
LATEST = 4.0  # seconds


def row(name: str, outcomes: Iterable[tuple[str, Any]]) -> None:
    """Runs of one kind as a row of the table."""
    ends: Counter[str] = Counter()
    memory = seconds = 0.0
    for what, outcome in outcomes:
        ends["read" if outcome.status == 0 else "refused" if outcome.status > 0 else "killed"] += 1
        memory, seconds = max(memory, outcome.memory), max(seconds, outcome.seconds)
        if outcome.findings:
            ends["findings"] += 1
            print(f"{what}: {outcome.findings} {outcome.told[-300:]}", file=sys.stderr)
    numbers = [sum(ends.values()) - ends["findings"], ends["read"], ends["refused"]]
    cells = [*numbers, f"{memory / 1e9:.1f} GB", f"{seconds:.0f} s", ends["findings"]]
    print("| " + " | ".join(map(str, [name, *cells])) + " |", flush=True)


def bombs(sources: Path, lines: dict, folder: Path) -> Iterable[tuple[str, object]]:
    """Each small file that unpacks to much, through every tool that reads its kind."""
    from attacking import attacked
    from bombs import BOMBS, lines_of

    for name, (write, source, target) in BOMBS.items():
        path = folder / target
        write(path, sources / source)
        for words in lines_of(name, source, lines):
            yield name, attacked([word.replace("BAD", target) for word in words], folder)
        subprocess.run(["rm", "-r", str(path)], check=True)


def is_old_or_svg(content: bytes) -> bool:
    """Whether an output is what was there before, or a whole picture."""
    from attacking import OLD

    return content == OLD or content.rstrip().endswith(b"</svg>")


def signals(lines: list[list[str]], folder: Path, count: int) -> Iterable[tuple[str, object]]:
    """Processes of their own, each sent a signal at a random moment."""
    from attacking import OLD, Outcome

    dice = random.Random(1)
    for _ in range(count):
        line, number = dice.choice(lines), dice.choice(NUMBERS)
        (folder / "output").write_bytes(OLD)
        before = {path.name for path in folder.iterdir()}
        start = time.monotonic()
        words = [str(Path(sys.executable).with_name(line[0])), *line[1:]]
        process = subprocess.Popen(
            words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        time.sleep(dice.uniform(AFTER_START, LATEST))
        process.send_signal(number)
        told = process.communicate(timeout=60)[0]
        status, findings = process.returncode, []
        if status not in (0, 128 + number, -number):
            findings.append(f"status {status}")
        if "Traceback" in told:
            findings.append("traceback")
        if not (h5py.is_hdf5(folder / "output") or is_old_or_svg((folder / "output").read_bytes())):
            findings.append("output lost")
        if status and {path.name for path in folder.iterdir()} != before:
            findings.append("left behind")
        outcome = Outcome(
            max(status, 0) or -(status < 0), time.monotonic() - start, 0, told, findings
        )
        yield f"{line[0]} {number.name}", outcome


def main() -> None:
    """A row for each kind of attack."""
    warnings.simplefilter("ignore")
    files = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    stopped = int(sys.argv[2]) if len(sys.argv) > 2 else 100
    import conftest  # noqa: F401 (sets the environment of the tests)
    from attacked_files import commands, write_all
    from attacking import attack

    for name in (*IMPORTED, *(f"screader_tools.{tool}" for tool in TOOLS)):
        import_module(name)
    print("| attack | runs | read | refused | most memory | longest | findings |")
    print("|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as name:
        sources, folder, other = (Path(name) / part for part in ("files", "work", "other"))
        for one in (sources, folder, other):
            one.mkdir()
        os.environ["TMPDIR"] = str(folder)
        lines = commands(write_all(sources))
        damaged = attack(lines, folder, 1, files)
        row("damaged files", ((f"{command} [{what}]", end) for command, what, end in damaged))
        row("small files that unpack to much", bombs(sources, lines, other))
        whole = [
            [word.replace("BAD", str(file)) for word in words]
            for name, (file, words) in lines.items()
            if name != "fetch counts.h5ad"  # whose genes are unknown, which is refused
        ]
        row("signals", signals([words for words in whole if "-o" in words], folder, stopped))


if __name__ == "__main__":
    main()
