"""Sample sheets and parameters, good and bad, as the pipeline takes them under Nextflow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from engine import Engine, needs_engine
from pipeline_files import PIPELINE
from test_pipeline_options import SPECIFICATIONS

TEST_CELLS = PIPELINE / "assets/test"
CELLS = str(TEST_CELLS / "train.h5ad")
pytestmark = needs_engine
DEFAULTS = {name: spec.get("default") for name, spec in SPECIFICATIONS.items()}
GIVEN = DEFAULTS | {"input": str(TEST_CELLS / "samples.csv"), "label": "cell_type1", "folds": 2}

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
    "--foldz=3": "--foldz is not a parameter of this pipeline. Did you mean '--folds'?",
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
    "--predict-options=--no-vectors": "--plots umap draws the vectors that --predict-options",
    "--input=/tmp": "--input: '/tmp' is a folder, not a file",
    "--mode=guess": "--mode is 'guess', not one of train, annotate, evaluate, annotate-files",
    "--mode=annotate": "--mode annotate needs --reader",
    "--mode=annotate-files": "--mode annotate-files needs --reader, --examples or --types",
    f"--unlabelled={CELLS}": "--unlabelled is read by --method few-labels only",
    "--input=gone.csv": "--input: there is no 'gone.csv'",
    f"--reader={TEST_CELLS / 'samples.csv'}": "samples.csv' is no HDF5 file",
    "--label=it's": "names of columns have no quotes",
    "--train-options=x; rm -rf y": "--train-options is 'x; rm -rf y': options have none of",
}


def configured(option: str) -> str:
    """A parameter as in the configuration: --shard-megabytes is shardMegabytes."""
    first, *more = option.removeprefix("--").split("-")
    return first + "".join(word.title() for word in more)


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All cases, tried in one run."""
    folder = tmp_path_factory.mktemp("inputs")
    cases = {
        "good": GIVEN,
        "as text": {name: value and str(value) for name, value in GIVEN.items()},
    }
    cases["as text"]["validate"] = "false"
    for number, (name, (lines, _)) in enumerate(SHEETS.items()):
        path = folder / f"{number}.csv"
        path.write_text("".join(line.replace("T", CELLS, 1) + "\n" for line in lines))
        cases[name] = GIVEN | {"input": str(path)}
    for text in PARAMETERS:
        option, value = text.split("=", 1)
        cases[text] = GIVEN | {configured(option): value}
    of_files = GIVEN | {"mode": None, "reader": "human-pancreas"}
    cases["a name to annotate"] = of_files | {"mode": "annotate"}
    cases["files"] = of_files
    cases["files, to no use"] = of_files | {"explain": 5, "prepare": True}
    cases["files by types"] = of_files | {"reader": None, "types": CELLS, "markers": CELLS}
    cases["files by all"] = of_files | {"types": CELLS, "examples": CELLS}
    cases["types in training"] = GIVEN | {"mode": "train", "types": CELLS}
    cases["files, no reader"] = of_files | {"reader": "gone.h5"}
    text = f'\ufeffsample , path,role\r\n"a" ,"{CELLS}",train\r\n\r\nb, {CELLS} , predict\r\n'
    (folder / "windows.csv").write_text(text, "utf-8")
    cases["windows"] = GIVEN | {"input": str(folder / "windows.csv")}
    for name, more in {"cross-validation": {}, "evaluation": {"reader": CELLS}}.items():
        cases[name] = GIVEN | {"mode": "evaluate"} | more
    cases["annotation"] = GIVEN | {"mode": "annotate", "reader": CELLS, "minConfidence": "1.0E-4"}
    (folder / "cases.json").write_text(json.dumps(cases))
    with (folder / "large").open("wb") as large:
        large.truncate(2_500_000_000)  # takes no space
    words = [f"--cases={folder / 'cases.json'}", f"--result={folder / 'result.json'}"]
    words.append(f"--large={folder / 'large'}")
    said = Engine(folder, "/usr/bin")(
        *words, profile="", script=Path(__file__).with_name("inputs.nf")
    )
    return json.loads((folder / "result.json").read_text()) | {"said": said}


@pytest.mark.parametrize("name", SHEETS)
def test_a_bad_sheet_is_told_by_line(name: str, taken: dict[str, Any]) -> None:
    told = taken["cases"][name]["refused"]
    assert told.startswith("Sample sheet ") and ".csv, nothing was started:\n" in told
    assert SHEETS[name][1] in told


@pytest.mark.parametrize("given", PARAMETERS)
def test_a_bad_parameter_is_told(given: str, taken: dict[str, Any]) -> None:
    assert PARAMETERS[given] in taken["cases"][given]["refused"]


def test_a_sheet_may_have_quotes_blanks_a_mark_and_windows_ends(taken: dict[str, Any]) -> None:
    rows = taken["cases"]["windows"]["samples"]
    assert [(row["id"], row["role"]) for row in rows] == [("a", "train"), ("b", "predict")]


def test_values_mean_the_same_as_text(taken: dict[str, Any]) -> None:
    """One parser casts the values of the command line, the other leaves them text."""
    good, text = (taken["cases"][name]["settings"] for name in ("good", "as text"))
    assert text == good | {"validate": "false"}


def test_a_sheet_for_training_serves_the_other_entry_points(taken: dict[str, Any]) -> None:
    ids = {
        name: [row["id"] for row in case.get("samples", [])]
        for name, case in taken["cases"].items()
    }
    assert ids["good"] == ["donors-1-and-3", "donor-2", "donor-4"]
    assert ids["cross-validation"] == ["donors-1-and-3"]
    assert ids["evaluation"] == ids["annotation"] == ["donor-2", "donor-4"]
    for told in ("without --reader: donor-2, donor-4", "with --reader: donors-1-and-3"):
        assert told in taken["said"]


def test_a_reader_that_annotates_files_has_a_name_or_a_file(taken: dict[str, Any]) -> None:
    files = taken["cases"]["files"]
    assert files["settings"]["reader"] == "human-pancreas"
    assert [row["id"] for row in files["samples"]] == ["donor-2", "donor-4"]
    assert "there is no 'gone.h5'" in taken["cases"]["files, no reader"]["refused"]
    by_types = taken["cases"]["files by types"]
    assert by_types["settings"]["mode"] == "annotate-files"
    assert [row["id"] for row in by_types["samples"]] == ["donor-2", "donor-4"]
    told = taken["cases"]["files by all"]["refused"]
    assert "--examples takes the place of --reader and --types" in told
    told = taken["cases"]["types in training"]["refused"]
    assert "--types is read by --mode annotate-files only" in told
    told = taken["cases"]["files, to no use"]["refused"]
    assert "no use for --explain" in told and "no use for --prepare" in told


def test_large_samples_are_cut_by_their_size(taken: dict[str, Any]) -> None:
    assert taken["shards"] == [3, 1, 2]
