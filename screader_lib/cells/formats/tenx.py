"""Expression from h5 files of 10x Genomics, of versions 2 and 3.

Features that are not genes (antibodies, guides) are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import h5py

from screader_lib.cells.formats.expression import (
    USUAL,
    CompressedRows,
    Expression,
    Span,
    Wanted,
    refuse_layer,
)
from screader_lib.errors import ScReaderError
from screader_lib.exchange.encoding import read_strings
from screader_lib.exchange.table import LazyTable, Table, stored_column

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


class TenxH5Expression(Expression):
    """A 10x h5: version 3 (group ``matrix``) or 2 (one group per genome, one genome only).

    10x stores genes × cells by columns, which is cells × genes by rows: streamed as it is.
    """

    format = "10x h5"

    def __init__(self, file: h5py.File, name: str, wanted: Wanted = USUAL) -> None:
        self.name = name
        refuse_layer(wanted.layer, name)
        groups = [entry for entry in file.values() if isinstance(entry, h5py.Group)]
        groups = [group for group in groups if "barcodes" in group]
        if len(groups) != 1:
            raise ScReaderError(
                f"holds {len(groups)} genomes; expected one.", file=name, remedy="Split it."
            )
        group = groups[0]
        features = group.get("features", group)
        names = "name" if "name" in features else "gene_names"
        ids = "id" if "id" in features else "genes"
        if names not in features or ids not in features:
            raise ScReaderError(f"{features.name} has no {names} or no {ids}.", file=name)
        table = Table(read_strings(features[names]), {"gene_ids": read_strings(features[ids])})
        self.obs = LazyTable(stored_column(group["barcodes"]))
        self.rows = CompressedRows(group, len(self.obs), len(table), name)
        kinds = read_strings(features["feature_type"]) if "feature_type" in features else None
        self.set_features(table, kinds)

    def spans(self) -> Sequence[Span]:
        return self.rows.spans()

    def read_features(self, start: int, stop: int) -> csr_matrix:
        return self.rows.read(start, stop)
