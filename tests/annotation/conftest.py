"""A small reader that annotates."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_files import succeed, write_cells


@pytest.fixture(scope="session")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Method pooled, three labels, forty genes."""
    folder = tmp_path_factory.mktemp("reader")
    cells = write_cells(folder)
    options = ["--method", "pooled", "--warm-start-epochs", 3, "--calibrate-on", "cells"]
    succeed("train-reader", cells, *options, "-o", folder / "reader.h5")
    return folder / "reader.h5"
