"""The page on GPUs tells the plans that the tools make."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_table_of_cards() -> None:
    rows = runpy.run_path(str(ROOT / "benchmarks" / "gpu_plans.py"))["rows"]()
    assert len(rows) > 15
    assert "\n".join(rows) in (ROOT / "docs" / "gpu.md").read_text("utf-8")
