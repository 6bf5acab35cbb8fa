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
from small_files import succeed

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


SAVED = {  # the line of the page, and what comes before it
    'saveRDS(GetAssayData(x, slot = "counts"), "counts.rds")': "",
    'saveRDS(as(m, "dgCMatrix"), "counts.rds")': (
        'm <- DelayedArray::DelayedArray(SeuratObject::GetAssayData(x, slot = "counts"))'
    ),
    'saveRDS(x[[1]], "x1.rds")': "x <- list(x, x)",
    'saveRDS(UpdateSeuratObject(x), "x.rds")': "",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a Seurat object as people have it, with a reduction to draw.

    In the folders 0, 1, … is what each line of ``SAVED`` saves, all by one R, which starts slowly.
    """
    packages = 'all(sapply(c("Seurat", "SingleCellExperiment"), requireNamespace, quietly = TRUE))'
    words = ["Rscript", "-e", f"quit(status = !{packages})"]
    if not shutil.which("Rscript") or subprocess.run(words, check=False).returncode:
        pytest.skip("needs R with Seurat and SingleCellExperiment")
    made = tmp_path_factory.mktemp("r")
    lines = [
        f"local({{dir.create('{number}'); setwd('{number}'); {before}\n{line}; setwd('..')}})"
        for number, (line, before) in enumerate(SAVED.items())
    ]
    whole = f'RunPCA(ScaleData(readRDS("{OBJECTS / "seurat4.rds"}")), npcs = 5)'
    run(made, "r", "\n".join([f"{PACKAGES}x <- {whole}{SAVE}", *lines]))
    shutil.copy(made / "session.rds", made / "new.rds")
    return made


def test_every_block_runs_in_turn(folder: Path) -> None:
    """R blocks go on with the object of the block before; experiments have one of their own."""
    blocks = re.findall(r"^```(r|bash)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert [program for program, _ in blocks] == ["r", "bash", "r", "r", "r", "bash"]
    texts = [text for _, text in blocks]
    assert "colData" in texts[4]
    run(folder, "r", f"{RESTORE}{texts[0]}{SAVE}")
    run(folder, "bash", texts[1])
    table = 'write.csv(x[[c("cell_type", "screader_label")]], "table.csv")'
    right = "cat(mean(x$screader_label == x$cell_type))"
    blocks_of_r = [RESTORE, texts[2], texts[3], SAVE, table, EXPERIMENT, texts[4], right]
    assert float(run(folder, "r", "\n".join(blocks_of_r)).split()[-1]) > 0.9
    run(folder, "bash", texts[5])
    assert len(pandas.read_csv(folder / "calls.csv")) == 90
    labels = pandas.read_csv(folder / "table.csv")
    assert (labels["cell_type"] == labels["screader_label"]).mean() > 0.9


@pytest.mark.parametrize(("number", "line"), enumerate(SAVED), ids=map(str, range(len(SAVED))))
def test_what_lines_of_r_save_is_read(folder: Path, number: int, line: str) -> None:
    assert f"`{line}`" in PAGE
    (saved,) = re.findall(r'"(\w+\.rds)"', line)
    target = folder / f"{number}.h5ad"
    succeed("annotate", folder / str(number) / saved, "-r", "human-pancreas", "-o", target)
    assert anndata.read_h5ad(target).X.sum() == 346_347
