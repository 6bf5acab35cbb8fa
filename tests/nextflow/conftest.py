"""The pipeline run without the engine: emulator/ knows just what the pipeline writes.

Its files are read by Nextflow's own strict parser (v2), or as plain Groovy (v1). Channels become
lists, tasks run one after the other. It finds variables that are not defined, channels of different
length, channels used as values, files that are missing or collide, and whatever Groovy refuses.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from pipeline_files import all_checks, java
from pipeline_runs import PipelineRuns

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The words that start a class of the emulator."""
    target = tmp_path_factory.mktemp("classes")
    compiler = "org.codehaus.groovy.tools.FileSystemCompiler"
    sources = sorted(str(path) for path in (HERE / "emulator").glob("*.groovy"))
    words = [*(java() or []), compiler, "-d", str(target), *sources]
    subprocess.run(words, check=True)
    *before, jars = java() or []
    return [*before, f"{jars}:{target}"]


PARSERS = ["v2", "v1"] if all_checks() else ["v2"]


@pytest.fixture(params=PARSERS)
def run(emulator: list[str], tmp_path: Path, request: pytest.FixtureRequest) -> PipelineRuns:
    """Runs the pipeline as each parser reads it."""
    return PipelineRuns(emulator, tmp_path, request.param)


@pytest.fixture(scope="module", params=PARSERS)
def planned(
    emulator: list[str], tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> PipelineRuns:
    """The test profile planned once, to be resumed."""
    runs = PipelineRuns(emulator, tmp_path_factory.mktemp("planned"), request.param)
    done = runs()
    assert done.returncode == 0, done.stderr
    return runs
