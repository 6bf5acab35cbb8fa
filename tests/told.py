"""A reporter whose messages a test reads."""

from __future__ import annotations

from screader_lib.reporting import Reporter


class RecordingReporter(Reporter):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.warnings: list[str] = []

    def say(self, message: str) -> None:
        self.lines.append(message)

    def warn(self, message: str) -> None:
        self.warnings.append(message)
