"""Expression from h5 files of 10x Genomics, of versions 2 and 3.

Features that are not genes (antibodies, guides) are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import h5py

from screader_lib.cells.formats.expression import (
    DEFAULTS,
    CompressedRows,
    Expression,
    ReadOptions,
    Span,
    refuse_layer,
)
from screader_lib.errors import ScReaderError
from screader_lib.exchange.encoding import read_strings
from screader_lib.exchange.table import Column, LazyTable, Table, stored_column, strings

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


class TenxH5Expression(Expression):
    """A 10x h5: version 3 (group ``matrix``) or 2 (one group per genome).

    10x stores genes × cells by columns, which is cells × genes by rows: streamed as it is.
    """

    format = "10x h5"

    def __init__(self, file: h5py.File, name: str, wanted: ReadOptions = DEFAULTS) -> None:
        self.name = name
        refuse_layer(wanted.layer, name)
        group = _group_of(file, name, wanted.genome)
        features = group.get("features", group)
        names = "name" if "name" in features else "gene_names"
        if names not in features:
            raise ScReaderError(f"{features.name} has no {names}.", file=name)
        columns: dict[str, Column] = {}
        for column, spelt in (("gene_ids", ("id", "genes")), ("genome", ("genome",))):
            key = next((key for key in spelt if isinstance(features.get(key), h5py.Dataset)), None)
            if key is not None:
                columns[column] = read_strings(features[key])
        table = Table(read_strings(features[names]), columns)
        if "genome" not in columns and group.name != "/matrix":  # version 2 names it so
            columns["genome"] = strings([str(group.name).strip("/")] * len(table))
        self.obs = LazyTable(stored_column(group["barcodes"]))
        self.rows = CompressedRows(group, len(self.obs), len(table), name)
        kinds = read_strings(features["feature_type"]) if "feature_type" in features else None
        self.set_features(table, kinds)

    def spans(self) -> Sequence[Span]:
        return self.rows.spans()

    def read_features(self, start: int, stop: int) -> csr_matrix:
        return self.rows.read(start, stop)


def _group_of(file: h5py.File, name: str, genome: str | None) -> h5py.Group:
    """The group with the matrix, of version 2 one for each genome; ScReaderError for several."""
    groups = {key: group for key, group in file.items() if isinstance(group, h5py.Group)}
    groups = {key: group for key, group in groups.items() if "barcodes" in group}
    if len(groups) == 1:
        return next(iter(groups.values()))
    if genome in groups:
        return groups[genome]
    listed = ", ".join(groups)
    problem = (
        f"has matrices of several genomes: {listed}."
        if genome is None
        else (f"has no matrix of {genome}.")
    )
    remedy = "Name one with --genome." if genome is None else f"It has: {listed}."
    raise ScReaderError(problem, file=name, remedy=remedy)
