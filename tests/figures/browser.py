"""A page opened in Debian's chromium without a window, over its debugging pipe.

No package is needed for it: messages are JSON ended by a zero byte, on descriptors 3 and 4.
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

CHROMIUM = shutil.which("chromium")
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--remote-debugging-pipe",
)


@dataclass
class Seen:
    """What the browser told of a page: requests, console messages, failures, size, tree."""

    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)


class Browser:
    """One chromium, spoken to through two pipes."""

    def __init__(self, reading: int, writing: int) -> None:
        self.reading = os.fdopen(reading, "rb")
        self.writing = writing
        self.number = 0
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """The result of a command; what is told meanwhile goes to ``events``."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        message |= {"sessionId": session} if session else {}
        os.write(self.writing, json.dumps(message).encode() + b"\0")
        while (found := self.listen()).get("id") != self.number:
            self.events.append(found)
        assert "error" not in found, found
        return found["result"]

    def listen(self) -> dict[str, Any]:
        """The next message."""
        letters = bytearray()
        while (letter := self.reading.read(1)) != b"\0":
            assert letter, "the browser ended"
            letters += letter
        return json.loads(letters)


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A browser with its profile in ``folder``."""
    assert CHROMIUM is not None
    in_read, in_write = os.pipe()
    out_read, out_write = os.pipe()
    # The shell (dash knows no descriptors above 9) puts the pipes where the browser looks for them.
    command = f'exec "$0" "$@" 3<&{in_read} 4>&{out_write}'
    process = subprocess.Popen(
        ["bash", "-c", command, CHROMIUM, *OPTIONS, f"--user-data-dir={folder}"],
        pass_fds=(in_read, out_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(in_read)
    os.close(out_write)
    speaker = Browser(out_read, in_write)
    try:
        yield speaker
        speaker.call("Browser.close")
        process.wait(20)
    finally:
        process.kill()
        process.wait()
        speaker.reading.close()
        os.close(in_write)


def look(speaker: Browser, page: Path, expressions: dict[str, str]) -> Seen:
    """Open ``page`` and evaluate ``expressions`` (name → JavaScript) in it."""
    target = speaker.call("Target.createTarget", url="about:blank")["targetId"]
    attached = speaker.call("Target.attachToTarget", targetId=target, flatten=True)
    session = attached["sessionId"]
    for domain in ("Network", "Page", "Runtime", "Log"):
        speaker.call(f"{domain}.enable", session)
    speaker.events.clear()
    speaker.call("Page.navigate", session, url=page.as_uri())
    while not any(event["method"] == "Page.loadEventFired" for event in speaker.events):
        speaker.events.append(speaker.listen())
    seen = Seen()
    for name, expression in expressions.items():
        result = speaker.call(
            "Runtime.evaluate", session, expression=expression, returnByValue=True
        )
        seen.values[name] = result["result"].get("value")
    for event in speaker.events:
        if event["method"] == "Network.requestWillBeSent":
            seen.requests.append(event["params"]["request"]["url"])
        if event["method"] in COMPLAINTS:
            seen.complaints.append(json.dumps(event["params"]))
    return seen


COMPLAINTS = (
    "Log.entryAdded",
    "Runtime.consoleAPICalled",
    "Runtime.exceptionThrown",
    "Page.javascriptDialogOpening",
)
