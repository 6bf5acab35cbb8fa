"""The workflow itself, run without the engine: Groovy executes the pipeline's own files.

``emulator/`` knows just what the pipeline writes: channels become lists, tasks run one after the
other. It finds variables that are not defined, channels of different length, channels used as
values, files that are missing or collide, and whatever Groovy itself refuses.
"""

from __future__ import annotations

import json
import re
import subprocess
import sysconfig
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from pipeline_files import PIPELINE, all_checks, groovy_jars

HERE = Path(__file__).parent
TEST_CELLS = PIPELINE / "assets/test"
JARS = groovy_jars()
Runner = Callable[..., subprocess.CompletedProcess[str]]
pytestmark = pytest.mark.skipif(
    JARS is None, reason="needs Java and the Groovy in npm-groovy-lint: make test-nextflow"
)


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The emulator's classes."""
    target = tmp_path_factory.mktemp("classes")
    compiler = "org.codehaus.groovy.tools.FileSystemCompiler"
    sources = sorted(str(path) for path in (HERE / "emulator").glob("*.groovy"))
    words = ["java", "-cp", f"{JARS}/*", compiler, "-d", str(target), *sources]
    subprocess.run(words, check=True)
    return target


@pytest.fixture
def run(compiled: Path, tmp_path: Path) -> Runner:
    """Runs the pipeline; ``mode`` plan starts no task, stub and run start Bash."""

    def start(*parameters: str, mode: str = "plan", profile: str = "test", **more: str):
        path = f"{sysconfig.get_path('scripts')}:{PIPELINE / 'bin'}:/usr/local/bin:/usr/bin:/bin"
        options = {"project": PIPELINE, "work": tmp_path / "work", "mode": mode, "path": path}
        words = [f"{k}={v}" for k, v in {**options, "profile": profile, **more}.items()]
        given = [f"--outdir={tmp_path / 'out'}", *parameters]
        command = ["java", "-cp", f"{JARS}/*:{compiled}", "Run", *words, *given]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    return start


def tasks(tmp_path: Path) -> Counter[str]:
    """How many tasks of each process there were."""
    return Counter(path.name.split("-", 1)[1] for path in (tmp_path / "work").iterdir())


def sheet(tmp_path: Path, *lines: str) -> str:
    path = tmp_path / "samples.csv"
    path.write_text("".join(f"{line}\n" for line in lines))
    return f"--input={path}"


def test_the_test_profile_plans_every_step(run: Runner, tmp_path: Path) -> None:
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
        "RUN_REPORT": 1,
    }
    versions = (tmp_path / "out/pipeline_info/versions.yml").read_text()
    assert "PREDICT:\n    predict:" in versions


@pytest.mark.parametrize("types", ["cast", "text"], ids=["v1_casts_values", "v2_leaves_text"])
def test_values_mean_the_same_under_both_parsers(run: Runner, tmp_path: Path, types: str) -> None:
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


def test_parameters_may_have_both_of_their_names(run: Runner, tmp_path: Path) -> None:
    done = run("--continue-on-error=true", "--shards=1", names="both")
    assert done.returncode == 0, done.stderr
    assert tasks(tmp_path)["PREDICT"] == 2


def test_the_name_of_the_command_line_wins(run: Runner) -> None:
    done = run("--max-cpus=0", names="apart")
    assert done.returncode == 1 and "--max-cpus" in done.stderr, done.stderr
    assert run("--max-cpus=2", names="apart").returncode == 0


@pytest.mark.parametrize(
    "profile", ["test,gpu,docker", "slurm,gpu,test", "test,apptainer", "test_full,conda"]
)
def test_profiles_go_together(run: Runner, profile: str) -> None:
    done = run(profile=profile)
    assert done.returncode == 0, done.stderr


def test_cross_validation_alone_makes_no_reader(run: Runner, tmp_path: Path) -> None:
    cells = TEST_CELLS / "train.h5ad"
    done = run("--mode=evaluate", sheet(tmp_path, "sample,path", f"a,{cells}"))
    assert done.returncode == 0, done.stderr
    found = tasks(tmp_path)
    assert (found["TRAIN_READER"], found["TRAIN_FOLD"], found["PREDICT"]) == (0, 2, 0)


def test_annotation_takes_a_reader_and_each_organism_its_genes(run: Runner, tmp_path: Path) -> None:
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


def test_samples_are_prepared_each_on_its_own(run: Runner, tmp_path: Path) -> None:
    markers = TEST_CELLS / "samples.csv"
    done = run("--prepare=true", f"--markers={markers}", "--label=")
    assert done.returncode == 0, done.stderr
    assert tasks(tmp_path)["PREPARE_CELLS"] == 3


