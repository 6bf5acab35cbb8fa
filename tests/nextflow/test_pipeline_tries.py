"""Tasks that are killed: tried again with more; a run that is killed: taken up where it was."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from pipeline_files import all_checks, java
from pipeline_runs import PipelineRuns, published

pytestmark = pytest.mark.skipif(
    java() is None, reason="needs Java, Groovy and Nextflow's parser: make test-nextflow"
)
STAND_IN = """#!/bin/bash
# Writes an empty file wherever an option names an output.
set -eu
last=
for word; do
    case $last in -o|--unmatched|--multiqc) : > "$word" ;; esac
    [ "$word" != --version ] || echo "stand-in 1.0"
    last=$word
done
"""
TOOLS = ["fetch-descriptions", "embed-genes", "build-cells", "train-reader", "plot", "screader"]
REPORT = 'touch "$last.html" "$last.tsv"'


def stand_ins(tmp_path: Path, **instead: str) -> str:
    """A PATH on which each tool only makes its outputs, ``instead`` those of a tool end so."""
    endings = dict.fromkeys(TOOLS, "") | {"predict": "", "run_report.py": REPORT}
    endings |= {name.replace("_", "-"): f"[ $# -lt 2 ] || {end}" for name, end in instead.items()}
    folder = tmp_path / "programs"
    folder.mkdir()
    for name, ending in endings.items():
        (folder / name).write_text(STAND_IN + ending + "\n")
        (folder / name).chmod(0o755)
    return f"{folder}:/usr/local/bin:/usr/bin:/bin"


def tries(done: subprocess.CompletedProcess[str], name: str) -> list[tuple[str, int, int]]:
    """How each try of a task ended, its memory (GB) and its time (h)."""
    pattern = rf"^(DONE|FAILED) {name} \(.*\), attempt \d, memory (\d+) GB, time (\d+) h"
    found = re.findall(pattern, done.stdout, re.MULTILINE)
    return [(ended, int(memory), int(hours)) for ended, memory, hours in found]


@pytest.mark.parametrize("status", [137, 140, 104, 143])
def test_a_killed_task_is_tried_again_with_more(
    run: PipelineRuns, tmp_path: Path, status: int
) -> None:
    mark = tmp_path / "tried"
    path = stand_ins(tmp_path, train_reader=f"[ -e {mark} ] || {{ touch {mark}; exit {status}; }}")
    given = ["--folds=0", "--max-memory=80.GB", "--max-time=100.h"]
    done = run(*given, mode="run", path=path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert tries(done, "TRAIN_READER") == [("FAILED", 48, 48), ("DONE", 80, 96)]


def test_a_task_that_is_always_killed_ends_the_run(run: PipelineRuns, tmp_path: Path) -> None:
    path = stand_ins(tmp_path, predict="exit 137")
    done = run("--max-memory=100.GB", "--max-time=100.h", "--folds=0", mode="run", path=path)
    assert done.returncode == 1 and "PREDICT (donor-2 1/2)" in done.stderr
    assert tries(done, "PREDICT") == [("FAILED", 24, 12), ("FAILED", 48, 24), ("FAILED", 72, 36)]


def test_a_task_that_fails_by_itself_is_not_tried_again(run: PipelineRuns, tmp_path: Path) -> None:
    path = stand_ins(tmp_path, predict="exit 1")
    given = ["--folds=0", "--continue-on-error=true"]
    done = run(*given, mode="run", path=path)
    assert done.returncode == 0, done.stderr
    assert len(tries(done, "PREDICT")) == 4 and "4 ignored" in done.stdout
    assert "4 tasks failed and were ignored" in done.stdout


def test_a_killed_run_resumed_gives_the_same_bytes(run: PipelineRuns, tmp_path: Path) -> None:
    if not all_checks() or run.parser == "v1":
        pytest.skip("trains for real, twice: make test-nextflow")
    given = ["--method=pooled", "--train-options=--warm-start-epochs 2", "--plots=confusion"]
    done = run(*given, mode="run")
    assert done.returncode == 0, done.stderr
    given.append(f"--outdir={tmp_path / 'killed'}")
    process = run.begin(*given, mode="run", work="killed-work")
    while not list((tmp_path / "killed-work").glob("*-TRAIN_FOLD/.command.sh")):
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    resumed = run(*given, mode="run", work="killed-work", resume="true", order="1")
    assert resumed.returncode == 0, resumed.stderr
    assert "CACHED TRAIN_READER" in resumed.stdout and "DONE TRAIN_FOLD" in resumed.stdout
    assert published(tmp_path / "killed") == published(tmp_path / "out")
