"""An h5ad with calls, of inputs that are none, or of several: the matrix by rows, obs and var.

Cells of several inputs come one after the other, as in ``build-cells``. Genes are those of all
inputs, the same where their ids or else their names are; a gene that an input lacks is 0 there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

from screader_lib.annotation.annotated_file import add_calls, check_written
from screader_lib.annotation.calls import Calls
from screader_lib.cells.formats.expression import Expression
from screader_lib.cells.obs.columns import (
    concatenated,
    duplicate_names,
    hashes_of,
    joined,
    may_repeat,
    renamed_cells,
)
from screader_lib.cells.obs.labels import is_known
from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding, safety, writing
from screader_lib.exchange.chunks import RowAppender
from screader_lib.exchange.provenance import Provenance
from screader_lib.exchange.table import LazyTable, Table, as_strings
from screader_lib.reporting import SILENT, Reporter, counted

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

ID_COLUMN = "gene_ids"
INDEX = "_index"  # AnnData's name of an index that has none
Gene = tuple[str, str]  # its id or, without one, its name
VALUES_PER_CHUNK = 1 << 17


def cells_of(sources: Sequence[Expression]) -> LazyTable:
    """obs of all cells of the inputs, with the names that they have in the new file."""
    table = concatenated([(source.name, source.obs) for source in sources])
    index = table.index
    if may_repeat(index):
        index = renamed_cells(index, duplicate_names(index, hashes_of(index)))
    columns = {
        f"{name}_input" if name == INDEX else name: column for name, column in table.columns.items()
    }
    return replace(table, index=index, columns=columns, index_name=INDEX)


def write_new(
    sources: Sequence[Expression],
    output: str | Path,
    calls: Calls,
    provenance: Provenance,
    *,
    reporter: Reporter = SILENT,
) -> None:
    """Write ``output``, an h5ad of the cells of ``sources``, with ``calls`` of them in it.

    Values are exactly those that the inputs store. ScReaderError where an input is damaged or has
    another number of cells than the calls.
    """
    obs = cells_of(sources)
    if len(obs) != calls.cells:
        raise ScReaderError(
            f"has {len(obs):,} cells, but there are calls of {calls.cells:,}.",
            file=sources[0].name if len(sources) == 1 else "the inputs",
        )
    var, column_of = _all_genes(sources)
    absent = sum(len(columns) < len(var) for columns in column_of)
    if absent:
        reporter.info(
            f"the inputs have {counted(len(var), 'gene')} together; those that an input lacks are "
            "0 in its cells."
        )
    for source in sources:
        lost = " and ".join(filter(None, (source.left_out, source.others)))
        if lost:
            reporter.info(f"{source.name}: the new h5ad does not have its {lost}.")
    with writing.replacing(output) as temporary:
        with writing.new_file(temporary) as file:
            _write_matrix(file, sources, column_of, len(var), reporter)
            encoding.begin_anndata(file, obs, var)
            add_calls(file, calls, provenance, reporter)
        check_written(temporary, calls)


def _all_genes(sources: Sequence[Expression]) -> tuple[Table, list[np.ndarray]]:
    """The genes of all inputs, and for each input's genes their place among these, int64."""
    have_ids = all(ID_COLUMN in source.genes.columns for source in sources)
    place: dict[tuple[Gene, int], int] = {}
    tables, column_of = [], []
    for source in sources:
        ids = as_strings(source.genes.columns[ID_COLUMN]) if have_ids else source.genes.index
        # A gene without an id is known by its name.
        genes = [(one, "") if is_known(one) else ("", name)
                 for one, name in zip(ids, source.genes.index, strict=True)]  # fmt: skip
        keys = list(_numbered(genes))
        new = np.array([key not in place for key in keys], bool)
        for key in keys:
            place.setdefault(key, len(place))
        column_of.append(np.array([place[key] for key in keys], np.int64))
        tables.append((source.name, LazyTable.of(source.genes.take(np.flatnonzero(new)))))
    var = joined(tables).load()
    columns = {f"{n}_input" if n == INDEX else n: column for n, column in var.columns.items()}
    return Table(var.index, columns, INDEX), column_of


def _numbered(genes: Sequence[Gene]) -> Iterator[tuple[Gene, int]]:
    """Each gene with how often it came before: one that is there twice is two genes."""
    seen: Counter[Gene] = Counter()
    for gene in genes:
        yield gene, seen[gene]
        seen[gene] += 1


def _write_matrix(
    file: h5py.File,
    sources: Sequence[Expression],
    column_of: Sequence[np.ndarray],
    genes: int,
    reporter: Reporter,
) -> None:
    """X, a CSR matrix, in blocks of cells."""
    cells = sum(len(source.obs) for source in sources)
    dtype = np.result_type(*(source.read(*source.spans()[0]).dtype for source in sources))
    group = file.create_group("X")
    group.attrs["encoding-type"], group.attrs["encoding-version"] = "csr_matrix", "0.1.0"
    group.attrs["shape"] = np.array([cells, genes], np.int64)
    data = _growing(group, "data", dtype)
    indices = _growing(group, "indices", np.int32)
    indptr = _growing(group, "indptr", np.int64)
    indptr.add(np.zeros(1, np.int64))
    with reporter.progress("Writing", cells, "cells") as advance:
        for source, columns in zip(sources, column_of, strict=True):
            for span in source.spans():
                with safety.reading(source.name):
                    block = source.read(*span)
                block = _with_columns(block, columns, genes)
                indptr.add(block.indptr[1:].astype(np.int64) + data.rows)
                data.add(block.data)
                indices.add(block.indices)
                advance(span[1] - span[0])
    for part in (data, indices, indptr):
        part.finish()


def _with_columns(block: csr_matrix, columns: np.ndarray, genes: int) -> csr_matrix:
    """The block among ``genes`` genes; indices rise in each row."""
    from scipy.sparse import csr_matrix as rows

    parts = block.data, columns[block.indices], block.indptr
    result = rows(parts, shape=(block.shape[0], genes))
    result.sort_indices()
    return result


def _growing(group: h5py.Group, name: str, dtype: object) -> RowAppender:
    dataset = group.create_dataset(
        name, (0,), dtype, maxshape=(None,), chunks=(VALUES_PER_CHUNK,), **encoding.COMPRESSION
    )
    dataset.attrs["encoding-type"], dataset.attrs["encoding-version"] = "array", "0.2.0"
    return RowAppender(dataset)
