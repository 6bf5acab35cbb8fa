"""Expression from 10x Genomics files: h5 of versions 2 and 3, and mtx folders.

Features that are not genes (antibodies, guides) are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import h5py

from screader_lib.cells.formats.expression import USUAL, CompressedRows, Expression, Span, Wanted
from screader_lib.cells.formats.transpose import MatrixMarket
from screader_lib.errors import ScReaderError
from screader_lib.exchange.encoding import read_strings
from screader_lib.exchange.table import LazyTable, Table, stored_column, strings
from screader_lib.genes.text_files import find_file, read_features, read_rows

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


class _TenxExpression(Expression):
    """``rows`` of all features."""

    rows: CompressedRows | MatrixMarket

    def spans(self) -> Sequence[Span]:
        return self.rows.spans()

    def read_features(self, start: int, stop: int) -> csr_matrix:
        return self.rows.read(start, stop)


class TenxH5Expression(_TenxExpression):
    """A 10x h5: version 3 (group ``matrix``) or 2 (one group per genome, one genome only).

    10x stores genes × cells by columns, which is cells × genes by rows: streamed as it is.
    """

    format = "10x h5"

    def __init__(self, file: h5py.File, name: str, wanted: Wanted = USUAL) -> None:
        self.name = name
        _refuse_layer(wanted.layer, name)
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


class TenxMtxExpression(_TenxExpression):
    """A folder with matrix.mtx, barcodes.tsv and features.tsv or genes.tsv, gzipped or not."""

    format = "10x folder"

    def __init__(self, folder: Path, name: str, wanted: Wanted = USUAL) -> None:
        self.name = name
        _refuse_layer(wanted.layer, name)
        features = read_features(folder, name)
        ids = strings(feature.id for feature in features)
        table = Table(strings(feature.name for feature in features), {"gene_ids": ids})
        self.set_features(table, strings(feature.kind for feature in features))
        if wanted.genes_only:
            return
        matrix = find_file(folder, name, "matrix.mtx")
        barcodes = read_rows(find_file(folder, name, "barcodes.tsv"))
        self.obs = LazyTable.of(Table(strings(row[0] for row in barcodes)))
        self.rows = MatrixMarket(matrix, len(self.obs), len(table))


def _refuse_layer(layer: str | None, name: str) -> None:
    if layer is not None:
        raise ScReaderError(
            f"has no matrix {layer}: 10x files have one matrix.",
            file=name,
            remedy="Leave --layer out.",
        )
