"""Apptainer images: as an unprivileged user, with --containall and --no-home."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from containers_running import PIPELINE, TOOLS, UNPRIVILEGED, as_nobody, kind_of

from screader_lib import __version__

CONTAINED = ["--containall", "--no-home"]
READ = ["reader.h5", "predictions.h5ad", "information.txt"]


def run(sif: str, *command: str, folder: Path | None = None, action: str = "run") -> str:
    bound = ["--bind", f"{folder}:/data", "--pwd", "/data"] if folder else []
    return as_nobody("apptainer", "--quiet", action, *CONTAINED, *bound, sif, *command)


def from_definition(sif: str) -> bool:
    return "from-oci" not in sif


def test_every_executable_tells_its_version(sif: str) -> None:
    tools = TOOLS[kind_of(sif)]
    told = run(sif, "sh", "-ec", "".join(f"{tool} --version\n" for tool in tools))
    assert told.splitlines() == [f"{tool} {__version__}" for tool in tools]


def test_apps_and_self_test_of_the_definition(sif: str) -> None:
    if not from_definition(sif):
        return
    apps = as_nobody("apptainer", "inspect", "--list-apps", sif).split()
    assert sorted(apps) == sorted(TOOLS[kind_of(sif)])
    told = as_nobody("apptainer", "run", *CONTAINED, "--app", "predict", sif, "--version")
    assert told == f"predict {__version__}\n"
    told = as_nobody("apptainer", "test", *CONTAINED, sif)
    assert f"train-reader {__version__}" in told
    assert "SCREADER_OFFLINE" in as_nobody("apptainer", "run-help", sif)


def test_labels(sif: str) -> None:
    told = as_nobody("apptainer", "inspect", "--json", sif)
    labels = json.loads(told)["data"]["attributes"]["labels"]
    assert labels["org.opencontainers.image.version"] == __version__
    assert labels["org.opencontainers.image.licenses"] == "MIT"


def test_without_a_command_it_tells_what_there_is(sif: str) -> None:
    assert "Usage: screader" in run(sif)


def test_caches_are_the_users_own(sif: str) -> None:
    program = "import os; print(os.environ['NUMBA_CACHE_DIR'])"
    assert run(sif, "python", "-c", program) == f"/tmp/screader-{UNPRIVILEGED}/numba\n"


def test_reader_is_the_one_of_outside(sif: str, outside: Path, shared: Path) -> None:
    shutil.copy(outside / "cells.h5ad", shared)
    shutil.copy(PIPELINE, shared)
    run(sif, "sh", "pipeline.sh", "reader", folder=shared, action="exec")
    for name in READ:
        assert (shared / name).exists()
        if kind_of(sif) == "screader":
            assert (shared / name).read_bytes() == (outside / name).read_bytes(), name
    assert (shared / "reader.h5").stat().st_uid == UNPRIVILEGED
