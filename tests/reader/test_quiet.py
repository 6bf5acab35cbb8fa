"""Libraries' own progress bars do not get among the tools' messages."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["prediction", "methods", "cross_validation", "llm"])
def test_no_bars_whichever_module_comes_first(module: str) -> None:
    code = f"""
import importlib
importlib.import_module("screader_lib.reader.{module}")
import torch, transformers
from tqdm.auto import tqdm
list(tqdm(range(3)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "3/3" not in done.stderr, done.stderr
