"""What umap-learn compiles is kept between runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import numba
from screader_lib.figures.compiled import umap
plain = numba.njit
module = umap()
assert numba.njit is plain
for name in ("smooth_knn_dist", "compute_membership_strengths", "fast_knn_indices"):
    print(getattr(module.umap_, name).stats.cache_path)
"""


def test_its_functions_have_a_place_in_the_cache(tmp_path: Path) -> None:
    told = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    words = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(words, env=told, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    places = done.stdout.split()
    assert len(places) == 3 and all(place.startswith(str(tmp_path)) for place in places)