SHEETS = {
    "semicolons": (["sample;path", "a;b"], "line 1: no column is named 'sample;path'"),
    "unknown column": (["sample,path,organsm", "a,T,x"], "Did you mean 'organism'?"),
    "blank in name": (["sample,path,role", "a b,T,train"], "line 2: sample is 'a b': names of"),
    "no name": (["sample,path,role", ",T,train"], "line 2: no sample: "),
    "no file": (["sample,path,role", "a,gone.h5ad,train"], "line 2: path: there is no 'gone.h5ad'"),
    "unknown role": (
        ["sample,path,role", "a,T,teach"],
        "line 2: role is 'teach', not one of train",
    ),
    "short row": (["sample,path,role", "a,T,train", "b,T"], "line 3: 2 fields, but 3 columns"),
    "open quote": (
        ["sample,path,role", "a,T,train", 'b,"T,train'],
        "line 3: a quote is not closed",
    ),
    "twice": (
        ["sample,path,role", "a,T,train", "", "a,T,predict"],
        "lines 2, 4: sample 'a' stands",
    ),
    "empty": (["sample,path,role"], "there is no sample below the header"),
    "nothing to learn": (["sample,path,role", "a,T,predict"], "no sample has the role 'train'"),
    "two labels": (
        ["sample,path,role,label", "a,T,train,x", "b,T,train,y"],
        "label differs (x, y)",
    ),
    "quote in label": (["sample,path,role,label", "a,T,train,it's"], "names of columns have no"),
}
PARAMETERS = {
    "--foldz=3": "--foldz is no parameter of this pipeline. Did you mean '--folds'?",
    "--continue_on_error=true": "Did you mean '--continue-on-error'?",
    "--folds=many": "--folds is a whole number, not 'many'",
    "--folds=1": "--folds is 0 (no cross-validation) or 2 and more",
    "--min-confidence=2": "--min-confidence is 2, more than 1",
    "--mode=guess": "--mode is 'guess', not one of train, annotate, evaluate",
    "--mode=annotate": "--mode annotate needs --reader",
    "--input=gone.csv": "--input: there is no 'gone.csv'",
    "--markers=gone.csv": "--markers: there is no 'gone.csv'",
    "--label=it's": "names of columns have no quotes",
    "--train-options=x; rm -rf y": "--train-options is 'x; rm -rf y': options have none of",
}


@pytest.fixture(scope="session")
def outcomes(compiled: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    """All bad sheets and parameters, tried in one Java machine."""
    folder = tmp_path_factory.mktemp("bad")
    common = [f"project={PIPELINE}", f"work={folder / 'work'}", "mode=plan", "profile=test"]
    common += ["path=/bin", f"--outdir={folder / 'out'}"]
    cells = str(TEST_CELLS / "train.h5ad")
    cases = {}
    for number, (name, (lines, _)) in enumerate(SHEETS.items()):
        path = folder / f"{number}.csv"
        path.write_text("".join(line.replace("T", cells, 1) + "\n" for line in lines))
        cases[name] = [*common, f"--input={path}"]
    cases |= {given: [*common, given] for given in PARAMETERS}
    (folder / "cases.json").write_text(json.dumps(cases))
    words = ["java", "-cp", f"{JARS}/*:{compiled}", "Run", f"batch={folder / 'cases.json'}"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert not (folder / "work").exists(), "a task was started"
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", SHEETS)
def test_a_bad_sheet_is_told_by_line(name: str, outcomes: dict[str, dict]) -> None:
    found = outcomes[name]
    assert found["status"] == 1
    assert re.match(r"ERROR ~ Sample sheet \d+\.csv, nothing was started:\n", found["stderr"])
    assert SHEETS[name][1] in found["stderr"], found["stderr"]


@pytest.mark.parametrize("given", PARAMETERS)
def test_a_bad_parameter_is_told_before_anything_starts(
    given: str, outcomes: dict[str, dict]
) -> None:
    found = outcomes[given]
    assert found["status"] == 1 and PARAMETERS[given] in found["stderr"], found["stderr"]


def test_a_sheet_may_have_quotes_blanks_a_mark_and_windows_ends(
    run: Runner, tmp_path: Path
) -> None:
    cells = TEST_CELLS / "train.h5ad"
    text = f'\ufeffsample , path,role\r\n"a" ,"{cells}",train\r\n\r\nb, {cells} , predict\r\n'
    (tmp_path / "s.csv").write_text(text, "utf-8")
    done = run(f"--input={tmp_path / 's.csv'}")
    assert done.returncode == 0, done.stderr
    assert "train, 2 samples" in done.stdout


def test_help_lists_the_parameters(run: Runner, tmp_path: Path) -> None:
    done = run("--help=true", profile="")
    assert done.returncode == 0 and "--shard-megabytes" in done.stdout
    assert not (tmp_path / "work").exists()


def test_stubs_run(run: Runner, tmp_path: Path) -> None:
    if not all_checks():
        pytest.skip("a version for each task takes its time: make test-nextflow")
    done = run(mode="stub")
    assert done.returncode == 0, done.stderr
    from screader_lib import __version__

    versions = (tmp_path / "out/pipeline_info/versions.yml").read_text()
    assert f"GATHER:\n    screader: {__version__}" in versions


def test_a_sample_that_fails_is_passed_over_and_named(run: Runner, tmp_path: Path) -> None:
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
    assert "1 ignored" in done.stdout and "tasks failed and were passed over" in done.stdout
    table = next((tmp_path / "again").glob("*-RUN_REPORT/run-report.tsv")).read_text()
    status = dict(line.split("\t")[:2] for line in table.splitlines())
    assert status == {"sample": "status", "b": "called", "c": "failed", "out-of-fold": "called"}


def test_a_thousand_samples_are_planned(run: Runner, tmp_path: Path) -> None:
    if not all_checks():
        pytest.skip("takes its time: make test-nextflow")
    rows = []
    for number in range(1000):
        path = tmp_path / f"{number}.h5ad"
        path.symlink_to(TEST_CELLS / "predict.h5ad")
        rows.append(f"sample-{number},{path},{'train' if number < 500 else 'predict'}")
    done = run(sheet(tmp_path, "sample,path,role", *rows))
    assert done.returncode == 0, done.stderr
    longest = int(done.stdout.split("longest script ")[1].split()[0])
    assert longest < 131_072  # what Linux allows as one argument; the whole line may have 2 MB
