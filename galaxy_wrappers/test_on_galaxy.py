"""Run all tests of the tools and workflows on a real Galaxy server.

python galaxy_wrappers/test_on_galaxy.py [FOLDER]       FOLDER: .galaxy, ignored by git

Installs Galaxy and planemo from the Python package index, once; lints; starts the server on the
loopback; tests every tool and workflow with the executables of this Python's environment; compares
the workflows' outputs with the command line's. The last line is "N passed, N failed". Exit status
1 where something failed; 0 with a plain message where no package index can be reached.

GALAXY_ONLY=predict,annotate-cells tests these tools and workflows only.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from lay_out import WIDTH, height

HERE = Path(__file__).parent
DATA, WORKFLOWS = HERE / "test-data", sorted((HERE / "workflows").glob("*.ga"))
GALAXY, PLANEMO, UV = "26.1.1", "0.75.47", "0.13.9"
BUILT_IN = ("data_source/upload.xml", "expression_tools/parse_values_from_file.xml")
DATA_MANAGER = HERE / "data_manager" / "fetch_reader.xml"
USER = "admin@example.org"
PATIENCE = 600  # seconds until the server has to answer, a database be free, or a job be done
HELD_OUT = "Out-of-fold predictions"
ONE_THREAD = {"SCREADER_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
# The commands that the workflows' steps stand for, and the outputs by label that they make.
SHELL = {
    "train-and-evaluate": (
        """
        train="train-reader cells.h5ad --llm-layers 1 --seed 1"
        fetch-descriptions --genes $DATA/counts.h5ad --source packaged -o d.h5ad
        embed-genes d.h5ad -o e.h5ad
        folds="--folds 2 --seed 1"
        build-cells $DATA/counts.h5ad -e e.h5ad --label cell_type -k 24 $folds -o cells.h5ad
        $train -o reader.h5
        for fold in 1 2; do
          $train --folds 2 --fold $fold -o fold-$fold.h5
          predict cells.h5ad -r fold-$fold.h5 --held-out --explain 10 -o fold-$fold.h5ad
        done
        screader gather fold-1.h5ad fold-2.h5ad -o gathered.h5ad
        """,
        {"Gene embeddings": ["e.h5ad"], "Reader": ["reader.h5"], HELD_OUT: ["gathered.h5ad"]},
    ),
    "annotate-cells": (
        """
        like="-e $DATA/embeddings.h5ad --like $DATA/reader.h5"
        build-cells $DATA/new.h5ad $like -o cells-0.h5ad
        build-cells $DATA/new-10x.h5 $like -o cells-1.h5ad
        for sample in 0 1; do
          predict cells-$sample.h5ad -r $DATA/reader.h5 --explain 10 -o calls-$sample.h5ad
        done
        """,
        {"Predictions": ["calls-0.h5ad", "calls-1.h5ad"]},
    ),
}

# galaxy-tool-test of these tools alone, which asks the server once a second whether a job is done:
# four times a second, as by default, and four tests at a time, the server does little else.
TEST_TOOLS = """
import sys
from functools import partial
from galaxy.tool_util.verify import interactor
from galaxy.tool_util.verify.script import arg_parser, run_tests

