"""What the pipeline runs, runs again with ``-resume``, publishes and tells, under Nextflow."""

from __future__ import annotations

import json
import os
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest
from engine import Engine, needs_engine, published, stand_ins, warnings
from pipeline_files import PIPELINE, ROOT

CELLS = PIPELINE / "assets/test"
SAMPLES = [f"a,{CELLS / 'train.h5ad'},train", f"b,{CELLS / 'predict.h5ad'},predict"]
ONE_MORE = f"c,{CELLS / 'other.h5ad'},predict"
OF_ONE_SAMPLE = {"CHECK_SAMPLE": 1, "BUILD_CELLS": 1, "PREDICT": 2, "GATHER": 1, "PLOT": 1}
pytestmark = needs_engine


def test_every_step_runs_once_and_on_resume_those_that_read_what_changed(engine: Engine) -> None:
    said = engine()
    assert warnings(said) == [] and "3 samples" in said
    assert engine.count() == {
        "CHECK_SAMPLE": 3, "FETCH_DESCRIPTIONS": 1, "EMBED_GENES": 1, "BUILD_TRAINING_CELLS": 1,
        "TRAIN_READER": 1, "TRAIN_FOLD": 2, "PREDICT_HELD_OUT": 2, "GATHER_FOLDS": 1,
        "BUILD_CELLS": 2, "PREDICT": 4, "GATHER": 2, "PLOT": 8, "VALIDATE": 3,
        "VALIDATE_READER": 1, "RUN_REPORT": 1,
    }  # fmt: skip
    assert all(row["workdir"].startswith(str(engine.folder)) for row in engine.tasks())
    before = published(engine.folder / "out")
    assert b"PREDICT:\n    predict:" in before["pipeline_info/versions.yml"]
    assert not any(name.startswith("cells/") for name in before)
    assert not (engine.folder / "out/cells").exists()
    engine("-resume")
    assert engine.count() == {} and engine.count("CACHED").total() == 33
    assert published(engine.folder / "out") == before
    engine("-resume", "--save-cells")
    assert engine.count() == {}
    assert sorted(path.name for path in (engine.folder / "out/cells").iterdir()) == [
        "donor-2.cells.h5ad", "donor-4.cells.h5ad", "reader.cells.h5ad",
    ]  # fmt: skip
    engine("-resume", "--min-confidence=0.5")
    assert engine.count() == {
        "PREDICT": 4, "GATHER": 2, "PLOT": 6, "VALIDATE": 2, "RUN_REPORT": 1,
    }  # fmt: skip


def test_a_sample_more_or_changed_costs_its_own_tasks(engine: Engine) -> None:
    path = engine.folder / "mine.h5ad"
    path.write_bytes((CELLS / "predict.h5ad").read_bytes())
    given = [
        "-resume",
        "--folds=0",
        "--plots=",
        f"--genes={CELLS / 'train.h5ad'}",
        "--validate=false",
    ]
    rows = [SAMPLES[0], f"mine,{path},predict"]
    engine(*given, engine.sheet(*rows))
    os.utime(path, (0, 0))
    engine(*given, engine.sheet(*rows, ONE_MORE))
    assert engine.count() == {step: 2 * n for step, n in OF_ONE_SAMPLE.items()} | {"RUN_REPORT": 1}


def test_annotation_takes_a_reader_and_each_organism_its_genes(engine: Engine) -> None:
    cells = CELLS / "predict.h5ad"
    rows = [f"a,{cells},human", f"b,{cells},Mus musculus", f"c,{cells},"]
    words = ["--mode=annotate", "--label=", f"--reader={CELLS / 'train.h5ad'}", "--shards=1"]
    engine(*words, engine.sheet(*rows, columns="sample,path,organism"))
    assert engine.count() == {
        "CHECK_SAMPLE": 3, "FETCH_DESCRIPTIONS": 2, "EMBED_GENES": 2, "BUILD_CELLS": 3,
        "PREDICT": 3, "PLOT": 6, "VALIDATE": 3, "VALIDATE_READER": 1, "RUN_REPORT": 1,
    }  # fmt: skip


def test_files_are_annotated_by_one_task_a_sample(engine: Engine) -> None:
    words = ["--min-confidence=0.9", "--annotate-options=--consensus none"]
    words.append(engine.sheet(SAMPLES[1], ONE_MORE))
    said = engine(*words, "--reader=human-pancreas", profile="")
    assert warnings(said) == [] and engine.count() == {"ANNOTATE": 2, "RUN_REPORT": 1}
    script = (Path(engine.tasks()[0]["workdir"]) / ".command.sh").read_text()
    for part in ("--reader human-pancreas", "--min-confidence 0.9", "--consensus none"):
        assert part in script
    engine(*words, "-resume", "--reader=human-pancreas", profile="")
    assert engine.count() == {}
    engine(*words, "-resume", f"--reader={CELLS / 'train.h5ad'}", profile="")
    script = (Path(engine.tasks()[0]["workdir"]) / ".command.sh").read_text()
    assert engine.count() == {"ANNOTATE": 2} and "--reader reader/train.h5ad" in script


