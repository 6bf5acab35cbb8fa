"""The script that writes the run report, and the test cells, which are made again to the byte."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from pipeline_files import PIPELINE, all_checks

from screader_lib.figures.report.report_tables import MULTIQC

TEST_CELLS = PIPELINE / "assets/test"


def run_report(folder: Path, summaries: Path, *names: str) -> subprocess.CompletedProcess[str]:
    (folder / "names.txt").write_text("\n".join(names) + "\n")
    words = [sys.executable, PIPELINE / "bin/run_report.py", "--samples", "names.txt"]
    words += ["--summaries", summaries, "--link", "reports/{}.report.html", "-o", "run"]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)


def test_the_report_of_the_run_names_failed_samples(tmp_path: Path) -> None:
    row = {"method": "scReader", "cells": 33, "accuracy": 0.97}
    summary = {**json.loads(MULTIQC.read_text()), "data": {"a": row}}
    (tmp_path / "a.report_mqc.json").write_text(json.dumps(summary))
    (tmp_path / "stub_mqc.json").touch()
    assert run_report(tmp_path, tmp_path, "a", "b").returncode == 0
    table = [line.split("\t")[:8] for line in (tmp_path / "run.tsv").read_text().splitlines()]
    failure = ["step", "exit", "reason", "work_folder"]
    assert table[0][:6] == ["sample", "status", *failure]
    assert table[1] == ["a", "called", "", "", "", "", "scReader", "33"]
    assert table[2] == ["b", "failed", "", "", "", "", "", ""]
    page = (tmp_path / "run.html").read_text()
    assert "1 of 2 samples have predictions." in page and 'href="reports/a.report.html"' in page
    assert page.count("<!-- b -->") == 1 and "<!-- a -->" not in page


def test_multiqc_shows_the_run_with_its_failures_and_no_metric_twice() -> None:
    settings = yaml.safe_load((PIPELINE / "assets/multiqc_config.yml").read_text())
    run = settings["custom_data"]["screader_run"]
    metrics = json.loads(MULTIQC.read_text())
    assert {name for name, one in run["headers"].items() if one == {"hidden": True}} == set(
        metrics["headers"]
    )
    assert settings["custom_content"]["order"] == [*settings["custom_data"], metrics["id"]]
    assert settings["sp"]["screader_run"]["fn"] == "run-report.tsv"


def test_a_broken_summary_ends_the_run_report(tmp_path: Path) -> None:
    done = run_report(tmp_path, TEST_CELLS, "a")
    assert done.returncode == 1 and not (tmp_path / "run.tsv").exists()
    assert (
        done.stderr == "run_report: broken_mqc.json: is not a summary of `plot report --multiqc`.\n"
    )


@pytest.mark.skipif(
    not (all_checks() and find_spec("came")),
    reason="needs came, whose cells these are: make test-nextflow",
)
def test_the_test_cells_are_made_again_to_the_byte(tmp_path: Path) -> None:
    words = [sys.executable, str(TEST_CELLS / "make.py"), str(tmp_path)]
    subprocess.run(words, check=True, capture_output=True)
    made = sorted(tmp_path.glob("*.h5ad"))
    assert [path.name for path in made] == ["other.h5ad", "predict.h5ad", "train.h5ad"]
    for path in made:
        assert path.read_bytes() == (TEST_CELLS / path.name).read_bytes(), path.name
