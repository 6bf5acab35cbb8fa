"""The lines that pages tell to type run, on small files of the names that the pages use.

With PAGES=all alone (``make test-pages``), as they take two minutes.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from page_commands import Line, run_line
from page_files import vectors_of_words, write_inputs
from test_commands_on_pages import LINES, why_not_run

from screader_lib.figures.data import projection
from screader_lib.genes.providers.local_models import PackagedMiniLM

SMALLER = {  # so that 120 cells of the pancreas and a tiny LLM do, in a moment
    r"--llm-layers 2": "--llm llm --llm-layers 2 --warm-start-epochs 1 --epochs 1",
    r"\btrain-reader(?!.*(--method|--llm))": "train-reader --method pooled",
    r"--method pooled": "--method pooled --warm-start-epochs 2",
    r"\btrain-reader(?!.*(--group-by|--folds|--calibrate-on))": "train-reader --calibrate-on cells",
    r"--folds 10": "--folds 2",
    r"^prepare-cells": "prepare-cells --min-genes 20 --components 5",
    r"-r human-blood": "-r human-blood --force",
    r"--target-precision 0\.\d+": "--target-precision 0.5",
    r"--gene PRSS1": "--gene KRT19",
    r"(?<= )/(data|models|tmp)/": r"\1/",
}
EACH = {  # of what is done to each of several: the part that stands for all, and their number
    "part-3": ("3/8", "{}/2", 2),
    "of-fold-2": ("--fold 2", "--fold {}", 3),
}
RUN = {
    page: run
    for page, lines in LINES.items()
    if (run := [line.text for line in lines if not why_not_run(page, line)])
}


def quick(text: str) -> list[str]:
    """The line with what makes it quick, for each of the parts or donors that it stands for."""
    for pattern, instead in SMALLER.items():
        text = re.sub(pattern, instead, text)
    for name, (part, instead, count) in EACH.items():
        if name in text:
            return [
                text.replace(part, instead.format(number)).replace(name, f"{name[:-1]}{number}")
                for number in range(1, count + 1)
            ]
    return [text]


@pytest.fixture(scope="module")
def made(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of inputs; while it is used, neither texts nor cells take a model's time."""
    with (
        mock.patch.object(PackagedMiniLM, "embed", vectors_of_words),
        mock.patch.object(projection, "_fitted", lambda components, *_: components[:, :2]),
    ):
        yield write_inputs(tmp_path_factory.mktemp("made"), llama)


@pytest.mark.slow
@pytest.mark.skipif(os.environ.get("PAGES") != "all", reason="make test-pages runs them")
@pytest.mark.parametrize("page", RUN)
def test_each_line_of_a_page_runs(made: Path, page: str, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    for text in dict.fromkeys(one for line in RUN[page] for one in quick(line)):
        run_line(Line.of(text), tmp_path)
