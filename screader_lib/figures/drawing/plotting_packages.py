"""The plotting packages, imported where a picture is made.

umap-learn with its compiled code kept between runs.

umap-learn compiles its functions anew in every process, which takes longer than most pictures;
numba keeps what it has compiled where a function asks for it.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from screader_lib.errors import ScReaderError


def need(module: str) -> Any:
    """Import ``module`` of an optional package.

    ScReaderError with the command that installs it where it is missing.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        package = str(error.name or module).partition(".")[0]
        raise ScReaderError(
            f"this picture needs the Python package {package!r}.",
            remedy="Install it with: pip install 'screader-suite[plots]'",
        ) from error


def umap() -> Any:
    """The module; ScReaderError where it is missing.

    What it compiles goes to numba's cache (``NUMBA_CACHE_DIR``, otherwise beside the sources or in
    the user's own cache), as that of pynndescent, which it uses, does by itself.
    """
    numba = need("numba")
    plain = numba.njit

    def kept(*arguments: Any, **options: Any) -> Callable[..., Any]:
        return plain(*arguments, **{"cache": True, **options})

    numba.njit = kept
    try:
        return need("umap")
    finally:
        numba.njit = plain
