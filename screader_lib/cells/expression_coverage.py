"""How much of the expression some genes hold, of each input and of all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from screader_lib.cells.normalisation import TARGET_SUM
from screader_lib.errors import ScReaderError


class ExpressionCoverage:
    """Adds up normalised values by input; ``names`` are those of the inputs."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self._held = np.zeros(len(names))
        self._all = np.zeros(len(names))

    def add(self, number: int, held: float, totals: np.ndarray) -> None:
        """Cells of input ``number``: ``held`` of their normalised values; ``totals`` (cells,)."""
        self._held[number] += held
        self._all[number] += np.count_nonzero(totals) * TARGET_SUM

    @property
    def by_input(self) -> dict[str, float]:
        """Share of each input in which anything is expressed."""
        return {
            name: held / everything
            for name, held, everything in zip(self.names, self._held, self._all, strict=True)
            if everything
        }

    def __str__(self) -> str:
        """Such as ``61.0% (a.h5ad 98.2%, b.h5ad 40.1%)``."""
        whole = f"{self._held.sum() / max(self._all.sum(), 1e-9):.1%}"
        if len(self.names) == 1:
            return whole
        parts = ", ".join(f"{name} {share:.1%}" for name, share in self.by_input.items())
        return f"{whole} ({parts or 'nothing is expressed'})"

    def check(self, least: float) -> None:
        """ScReaderError where an input's genes hold less than ``least``, or nothing is seen."""
        if not self.by_input:
            raise ScReaderError(
                "the chosen cells express nothing: all values are 0.", file=self.names[0]
            )
        for name, share in self.by_input.items():
            if share < least:
                raise ScReaderError(
                    f"the genes that have an embedding hold only {share:.1%} of the expression "
                    f"(--min-mapped wants {least:.0%}).",
                    file=name,
                    remedy="Are the embeddings of this species, and is --gene-column right?",
                )
