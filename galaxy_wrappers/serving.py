"""A Galaxy server of its own on the loopback, installed from the Python package index.

Used by ``test_on_galaxy.py``. Everything lies in one folder that git ignores.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
GALAXY, PLANEMO, UV = "26.1.1", "0.75.47", "0.13.9"
USER = "admin@example.org"
PATIENCE = 600  # seconds until the server has to answer
BUILT_IN = ("data_source/upload.xml", "expression_tools/parse_values_from_file.xml")


class NoIndexError(Exception):
    """The package index cannot be reached, so there is nothing to install from."""


class Installation:
    """The environments of the server and of planemo, made where they are missing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server, self.planemo = folder / "server", folder / "planemo"

    def install(self) -> None:
        """NoIndexError where not even the installer can be had."""
        wanted = f"{GALAXY} {PLANEMO}\n"
        stamp = self.folder / "installed"
        if stamp.exists() and stamp.read_text("utf-8") == wanted:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        installer = self._environment(self.folder / "installer")
        words = [installer, "-m", "pip", "install", "--quiet", f"uv=={UV}"]
        if subprocess.run(words, check=False).returncode:
            raise NoIndexError
        uv = installer.with_name("uv")
        both = f"galaxy-tool-util=={GALAXY}"
        for place, packages in (
            (self.server, [f"galaxy=={GALAXY}"]),
            (self.planemo, [f"planemo=={PLANEMO}", both]),
        ):
            python = self._environment(place)
            subprocess.run(
                [uv, "pip", "install", "--quiet", "--python", python, *packages], check=True
            )
        stamp.write_text(wanted, "utf-8")

    def _environment(self, place: Path) -> Path:
        python = place / "bin" / "python"
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", place], check=True)
        return python


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def environment(installation: Installation) -> dict[str, str]:
    """Without what would make every job compile Galaxy anew, or find another Python."""
    dropped = {"PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "VIRTUAL_ENV"}
    kept = {key: value for key, value in os.environ.items() if key not in dropped}
    path = f"{installation.server / 'bin'}{os.pathsep}{kept['PATH']}"
    return kept | {"PATH": path, "VIRTUAL_ENV": str(installation.server)}


class Server:
    """The server while it runs: its URL, an administrator's key and a user's."""

    def __init__(self, installation: Installation, run: Path) -> None:
        self.installation, self.run = installation, run
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.admin_key = secrets.token_hex(16)
        self.key = ""
        self.certificate = run / "certificate.pem"  # of servers that stand for ones elsewhere

    def call(self, path: str, body: dict[str, Any] | None = None, method: str = "") -> Any:
        """One request to the API; the answer's JSON."""
        request = urllib.request.Request(
            f"{self.url}/api/{path}",
            None if body is None else json.dumps(body).encode(),
            {"x-api-key": self.key or self.admin_key, "Content-Type": "application/json"},
            method=method or ("GET" if body is None else "POST"),
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def content(self, dataset: str) -> bytes:
        """A dataset's bytes."""
        request = urllib.request.Request(
            f"{self.url}/api/datasets/{dataset}/display?to_ext=data",
            headers={"x-api-key": self.key},
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            return bytes(answer.read())

    def configure(self) -> Path:
        """Write the configuration; nothing in it outlives the run."""
        config, data = self.run / "config", self.run / "data"
        for folder in (config, data):
            folder.mkdir(parents=True)
        python = self.installation.server / "bin" / "python"
        subprocess.run([python, HERE / "certificate.py", self.certificate], check=True)
        tools = "".join(
            f'<tool file="{path}"/>' for path in sorted(HERE.glob("*.xml")) if is_tool(path)
        )
        own = "".join(f'<tool file="{path}"/>' for path in BUILT_IN)
        (config / "tool_conf.xml").write_text(
            f'<toolbox><section id="get" name="Galaxy">{own}</section>'
            f'<section id="screader" name="scReader">{tools}</section></toolbox>',
            "utf-8",
        )
        vault = {"type": "database", "path_prefix": "/galaxy"}
        vault["encryption_keys"] = [base64.urlsafe_b64encode(os.urandom(32)).decode()]  # type: ignore[assignment]
        (config / "vault_conf.yml").write_text(json.dumps(vault), "utf-8")
        settings = config / "galaxy.yml"
        settings.write_text(json.dumps({"galaxy": self._settings(config, data)}), "utf-8")
        return settings

    def _settings(self, config: Path, data: Path) -> dict[str, Any]:
        """JSON is YAML too."""
        immediate = "isolation_level=IMMEDIATE"
        kept = Path(sys.prefix) / "cache"  # compiled code and fonts, for all jobs; the tests' too
        tools = {
            "SCREADER_OFFLINE": "1",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "NUMBA_CACHE_DIR": str(kept / "numba"),
            "MPLCONFIGDIR": str(kept / "matplotlib"),
            "SSL_CERT_FILE": str(self.certificate),
            # Galaxy hands on little; another kernel of the linear algebra rounds otherwise.
            **{key: value for key, value in os.environ.items() if key.startswith("OPENBLAS_")},
        }
        return {
            "data_dir": str(data),
            "config_dir": str(config),
            "managed_config_dir": str(data / "managed"),
            "database_connection": f"sqlite:///{data / 'galaxy.sqlite'}?{immediate}",
            "amqp_internal_connection": f"sqlalchemy+sqlite:///{data / 'queue.sqlite'}?{immediate}",
            "tool_config_file": str(config / "tool_conf.xml"),
            "tool_data_table_config_path": str(HERE / "tool_data_table_conf.xml.test"),
            "vault_config_file": str(config / "vault_conf.yml"),
            "master_api_key": self.admin_key,
            "admin_users": USER,
            "sanitize_all_html": False,  # all HTML here is the report's, made by our own tool
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
                "runners": {
                    "local": {"load": "galaxy.jobs.runners.local:LocalJobRunner", "workers": 2}
                },
                "execution": {
                    "default": "here",
                    "environments": {
                        "here": {
                            "runner": "local",
                            "env": [{"name": key, "value": value} for key, value in tools.items()],
                        }
                    },
                },
            },
        }

    def wait(self, processes: list[subprocess.Popen[bytes]]) -> None:
        """Until the server answers; RuntimeError where it does not."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if any(process.poll() is not None for process in processes):
                break
            try:
                self.call("version")
                return
            except (urllib.error.URLError, OSError):
                time.sleep(1)
        raise RuntimeError(f"Galaxy does not answer; its logs are in {self.run}.")

    def make_user(self) -> None:
        """An administrator with a key of its own and a password known to this run."""
        self.password = secrets.token_hex(8)
        body = {"username": "admin", "email": USER, "password": self.password}
        user = self.call("users", body)["id"]
        self.key = self.call(f"users/{user}/api_key", {})


def is_tool(path: Path) -> bool:
    """Whether an XML file is a tool's, not macros."""
    return "<tool " in path.read_text("utf-8")[:200]


@contextmanager
def serving(installation: Installation, run: Path) -> Iterator[Server]:
    """The server, started and with a user; stopped at the end, whatever happens."""
    server = Server(installation, run)
    settings = server.configure()
    told = environment(installation) | {"GALAXY_CONFIG_FILE": str(settings)}
    bins = installation.server / "bin"
    web = [bins / "galaxy-web", "-c", settings, "-b", f"127.0.0.1:{server.port}"]
    worker = [
        bins / "celery", "--app", "galaxy.celery", "worker", "--pool", "threads",
        "--concurrency", "2", "--queues", "celery,galaxy.internal,galaxy.external",
        "--loglevel", "INFO",
    ]  # fmt: skip
    with ExitStack() as stack:
        processes: list[subprocess.Popen[bytes]] = []
        for name, words in (("web", web), ("worker", worker)):
            log = stack.enter_context((run / f"{name}.log").open("wb"))
            process = subprocess.Popen(words, cwd=run, env=told, stdout=log, stderr=log)
            stack.callback(stop, process)
            processes.append(process)
            if name == "web":
                server.wait(processes)
                server.make_user()
        log_of_worker = run / "worker.log"
        end = time.monotonic() + PATIENCE
        while b" ready." not in log_of_worker.read_bytes() and time.monotonic() < end:
            time.sleep(0.5)
        yield server


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end; insist after a while."""
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
