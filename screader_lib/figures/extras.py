"""The plotting packages, imported where a picture is made."""

from __future__ import annotations

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
