"""A cell's sequence does not depend on the order, the blocks or the neighbours of the cells."""

from __future__ import annotations

import h5py
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import sparse

from screader_lib.cells.cell_builder import CellBuilder
from screader_lib.cells.formats.expression import Expression, Span
from screader_lib.cells.input_file import prepare_input
from screader_lib.cells.obs.columns import ObsColumns
from screader_lib.cells.sequences import Construction
from screader_lib.cells.vocabulary import Embeddings
from screader_lib.exchange.table import LazyTable, Table, strings

GENES = 7
COUNTS = arrays.arrays(np.int64, st.tuples(st.integers(3, 8), st.just(GENES)),
                       elements=st.integers(0, 4))  # fmt: skip
Sequences = dict[str, list[tuple[str, float]]]


class InMemory(Expression):
    """Cells from an array, in blocks of a given number of cells."""

    format = "array"

    def __init__(self, values: np.ndarray, order: np.ndarray, cells_per_block: int) -> None:
        self.name = "memory"
        self.values = values[order]
        self.size = cells_per_block
        self.obs = LazyTable.of(Table(strings(f"cell{number}" for number in order)))
        self.genes = Table(strings(f"GENE{number}" for number in range(values.shape[1])))

    def spans(self) -> list[Span]:
        starts = range(0, len(self.values), self.size)
        return [(start, min(len(self.values), start + self.size)) for start in starts]

    def read_features(self, start: int, stop: int) -> sparse.csr_matrix:
        return sparse.csr_matrix(self.values[start:stop])


def sequences_of(
    file: h5py.File, source: InMemory, construction: Construction, mask: np.ndarray | None = None
) -> Sequences:
    names = strings(f"GENE{number}" for number in range(GENES))
    blank = strings([""] * GENES)
    genes = Table(names, {"symbol": names, "ensembl_id": blank, "gene_id": blank, "aliases": blank})
    vectors = file.create_dataset("vectors", data=np.eye(GENES, dtype=np.float32))
    embeddings = Embeddings("embeddings", genes, vectors, {})
    part = prepare_input(source, genes, mask)
    builder = CellBuilder([part], embeddings, construction, threads=2)
    vocabulary = builder.learn_vocabulary()
    file.create_group("made")
    builder.write(file["made"], vocabulary, ObsColumns())
    made, known = file["made"], names[vocabulary.rows]
    rows = zip(
        made["obs/id"].asstr(), made["obsm/gene_index"], made["obsm/gene_weight"], strict=True
    )
    return {
        name: [(known[gene], w) for gene, w in zip(index, weight, strict=True) if gene >= 0]
        for name, index, weight in rows
    }


def built(*arguments: object, **more: object) -> Sequences:
    with h5py.File("unused", "w", driver="core", backing_store=False) as file:
        return sequences_of(file, *arguments, **more)  # type: ignore[arg-type]


@settings(max_examples=25, deadline=None)
@given(values=COUNTS, log=st.booleans(), genes=st.integers(1, GENES), data=st.data())
def test_same_cells_in_any_order_and_blocks(
    values: np.ndarray, log: bool, genes: int, data: st.DataObject
) -> None:
    values[:3] = [np.roll(np.arange(GENES) + 1, shift) for shift in range(3)]  # genes that vary
    table = np.log1p(values / np.maximum(values.sum(1), 1)[:, None] * 1e4) if log else values
    construction = Construction(variable_genes=genes)
    order = np.arange(len(values))
    shuffled = np.array(data.draw(st.permutations(order.tolist())))
    size = data.draw(st.integers(1, len(values)))
    expected = built(InMemory(table, order, len(values)), construction)
    assert built(InMemory(table, shuffled, size), construction) == expected


@settings(max_examples=25, deadline=None)
@given(values=COUNTS, log=st.booleans(), data=st.data())
def test_chosen_cells_are_read_as_if_they_were_all(
    values: np.ndarray, log: bool, data: st.DataObject
) -> None:
    values[-1] = np.arange(GENES)
    table = np.log1p(values / np.maximum(values.sum(1), 1)[:, None] * 1e4) if log else values
    mask = data.draw(arrays.arrays(bool, len(values)))
    mask[-1] = True
    construction = Construction(select="all")
    numbers = np.flatnonzero(mask)
    expected = built(InMemory(table, numbers, len(numbers)), construction)
    everyone = InMemory(table, np.arange(len(values)), 1)
    assert built(everyone, construction, mask=mask) == expected
