"""What an earlier run added to an AnnData, which a new run keeps under other names."""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from dataclasses import dataclass

from screader_lib.exchange.provenance import GROUP
from screader_lib.reporting import Reporter

OWN_COLUMNS = re.compile(r"screader_(?!.*_previous(_\d+)?$).*", re.DOTALL)
VECTORS = "X_screader"


@dataclass(frozen=True)
class EarlierRun:
    """What an earlier run added: columns of obs, names in obsm and uns, and their new ``suffix``.

    None of the names has this suffix yet.
    """

    columns: list[str]
    vectors: list[str]
    uns: list[str]
    suffix: str

    @classmethod
    def of(
        cls,
        present: Sequence[str],
        obsm: Container[str],
        uns: Container[str],
        columns: Sequence[str],
        vectors: Sequence[str],
    ) -> EarlierRun:
        """Of an AnnData with the columns ``present``; a run adds ``columns`` and ``vectors``."""
        old_columns = [name for name in present if OWN_COLUMNS.fullmatch(name) or name in columns]
        old_vectors = [name for name in {VECTORS: None, **dict.fromkeys(vectors)} if name in obsm]
        old_uns = [GROUP] if GROUP in uns else []
        number, suffix = 1, "_previous"
        while (
            {name + suffix for name in old_columns} & set(present)
            or any(name + suffix in obsm for name in old_vectors)
            or any(name + suffix in uns for name in old_uns)
        ):
            number += 1
            suffix = f"_previous_{number}"
        return cls(old_columns, old_vectors, old_uns, suffix)

    def report(self, reporter: Reporter) -> None:
        """Say what is kept, if anything is."""
        if self.columns or self.vectors:
            reporter.info(
                f"calls of an earlier run are kept, with the suffix {self.suffix}: "
                f"{', '.join(self.columns + self.vectors)}."
            )
