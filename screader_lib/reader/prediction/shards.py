"""The share of the cells that one of several runs of predict calls.

Cells are called in blocks; a shard is a run of whole blocks, so that each cell is in the same
company as in a run over all, and its numbers are the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

BLOCK = 1024  # cells that are called, kept and taken up together


def blocks(cells: int) -> Iterator[slice]:
    """Places of each block of ``cells`` cells."""
    for start in range(0, cells, BLOCK):
        yield slice(start, min(cells, start + BLOCK))


@dataclass(frozen=True)
class Shard:
    """Shard ``number`` of ``count``, from 1."""

    number: int
    count: int

    def part(self, cells: int) -> slice:
        """Which of ``cells`` cells, those that are called in all, it holds; perhaps none."""
        total = len(range(0, cells, BLOCK))
        first, last = (
            -(-number * total // self.count) for number in (self.number - 1, self.number)
        )
        return slice(min(cells, first * BLOCK), min(cells, last * BLOCK))

    def to_json(self, cells: int) -> dict[str, Any]:
        """For the file: also where it begins and how many ``cells`` are called in all."""
        return {**asdict(self), "start": self.part(cells).start, "cells": cells}


def of_shard(rows: np.ndarray, shard: Shard | None) -> np.ndarray:
    """Those of ``rows`` int64 that ``shard`` calls; None: all."""
    return rows if shard is None else rows[shard.part(len(rows))]
