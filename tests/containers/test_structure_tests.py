"""container-structure-test and hadolint, where they are installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from containers_running import ROOT, kind_of


def command(name: str) -> str:
    """A program beside this Python or on the path; skips the test where there is none."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        pytest.skip(f"{name} is not installed: make test-containers installs it")
    return found


def test_image_has_the_structure_written_down(archive: str) -> None:
    config = ROOT / "containers" / "structure" / f"{kind_of(archive)}.yaml"
    words = ["test", "--driver", "tar", "--image", archive, "--config", str(config)]
    done = subprocess.run(
        [command("container-structure-test"), *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_hadolint_has_nothing_to_say() -> None:
    folder = ROOT / "containers"
    words = ["--config", str(folder / "hadolint.yaml"), str(folder / "Dockerfile")]
    done = subprocess.run(
        [command("hadolint"), *words], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