def test_examples_types_and_cells_without_a_label_reach_the_tools(engine: Engine) -> None:
    table, cells = CELLS / "samples.csv", CELLS / "other.h5ad"
    for words, said in (
        ([f"--examples={table}"], "--examples examples/samples.csv"),
        (
            [f"--types={table}", f"--markers={table}"],
            "--types types1/samples.csv --markers markers1",
        ),
    ):
        engine(*words, engine.sheet(SAMPLES[1]), profile="")
        script = (Path(engine.tasks()[0]["workdir"]) / ".command.sh").read_text()
        assert engine.count() == {"ANNOTATE": 1, "RUN_REPORT": 1}
        assert said in script and "--reader" not in script
    engine("--method=few-labels", f"--unlabelled={cells}", "--shards=1", engine.sheet(SAMPLES[0]))
    assert engine.count()["BUILD_UNLABELLED_CELLS"] == 1
    scripts = [
        (Path(row["workdir"]) / ".command.sh").read_text()
        for row in engine.tasks()
        if row["process"] in ("TRAIN_READER", "TRAIN_FOLD")
    ]
    assert len(scripts) == 3
    assert all("--unlabelled unlabelled1/unlabelled.cells.h5ad" in script for script in scripts)


def test_what_is_published_is_what_the_page_of_outputs_names(real_engine: Engine) -> None:
    """And every stub makes its outputs."""
    page = (ROOT / "docs/nextflow/outputs.md").read_text()
    cells = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    names = re.findall(r"`([^`]+)`", "".join(cells))
    own = [name for name in names if "TIME" not in name]  # those of Nextflow itself
    patterns = [re.sub("[A-Z]+", "*", name) for name in own]
    markers = f"--markers={CELLS / 'samples.csv'}"
    real_engine("-stub-run", "--prepare", markers, "--save-cells", "--shards=1", "--plots=umap")
    assert real_engine.count()["PREPARE_CELLS"] == 2
    assert real_engine.count()["PREPARE_TRAINING_CELLS"] == 1
    real_engine("-stub-run", "--mode=annotate-files", "--reader=human-pancreas")
    assert real_engine.count() == {"ANNOTATE": 2, "RUN_REPORT": 1}
    found = list(published(real_engine.folder / "out"))
    assert [name for name in found if not any(fnmatch(name, one) for one in patterns)] == []
    assert [one for one in patterns if not any(fnmatch(name, one) for name in found)] == []


def test_a_killed_task_is_tried_again_with_more_but_not_for_ever(tmp_path: Path) -> None:
    mark = tmp_path / "tried"
    once = f"[ -e {mark} ] || {{ touch {mark}; exit 137; }}"
    programs = stand_ins(tmp_path / "programs", train_reader=once, predict="exit 140")
    engine = Engine(tmp_path, str(programs))
    given = ["--folds=0", "--max-memory=500.GB", "--max-time=100.h", "--shards=1", "--plots="]
    said = engine(*given, engine.sheet(*SAMPLES), fails=True)
    assert "PREDICT (b)" in said
    tries = {
        step: [
            (row["status"], row["exit"], row["time"])
            for row in engine.tasks()
            if row["process"] == step
        ]
        for step in ("TRAIN_READER", "PREDICT")
    }
    assert tries["TRAIN_READER"] == [("FAILED", "137", "2d"), ("COMPLETED", "0", "4d")]
    assert tries["PREDICT"] == [
        ("FAILED", "140", "12h"),
        ("FAILED", "140", "1d"),
        ("FAILED", "140", "1d 12h"),
    ]


def test_a_sample_that_fails_is_passed_over_and_the_report_says_why(tmp_path: Path) -> None:
    end = "case $1 in c.*) echo 'predict: error: c.cells.h5ad: no <good>.' >&2; exit 1 ;; esac"
    engine = Engine(tmp_path, str(stand_ins(tmp_path / "programs", predict=end)))
    given = [
        "--folds=0",
        "--shards=1",
        "--plots=",
        "--continue-on-error",
        engine.sheet(*SAMPLES, ONE_MORE),
    ]
    said = engine(*given)
    failed = next(row for row in engine.tasks() if row["status"] == "FAILED")
    reason = "predict: error: c.cells.h5ad: no <good>."
    assert "1 task failed and the run went on without:" in said
    assert f"PREDICT (c), exit status 1: {reason}\n    {failed['workdir']}" in said
    lines = (tmp_path / "out/run-report.tsv").read_text().splitlines()
    table = {line.split("\t")[0]: line.split("\t")[1:] for line in lines}
    assert table["sample"][:5] == ["status", "step", "exit", "reason", "work_folder"]
    assert table["c"][:5] == ["failed", "PREDICT", "1", reason, failed["workdir"]]
    page = (tmp_path / "out/run-report.html").read_text()
    assert "PREDICT, exit status 1: predict: error: c.cells.h5ad: no &lt;good&gt;. (" in page
    engine("-resume", "--fail-on-error", *given, fails=True)


