"""A reporter whose messages a test can read."""

from __future__ import annotations

from screader_lib.reporting import Reporter


class RecordingReporter(Reporter):
    """Records every message and every warning."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.warnings: list[str] = []

    def info(self, message: str) -> None:
        self.messages.append(message)

    def warning(self, message: str) -> None:
        self.warnings.append(message)
