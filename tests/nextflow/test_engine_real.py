"""Real cells under Nextflow: good calls, and the same bytes from a run that was killed."""

from __future__ import annotations

import csv
import os
import signal
import time
from pathlib import Path

import pytest
from engine import Engine, needs_engine, published, warnings
from pipeline_files import PIPELINE, ROOT

CELLS = PIPELINE / "assets/test"
QUICK = [
    "--method=pooled", "--train-options=--warm-start-epochs 2", "--source=packaged",
    "--embed-options=--model tfidf",
]  # fmt: skip
OF_FOLDS = [
    "--plots=confusion", "--folds=2", "--shards=2", "--label=cell_type1", "--organism=human",
]  # fmt: skip
pytestmark = needs_engine


def test_a_killed_run_resumed_gives_the_bytes_of_an_uninterrupted_one(
    real_engine: Engine, tmp_path: Path
) -> None:
    """The uninterrupted one without a profile, on whatever machine this is."""
    rows = [f"a,{CELLS / 'train.h5ad'},train", f"b,{CELLS / 'predict.h5ad'},predict"]
    given = [*QUICK, *OF_FOLDS, real_engine.sheet(*rows)]
    said = real_engine(*given, profile="")
    assert warnings(said) == []
    with (tmp_path / "out/run-report.tsv").open(encoding="utf-8") as lines:
        report = {row["sample"]: row for row in csv.DictReader(lines, delimiter="\t")}
    assert [report[name]["status"] for name in ("b", "out-of-fold")] == ["called", "called"]
    assert float(report["b"]["accuracy"]) > 0.7
    killed = Engine(tmp_path / "killed", real_engine.path)
    killed.folder.mkdir()
    given.append(f"--embeddings={tmp_path / 'out/genes/human.gene-embeddings.h5ad'}")
    process = killed.begin(*given)
    while "TRAIN_FOLD" not in (killed.folder / "said").read_text():
        assert process.poll() is None, (killed.folder / "said").read_text()
        time.sleep(0.1)
    killed.stop(process, signal.SIGKILL)
    killed(*given, "-resume")
    assert killed.count("CACHED")["BUILD_TRAINING_CELLS"] == 1 and killed.count()["TRAIN_FOLD"] > 0
    made, whole = published(killed.folder / "out"), published(tmp_path / "out")
    of_genes = ("genes/", "pipeline_info/versions.yml")  # made once, and so not told again
    wanted = {name: data for name, data in whole.items() if not name.startswith(of_genes)}
    assert len(wanted) > 10 and {name: made.get(name) for name in wanted} == wanted


def test_samples_may_be_objects_of_r_and_zipped_stores(real_engine: Engine) -> None:
    """One to learn from, one to call, and both with a pre-trained reader."""
    seurat = ROOT / "tests/r_objects/seurat5.rds"
    store = ROOT / "galaxy_wrappers/test-data/new.zarr.zip"
    words = [*QUICK, "--plots=", "--folds=0", "--label=cell_type", "--shards=1"]
    sheet = real_engine.sheet(f"r,{seurat},train", f"z,{store},predict")
    real_engine(*words, sheet, profile="")
    with (real_engine.folder / "out/run-report.tsv").open(encoding="utf-8") as lines:
        report = {row["sample"]: row for row in csv.DictReader(lines, delimiter="\t")}
    assert report["z"]["status"] == "called" and float(report["z"]["accuracy"]) > 0.7
    broken = real_engine.folder / "broken.h5ad"
    broken.write_bytes((CELLS / "other.h5ad").read_bytes()[:5000])
    sheet = real_engine.sheet(f"r,{seurat}", f"z,{store}", f"c,{broken}", columns="sample,path")
    real_engine("--reader=human-pancreas", "--continue-on-error", sheet, profile="")
    assert real_engine.count() == {"ANNOTATE": 2, "RUN_REPORT": 1}
    with (real_engine.folder / "out/run-report.tsv").open(encoding="utf-8") as lines:
        report = {row["sample"]: row for row in csv.DictReader(lines, delimiter="\t")}
    assert report["z"]["cells"] == "48" and "beta" in report["z"]["labels"]
    assert report["c"]["step"] == "ANNOTATE" and "broken.h5ad" in report["c"]["reason"]
    page = (real_engine.folder / "out/run-report.html").read_text("utf-8")
    assert 'href="annotated/z.annotated.html"' in page


@pytest.mark.skipif("SAMPLES" not in os.environ, reason="SAMPLES=1000 runs so many as stubs")
def test_many_samples(real_engine: Engine) -> None:
    rows = []
    for number in range(int(os.environ["SAMPLES"])):
        path = real_engine.folder / f"{number}.h5ad"
        path.symlink_to(CELLS / "predict.h5ad")
        rows.append(f"sample-{number},{path},{'predict' if number % 2 else 'train'}")
    real_engine("-stub-run", real_engine.sheet(*rows))
    assert real_engine.count()["CHECK_SAMPLE"] == len(rows)
    assert real_engine.count()["GATHER"] == len(rows) // 2