def test_the_faults_of_all_samples_are_told_before_anything_is_computed(
    real_engine: Engine,
) -> None:
    broken = real_engine.folder / "broken.h5ad"
    broken.write_bytes((CELLS / "other.h5ad").read_bytes()[:5000])
    rows = [f"{SAMPLES[0]},cel_type1,", f"{SAMPLES[1]},cell_type1,gone", f"c,{broken},predict,,"]
    sheet = real_engine.sheet(*rows, columns="sample,path,role,label,donor")
    said = real_engine(sheet, fails=True)
    assert f"sample 'a' ({CELLS / 'train.h5ad'}): the cells have no column 'cel_type1'. Did" in said
    assert f"sample 'b' ({CELLS / 'predict.h5ad'}): the cells have no column 'gone'." in said
    assert f"sample 'c' ({broken}): is damaged or truncated" in said
    assert real_engine.count() == {"CHECK_SAMPLE": 3}


def test_tools_get_the_secrets_that_are_named_and_run_without_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "secrets.json"
    store.write_text(json.dumps([{"name": "HF_TOKEN", "value": "hf_its-me"}]))
    store.chmod(0o600)  # others may not read it, or it is refused
    monkeypatch.setenv("NXF_SECRETS_FILE", str(store))
    told = f'echo "${{0##*/}} ${{HF_TOKEN:-none}}" >> {tmp_path / "told"}'
    programs = stand_ins(tmp_path / "programs", train_reader=told, predict=told, plot=told)
    engine = Engine(tmp_path, str(programs))
    row = engine.sheet(*SAMPLES)
    engine("--secret-names=HF_TOKEN", "--folds=0", "--plots=", row)
    assert set((tmp_path / "told").read_text().splitlines()) == {
        "train-reader hf_its-me", "predict hf_its-me", "plot none",
    }  # fmt: skip
    kept = [path for path in (tmp_path / "work").rglob("*") if path.is_file()]
    assert [path for path in kept if b"hf_its-me" in path.read_bytes()] == []
    (tmp_path / "told").unlink()
    engine("--folds=0", "--plots=", row)
    assert "train-reader none" in (tmp_path / "told").read_text()
    said = engine("--secret-names=HF_TOKEN,GONE", "--folds=0", row, fails=True)
    assert "GONE" in said


def test_profiles_of_institutions_are_those_of_the_folder_that_is_named(engine: Engine) -> None:
    """Laid out as nf-core/configs; they set parameters that this pipeline does not have."""
    (engine.folder / "conf").mkdir()
    (engine.folder / "nfcore_custom.config").write_text(
        'profiles { ours { includeConfig "${params.custom_config_base}/conf/ours.config" } }\n'
    )
    (engine.folder / "conf/ours.config").write_text(
        "params { config_profile_description = 'Our cluster'; igenomes_base = '/genomes' }\n"
        "process.resourceLimits = [cpus: 1, memory: 3.GB, time: 1.h]\n"
    )
    base = f"--custom_config_base={engine.folder}"
    said = engine(base, "--folds=0", "--plots=", engine.sheet(*SAMPLES), profile="test,ours")
    assert "Profile of the institution: Our cluster" in said
    assert "WARN: --igenomes_base is not a parameter of this pipeline." in said
    assert {row["cpus"] for row in engine.tasks()} == {"1"}


def test_what_the_command_line_says_is_taken(engine: Engine) -> None:
    said = engine("--max-cpus=0", "--shard-megabytes=x", "--foldz=3", fails=True)
    for told in (
        "--max-cpus is 0",
        "--shard-megabytes is a whole number",
        "Did you mean '--folds'?",
    ):
        assert told in said
    assert engine.tasks() == []
    said = engine("--help", profile="")
    assert "--shard-megabytes" in said and engine.tasks() == []


@pytest.mark.parametrize(
    ("profile", "wanted"),
    [
        ("slurm,gpu,apptainer", ["executor = 'slurm'", "accelerator = 1", "autoMounts = true"]),
        ("test_full,docker", ["docker {\n   enabled = true", "explain = 10", "folds = 5"]),
        ("gpu,podman", ["podman {\n   enabled = true", "docker {\n   enabled = false"]),
    ],
)  # fmt: skip
def test_profiles_go_together(engine: Engine, profile: str, wanted: list[str]) -> None:
    settings = engine.settings(profile)
    assert [one for one in wanted if one not in settings] == []
