"""The report in a real browser: no complaint, no request, everything is drawn.

Debian's chromium is driven over its debugging pipe, for which no package is needed: messages are
JSON ended by a zero byte, on descriptors 3 and 4.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from figure_files import PANCREAS, Case, predictions, write_predictions

from screader_lib.figures.data.projection import principal_components
from screader_lib.figures.plots import umap_plot
from screader_lib.figures.report.report import Inputs, build

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on PATH: the report is not opened in a browser"
)
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--remote-debugging-pipe",
)
COMPLAINTS = (
    "Log.entryAdded",
    "Runtime.consoleAPICalled",
    "Runtime.exceptionThrown",
    "Page.javascriptDialogOpening",
)
HOSTILE = "<script>document.title = 'taken'; alert(1)</script>"
EXPRESSIONS = {
    "title": "document.title",
    "scripts": "document.scripts.length",
    "blank": "[...document.images].filter(image => !image.complete || !image.naturalWidth).length",
    "images": "document.images.length",
    "wider": "document.documentElement.scrollWidth - document.documentElement.clientWidth",
    "types": "[...document.querySelectorAll('#types ~ div th')].map(cell => cell.textContent)",
    "lost": "[...document.querySelectorAll('nav a')].filter("
    "link => !document.getElementById(link.hash.slice(1))).length",
}


@dataclass
class Visit:
    """What the browser reports of a page."""

    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)


class Browser:
    """One chromium and its two pipes."""

    def __init__(self, reading: int, writing: int) -> None:
        self.reading = os.fdopen(reading, "rb")
        self.writing = writing
        self.number = 0
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """The result of a command; messages that come meanwhile go to ``events``."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        message |= {"sessionId": session} if session else {}
        os.write(self.writing, json.dumps(message).encode() + b"\0")
        while (answer := self.next_message()).get("id") != self.number:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def next_message(self) -> dict[str, Any]:
        letters = bytearray()
        while (letter := self.reading.read(1)) != b"\0":
            assert letter, "the browser ended"
            letters += letter
        return json.loads(letters)

    def visit(self, page: Path) -> Visit:
        """Open ``page`` and evaluate ``EXPRESSIONS`` in it."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Network", "Page", "Runtime", "Log"):
            self.call(f"{domain}.enable", session)
        self.events.clear()
        self.call("Page.navigate", session, url=page.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self.next_message())
        visit = Visit()
        for name, expression in EXPRESSIONS.items():
            parameters = {"expression": expression, "returnByValue": True}
            result = self.call("Runtime.evaluate", session, **parameters)
            visit.values[name] = result["result"].get("value")
        for event in self.events:
            if event["method"] == "Network.requestWillBeSent":
                visit.requests.append(event["params"]["request"]["url"])
            if event["method"] in COMPLAINTS:
                visit.complaints.append(json.dumps(event["params"]))
        return visit


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    assert CHROMIUM is not None
    in_read, in_write = os.pipe()
    out_read, out_write = os.pipe()
    # bash (dash knows no descriptors above 9) puts the pipes where the browser looks for them.
    command = f'exec "$0" "$@" 3<&{in_read} 4>&{out_write}'
    process = subprocess.Popen(
        ["bash", "-c", command, CHROMIUM, *OPTIONS, f"--user-data-dir={profile}"],
        pass_fds=(in_read, out_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(in_read)
    os.close(out_write)
    result = Browser(out_read, in_write)
    try:
        yield result
        result.call("Browser.close")
        process.wait(20)
    finally:
        process.kill()
        process.wait()
        result.reading.close()
        os.close(in_write)


def test_report_with_a_hostile_type_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_predictions(tmp_path / "p.h5ad", Case(types=(HOSTILE, *PANCREAS[1:]), cells=80))
    monkeypatch.setattr(umap_plot, "project", lambda vectors, *_: principal_components(vectors, 2))
    with predictions(path) as one:
        page = build(Inputs(one), title="a report")
    (tmp_path / "report.html").write_text(page, "utf-8")
    with browser(tmp_path / "profile") as opened:
        visit = opened.visit(tmp_path / "report.html")
    first, *others = visit.requests
    assert first.startswith("file:") and first.endswith("/report.html")
    assert [url for url in others if not url.startswith("data:")] == []
    assert visit.complaints == []
    assert visit.values["images"] >= 4
    assert visit.values["blank"] == visit.values["wider"] == visit.values["lost"] == 0
    assert (visit.values["title"], visit.values["scripts"]) == ("a report", 0)
    assert HOSTILE in visit.values["types"]
