"""The figures that benchmarks/figures.py draws from tables: all rows are there, as measured."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from screader_lib.figures.drawing.canvas import Style

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "figures.py"


@pytest.fixture(scope="module")
def figures() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_figures", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPT.parent)
        spec.loader.exec_module(module)
    return module


def test_every_method_of_the_paper_is_drawn_where_its_table_says(figures: ModuleType) -> None:
    rows = list(figures.recipes(Style()).data.rows)
    text = (SCRIPT.parent / "paper.md").read_text("utf-8")
    for data, method, measure, mean, least, most in rows:
        assert 0 <= least <= mean <= most <= 1
        assert f"| {method} |" in text and f"{mean:.3f}" in text and f"| {data} |" in text
        assert measure in ("accuracy", "macro F1")
    lines = [line for line in text.splitlines() if line.startswith("| ") and ") |" in line]
    assert {"Baron human", "sorted blood"} <= {row[0] for row in rows}
    assert len(rows) >= 2 * len(lines) > 0


def test_every_left_out_type_is_drawn_where_its_table_says(figures: ModuleType) -> None:
    picture = figures.left_out(Style(width=7.0))
    rows = {row[:3]: row[3] for row in picture.data.rows}
    by_familiarity = "left out, by familiarity"
    assert rows["Sorted blood cells", "CD56+ NK", by_familiarity] == 0.03
    assert rows["Baron human", "beta", "left out, by evidence alone"] == 0.81
    assert rows["Blood cells of three chemistries", "T_CD8", "known types, by familiarity"] == 0.07
    titles = [axis.get_title(loc="left") for axis in picture.figure.axes]
    assert titles == [
        "Sorted blood cells",
        "Baron human",
        "Baron mouse",
        "Blood cells of three chemistries",
    ]
