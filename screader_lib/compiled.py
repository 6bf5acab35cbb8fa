"""Functions that numba compiles, kept between runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any


@contextmanager
def cached_between_runs() -> Iterator[None]:
    """Whatever is imported meanwhile caches the functions that numba compiles for it.

    umap-learn by itself compiles them anew in every process, which takes longer than most figures.
    The cache is numba's (``NUMBA_CACHE_DIR``, else beside the sources or in the user's cache
    folder).
    """
    numba: Any = import_module("numba")
    njit = numba.njit

    def cached_njit(*arguments: Any, **options: Any) -> Callable[..., Any]:
        return njit(*arguments, **{"cache": True, **options})

    numba.njit = cached_njit
    try:
        yield
    finally:
        numba.njit = njit
