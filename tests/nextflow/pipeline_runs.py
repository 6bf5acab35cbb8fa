"""Runs of the pipeline in the emulator, and what they leave."""

from __future__ import annotations

import subprocess
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from pipeline_files import PIPELINE


@dataclass(frozen=True)
class PipelineRuns:
    """Runs in ``folder``, the pipeline read as ``parser`` (v1, v2) reads it.

    ``mode`` plan starts no task, stub and run start Bash. ``more`` are words of the emulator:
    ``work`` and ``resume``, ``order`` in which tasks end (a seed), ``path`` of the tools.
    """

    emulator: list[str]
    folder: Path
    parser: str

    def __call__(self, *parameters: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._words(parameters, more),
            capture_output=True, text=True, check=False, cwd=self.folder,
        )  # fmt: skip

    def begin(self, *parameters: str, **more: str) -> subprocess.Popen[bytes]:
        """A run under way, the leader of its own process group."""
        words = self._words(parameters, more)
        silent = subprocess.DEVNULL
        return subprocess.Popen(
            words, cwd=self.folder, start_new_session=True, stdout=silent, stderr=silent
        )

    def _words(self, parameters: tuple[str, ...], more: dict[str, str]) -> list[str]:
        path = f"{sysconfig.get_path('scripts')}:{PIPELINE / 'bin'}:/usr/local/bin:/usr/bin:/bin"
        options = {"project": PIPELINE, "work": self.folder / "work", "mode": "plan", "path": path}
        options |= {"parser": self.parser, "profile": "test", **more}
        given = [f"--outdir={self.folder / 'out'}", *parameters]
        return [*self.emulator, "Run", *(f"{k}={v}" for k, v in options.items()), *given]


def published(folder: Path) -> dict[str, bytes]:
    """All files that a run published in ``folder``, by name."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}
