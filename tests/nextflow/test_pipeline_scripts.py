"""The script and stub blocks of the modules, run by Bash on the real cells of the test profile."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest
from pipeline_files import MODULES, PIPELINE, process_of

TEST_CELLS = PIPELINE / "assets/test"
QUICK = "--method pooled --warm-start-epochs 2 --seed 0"
Runner = Callable[..., Path]


def rendered(module: str, section: str, values: dict[str, str]) -> str:
    """The Bash of a section as Nextflow would write it, with ``values`` for its variables."""
    process = process_of(PIPELINE / "modules" / module)
    text = process.command(section)

    def value(found: re.Match[str]) -> str:
        return values.get(found[1].strip(), "" if found[1] in OPTIONAL else f"<{found[1]}>")

    text = re.sub(r"(?<!\\)\$\{([^}]+)\}", value, text)
    text = text.replace("\\\\", "\\").replace("\\$", "$")
    assert "<" not in re.sub(r"<<|'<'", "", text), text
    return text


OPTIONAL = {
    "args", "infos", "summaries", "tables", "construction", "model", "part", "state", "terms",
    "trained", "before", "multiqc", "summary",
}  # fmt: skip


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """Runs a section of a module in a folder of its own; returns the folder."""

    def run(module: str, section: str = "script", *, fails: str = "", **values: str) -> Path:
        folder = tmp_path_factory.mktemp(module)
        given = {"task.cpus": "1", "device": "cpu", **values}
        path = f"{sysconfig.get_path('scripts')}:{PIPELINE / 'bin'}:{os.environ['PATH']}"
        done = subprocess.run(
            ["/bin/bash", "-euo", "pipefail", "-c", rendered(module, section, given)],
            cwd=folder,
            env={**os.environ, "PATH": path, "SCREADER_OFFLINE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        if fails:
            assert done.returncode == 1 and fails in done.stderr
        else:
            assert done.returncode == 0, done.stderr
        return folder

    return run


@pytest.fixture(scope="module")
def genes(task: Runner) -> Path:
    named = " ".join(f"--genes {path}" for path in sorted(TEST_CELLS.glob("*.h5ad")))
    folder = task(
        "fetch-descriptions", named=named, prefix="d", args="--organism 'human' --source packaged"
    )
    assert (folder / "d.unmatched.tsv").exists()
    return task("embed-genes", descriptions=f"{folder}/d.h5ad", prefix="e") / "e.h5ad"


@pytest.fixture(scope="module")
def training(task: Runner, genes: Path) -> Path:
    args = "--label 'cell_type1' --donor 'donor'"
    inputs = str(TEST_CELLS / "train.h5ad")
    return (
        task("build-cells", inputs=inputs, embeddings=str(genes), args=args, prefix="c") / "c.h5ad"
    )


@pytest.fixture(scope="module")
def reader(task: Runner, training: Path) -> Path:
    return task("train-reader", cells=str(training), prefix="r", args=QUICK) / "r.h5"


@pytest.fixture(scope="module")
def cells(task: Runner, genes: Path, reader: Path) -> Path:
    inputs = str(TEST_CELLS / "predict.h5ad")
    folder = task(
        "build-cells",
        inputs=inputs,
        embeddings=str(genes),
        construction=f"--like {reader}",
        args="--label 'cell_type1'",
        prefix="c",
    )
    return folder / "c.h5ad"


@pytest.fixture(scope="module")
def predictions(task: Runner, cells: Path, reader: Path) -> Path:
    """Two shards, gathered."""
    parts = [
        task("predict", cells=str(cells), reader=str(reader), part=f"--shard {n}/2", prefix="p")
        for n in (1, 2)
    ]
    joined = " ".join(f"{part}/p.h5ad" for part in parts)
    return task("gather", parts=joined, prefix="all") / "all.h5ad"


def test_shards_gather_to_good_calls(predictions: Path) -> None:
    import anndata

    obs = anndata.read_h5ad(predictions).obs.astype(str)
    assert len(obs) == anndata.read_h5ad(TEST_CELLS / "predict.h5ad").n_obs
    assert (obs["predicted_label"] == obs["true_label"]).mean() > 0.7


def test_a_report_comes_with_a_summary(task: Runner, cells: Path, predictions: Path) -> None:
    multiqc = "--multiqc 'p_mqc.json' --sample 'a'"
    values = {"inputs": str(predictions), "before": f"--cells {cells}", "multiqc": multiqc}
    folder = task("plot", picture="report", prefix="p", suffix="html", **values)
    assert json.loads((folder / "p_mqc.json").read_text())["data"]["a"]["cells"] > 30


def test_the_report_of_the_run_names_failed_samples(task: Runner, tmp_path: Path) -> None:
    from screader_lib.figures.report.multiqc import TEMPLATE

    row = {"method": "scReader", "cells": 33, "accuracy": 0.97}
    summary = {**json.loads(TEMPLATE.read_text()), "data": {"a": row}}
    (tmp_path / "a.report_mqc.json").write_text(json.dumps(summary))
    values = {"samples.join(' ')": "a b", "prefix": "run", "args": f"--summaries {tmp_path}"}
    folder = task("run-report", **values)
    table = [line.split("\t")[:4] for line in (folder / "run.tsv").read_text().splitlines()]
    assert table[0][:2] == ["sample", "status"]
    assert table[1:] == [["a", "called", "scReader", "33"], ["b", "failed", "", ""]]
    page = (folder / "run.html").read_text()
    assert "1 of 2 samples have predictions." in page and 'href="reports/a.report.html"' in page


def test_a_broken_summary_ends_the_run_report(task: Runner) -> None:
    task(
        "run-report",
        fails="broken_mqc.json: is not a summary",
        prefix="run",
        args=f"--summaries {TEST_CELLS}",
        **{"samples.join(' ')": "a"},
    )


def test_validation_ends_the_task_and_says_why(task: Runner, predictions: Path) -> None:
    folder = task("validate", inputs=str(predictions), prefix="v")
    assert (folder / "v.txt").read_text().startswith("ok: ")
    task("validate", inputs=str(TEST_CELLS / "train.h5ad"), prefix="v", fails="train.h5ad")


def test_prepared_cells_have_evidence(task: Runner, tmp_path: Path) -> None:
    markers = tmp_path / "m.csv"
    markers.write_text("cell_type,gene\nalpha,GCG\nbeta,INS\nacinar,PRSS1\nductal,KRT19\n")
    folder = task(
        "prepare-cells",
        expression=str(TEST_CELLS / "train.h5ad"),
        tables=f"--markers {markers}",
        args="--seed 0 --min-genes 50",
        prefix="p",
    )
    assert {"p.h5ad", "p.evidence.tsv"} <= {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_stubs_make_the_outputs(task: Runner, module: Path) -> None:
    folder = task(module.name, "stub", prefix="x", suffix="html", summary="'x_mqc.json'")
    declared = re.findall(r'path\("([^"]+)"\)', process_of(module).sections["output"])
    for name in declared:
        assert (folder / name.replace("${prefix}", "x").replace("${suffix}", "html")).exists()


def test_the_test_cells_are_made_again_to_the_byte(tmp_path: Path) -> None:
    pytest.importorskip("anndata")
    from importlib.util import find_spec

    if find_spec("came") is None:
        pytest.skip("came, whose cells these are, is not installed")
    words = [f"{sysconfig.get_path('scripts')}/python", str(TEST_CELLS / "make.py"), str(tmp_path)]
    subprocess.run(words, check=True, capture_output=True)
    for path in sorted(tmp_path.glob("*.h5ad")):
        assert path.read_bytes() == (TEST_CELLS / path.name).read_bytes(), path.name
