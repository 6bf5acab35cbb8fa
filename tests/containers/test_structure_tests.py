"""container-structure-test and hadolint, where they are installed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from containers_running import ROOT, in_image, kind_of


def command(name: str) -> str:
    """A program beside this Python or on the path; skips the test where there is none."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        pytest.skip(f"{name} is not installed: make test-containers installs it")
    return found


def test_image_has_the_structure_written_down(image: str, shared: Path) -> None:
    program = shared / "structure-test"
    shutil.copy(real_program("container-structure-test"), program)
    program.chmod(0o755)  # its package leaves that to its own first run
    config = ROOT / "containers" / "structure" / f"{kind_of(image)}.yaml"
    inspected = subprocess.run(["podman", "inspect", image], capture_output=True, check=True)
    metadata = shared / "metadata.json"
    metadata.write_text(json.dumps({"config": json.loads(inspected.stdout)[0]["Config"]}), "utf-8")
    folder = "/dev/shm"
    mounts = {metadata: f"{folder}/a.json", program: f"{folder}/test", config: f"{folder}/t.yaml"}
    words = f"test --driver host --force --metadata {folder}/a.json --config {folder}/t.yaml"
    report = in_image(image, f"{folder}/test", *words.split(), mounts=mounts)
    assert report.rstrip().endswith("PASS")


def real_program(name: str) -> Path:
    """The program itself, which its Python package keeps inside."""
    script = Path(command(name))
    found = [path for path in script.parents[1].rglob(f"*/bin/{name}") if path != script]
    return found[0] if found else script


def test_hadolint_has_nothing_to_say() -> None:
    folder = ROOT / "containers"
    words = ["--config", str(folder / "hadolint.yaml"), str(folder / "Dockerfile")]
    done = subprocess.run(
        [command("hadolint"), *words], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
