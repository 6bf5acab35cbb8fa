"""Processes started by ``accelerate launch`` or ``torchrun``.

All of them run the same command on the same files and share its work; only the first one writes
output and messages.
"""

from __future__ import annotations

import os

VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def process_count() -> int:
    """Number of processes; 1 unless a launcher has started several."""
    if not all(os.environ.get(name) for name in VARIABLES):
        return 1
    return int(os.environ["WORLD_SIZE"])


def process_index() -> int:
    """Index of this process, from 0."""
    return int(os.environ["RANK"]) if process_count() > 1 else 0


def is_worker() -> bool:
    """Whether another process writes output and messages."""
    return process_index() > 0