ids = sys.argv[1].split(",")
interactor.wait_on = partial(interactor.wait_on, delta=1)
run_tests(arg_parser().parse_args(sys.argv[2:]), [lambda test: test.tool_id not in ids])
"""

Results = dict[str, bool]  # name of a test → whether it passed
START = time.monotonic()


def report(what: str) -> None:
    """A line with the time since the start of this process."""
    print(f"== {time.monotonic() - START:4.0f} s  {what}", flush=True)


def install(folder: Path) -> bool:
    """Make the environments of the server and of planemo; False without a package index."""
    versions = f"{GALAXY} {PLANEMO}\n"
    stamp = folder / "installed"
    if stamp.exists() and stamp.read_text("utf-8") == versions:
        return True
    for name in ("installer", "server", "planemo"):
        if not (folder / name).exists():
            subprocess.run([sys.executable, "-m", "venv", folder / name], check=True)
    pip = [folder / "installer/bin/python", "-m", "pip", "install", "--quiet", f"uv=={UV}"]
    if subprocess.run(pip, check=False).returncode:
        return False
    for name, packages in (
        ("server", [f"galaxy=={GALAXY}"]),
        ("planemo", [f"planemo=={PLANEMO}", f"galaxy-tool-util=={GALAXY}"]),
    ):
        uv = [folder / "installer/bin/uv", "pip", "install", "--quiet", "--python"]
        subprocess.run([*uv, folder / name / "bin/python", *packages], check=True)
    stamp.write_text(versions, "utf-8")
    return True


class Server:
    """The server's address, keys and files, all of them new for every run."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.run = folder, folder / "run"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.admin_key, self.key = secrets.token_hex(16), ""
        dropped = {"PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "VIRTUAL_ENV"}
        self.environment = {key: value for key, value in os.environ.items() if key not in dropped}
        self.environment |= {
            "GALAXY_TEST_DEFAULT_WAIT": str(PATIENCE),
            "PATH": f"{folder / 'server/bin'}:{os.environ['PATH']}",
            "VIRTUAL_ENV": str(folder / "server"),
            "GALAXY_CONFIG_FILE": str(self.run / "galaxy.yml"),
        }

    def call(self, path: str, body: dict[str, Any] | None = None, method: str | None = None) -> Any:
        """One request to the API, by default a POST where there is a body; the answer's JSON."""
        request = urllib.request.Request(
            f"{self.url}/api/{path}",
            None if body is None else json.dumps(body).encode(),
            {"x-api-key": self.key or self.admin_key, "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def in_the_editor(self, workflow: dict[str, Any]) -> dict[str, Any]:
        """What the editor gets of a workflow, which stays on the server."""
        held = self.call("workflows", {"workflow": workflow})["id"]
        shown: dict[str, Any] = self.call(f"workflows/{held}/download?style=editor")
        return shown

    def configure(self) -> None:
        """Write the configuration; JSON is YAML too."""
        shutil.rmtree(self.run, ignore_errors=True)
        (self.run / "data").mkdir(parents=True)
        tools = "".join(f'<tool file="{path}"/>' for path in (*BUILT_IN, *tool_files()))
        section = f'<section id="tools" name="Tools">{tools}</section>'
        (self.run / "tools.xml").write_text(f"<toolbox>{section}</toolbox>", "utf-8")
        key = base64.urlsafe_b64encode(os.urandom(32)).decode()
        vault = {"type": "database", "path_prefix": "/galaxy", "encryption_keys": [key]}
        (self.run / "vault.yml").write_text(json.dumps(vault), "utf-8")
        # Data managers add to tables, so these are copies.
        text = (HERE / "tool_data_table_conf.xml.test").read_text("utf-8")
        (self.run / "tables.xml").write_text(text.replace("${__HERE__}/test-data", "."), "utf-8")
        for table in DATA.glob("*.loc"):
            rows = table.read_text("utf-8").replace("${__HERE__}", str(DATA))
            (self.run / table.name).write_text(rows, "utf-8")
        settings = json.dumps({"galaxy": self._settings()})
        (self.run / "galaxy.yml").write_text(settings, "utf-8")

    def _settings(self) -> dict[str, Any]:
        data, cache = self.run / "data", Path(sys.prefix) / "cache"
        job = ONE_THREAD | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "NUMBA_CACHE_DIR": str(cache / "numba"),
            "MPLCONFIGDIR": str(cache / "matplotlib"),
            # Galaxy passes on little; another kernel of the linear algebra rounds otherwise.
            **{key: value for key, value in os.environ.items() if key.startswith("OPENBLAS_")},
        }
        place = {"runner": "local", "env": [{"name": k, "value": v} for k, v in job.items()]}
        runner = {"load": "galaxy.jobs.runners.local:LocalJobRunner", "workers": 2}
        # On a busy machine a database may be locked for longer than SQLite's five seconds: a job
        # that could not write would stay in the queue for ever.
        sqlite = f"sqlite:///{data}/%s.sqlite?isolation_level=IMMEDIATE&timeout={PATIENCE}"
        return {
            "data_dir": str(data),
            "config_dir": str(self.run),
            "managed_config_dir": str(data / "managed"),
            "database_connection": sqlite % "galaxy",
            "amqp_internal_connection": f"sqlalchemy+{sqlite % 'queue'}",
            "tool_config_file": str(self.run / "tools.xml"),
            "tool_data_table_config_path": str(self.run / "tables.xml"),
            "data_manager_config_file": str(DATA_MANAGER.parent / "data_manager_conf.xml"),
            "galaxy_data_manager_data_path": str(data / "managed"),
            "vault_config_file": str(self.run / "vault.yml"),
            "master_api_key": self.admin_key,
            "admin_users": USER,
            "dependency_resolvers": [],
            "container_resolvers": [],
            "enable_mulled_containers": False,
            "conda_auto_init": False,
            "conda_auto_install": False,
            "enable_celery_tasks": True,
            "metadata_strategy": "directory_celery",
            "job_handler_monitor_sleep": 0.5,
            "job_runner_monitor_sleep": 0.5,
            "workflow_monitor_sleep": 0.5,
            "log_level": "INFO",
            "job_config": {
                "runners": {"local": runner},
                "execution": {"default": "here", "environments": {"here": place}},
            },
        }

    @contextmanager
    def process(self, name: str, *words: object) -> Iterator[subprocess.Popen[bytes]]:
        """A program of the server, stopped at the end; its messages go to NAME.log."""
        command = [self.folder / "server/bin" / str(words[0]), *map(str, words[1:])]
        with (self.run / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                command, cwd=self.run, env=self.environment, stdout=log, stderr=log
            )
            try:
                yield process
            finally:
                process.terminate()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()

    @contextmanager
    def running(self) -> Iterator[None]:
        """The server with its worker and a user, while the block lasts."""
        self.configure()
        worker = [
            "celery", "--app", "galaxy.celery", "worker", "--pool", "threads", "--concurrency",
            "2", "--queues", "celery,galaxy.internal,galaxy.external", "--loglevel", "INFO",
        ]  # fmt: skip
        config = self.run / "galaxy.yml"
        with self.process("web", "galaxy-web", "-c", config, "-b", f"127.0.0.1:{self.port}") as web:
            wait_until(lambda: self.call("version"), web)
            user = {"username": "admin", "email": USER, "password": secrets.token_hex(8)}
            self.key = self.call(f"users/{self.call('users', user)['id']}/api_key", {})
            with self.process("worker", *worker) as process:
                log = self.run / "worker.log"
                wait_until(lambda: b" ready." in log.read_bytes(), process)
                yield

    def planemo(self, *words: object, log: str = "") -> int:
        """A command of planemo's environment; its exit status."""
        command = [self.folder / "planemo/bin" / str(words[0]), *map(str, words[1:])]
        with Path(self.run / log if log else os.devnull).open("ab") as stream:
            return subprocess.run(
                command, cwd=HERE, env=self.environment, check=False,
                **({"stdout": stream, "stderr": stream} if log else {}),
            ).returncode  # fmt: skip


def wait_until(ready: Any, process: subprocess.Popen[bytes]) -> None:
    """RuntimeError where the process ends, or is not ready after a while."""
    end = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < end:
        try:
            if ready():
                return
        except OSError:
            pass
        time.sleep(0.5)
    raise RuntimeError("Galaxy does not answer; its logs are in .galaxy/run.")


def tool_files() -> list[Path]:
    """The tools' XML files, without macros."""
    return [p for p in sorted(HERE.glob("*.xml")) if "<tool " in p.read_text("utf-8")[:200]]


def read(path: Path) -> Results:
    """The tests of a report of planemo or galaxy-tool-test; no report is a failure."""
    tests = json.loads(path.read_text("utf-8"))["tests"] if path.exists() else []
    for test in tests:
        data = test["data"]
        if data.get("status") != "success":
            reasons = {**(data.get("job") or {}), **data}
            keys = ("execution_problem", "output_problems", "command_line", "tool_stderr")
            print(f"FAILED {test['id']}", *(str(reasons.get(key))[-1500:] for key in keys))
    results = {test["id"]: test["data"].get("status") == "success" for test in tests}
    return results or {path.name: False}


def lint(server: Server) -> Results:
    """The wrappers and the workflows."""
    words = ["planemo", "--directory", server.folder / "planemo-home"]
    results = {
        f"lint of {folder.name}": not server.planemo(*words, "lint", "--fail_level", "warn", folder)
        for folder in (HERE, DATA_MANAGER.parent)
    }
    for path in WORKFLOWS:
        status = server.planemo(*words, "workflow_lint", "--fail_level", "warn", path)
        results[f"lint of {path.name}"] = not status
    return results


def run_tool_tests(server: Server, names: list[str]) -> Results:
    """All tests of the tools, four at a time."""
    if not names:
        return {}
    path, ids = server.run / "tools.json", [f"screader_{name}" for name in names]
    words = [
        "-u", server.url, "-k", server.key, "-a", server.admin_key, "-j", path,
        "--parallel-tests", 4, "--history-per-suite", "--with-reference-data", "--test-data", DATA,
    ]  # fmt: skip
    server.planemo("python", "-c", TEST_TOOLS, ",".join(ids), *words, log="tools.log")
    results = read(path)
    tested = {name.partition("/")[0] for name in results}
    return results | {f"tests of {one}": False for one in ids if one not in tested}


def run_workflow_test(server: Server, workflow: Path) -> Results:
    """The tests beside a workflow, and whether its outputs are the command line's."""
    path = server.run / f"{workflow.stem}.json"
    server.planemo(
        "planemo", "--directory", server.folder / "planemo-home", "test",
        "--engine", "external_galaxy", "--galaxy_url", server.url, "--no_shed_install",
        "--galaxy_admin_key", server.admin_key, "--galaxy_user_key", server.key,
        "--test_timeout", 3 * PATIENCE, "--test_output", server.run / "workflows.html",
        "--test_output_json", path, workflow,
    )  # fmt: skip
    different = list(differences(server, workflow.stem))
    wrong = list(faults_in_the_editor(server, workflow))
    return read(path) | {
        f"{workflow.stem} is as in the shell: {different}": not different,
        f"{workflow.stem} in the editor: {wrong}": not wrong,
    }


def faults_in_the_editor(server: Server, workflow: Path) -> Iterator[str]:
    """Issues that the editor tells of a workflow, and boxes of steps that cover each other."""
    shown = server.in_the_editor(json.loads(workflow.read_text("utf-8")))
    yield from (f"step {key}: {told}" for key, told in shown["upgrade_messages"].items())
    for one, other in combinations(shown["steps"].values(), 2):
        here, there = one["position"], other["position"]
        beside = abs(here["left"] - there["left"]) > WIDTH
        above = here["top"] + height(one) < there["top"]
        below = there["top"] + height(other) < here["top"]
        if not (beside or above or below):
            yield f"{one['label']} and {other['label']} cover each other"


def differences(server: Server, name: str) -> Iterator[str]:
    """Elements of the newest invocation's outputs that the command line makes otherwise."""
    script, outputs = SHELL[name]
    folder = server.run / name
    folder.mkdir()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | ONE_THREAD | {"PATH": path, "DATA": str(DATA)}
    subprocess.run(["bash", "-ec", script], cwd=folder, env=environment, check=True)
    newest = "invocations?sort_by=create_time&sort_desc=true&include_nested_invocations=false"
    invocation = server.call(f"invocations/{server.call(newest)[0]['id']}")
    for label, files in outputs.items():
        if label in invocation["outputs"]:
            ids = [invocation["outputs"][label]["id"]]
        else:
            collection = invocation["output_collections"][label]["id"]
            answer = server.call(f"dataset_collections/{collection}?instance_type=history")
            ids = [element["object"]["id"] for element in answer["elements"]]
        for dataset, file in zip(ids, files, strict=True):
            copy = folder / f"galaxy-{file}"
            address = f"{server.url}/api/datasets/{dataset}/display?to_ext=data&key={server.key}"
            urllib.request.urlretrieve(address, copy)
            yield from (f"{file}: {element}" for element in unlike(folder / file, copy))


def unlike(one: Path, other: Path) -> set[str]:
    """Datasets that differ between two HDF5 files, but for hashes of the files before them."""
    with h5py.File(one) as left, h5py.File(other) as right:
        here, there = elements(left), elements(right)
    same = {
        name
        for name in here.keys() & there.keys()
        if here[name].dtype == there[name].dtype
        and np.array_equal(here[name], there[name], equal_nan=here[name].dtype.kind == "f")
    }
    return (here.keys() | there.keys()) - same


def elements(file: h5py.File) -> dict[str, np.ndarray]:
    """The datasets by name, without the record of who made the file from which files."""
    names: list[str] = []
    file.visit(names.append)
    found = {name: file[name] for name in names if "uns/screader" not in name}
    values = {k: np.asarray(v[()]) for k, v in found.items() if isinstance(v, h5py.Dataset)}
    if "embedding" in values:
        embedding = json.loads(values["embedding"].item())
        values["embedding"] = np.asarray(str(embedding | {"sha256": ""}))
    return values


def main() -> int:
    """0 where all passed, or nothing could be installed."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else HERE.parent / ".galaxy").resolve()
    server, results = Server(folder), Results()
    report("installing")
    if not install(folder):
        print("No package index can be reached: Galaxy is not installed, nothing was tested.")
        print("0 passed, 0 failed")
        return 0
    only = [name for name in os.environ.get("GALAXY_ONLY", "").split(",") if name]
    tools = [path.stem for path in (*tool_files(), DATA_MANAGER)]
    names = only or [*tools, *(path.stem for path in WORKFLOWS)]
    report("starting the server")
    with server.running():
        report("testing the tools")
        results |= run_tool_tests(server, [tool for tool in tools if tool in names])
        for workflow in [path for path in WORKFLOWS if path.stem in names]:
            report(f"testing the workflow {workflow.stem}")
            results |= run_workflow_test(server, workflow)
    if not only:
        report("linting")
        results |= lint(server)
    report("done")
    failed = [name for name, passed in results.items() if not passed]
    print(*(f"failed: {name}" for name in failed), sep="\n")
    print(f"{len(results) - len(failed)} passed, {len(failed)} failed")
    return int(bool(failed) or not results)


if __name__ == "__main__":
    sys.exit(main())
