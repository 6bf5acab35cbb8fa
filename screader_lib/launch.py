"""Whether this process is one of several that ``accelerate launch`` (or torchrun) has started.

All of them run the same command on the same files and share its work; the first one writes and
speaks for all.
"""

from __future__ import annotations

import os

NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def process_count() -> int:
    """How many processes there are; 1 unless a launcher has said more."""
    if not all(os.environ.get(name) for name in NEEDED):
        return 1
    return int(os.environ["WORLD_SIZE"])


def process_index() -> int:
    """This process's number, from 0."""
    return int(os.environ["RANK"]) if process_count() > 1 else 0


def is_worker() -> bool:
    """Whether another process writes and speaks."""
    return process_index() > 0
