"""The shell pipe gives the same reader as the same steps through files."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import anndata
from running import command, environment, run
from small_files import CELLS, counts, expression

SYMBOLS = ["INS", "GCG", "SST", "PPY", "GHRL", "PRSS1", "CPA1", "CTRB1", "REG1A", "SPINK1", "VWF"]


EMBED = ["embed-genes", "--model", "tfidf", "--dimensions", "8"]


def test_pipe_equals_files(tmp_path: Path) -> None:
    values, types = counts()
    data = expression(values[:, 5 : 5 + len(SYMBOLS)], types)
    data.var_names = SYMBOLS
    data.write_h5ad(tmp_path / "x.h5ad")
    fetch = ["fetch-descriptions", "--genes", "x.h5ad"]
    build = ["build-cells", "x.h5ad", "--label", "cell_type"]
    train = ["train-reader", "--method", "genept-w", "-o"]
    lines = (fetch, EMBED, build, [*train, "piped.h5"])
    pipe = " | ".join(shlex.join(command(*line)) for line in lines)
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", pipe], cwd=tmp_path, env=environment(tmp_path),
        capture_output=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

    for line in (
        [*fetch, "-o", "d.h5ad"],
        [*EMBED, "d.h5ad", "-o", "e.h5ad"],
        [*build, "-e", "e.h5ad", "-o", "c.h5ad"],
        [*train, "filed.h5", "c.h5ad"],
    ):
        step = run(*line, home=tmp_path, cwd=tmp_path)
        assert step.returncode == 0, step.stderr
    assert (tmp_path / "piped.h5").read_bytes() == (tmp_path / "filed.h5").read_bytes()
    for name in ("d.h5ad", "e.h5ad", "c.h5ad"):
        assert anndata.read_h5ad(tmp_path / name).n_obs in (len(SYMBOLS), CELLS)
