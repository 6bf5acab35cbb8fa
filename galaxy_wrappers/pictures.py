"""Screenshots of tools' forms, workflows' histories and reports, by Chromium without a window."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WAIT = 25_000  # milliseconds of the page's own time


def take(server: Any, place: str, target: Path, height: int) -> None:
    """The page at ``place`` of the server, as PNG."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise RuntimeError("screenshots need Chromium.")
    words = [
        browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
        f"--user-data-dir={server.run / 'browser'}", f"--window-size=1400,{height}",
        f"--virtual-time-budget={WAIT}", f"--screenshot={target}", f"{server.url}/{place}",
    ]  # fmt: skip
    quiet = subprocess.DEVNULL
    subprocess.run(words, stdout=quiet, stderr=quiet, timeout=180, check=True)


def take_forms(server: Any, names: list[str], folder: Path) -> None:
    """A picture of each tool's form."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        take(server, f"?tool_id=screader_{name}&version=latest", folder / f"{name}.png", 1500)


def take_history(server: Any, invocation: dict[str, Any], target: Path) -> None:
    """A picture of the history that a workflow ran in; it is published for that on this server."""
    history = invocation["history_id"]
    server.call(f"histories/{history}", {"published": True, "importable": True}, "PUT")
    take(server, f"published/history?id={history}", target, 1500)


def take_report(server: Any, dataset: str, target: Path) -> None:
    """A picture of an HTML report as Galaxy shows it to its user."""
    take(server, f"datasets/{dataset}/preview", target, 1500)
