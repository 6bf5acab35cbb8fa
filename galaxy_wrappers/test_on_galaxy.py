"""Run all tests of the tools and workflows on a real Galaxy server.

python galaxy_wrappers/test_on_galaxy.py [FOLDER]       FOLDER: .galaxy, ignored by git

Installs Galaxy and planemo from the Python package index, once; lints; starts the server on the
loopback; tests every tool and workflow with the executables of this Python's environment; compares
the workflows' outputs with the command line's. The last line is "N passed, N failed". Exit status
1 where something failed; 0 with a plain word where no package index can be reached.

GALAXY_ONLY=predict,plot tests only these tools; GALAXY_PICTURES=FOLDER takes screenshots.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from serving import (  # noqa: E402
    Installation,
    NoIndexError,
    Server,
    environment,
    is_tool,
    serving,
)

WORKFLOWS = HERE / "workflows"
START = time.monotonic()


def say(what: str) -> None:
    """A line with the seconds so far."""
    print(f"== {time.monotonic() - START:4.0f} s  {what}", flush=True)


class Tally:
    """What passed and what failed, by name."""

    def __init__(self) -> None:
        self.passed: list[str] = []
        self.failed: list[str] = []

    def add(self, name: str, passed: bool) -> None:
        """One more test."""
        (self.passed if passed else self.failed).append(name)

    def read(self, report: Path, what: str) -> None:
        """The tests of a report of planemo or galaxy-tool-test; no report is a failure."""
        tests = json.loads(report.read_text("utf-8"))["tests"] if report.exists() else []
        for test in tests:
            passed = test["data"].get("status") == "success"
            self.add(test["id"], passed)
            if not passed:
                tell_failure(test)
        if not tests:
            self.add(what, False)


def tell_failure(test: dict) -> None:
    """Why a test failed, and what the job said."""
    data = test["data"]
    print(f"FAILED {test['id']}")
    for key in ("execution_problem", "output_problems", "problem_log"):
        if data.get(key):
            print(f"  {key}: {str(data[key])[-1500:]}")
    job = data.get("job") or {}
    for key in ("command_line", "tool_stderr", "stderr"):
        if job.get(key):
            print(f"  {key}: {job[key][-1500:]}")


def planemo(installation: Installation, *words: object) -> int:
    """One planemo command; its exit status."""
    command = [installation.planemo / "bin" / "planemo"]
    command += ["--directory", installation.folder / "planemo-home", *words]
    told = environment(installation)
    return subprocess.run(list(map(str, command)), env=told, check=False).returncode


def lint(installation: Installation, tally: Tally) -> None:
    """The wrappers and the workflows."""
    tally.add("lint of tools", not planemo(installation, "lint", "--fail_level", "warn", HERE))
    for workflow in workflows():
        passed = not planemo(installation, "workflow_lint", "--fail_level", "warn", workflow)
        tally.add(f"lint of {workflow.name}", passed)


def workflows() -> list[Path]:
    """Both formats of every workflow."""
    return sorted([*WORKFLOWS.glob("*.ga"), *WORKFLOWS.glob("*.gxwf.yml")])


def test_tools(server: Server, names: Iterable[str], tally: Tally) -> None:
    """All tests of the tools, two at a time."""
    report = server.run / "tools.json"
    words = [
        server.installation.planemo / "bin" / "galaxy-tool-test", "-u", server.url,
        "-k", server.key, "-a", server.admin_key, "--parallel-tests", "2", "-j", report,
        "--append", "--history-per-suite", "--with-reference-data",
        "--test-data", HERE / "test-data",
    ]  # fmt: skip
    for name in names:
        log = (server.run / f"{name}.log").open("wb")
        with log:
            command = [*map(str, words), "-t", f"screader_{name}"]
            subprocess.run(command, cwd=HERE, stdout=log, stderr=log, check=False)
    tally.read(report, "tests of tools")


def test_workflows(server: Server, tally: Tally) -> None:
    """All tests of the workflows."""
    for workflow in workflows():
        report = server.run / f"{workflow.stem}{workflow.suffix}.json"
        planemo(
            server.installation, "test", "--engine", "external_galaxy", "--galaxy_url", server.url,
            "--galaxy_admin_key", server.admin_key, "--galaxy_user_key", server.key,
            "--no_shed_install", "--test_output", server.run / "workflows.html",
            "--test_output_json", report, workflow,
        )  # fmt: skip
        tally.read(report, f"test of {workflow.name}")


def main() -> int:
    """0 where all passed, or nothing could be installed."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else HERE.parent / ".galaxy").resolve()
    installation, tally = Installation(folder), Tally()
    say("install")
    try:
        installation.install()
    except NoIndexError:
        print("No package index can be reached: Galaxy is not installed, nothing was tested.")
        print("0 passed, 0 failed")
        return 0
    only = [name for name in os.environ.get("GALAXY_ONLY", "").split(",") if name]
    names = only or [path.stem for path in sorted(HERE.glob("*.xml")) if is_tool(path)]
    if not only:
        say("lint")
        lint(installation, tally)
    run = folder / "run"
    shutil.rmtree(run, ignore_errors=True)
    say("start")
    with serving(installation, run) as server:
        say("tools")
        test_tools(server, names, tally)
        if not only:
            say("workflows")
            test_workflows(server, tally)
    say("done")
    for name in tally.failed:
        print(f"failed: {name}")
    print(f"{len(tally.passed)} passed, {len(tally.failed)} failed")
    return int(bool(tally.failed) or not tally.passed)


if __name__ == "__main__":
    sys.exit(main())
