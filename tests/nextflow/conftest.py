"""Nextflow itself, with the tools of this environment or stand-ins of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine import Engine, stand_ins, tools_of_this_environment


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """Runs with tools that only make their outputs."""
    return Engine(tmp_path, str(stand_ins(tmp_path / "programs")))


@pytest.fixture
def real_engine(tmp_path: Path) -> Engine:
    """Runs with the tools of this environment."""
    return Engine(tmp_path, tools_of_this_environment())
