"""The workflow itself, run without the engine: Groovy executes the pipeline's own files.

How: conftest.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from pipeline_files import PIPELINE, all_checks, java
from pipeline_runs import PipelineRuns

TEST_CELLS = PIPELINE / "assets/test"
pytestmark = pytest.mark.skipif(
    java() is None, reason="needs Java, Groovy and Nextflow's parser: make test-nextflow"
)


def tasks(tmp_path: Path) -> Counter[str]:
    """How many tasks of each process there were."""
    return Counter(path.name.split("-", 1)[1] for path in (tmp_path / "work").iterdir())


def sheet(tmp_path: Path, *lines: str) -> str:
    path = tmp_path / "samples.csv"
    path.write_text("".join(f"{line}\n" for line in lines))
    return f"--input={path}"


def test_the_test_profile_plans_every_step(run: PipelineRuns, tmp_path: Path) -> None:
    done = run()
    assert done.returncode == 0, done.stderr
    assert tasks(tmp_path) == {
        "FETCH_DESCRIPTIONS": 1,
        "EMBED_GENES": 1,
        "BUILD_TRAINING_CELLS": 1,
        "TRAIN_READER": 1,
        "TRAIN_FOLD": 2,
        "PREDICT_HELD_OUT": 2,
        "GATHER_FOLDS": 1,
        "BUILD_CELLS": 2,
        "PREDICT": 4,
        "GATHER": 2,
        "PLOT": 8,
        "VALIDATE": 3,
        "VALIDATE_READER": 1,
        "RUN_REPORT": 1,
    }
    versions = (tmp_path / "out/pipeline_info/versions.yml").read_text()
    assert "PREDICT:\n    predict:" in versions


@pytest.mark.parametrize("types", ["cast", "text"], ids=["v1_casts_values", "v2_leaves_text"])
def test_values_mean_the_same_under_both_parsers(
    run: PipelineRuns, tmp_path: Path, types: str
) -> None:
    given = ["--validate=false", "--folds=3", "--continue-on-error=true", "--shards=1"]
    done = run(*given, types=types)
    assert done.returncode == 0, done.stderr
    found = tasks(tmp_path)
    assert (found["VALIDATE"], found["TRAIN_FOLD"], found["PREDICT"], found["GATHER"]) == (
        0,
        3,
        2,
        0,
    )


def test_the_name_of_the_command_line_wins(run: PipelineRuns) -> None:
    done = run("--max-cpus=0", names="apart")
    assert done.returncode == 1 and "--max-cpus" in done.stderr, done.stderr
    assert run("--max-cpus=2", names="apart").returncode == 0


@pytest.mark.parametrize(
    "profile", ["test,gpu,docker", "slurm,gpu,test", "test,apptainer", "test_full,conda"]
)
def test_profiles_go_together(run: PipelineRuns, profile: str) -> None:
    done = run(profile=profile)
    assert done.returncode == 0, done.stderr


def test_annotation_takes_a_reader_and_each_organism_its_genes(
    run: PipelineRuns, tmp_path: Path
) -> None:
    (tmp_path / "r.h5").write_text("a reader")
    cells = TEST_CELLS / "predict.h5ad"
    rows = [f"a,{cells},human", f"b,{cells},Mus musculus", f"c,{cells},"]
    given = sheet(tmp_path, "sample,path,organism", *rows)
    reader = f"--reader={tmp_path / 'r.h5'}"
    done = run("--mode=annotate", "--label=", reader, "--shards=1", given)
    assert done.returncode == 0, done.stderr
    found = tasks(tmp_path)
    assert (found["FETCH_DESCRIPTIONS"], found["EMBED_GENES"], found["PREDICT"]) == (2, 2, 3)
    assert found["PLOT"] == 6  # without labels no confusion


@pytest.mark.parametrize(
    ("mode", "reader", "left", "counts"),
    [
        ("evaluate", False, "without --reader: donor-2, donor-4", (2, 0)),
        ("evaluate", True, "with --reader: donors-1-and-3", (0, 4)),
        ("annotate", True, "with --reader: donors-1-and-3", (0, 4)),
    ],
    ids=["cross-validation", "evaluation of a reader", "annotation"],
)
def test_a_sheet_for_training_serves_the_other_entry_points(
    run: PipelineRuns, tmp_path: Path, mode: str, reader: bool, left: str, counts: tuple[int, int]
) -> None:
    (tmp_path / "r.h5").write_text("a reader")
    done = run(f"--mode={mode}", *([f"--reader={tmp_path / 'r.h5'}"] if reader else []))
    assert done.returncode == 0, done.stderr
    found = tasks(tmp_path)
    assert (found["TRAIN_FOLD"], found["PREDICT"]) == counts
    assert f"WARN: Ignored by --mode {mode}" in done.stdout and left in done.stdout


def test_a_given_reader_is_validated_or_not(run: PipelineRuns, tmp_path: Path) -> None:
    (tmp_path / "r.h5").write_text("a reader")
    given = ["--mode=annotate", f"--reader={tmp_path / 'r.h5'}"]
    given.append("--min-confidence=1.0E-4")  # as v1 writes 0.0001
    given.append(sheet(tmp_path, "sample,path", f"a,{TEST_CELLS / 'predict.h5ad'}"))
    for asked, wanted in (("true", 1), ("false", 0)):
        done = run(*given, f"--validate={asked}", work=str(tmp_path / asked / "work"))
        assert done.returncode == 0, done.stderr
        found = tasks(tmp_path / asked)
        assert (found["VALIDATE_READER"], found["VALIDATE"]) == (wanted, wanted)


@pytest.mark.parametrize(
    ("megabytes", "shards"), [(1, 3), (4295, 1)], ids=["three", "beyond 32 bits"]
)
def test_large_samples_are_cut_by_their_size(
    run: PipelineRuns, tmp_path: Path, megabytes: int, shards: int
) -> None:
    given = ["--shards=0", f"--shard-megabytes={megabytes}", "--folds=0"]
    done = run(*given, bytes="2500000")
    assert done.returncode == 0, done.stderr
    assert tasks(tmp_path)["PREDICT"] == 2 * shards


def test_samples_are_prepared_each_on_its_own(run: PipelineRuns, tmp_path: Path) -> None:
    markers = TEST_CELLS / "samples.csv"
    done = run("--prepare=true", f"--markers={markers}", "--label=")
    assert done.returncode == 0, done.stderr
    assert tasks(tmp_path)["PREPARE_CELLS"] == 3


def test_a_training_sample_that_cannot_be_prepared_ends_the_run(
    run: PipelineRuns, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.h5ad"
    broken.write_bytes((TEST_CELLS / "train.h5ad").read_bytes()[:5000])
    given = [sheet(tmp_path, "sample,path,role", f"a,{broken},train")]
    given += ["--prepare=true", "--continue-on-error=true", f"--genes={TEST_CELLS / 'train.h5ad'}"]
    done = run(*given, mode="run")
    assert done.returncode == 1 and "PREPARE_CELLS (a)" in done.stderr, done.stderr
    assert tasks(tmp_path) == {"PREPARE_CELLS": 1}


def test_help_lists_the_parameters(run: PipelineRuns, tmp_path: Path) -> None:
    done = run("--help=true", profile="")
    assert done.returncode == 0 and "--shard-megabytes" in done.stdout
    assert not (tmp_path / "work").exists()


def test_a_sample_that_fails_is_passed_over_and_named(run: PipelineRuns, tmp_path: Path) -> None:
    if not all_checks():
        pytest.skip("runs the tools on real cells: make test-nextflow")
    broken = tmp_path / "broken.h5ad"
    broken.write_bytes((TEST_CELLS / "other.h5ad").read_bytes()[:5000])
    rows = [f"a,{TEST_CELLS / 'train.h5ad'},train", f"b,{TEST_CELLS / 'predict.h5ad'},predict"]
    given = [
        sheet(tmp_path, "sample,path,role", *rows, f"c,{broken},predict"),
        f"--genes={TEST_CELLS / 'train.h5ad'}",
        "--method=pooled",
        "--train-options=--warm-start-epochs 2",
        "--plots=confusion",
    ]
    stopped = run(*given, mode="run")
    assert stopped.returncode == 1 and "BUILD_CELLS (c)" in stopped.stderr
    done = run(*given, "--continue-on-error=true", mode="run", work=str(tmp_path / "again"))
    assert done.returncode == 0, done.stderr
    assert "1 ignored" in done.stdout and "tasks failed and were ignored" in done.stdout
    table = next((tmp_path / "again").glob("*-RUN_REPORT/run-report.tsv")).read_text()
    status = dict(line.split("\t")[:2] for line in table.splitlines())
    assert status == {"sample": "status", "b": "called", "c": "failed", "out-of-fold": "called"}
