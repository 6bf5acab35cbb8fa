"""The pipeline run without the engine: emulator/ knows just what the pipeline writes.

Channels become lists, tasks run one after the other. It finds variables that are not defined,
channels of different length, channels used as values, files that are missing or collide, and
whatever Groovy itself refuses.
"""

from __future__ import annotations

import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest
from pipeline_files import PIPELINE, groovy_jars

HERE = Path(__file__).parent
JARS = groovy_jars()
Runner = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The emulator's classes."""
    target = tmp_path_factory.mktemp("classes")
    compiler = "org.codehaus.groovy.tools.FileSystemCompiler"
    sources = sorted(str(path) for path in (HERE / "emulator").glob("*.groovy"))
    words = ["java", "-cp", f"{JARS}/*", compiler, "-d", str(target), *sources]
    subprocess.run(words, check=True)
    return target


@pytest.fixture
def run(compiled: Path, tmp_path: Path) -> Runner:
    """Runs the pipeline; ``mode`` plan starts no task, stub and run start Bash."""

    def start(*parameters: str, mode: str = "plan", profile: str = "test", **more: str):
        path = f"{sysconfig.get_path('scripts')}:{PIPELINE / 'bin'}:/usr/local/bin:/usr/bin:/bin"
        options = {"project": PIPELINE, "work": tmp_path / "work", "mode": mode, "path": path}
        words = [f"{k}={v}" for k, v in {**options, "profile": profile, **more}.items()]
        given = [f"--outdir={tmp_path / 'out'}", *parameters]
        command = ["java", "-cp", f"{JARS}/*:{compiled}", "Run", *words, *given]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    return start
