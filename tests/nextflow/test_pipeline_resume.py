"""What `-resume` does again, what is published where, and what is tried again.

In the emulator (conftest), which tells a task by what the engine tells it by: its process, script,
inputs (files by path, size and time), settings and commands for versions.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from fnmatch import fnmatch
from pathlib import Path

import pytest
from pipeline_files import PIPELINE, ROOT, java
from pipeline_runs import PipelineRuns, published

CELLS = PIPELINE / "assets/test"
pytestmark = pytest.mark.skipif(
    java() is None, reason="needs Java, Groovy and Nextflow's parser: make test-nextflow"
)
SAMPLES = [f"a,{CELLS / 'train.h5ad'},train", f"b,{CELLS / 'predict.h5ad'},predict"]
ONE_MORE = f"c,{CELLS / 'other.h5ad'},predict"
OF_ONE_SAMPLE = {"BUILD_CELLS": 1, "PREDICT": 2, "GATHER": 1, "PLOT": 3, "VALIDATE": 1}


def again(run: PipelineRuns, *given: str, **options: str) -> Counter[str]:
    """Runs with -resume; how many tasks of each process were done anew."""
    done = run(*given, resume="true", **options)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert {line[0] for line in lines if line} & {"DONE", "CACHED"}
    return Counter(line[1] for line in lines if line and line[0] == "DONE")


def sheet(tmp_path: Path, *rows: str) -> str:
    path = tmp_path / "samples.csv"
    path.write_text("".join(f"{row}\n" for row in ("sample,path,role", *rows)))
    return f"--input={path}"


def test_nothing_is_done_again_in_whatever_order_tasks_end(
    run: PipelineRuns, tmp_path: Path
) -> None:
    assert again(run, order="0").total() == 30
    before = published(tmp_path / "out")
    for order in range(1, 6):
        assert again(run, order=str(order)) == {}
    assert published(tmp_path / "out") == before


@pytest.mark.parametrize("option", ["--genes", "--embeddings"])
def test_a_sample_more_costs_its_own_tasks(run: PipelineRuns, tmp_path: Path, option: str) -> None:
    given = f"{option}={CELLS / 'train.h5ad'}"
    assert again(run, given, sheet(tmp_path, *SAMPLES))["TRAIN_READER"] == 1
    wanted = OF_ONE_SAMPLE | {"RUN_REPORT": 1}
    assert again(run, given, sheet(tmp_path, *SAMPLES, ONE_MORE)) == wanted


def test_a_sample_that_has_changed_costs_its_own_tasks(run: PipelineRuns, tmp_path: Path) -> None:
    path = tmp_path / "mine.h5ad"
    path.write_bytes((CELLS / "predict.h5ad").read_bytes())
    given = [
        f"--genes={CELLS / 'train.h5ad'}",
        sheet(tmp_path, *SAMPLES[:1], ONE_MORE, f"mine,{path},predict"),
    ]
    assert again(run, *given)["PREDICT"] == 4
    os.utime(path, (0, 0))
    assert again(run, *given) == OF_ONE_SAMPLE | {"RUN_REPORT": 1}


def test_a_setting_costs_what_reads_it(run: PipelineRuns, tmp_path: Path) -> None:
    assert again(run).total() == 30
    assert again(run, "--min-confidence=0.5") == {
        "PREDICT": 4, "GATHER": 2, "PLOT": 6, "VALIDATE": 2, "RUN_REPORT": 1,
    }  # fmt: skip
    assert again(run, "--save-cells=true") == {}
    assert sorted(path.name for path in (tmp_path / "out/cells").iterdir()) == [
        "donor-2.cells.h5ad", "donor-4.cells.h5ad", "reader.cells.h5ad",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "first"),
    [
        ("--fetch-options=--fields symbol", "FETCH_DESCRIPTIONS"),
        ("--embed-options=--seed 1", "EMBED_GENES"),
        ("--build-options=-k 8", "BUILD_TRAINING_CELLS"),
        ("--seed=1", "BUILD_TRAINING_CELLS"),
        ("--folds=3", "BUILD_TRAINING_CELLS"),
        ("--explain=5", "PREDICT_HELD_OUT"),
        ("--target-precision=0.9", "PREDICT"),
        ("--plot-options=--dpi 80", "PLOT"),
    ],
)
def test_steps_before_the_first_that_reads_a_setting_stay(
    planned: PipelineRuns, given: str, first: str
) -> None:
    done = again(planned, given)
    steps = ["FETCH_DESCRIPTIONS", "EMBED_GENES", "BUILD_TRAINING_CELLS", "TRAIN_READER"]
    steps += ["TRAIN_FOLD", "PREDICT_HELD_OUT", "PREDICT", "PLOT"]
    assert next(step for step in steps if step in done) == first
    assert done["TRAIN_FOLD"] in (0, 3 if given == "--folds=3" else 2)


def test_what_is_published_is_what_the_page_of_outputs_names(
    run: PipelineRuns, tmp_path: Path
) -> None:
    page = (ROOT / "docs/nextflow/outputs.md").read_text()
    cells = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    names = re.findall(r"`([^`]+)`", "".join(cells))
    own = [name for name in names if "TIME" not in name]  # those of Nextflow itself
    patterns = [re.sub("[A-Z]+", "*", name) for name in own]
    samples = CELLS / "samples.csv"
    done = run("--prepare=true", f"--markers={samples}", "--save-cells=true", mode="stub")
    assert done.returncode == 0, done.stderr
    found = list(published(tmp_path / "out"))
    assert [name for name in found if not any(fnmatch(name, one) for one in patterns)] == []
    assert [one for one in patterns if not any(fnmatch(name, one) for name in found)] == []
