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
import urllib.error
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from as_in_shell import compare, make, newest_invocation, outputs_of  # noqa: E402
from pictures import take_forms, take_history, take_report  # noqa: E402
from serving import (  # noqa: E402
    Installation,
    NoIndexError,
    Server,
    environment,
    is_tool,
    serving,
)
from user_keys import differs  # noqa: E402

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
    """All tests of the tools; two tools at a time, two tests of each."""

    def test(name: str) -> Path:
        report = server.run / f"{name}.json"
        words = tool_test(server, name, report)
        with (server.run / f"{name}.log").open("wb") as log:
            subprocess.run(words, cwd=HERE, stdout=log, stderr=log, check=False)
        return report

    names = list(names)
    with ThreadPoolExecutor(2) as pool:
        for name, report in zip(names, pool.map(test, names), strict=True):
            tally.read(report, f"tests of {name}")


def tool_test(server: Server, name: str, report: Path) -> list[str]:
    """The command that tests one tool."""
    words = [
        server.installation.planemo / "bin" / "galaxy-tool-test", "-u", server.url,
        "-k", server.key, "-a", server.admin_key, "--parallel-tests", "2", "-j", report,
        "--history-per-suite", "--with-reference-data", "--test-data", HERE / "test-data",
        "-t", f"screader_{name}",
    ]  # fmt: skip
    return list(map(str, words))


def test_workflows(server: Server, tally: Tally) -> None:
    """All tests of the workflows, and whether their outputs are the command line's.

    Their two formats hold the same (tests/galaxy/test_suite.py); the .ga files are run. The
    command line works beside the server.
    """
    shell = server.run / "shell"
    with ThreadPoolExecutor(1) as beside:
        names = {path.stem: path for path in sorted(WORKFLOWS.glob("*.ga"))}
        made = {name: beside.submit(make, name, shell / name) for name in names}
        for name, workflow in names.items():
            test_workflow(server, workflow, tally)
            different = differences(server, workflow, made[name])
            tally.add(f"{name} is as in the shell", not different)


def test_workflow(server: Server, workflow: Path, tally: Tally) -> None:
    """The tests beside a workflow."""
    report = server.run / f"{workflow.name}.json"
    planemo(
        server.installation, "test", "--engine", "external_galaxy", "--galaxy_url", server.url,
        "--galaxy_admin_key", server.admin_key, "--galaxy_user_key", server.key,
        "--no_shed_install", "--test_output", server.run / "workflows.html",
        "--test_output_json", report, workflow,
    )  # fmt: skip
    tally.read(report, f"test of {workflow.name}")


def differences(server: Server, workflow: Path, made: Future[dict[str, list[Path]]]) -> list[str]:
    """What differs between a workflow's outputs and the command line's; told, too."""
    name = json.loads(workflow.read_text("utf-8"))["name"]
    try:
        found = compare(server, name, made.result(), server.run / "shell" / workflow.stem)
    except (LookupError, OSError, subprocess.CalledProcessError) as error:
        found = [str(error)]
    for line in found:
        print(f"not as in the shell: {line}")
    return found


def test_user_keys(server: Server, tally: Tally) -> None:
    """Whether a user's key reaches the job it is for, and only that."""
    try:
        found = differs(server)
    except (LookupError, urllib.error.HTTPError) as error:
        found = [str(error)]
    for line in found:
        print(f"keys: {line}")
    tally.add("a user's key reaches the job", not found)


def pictures(server: Server, names: list[str], folder: Path) -> None:
    """Forms, and the histories and reports of the workflows."""
    take_forms(server, names, folder)
    for workflow in sorted(WORKFLOWS.glob("*.ga")):
        name = json.loads(workflow.read_text("utf-8"))["name"]
        invocation = newest_invocation(server, name)
        take_history(server, invocation, folder / f"{workflow.stem}.png")
        report = outputs_of(server, "Report", invocation)[0]
        take_report(server, report, folder / f"{workflow.stem}-report.png")


def test_all(server: Server, names: list[str], few: bool, tally: Tally) -> None:
    """What needs the running server."""
    say("tools")
    test_tools(server, names, tally)
    if not few:
        say("keys")
        test_user_keys(server, tally)
        say("workflows")
        test_workflows(server, tally)
    if os.environ.get("GALAXY_PICTURES"):
        say("pictures")
        pictures(server, names, Path(os.environ["GALAXY_PICTURES"]).resolve())


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
    run = folder / "run"
    shutil.rmtree(run, ignore_errors=True)
    say("lint, and the start of the server")
    with ThreadPoolExecutor(1) as beside:
        linting = None if only else beside.submit(lint, installation, tally)
        with serving(installation, run) as server:
            test_all(server, names, bool(only), tally)
        if linting:
            linting.result()
    say("done")
    for name in tally.failed:
        print(f"failed: {name}")
    print(f"{len(tally.passed)} passed, {len(tally.failed)} failed")
    return int(bool(tally.failed) or not tally.passed)


if __name__ == "__main__":
    sys.exit(main())
