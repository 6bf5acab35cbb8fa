"""What there is to test: images and archives that containers/test.sh names, or none."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from containers_running import PIPELINE
from small_pancreas import write_folder

GIVEN = {  # parameter of a test → variable that containers/test.sh sets
    "image": "SCREADER_TEST_IMAGES",
    "sif": "SCREADER_TEST_SIFS",
    "archive": "SCREADER_TEST_ARCHIVES",
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each image, SIF or archive given is a case; without any, one that is skipped."""
    for name, variable in GIVEN.items():
        if name in metafunc.fixturenames:
            given = os.environ.get(variable, "").split()
            nothing = pytest.mark.skip(f"no {name} built here: make test-containers builds them")
            cases = given or [pytest.param("", marks=nothing)]
            metafunc.parametrize(name, cases, ids=lambda case: Path(case).name)


@pytest.fixture(scope="session")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pipeline's files as the tools outside of any image write them; once for all workers."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "outside"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            part = folder.with_suffix(".part")
            part.mkdir()
            run_outside(part)
            part.rename(folder)
    return folder


def run_outside(folder: Path) -> None:
    """The pipeline with the executables of this environment."""
    write_folder(folder)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", str(PIPELINE)],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def shared() -> Iterator[Path]:
    """An empty folder that every user reaches and may write to."""
    with tempfile.TemporaryDirectory(prefix="screader-test-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder
