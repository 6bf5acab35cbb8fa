"""What the sbatch files run, with stand-ins of Apptainer and srun; real Slurm: docs/hpc.md."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from containers_running import ROOT

SLURM = ROOT / "containers" / "slurm"
STAND_IN = '#!/bin/sh\nprintf "<%s>" "$@"\necho\nenv | grep ^APPTAINERENV_ | sort\n'


@pytest.fixture
def submit(tmp_path: Path) -> Callable[..., str]:
    """Run an sbatch file as one task of Slurm would; returns what Apptainer was asked."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "apptainer").write_text(STAND_IN)
    (programs / "srun").write_text('#!/bin/bash\nshift\nSLURM_NODEID=1 exec "$@"\n')
    (programs / "scontrol").write_text("#!/bin/sh\nprintf 'first\\nsecond\\n'\n")
    for program in programs.iterdir():
        program.chmod(0o755)
    (tmp_path / "job").mkdir()

    def run(name: str, **given: str) -> str:
        slurm = {
            "SLURM_SUBMIT_DIR": str(SLURM), "SLURM_ARRAY_TASK_ID": "2",
            "SLURM_ARRAY_TASK_COUNT": "4", "SLURM_CPUS_PER_TASK": "3", "SLURM_JOB_ID": "40007",
            "SLURM_NNODES": "2", "SLURM_JOB_NODELIST": "[first,second]", "SLURM_GPUS_ON_NODE": "4",
            "SLURM_MEM_PER_NODE": "32768",
        }  # fmt: skip
        done = subprocess.run(
            ["bash", str(SLURM / f"{name}.sbatch")],
            cwd=tmp_path / "job",
            env={"PATH": f"{programs}:{os.environ['PATH']}", **slurm, **given},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    return run


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder beside that of the job, with a name that a shell would split."""
    folder = tmp_path / "of the lab"
    folder.mkdir()
    for name in ("cells.h5ad", "reader.h5"):
        (folder / name).touch()
    return folder


def test_a_shard_sees_its_files_and_its_gpu(
    submit: Callable[..., str], elsewhere: Path, tmp_path: Path
) -> None:
    asked = submit(
        "predict", SIF="image.sif",
        CELLS=f"{elsewhere}/cells.h5ad", READER="../of the lab/reader.h5",
        CUDA_VISIBLE_DEVICES="GPU-7f", HF_HOME=str(tmp_path), HF_TOKEN="secret",
    )  # fmt: skip
    words = asked.splitlines()[0]
    assert f"<--bind><{tmp_path}/job,{elsewhere},{elsewhere},{tmp_path}:{tmp_path}:ro>" in words
    assert "<--nv>" in words and "secret" not in words
    assert words.endswith(
        f"<image.sif><predict><{elsewhere}/cells.h5ad><--reader><../of the lab/reader.h5>"
        "<--shard><2/4><-o><parts/0002.h5ad>"
    )
    assert asked.splitlines()[1:] == [
        "APPTAINERENV_CUDA_VISIBLE_DEVICES=GPU-7f", f"APPTAINERENV_HF_HOME={tmp_path}",
        "APPTAINERENV_HF_TOKEN=secret", "APPTAINERENV_OMP_NUM_THREADS=3",
        "APPTAINERENV_SCREADER_MEMORY_MB=32768", "APPTAINERENV_SCREADER_OFFLINE=1",
    ]  # fmt: skip


def test_one_task_of_an_array_again(submit: Callable[..., str], elsewhere: Path) -> None:
    files = {name: str(elsewhere / f"{name.lower()}.h5") for name in ("CELLS", "READER")}
    asked = submit("predict", SIF="i", SHARDS="8", SLURM_ARRAY_TASK_COUNT="1", **files)
    assert "<--shard><2/8>" in asked and "<--nv>" not in asked


def test_a_fold_is_trained_and_its_cells_are_predicted(submit: Callable[..., str]) -> None:
    asked = submit("train-folds", SIF="i", CELLS="cells.h5ad", OPTIONS="--method pooled")
    train, predict = [line for line in asked.splitlines() if line.startswith("<")]
    assert train.endswith(
        "<train-reader><cells.h5ad><--folds><4><--fold><2><--method><pooled><-o><folds/2.reader.h5>"
    )
    assert predict.endswith("<--reader><folds/2.reader.h5><--held-out><-o><folds/2.h5ad>")


def test_every_node_starts_its_share_of_the_processes(submit: Callable[..., str]) -> None:
    asked = submit("train-nodes", SIF="i", CELLS="cells.h5ad", OUTPUT="reader.h5", LLM="/llm")
    assert (
        "<accelerate><launch><--multi_gpu><--no_python><--num_machines><2><--machine_rank><1><--num_processes><8>"
        "<--main_process_ip><first><--main_process_port><20007>"
    ) in asked
    assert "<train-reader><cells.h5ad><--llm></llm><-o><reader.h5>" in asked
