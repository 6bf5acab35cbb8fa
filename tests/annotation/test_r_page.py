"""What docs/r.md tells to run, run in its order, where R has Seurat and SingleCellExperiment."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import anndata
import pandas
import pytest

TESTS = Path(__file__).parents[1]
OBJECTS = TESTS / "r_objects"
PAGE = (TESTS.parent / "docs" / "r.md").read_text("utf-8")
PACKAGES = "suppressMessages({library(Seurat); library(SingleCellExperiment)})\n"
RESTORE, SAVE = PACKAGES + 'x <- readRDS("session.rds")\n', '\nsaveRDS(x, "session.rds")\n'
EXPERIMENT = PACKAGES + f'x <- readRDS("{OBJECTS / "sce.rds"}")\n'
SHELL = {**os.environ, "SCREADER_OFFLINE": "1"}
SHELL["PATH"] = f"{Path(sys.executable).parent}:{SHELL['PATH']}"


def run(folder: Path, program: str, text: str) -> str:
    """What a program of R or the shell prints; it has to succeed."""
    words = {"r": ["Rscript", "-e"], "bash": ["bash", "-euo", "pipefail", "-c"]}[program]
    done = subprocess.run(
        [*words, text], cwd=folder, env=SHELL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{text}\n{done.stderr}"
    return done.stdout


def has_r() -> bool:
    return (
        bool(shutil.which("Rscript"))
        and not subprocess.run(
            ["Rscript", "-e", PACKAGES], check=False, capture_output=True
        ).returncode
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a Seurat object as people have it, with a reduction to draw."""
    if not has_r():
        pytest.skip("needs R with Seurat and SingleCellExperiment")
    made = tmp_path_factory.mktemp("r")
    whole = f'RunPCA(ScaleData(readRDS("{OBJECTS / "seurat4.rds"}")), npcs = 5)'
    run(made, "r", f"{PACKAGES}x <- {whole}{SAVE}")
    shutil.copy(made / "session.rds", made / "new.rds")
    return made


def test_every_block_runs_in_turn(folder: Path) -> None:
    """R blocks go on with the object of the block before; experiments have one of their own."""
    blocks = re.findall(r"^```(r|bash)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert [program for program, _ in blocks] == ["r", "bash", "r", "r", "r", "bash"]
    for program, text in blocks:
        before, after = (RESTORE, SAVE) if program == "r" else ("", "")
        if "colData" in text:
            before, after = EXPERIMENT, "\ncat(mean(x$screader_label == x$cell_type))"
        said = run(folder, program, before + text + after)
        if "colData" in text:
            assert float(said) > 0.9
    assert len(pandas.read_csv(folder / "calls.csv")) == 90
    table = 'write.csv(x[[c("cell_type", "screader_label")]], "table.csv")'
    run(folder, "r", RESTORE + table)
    labels = pandas.read_csv(folder / "table.csv")
    assert (labels["cell_type"] == labels["screader_label"]).mean() > 0.9


MATRIX = 'm <- DelayedArray::DelayedArray(SeuratObject::GetAssayData(x, slot = "counts"))\n'


@pytest.mark.parametrize(
    ("line", "before"),
    [
        ('saveRDS(GetAssayData(x, slot = "counts"), "counts.rds")', ""),
        ('saveRDS(as(m, "dgCMatrix"), "counts.rds")', MATRIX),
        ('saveRDS(x[[1]], "x1.rds")', "x <- list(x, x)\n"),
        ('saveRDS(UpdateSeuratObject(x), "x.rds")', ""),
    ],
)
def test_what_lines_of_r_save_is_read(folder: Path, line: str, before: str) -> None:
    assert f"`{line}`" in PAGE
    (saved,) = re.findall(r'"(\w+\.rds)"', line)
    run(folder, "r", RESTORE + before + line)
    run(folder, "bash", f"annotate {saved} -r human-pancreas -o saved.h5ad")
    assert anndata.read_h5ad(folder / "saved.h5ad").X.sum() == 346_347
