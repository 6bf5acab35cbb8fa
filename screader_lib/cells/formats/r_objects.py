"""Expression from objects of R: Seurat, SingleCellExperiment and matrices, ``.rds`` or ``.RData``.

R keeps genes × cells: its matrix by columns is cells × genes by rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from screader_lib.cells.formats.expression import Expression, ReadOptions, Span, row_spans
from screader_lib.cells.formats.r_tree import Node, read_r
from screader_lib.cells.formats.text_table import has_cells_in_rows
from screader_lib.errors import ScReaderError
from screader_lib.exchange.table import Categorical, Column, LazyTable, Table, strings
from screader_lib.reporting import Reporter

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

ASSAYS = ("RNA", "Spatial", "Xenium", "originalexp")  # those with counts of genes, usual ones first
LAYERS = ("counts", "data", "logcounts")  # the matrix to read, best one first
ON_DISK = ("BPCells", "DelayedArray", "HDF5Array")  # packages whose matrices are in other files
MAX_LISTED = 8
ADD_TO_SEURAT = "x <- AddMetaData(x, {calls})"
ADD_TO_EXPERIMENT = "colData(x) <- cbind(colData(x), {calls}[colnames(x), ])"


class Matrix(NamedTuple):
    """``values`` CSR (cells, genes) with the names of both; empty where R has none."""

    values: csr_matrix
    genes: list[str]
    cells: list[str]


class RExpression(Expression):
    """A matrix of an object of R, in memory."""

    def __init__(self, name: str, what: str, values: csr_matrix, obs: Table, genes: Table) -> None:
        self.name, self.format, self.values = name, what, values
        if values.shape != (len(obs), len(genes)):
            raise ScReaderError(
                f"its matrix is {values.shape[1]:,} × {values.shape[0]:,}, but it names "
                f"{len(genes):,} genes and {len(obs):,} cells.",
                file=name,
            )
        self.obs = LazyTable.of(obs)
        self.set_features(genes)

    def spans(self) -> Sequence[Span]:
        return row_spans(self.values.indptr)

    def read_features(self, start: int, stop: int) -> csr_matrix:
        return self.values[start:stop]


def open_r(path: Path, name: str, wanted: ReadOptions, reporter: Reporter) -> RExpression:
    """The expression in a file of R; ScReaderError where there is none, or not what is wanted."""
    objects = read_r(path, name, reporter)
    found = {key: node for key, node in objects.items() if _kind(node)}
    if len(found) > 1:
        one = next(iter(found))
        raise ScReaderError(
            f"holds {len(found)} objects with cells: {', '.join(found)}.",
            file=name,
            remedy=f"In R, save the one that you mean: saveRDS({one}, '{one}.rds')",
        )
    if not found:
        raise _no_expression(objects, name)
    (node,) = found.values()
    return {
        "Seurat": _seurat, "experiment": _experiment, "assay": _assay, "matrix": _matrix,
    }[_kind(node)](node, name, wanted, reporter)  # fmt: skip


def _kind(node: Node) -> str:
    """What an object with cells is; "" for any other."""
    if "Seurat" in node.classes:
        return "Seurat"
    if {"assays", "colData"} <= set(node.attributes):
        return "experiment"
    if "key" in node.attributes and {"counts", "layers"} & set(node.attributes):
        return "assay"
    return "matrix" if node.is_matrix or node.package in ON_DISK else ""


def _within(node: Node, place: str) -> Iterator[str]:
    """Where in a list objects with cells are, as R writes it."""
    names = node.names()
    for number, one in enumerate(node.entries()):
        key = f"'{names[number]}'" if number < len(names) and names[number] else f"{number + 1}"
        if _kind(one):
            yield f"{place}[[{key}]]"
        else:
            yield from _within(one, f"{place}[[{key}]]")


def _no_expression(objects: dict[str, Node], name: str) -> ScReaderError:
    classes = [(node.classes or [node.kind.lower()])[0] for node in objects.values()]
    if "seurat" in classes:
        return ScReaderError(
            "holds a Seurat object of version 2.",
            file=name,
            remedy="In R, with Seurat 3 or 4: saveRDS(UpdateSeuratObject(x), 'x.rds')",
        )
    inner = [place for key, node in objects.items() for place in _within(node, key or "x")]
    if inner:
        return ScReaderError(
            f"is a list with {len(inner)} objects of cells in it: {', '.join(inner[:MAX_LISTED])}.",
            file=name,
            remedy=f"In R, save the one that you mean: saveRDS({inner[0]}, 'x.rds')",
        )
    if "data.frame" in classes:
        return ScReaderError(
            "has no expression matrix in it (data.frame).",
            file=name,
            remedy="In R, of a table x of counts with the genes' names in its first column: "
            "m <- as.matrix(x[-1]); rownames(m) <- x[[1]]; saveRDS(m, 'x.rds')",
        )
    return ScReaderError(
        f"has no expression matrix in it ({', '.join(classes) or 'nothing'}).",
        file=name,
        remedy="Save a Seurat object, a SingleCellExperiment or a matrix with genes in its rows.",
    )


def _seurat(node: Node, name: str, wanted: ReadOptions, reporter: Reporter) -> RExpression:
    assays = node.slot("assays").items()
    active = (node.slot("active.assay").texts() or [""])[0]
    if wanted.modality is not None and wanted.modality not in assays:
        raise ScReaderError(
            f"has no assay {wanted.modality}.", file=name, remedy=f"It has: {', '.join(assays)}."
        )
    order = [wanted.modality] if wanted.modality else [*ASSAYS, active, *assays]
    usable = [key for key in order if key in assays and set(_layers(assays[key])) & set(LAYERS)]
    with_counts = [key for key in usable if "counts" in _layers(assays[key])]
    if not usable and wanted.layer is None:
        raise ScReaderError(
            "has no assay with counts or normalised values.",
            file=name,
            remedy=f"It has: {', '.join(assays)}.",
        )
    assay = (with_counts or usable or [key for key in order if key in assays])[0]
    if wanted.modality is None and assay != active:
        reporter.info(
            f"{name}: the assay {assay} is read, not {active}, the active one "
            f"(--modality {active} to read that)."
        )
    matrix, layer = _layer(assays[assay], f"assay {assay}", name, wanted)
    obs = node.slot("meta.data").frame()
    ident = node.slot("active.ident").column()
    if isinstance(ident, Categorical) and len(ident) == len(obs):
        obs.columns.setdefault("ident", ident)
    values, obs = _in_order_of(obs, matrix, name, reporter)
    version = ".".join(map(str, _version(node)))
    source = RExpression(
        name, f"Seurat {version}, assay {assay}", values, obs, _features(assays[assay], matrix)
    )
    source.matrix_name, source.how_to_add = layer, ADD_TO_SEURAT
    others = [f"assay {other}" for other in assays if other != assay]
    others += [f"reduction {key}" for key in node.slot("reductions").items()]
    source.others = ", ".join(others)
    return source


def _version(node: Node) -> list[int]:
    version = node.attributes.get("version")
    return [] if version is None else [int(part) for part in Node(version.value[0]).value][:2]


def _layers(assay: Node) -> dict[str, dict[str, Node]]:
    """The matrices of an assay that are not empty: of each kind of layer, those of its parts.

    A layer may be split, such as ``counts`` into ``counts.1`` and ``counts.2``.
    """
    own = assay.attributes
    if "layers" in own:
        every = own["layers"].items()
    else:
        every = {key: own[key] for key in ("counts", "data", "scale.data") if key in own}
    found: dict[str, dict[str, Node]] = {}
    for key, node in every.items():
        if not _is_empty(node):
            kind = next((kind for kind in LAYERS if key.startswith(f"{kind}.")), key)
            found.setdefault(kind, {})[key] = node
            found.setdefault(key, {})[key] = node
    return found


def _is_empty(node: Node) -> bool:
    dimensions = node.attributes.get("dim", node.attributes.get("Dim"))
    return dimensions is not None and 0 in dimensions.value.tolist()


def _layer(assay: Node, what: str, name: str, wanted: ReadOptions) -> tuple[Matrix, str]:
    """The wanted layer of an assay, its parts one below the other, and its name."""
    from scipy.sparse import csr_matrix, vstack

    layers = _layers(assay)
    layer = wanted.layer or next((kind for kind in LAYERS if kind in layers), "")
    if layer not in layers:
        listed = ", ".join(layers) or "none"
        raise ScReaderError(
            f"has no layer {layer} in {what}.", file=name, remedy=f"It has: {listed}."
        )
    parts = {key: _matrix_of(node, name, what) for key, node in layers[layer].items()}
    genes_of, cells_of = (_log_map(assay, axis) for axis in ("features", "cells"))
    named = [
        Matrix(part.values, genes_of.get(key, part.genes), cells_of.get(key, part.cells))
        for key, part in parts.items()
    ]
    if len(named) == 1:
        return named[0], layer
    place = {
        gene: index for index, gene in enumerate(dict.fromkeys(g for p in named for g in p.genes))
    }
    blocks = []
    for part in named:
        columns = np.array([place[gene] for gene in part.genes], np.int32)
        values = part.values
        arrays = (values.data, columns[values.indices], values.indptr)
        blocks.append(csr_matrix(arrays, shape=(values.shape[0], len(place))))
    cells = [cell for part in named for cell in part.cells]
    return Matrix(vstack(blocks, format="csr"), list(place), cells), layer


def _log_map(assay: Node, axis: str) -> dict[str, list[str]]:
    """The names along an axis of each layer of a Seurat 5 assay: those that its column marks."""
    table = assay.attributes.get(axis)
    if table is None or "dimnames" not in table.attributes:
        return {}
    names, layers = (Node(one).texts() for one in table.slot("dimnames").value)
    flags = np.asarray(table.value, bool).reshape((len(names), len(layers)), order="F")
    every = np.array(names, object)
    return {layer: every[flags[:, number]].tolist() for number, layer in enumerate(layers)}


def _matrix_of(node: Node, name: str, what: str) -> Matrix:
    """A matrix of R, transposed."""
    if node.package in ON_DISK:
        raise ScReaderError(
            f"its {what} is one of {node.package}, whose values may be in other files.",
            file=name,
            remedy="In R, for the matrix m of counts: saveRDS(as(m, 'dgCMatrix'), 'counts.rds')",
        )
    found = node.matrix()
    if found is None:
        raise ScReaderError(f"its {what} is not a matrix of numbers.", file=name)
    values, genes, cells = found
    return Matrix(values.T.tocsr(), genes, cells)


def _in_order_of(
    obs: Table, matrix: Matrix, name: str, reporter: Reporter
) -> tuple[csr_matrix, Table]:
    """The cells of ``obs`` that the matrix has, in the order of ``obs``."""
    cells = matrix.cells or obs.index.tolist()
    if cells == obs.index.tolist():
        return matrix.values, obs
    place = {cell: row for row, cell in enumerate(cells)}
    kept = np.flatnonzero([cell in place for cell in obs.index])
    if not len(kept):
        raise ScReaderError("its matrix and its table of cells have no cell in common.", file=name)
    if len(kept) < len(obs):
        reporter.info(
            f"{name}: {len(obs) - len(kept):,} cells are not in the matrix, and left out."
        )
    rows = np.array([place[cell] for cell in obs.index[kept]], np.int64)
    return matrix.values[rows], obs.take(kept)


def _features(assay: Node, matrix: Matrix) -> Table:
    """The genes with the columns that the assay has of them."""
    columns: dict[str, Column] = {}
    for slot in ("meta.features", "meta.data"):
        if slot in assay.attributes:
            frame = assay.slot(slot).frame()
            if len(frame) == len(matrix.genes):
                columns = frame.columns
    return Table(strings(matrix.genes), columns)


def _experiment(node: Node, name: str, wanted: ReadOptions, _: Reporter) -> RExpression:
    if wanted.modality is not None:
        raise ScReaderError(
            f"has no assay {wanted.modality} of its own.",
            file=name,
            remedy="Name one of its matrices with --layer.",
        )
    try:
        assays = node.slot("assays", "data", "listData").items()
    except KeyError:
        raise ScReaderError(
            "is of an old Bioconductor.",
            file=name,
            remedy="In R: saveRDS(updateObject(x), 'x.rds')",
        ) from None
    layer = wanted.layer or next((key for key in LAYERS if key in assays), next(iter(assays), ""))
    if layer not in assays:
        listed = ", ".join(assays) or "none"
        raise ScReaderError(f"has no matrix {layer}.", file=name, remedy=f"It has: {listed}.")
    matrix = _matrix_of(assays[layer], name, f"matrix {layer}")
    obs = node.slot("colData").frame()
    if not node.slot("colData", "rownames").texts() and matrix.cells:
        obs = Table(strings(matrix.cells), obs.columns)
    ranges = node.attributes.get("rowRanges")
    genes = _names_of_rows(node) or matrix.genes
    table = (ranges or node).slot("elementMetadata")
    columns = table.frame().columns if "listData" in table.attributes else {}
    source = RExpression(name, node.classes[0], matrix.values, obs, Table(strings(genes), columns))
    source.matrix_name, source.how_to_add = layer, ADD_TO_EXPERIMENT
    source.others = ", ".join(f"matrix {key}" for key in assays if key != layer)
    return source


def _names_of_rows(node: Node) -> list[str]:
    """Where a SummarizedExperiment keeps the names of its genes."""
    for slots in (
        ("NAMES",),
        ("rowRanges", "partitioning", "NAMES"),
        ("rowRanges", "ranges", "NAMES"),
    ):
        try:
            names = node.slot(*slots).texts()
        except KeyError:
            continue
        if names:
            return names
    return []


def _assay(node: Node, name: str, wanted: ReadOptions, _: Reporter) -> RExpression:
    matrix, layer = _layer(node, "it", name, wanted)
    obs = Table(strings(matrix.cells))
    source = RExpression(name, node.classes[0], matrix.values, obs, _features(node, matrix))
    source.matrix_name = layer
    return source


def _matrix(node: Node, name: str, _: ReadOptions, __: Reporter) -> RExpression:
    matrix = _matrix_of(node, name, "matrix")
    if not matrix.genes:
        raise ScReaderError(
            "its matrix has no names of rows, which are its genes.",
            file=name,
            remedy="In R: rownames(x) <- genes; saveRDS(x, 'x.rds')",
        )
    what = f"{(node.classes or ['matrix'])[0]} of R"
    if has_cells_in_rows(matrix.genes, matrix.cells):
        matrix = Matrix(matrix.values.T.tocsr(), matrix.cells, matrix.genes)
        what += ", cells in rows"
    cells = matrix.cells or [f"cell{number + 1}" for number in range(matrix.values.shape[0])]
    genes = Table(strings(matrix.genes))
    return RExpression(name, what, matrix.values, Table(strings(cells)), genes)
