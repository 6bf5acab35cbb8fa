"""The report in a real browser: it renders without a complaint, and a hostile name is text."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from figure_files import PANCREAS, Case, predictions, write_predictions

from screader_lib.figures.data.projection import principal_components
from screader_lib.figures.plots import umap_plot
from screader_lib.figures.report.report import ReportInputs, build

CHROMIUM = shutil.which("chromium")
HOSTILE = "<script>document.title = 'taken'</script>"


def rendered(page: Path, profile: Path) -> tuple[str, list[str]]:
    """The document as the browser holds it, and its console messages.

    The page's content security policy makes every request and script a console message.
    """
    assert CHROMIUM is not None
    command = [
        CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
        f"--user-data-dir={profile}", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout, re.findall(r"CONSOLE.*", done.stderr)


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH")
def test_report_with_a_hostile_type_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_predictions(tmp_path / "p.h5ad", Case(types=(HOSTILE, *PANCREAS[1:]), cells=80))
    monkeypatch.setattr(umap_plot, "project", lambda vectors, *_: principal_components(vectors, 2))
    with predictions(path) as one:
        page = build(ReportInputs(one), title="a report")
    file = tmp_path / "report.html"
    file.write_text(page, "utf-8")
    document, messages = rendered(file, tmp_path / "profile")
    assert messages == []
    assert "<title>a report</title>" in document and "<script" not in document
    assert html.escape(HOSTILE, quote=False) in document
    file.write_text(page.replace("<main>", f"<main>{HOSTILE}<img src='http://bad.example/x'>"))
    document, messages = rendered(file, tmp_path / "profile")
    assert "<title>a report</title>" in document
    assert len(messages) == 2  # the policy holds back the script and the image
