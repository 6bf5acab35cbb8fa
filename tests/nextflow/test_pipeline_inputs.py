"""Sample sheets and parameters, good and bad, as the pipeline's own Groovy takes them."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from pipeline_files import PIPELINE, all_checks, java
from pipeline_runs import PipelineRuns

TEST_CELLS = PIPELINE / "assets/test"
pytestmark = pytest.mark.skipif(
    java() is None, reason="needs Java, Groovy and Nextflow's parser: make test-nextflow"
)

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
        "lines 2, 4: sample 'a' occurs",
    ),
    "empty": (["sample,path,role"], "there is no sample below the header"),
    "nothing to learn": (["sample,path,role", "a,T,predict"], "no sample has the role 'train'"),
    "two labels": (
        ["sample,path,role,label", "a,T,train,x", "b,T,train,y"],
        "label differs (x, y)",
    ),
    "quote in label": (["sample,path,role,label", "a,T,train,it's"], "names of columns have no"),
    "name of its own": (["sample,path,role", "reader,T,train"], "files of its own under this name"),
}
PARAMETERS = {
    "--foldz=3": "--foldz is no parameter of this pipeline. Did you mean '--folds'?",
    "--continue_on_error=true": "Did you mean '--continue-on-error'?",
    "--folds=many": "--folds is a whole number, not 'many'",
    "--folds=1": "--folds must be 0 (no cross-validation) or at least 2",
    "--min-confidence=2": "--min-confidence is 2, more than 1",
    "--publish-mode=move": "--publish-mode is 'move', not one of copy",
    "--cache=kept": "--cache is 'kept': an absolute path",
    "--max-memory=8.5.GB": "--max-memory is '8.5.GB': sizes are written as 128.GB",
    "--max-time=1.5.h": "--max-time is '1.5.h': times are written as 240.h",
    "--organism=": "--organism is '': an organism is a name",
    "--validate=": "--validate is true or false, not ''",
    "--plots=umap,genes": "--plots genes needs --explain",
    "--input=/tmp": "--input: '/tmp' is a folder, not a file",
    "--mode=guess": "--mode is 'guess', not one of train, annotate, evaluate",
    "--mode=annotate": "--mode annotate needs --reader",
    "--input=gone.csv": "--input: there is no 'gone.csv'",
    "--label=it's": "names of columns have no quotes",
    "--train-options=x; rm -rf y": "--train-options is 'x; rm -rf y': options have none of",
}


@pytest.fixture(scope="session", params=["v2", "v1"] if all_checks() else ["v2"])
def outcomes(
    emulator: list[str], tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> dict[str, dict]:
    """All bad sheets and parameters, tried in one Java machine."""
    folder = tmp_path_factory.mktemp("bad")
    common = [f"project={PIPELINE}", f"work={folder / 'work'}", "mode=plan", "profile=test"]
    common += ["path=/bin", f"parser={request.param}", f"--outdir={folder / 'out'}"]
    cells = str(TEST_CELLS / "train.h5ad")
    cases = {}
    for number, (name, (lines, _)) in enumerate(SHEETS.items()):
        path = folder / f"{number}.csv"
        path.write_text("".join(line.replace("T", cells, 1) + "\n" for line in lines))
        cases[name] = [*common, f"--input={path}"]
    cases |= {given: [*common, given] for given in PARAMETERS}
    (folder / "cases.json").write_text(json.dumps(cases))
    words = [*emulator, "Run", f"batch={folder / 'cases.json'}"]
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
    run: PipelineRuns, tmp_path: Path
) -> None:
    cells = TEST_CELLS / "train.h5ad"
    text = f'\ufeffsample , path,role\r\n"a" ,"{cells}",train\r\n\r\nb, {cells} , predict\r\n'
    (tmp_path / "s.csv").write_text(text, "utf-8")
    done = run(f"--input={tmp_path / 's.csv'}")
    assert done.returncode == 0, done.stderr
    assert "train, 2 samples" in done.stdout
