"""Public data kept beside the project; tests that need it are skipped where it is absent."""

from __future__ import annotations

from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "shared" / "data"


def real(name: str) -> Path:
    """The file, or a skipped test that says so."""
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"../shared/data/{name} is absent")
    return path
