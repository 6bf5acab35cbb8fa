"""What every source of gene facts offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from screader_lib.genes.catalog import Catalog


class GeneSource(ABC):
    """Gives the genes that it knows.

    ``name`` is what users call it; ``provides`` names the fields it can fill; ``files`` are the
    files read, by role, for the provenance.
    """

    name: str
    provides: tuple[str, ...]

    @property
    def files(self) -> Mapping[str, Path]:
        """Files read, by role."""
        return {}

    @abstractmethod
    def catalog(self, names: Sequence[str], gene_ids: Sequence[str]) -> Catalog:
        """Genes among which ``names`` are to be found, and those with the NCBI ``gene_ids``.

        A source that has all genes at hand may return all of them. ScReaderError where it
        cannot answer.
        """
