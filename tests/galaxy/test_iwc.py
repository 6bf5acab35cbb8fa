"""Workflows as the IWC takes them, made with a stand-in of the Tool Shed; where steps are shown."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml
from galaxy.wrappers import FOLDER, tool

sys.path.insert(0, str(FOLDER))

NAMES = ("annotate-cells", "train-and-evaluate")


class ToolShed(BaseHTTPRequestHandler):
    """Has two revisions of every repository but those that ``lacks`` names."""

    lacks: tuple[str, ...] = ()

    def do_GET(self) -> None:
        asked = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        name = asked["name"][0]
        known = [] if name in self.lacks else ["0" * 12, f"{len(name):012x}"]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(known).encode())

    def log_message(self, *given: object) -> None:
        """Nothing."""


@pytest.fixture
def tool_shed(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = HTTPServer(("127.0.0.1", 0), ToolShed)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def made(folder: Path, shed: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, FOLDER / "make_iwc.py", folder, "--tool-shed", shed]
    return subprocess.run(words, check=False, capture_output=True, text=True)


def test_a_folder_has_all_that_the_iwc_asks_for(tmp_path: Path, tool_shed: str) -> None:
    done = made(tmp_path / "iwc", tool_shed)
    assert done.returncode == 0, done.stderr
    host = urllib.parse.urlsplit(tool_shed).netloc
    for name in NAMES:
        folder = tmp_path / "iwc" / name
        workflow = json.loads((folder / f"{name}.ga").read_text())
        ours = [one for one in workflow["steps"].values() if "screader" in one.get("tool_id", "")]
        assert len(ours) >= 5
        for step in ours:
            held = step["tool_shed_repository"]
            assert held["changeset_revision"] == f"{len(held['name']):012x}"
            start = f"{host}/repos/{held['owner']}/{held['name']}/{held['name']}/"
            assert step["tool_id"] == start + step["tool_version"]
        for test in yaml.safe_load((folder / f"{name}-tests.yml").read_text()):
            inputs = [one for one in test["job"].values() if isinstance(one, dict)]
            files = [file for one in inputs for file in one.get("elements", [one])]
            assert files and all((folder / file["path"]).is_file() for file in files)
            assert all(".." not in file["path"] for file in files)
        entry = yaml.safe_load((folder / ".dockstore.yml").read_text())["workflows"][0]
        for path in (entry["primaryDescriptorPath"], *entry["testParameterFiles"]):
            assert (folder / path.lstrip("/")).is_file()
        assert entry["authors"][0]["url"].startswith("https://")
        readme = (folder / "README.md").read_text()
        assert all(f"**{step['label']}**" in readme for step in workflow["steps"].values())
        assert f"## [{workflow['release']}] - " in (folder / "CHANGELOG.md").read_text()


def test_a_tool_that_is_not_uploaded_ends_it(
    tmp_path: Path, tool_shed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ToolShed, "lacks", ("screader_gather",))
    done = made(tmp_path / "iwc", tool_shed)
    assert done.returncode == 1 and "no repository iuc/screader_gather yet" in done.stderr
    assert not (tmp_path / "iwc").exists()


@pytest.mark.parametrize("name", NAMES)
def test_steps_have_their_whole_state(name: str) -> None:
    """Each parameter outside of conditionals: what is missing, the editor tells as an issue."""
    steps = json.loads((FOLDER / f"workflows/{name}.ga").read_text())["steps"]
    for step in steps.values():
        if step.get("tool_id", "").startswith("screader_"):
            inputs = tool(step["tool_id"].removeprefix("screader_")).find("inputs")
            assert inputs is not None
            arguments = {one.get("name") or one.get("argument") or "" for one in inputs}
            wanted = {one.strip("-").replace("-", "_") for one in arguments} - {""}
            assert wanted <= set(json.loads(step["tool_state"])), step["label"]
