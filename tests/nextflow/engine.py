"""Runs of the pipeline under Nextflow itself, and what they leave."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sysconfig
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from pipeline_files import OTHER_TOOLS, PIPELINE, all_checks

needs_engine = pytest.mark.skipif(
    not (all_checks() and shutil.which("nextflow")),
    reason="needs nextflow on the PATH: make test-nextflow",
)
STAND_IN = """#!/bin/bash
# Writes an empty file wherever an option names an output.
set -eu
last=
for word; do
    case $last in
        -o|--calls|--cluster-table|--report|--unmatched|--multiqc|--evidence) : > "$word" ;;
    esac
    [ "$word" != --version ] || echo "stand-in 1.0"
    last=$word
done
"""
TOOLS = (
    "fetch-descriptions", "embed-genes", "prepare-cells", "build-cells", "train-reader", "predict",
    "annotate", "plot", "screader",
)  # fmt: skip


@dataclass(frozen=True)
class Engine:
    """Runs the pipeline in ``folder`` with the programs of ``path``."""

    folder: Path
    path: str

    def __call__(
        self,
        *words: str,
        profile: str = "test",
        script: Path = PIPELINE / "main.nf",
        fails: bool = False,
    ) -> str:
        """A run to its end, as ``words`` ask for it; what it said. It has to succeed or to fail."""
        done = subprocess.run(
            self._words(words, profile, script),
            cwd=self.folder, env=self._environment(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert bool(done.returncode) is fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    def settings(self, profile: str) -> str:
        """The configuration with a profile, as Nextflow resolves it."""
        words = ["nextflow", "config", "-profile", profile, str(PIPELINE)]
        return subprocess.run(
            words,
            cwd=self.folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    def begin(self, *words: str) -> subprocess.Popen[bytes]:
        """A run under way, the leader of its own process group."""
        with (self.folder / "said").open("wb") as said:
            return subprocess.Popen(
                self._words(words, "test", PIPELINE / "main.nf"),
                cwd=self.folder, env=self._environment(), stdout=said, stderr=said,
                start_new_session=True,
            )  # fmt: skip

    def stop(self, process: subprocess.Popen[bytes], number: signal.Signals) -> None:
        """End a run under way with a signal to all of its processes."""
        os.killpg(process.pid, number)
        process.wait()

    def traces(self) -> list[Path]:
        """The traces of all runs, the last one last."""
        found = self.folder.glob("*/pipeline_info/execution_trace_*.tsv")
        return sorted(found, key=lambda path: path.stat().st_mtime_ns)

    def tasks(self) -> list[dict[str, str]]:
        """The tasks of the last run, as its trace lists them; ``process`` without its workflows."""
        with self.traces()[-1].open(encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines, delimiter="\t"))
        return [row | {"process": row["name"].split(" ")[0].split(":")[-1]} for row in rows]

    def count(self, *statuses: str) -> Counter[str]:
        """How many tasks of each process the last run did, or ended with one of ``statuses``."""
        wanted = statuses or ("COMPLETED",)
        return Counter(row["process"] for row in self.tasks() if row["status"] in wanted)

    def sheet(self, *rows: str, columns: str = "sample,path,role") -> str:
        """The parameter that names a sample sheet of these rows."""
        path = self.folder / "samples.csv"
        path.write_text("".join(f"{row}\n" for row in (columns, *rows)))
        return f"--input={path}"

    @staticmethod
    def _words(words: tuple[str, ...], profile: str, script: Path) -> list[str]:
        profiles = ["-profile", profile] if profile else []
        return ["nextflow", "run", str(script), *profiles, "--outdir=out", *words]

    def _environment(self) -> dict[str, str]:
        home = os.environ.get("NXF_HOME", str(OTHER_TOOLS / "home"))
        quiet = {"NXF_ANSI_LOG": "false", "NXF_OFFLINE": "true", "NXF_DISABLE_CHECK_LATEST": "true"}
        return {
            **os.environ,
            "PATH": f"{self.path}:{os.environ['PATH']}",
            "NXF_HOME": home,
            **quiet,
        }


def stand_ins(folder: Path, **instead: str) -> Path:
    """A folder of tools that only make their outputs; those of ``instead`` end in other ways."""
    endings = dict.fromkeys(TOOLS, "")
    endings |= {name.replace("_", "-"): f"[ $# -lt 2 ] || {end}" for name, end in instead.items()}
    folder.mkdir()
    for name, ending in endings.items():
        (folder / name).write_text(STAND_IN + ending + "\n")
        (folder / name).chmod(0o755)
    return folder


def warnings(said: str) -> list[str]:
    """The warnings of a run, without those of settings in 25.04's strict parser (nextflow 6240)."""
    lines = [line for line in said.splitlines() if "WARN" in line]
    return [line for line in lines if "Unrecognized config option 'process.with" not in line]


def tools_of_this_environment() -> str:
    """The folder of the executables that are tested."""
    return sysconfig.get_path("scripts")


def published(folder: Path) -> dict[str, bytes]:
    """All files that a run published in ``folder``, without Nextflow's own, by name."""
    found = (path for path in folder.rglob("*") if path.is_file())
    names = {str(path.relative_to(folder)): path for path in found}
    own = ("pipeline_info/execution_", "pipeline_info/pipeline_dag_")
    return {name: path.read_bytes() for name, path in names.items() if not name.startswith(own)}
