"""The executables as processes of their own, away from the user's folders and keys."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SECRETS = ("NCBI_API_KEY", "NCBI_EMAIL", "OPENAI_API_KEY", "HF_TOKEN", "SCREADER_CACHE")


def command(tool: str, *words: object) -> list[str]:
    """The command line of a tool, whatever PATH is."""
    return [str(Path(sys.executable).with_name(tool)), *map(str, words)]


def environment(home: Path, **more: str) -> dict[str, str]:
    """The environment without keys, with a home of its own."""
    kept = {key: value for key, value in os.environ.items() if key not in SECRETS}
    return {**kept, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), **more}


def run(
    tool: str, *words: object, home: Path, stdin: bytes = b"", **more: str
) -> subprocess.CompletedProcess[bytes]:
    """Run a tool to its end."""
    settings: dict[str, Any] = {"capture_output": True, "timeout": 120}
    return subprocess.run(
        command(tool, *words), input=stdin, env=environment(home, **more), check=False, **settings
    )


def leaks(secret: str, folder: Path, *outputs: bytes) -> list[str]:
    """Where a secret is found: files below ``folder`` and texts."""
    needle = secret.encode()
    files = [str(f) for f in folder.rglob("*") if f.is_file() and needle in f.read_bytes()]
    return files + [f"output {n}" for n, output in enumerate(outputs) if needle in output]
