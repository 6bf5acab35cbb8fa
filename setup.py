"""What pyproject.toml cannot say: the README's links lead to the repository from everywhere."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent
RELATIVE = re.compile(r"\]\((?!https?:|mailto:|#)([^)\s]+)\)")


def readme() -> str:
    """README.md with its relative links as those of this version in the repository."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    source = (ROOT / "screader_lib" / "__init__.py").read_text("utf-8")
    version = re.findall(r'^__version__ = "(.+)"$', source, re.MULTILINE)[0]
    at = f"{project['urls']['Repository']}/blob/v{version}"
    return RELATIVE.sub(rf"]({at}/\1)", (ROOT / "README.md").read_text("utf-8"))


setup(long_description=readme(), long_description_content_type="text/markdown")
