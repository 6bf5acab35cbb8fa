"""Clusters of a sample's cells, and what the calls say of each: votes, evidence, what to check.

Clusters come from a column of the file, or are found by Leiden's algorithm (Traag et al. 2019) on
the graph of nearest neighbours that the consensus uses.
"""

from __future__ import annotations

import csv
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from screader_lib.annotation.evidence import CalledCells, full_names, gene_names
from screader_lib.cells.cells_file import CellSequences
from screader_lib.errors import ScReaderError
from screader_lib.exchange.table import Categorical, Column, Table, strings
from screader_lib.exchange.writing import replacing
from screader_lib.genes.spelling import species_of_names
from screader_lib.preparation.marker_tables import (
    TAXA,
    CellType,
    plain_name,
    read_marker_tables,
)
from screader_lib.reader.methods.places import Neighbours
from screader_lib.reporting import Reporter

RESOLUTION = 1.0
GENES_SHOWN, MARKERS_SHOWN = 5, 8
GENES_COMPARED = 25  # with the known markers
CLEAR_MAJORITY, STRONG_SECOND = 0.7, 0.2  # shares of a cluster's cells
MANY = 0.5  # share of a cluster's cells
UNFAMILIAR = 0.03  # median familiarity to a reader
NEAR = 0.4  # cosine to an example, below which a cell is like none
FEW_CELLS = 10

TellingGenes = Callable[[np.ndarray, int], Sequence[int] | np.ndarray]


def import_igraph() -> Any:
    """The package that finds clusters; ScReaderError where it is not installed."""
    try:
        return import_module("igraph")
    except ModuleNotFoundError as error:
        raise ScReaderError(
            "finding clusters needs the Python package 'igraph'.",
            remedy="Install it with: pip install 'screader-suite[prepare]', or name a column "
            "with --clusters.",
        ) from error


def find_clusters(neighbours: Neighbours) -> Categorical:
    """Leiden clusters, named "1", "2", … from the largest.

    They are found among the cells of the sketch; each other cell joins the cluster of most of its
    neighbours. ScReaderError where igraph is not installed.
    """
    igraph = import_igraph()
    sketch, nearest = neighbours.sketch, neighbours.nearest
    ends = np.searchsorted(sketch, nearest[sketch])
    starts = np.repeat(np.arange(len(sketch)), ends.shape[1])
    graph = igraph.Graph(len(sketch), np.stack([starts, ends.ravel()], 1))
    graph.es["weight"] = 1.0
    graph.simplify(combine_edges="sum")  # two neighbours of each other weigh double
    state = random.getstate()
    random.seed(0)
    try:
        found = graph.community_leiden(
            "modularity", weights="weight", resolution=RESOLUTION, n_iterations=-1
        )
    finally:
        random.setstate(state)
    of_sketch = np.asarray(found.membership)
    sizes = np.bincount(of_sketch)
    rank = np.argsort(np.argsort(-sizes, kind="stable"))
    codes = np.full(len(nearest), -1, np.int32)
    codes[sketch] = rank[of_sketch]
    others = np.flatnonzero(codes < 0)
    codes[others] = [np.bincount(near).argmax() for near in codes[nearest[others]]]
    return Categorical(codes, tuple(str(number + 1) for number in range(len(sizes))))


def read_known_markers(
    paths: Sequence[Path], names: Sequence[str], genes: Iterable[str], reporter: Reporter
) -> list[CellType]:
    """The cell types of marker tables, of the species that the spelling of ``genes`` tells.

    Messages call the tables by ``names``. ScReaderError as by ``read_marker_tables``.
    """
    if not paths:
        return []
    spelled = species_of_names(genes)
    species = spelled if spelled in TAXA else "human"
    return read_marker_tables(paths, species, names=names, reporter=reporter)


def tabulate(
    clusters: Categorical,
    calls: CalledCells,
    labels: Sequence[str],
    cells: CellSequences,
    telling: TellingGenes,
    known_markers: Sequence[CellType] = (),
) -> Table:
    """A row for each cluster: its cells' calls, the genes behind them, and what to check.

    ``labels`` are those of the columns of the calls' probabilities. ``telling(members, label)``
    gives the numbers of a cluster's genes, the most telling first, from its cells and the number of
    their most probable label; they are shown with their full names where the package knows them.
    """
    gene_name, names_of = gene_names(cells), full_names()
    markers_of = {bare_name(one.name): one.genes for one in known_markers}
    rows = []
    for code in range(len(clusters.categories)):
        members = np.flatnonzero(clusters.codes == code)
        if not len(members):
            continue
        row = _votes(members, calls)
        best = int(calls.probability[members].mean(0).argmax())
        genes = [gene_name[gene] for gene in telling(members, best)]
        row["genes"] = "; ".join(
            f"{name} ({names_of[name.upper()]})" if name.upper() in names_of else name
            for name in genes[:GENES_SHOWN]
        )
        known = markers_of.get(bare_name(labels[best]), set())
        if known_markers:
            among = [name for name in genes if name.upper() in known]
            row["known_markers"] = ", ".join(among[:MARKERS_SHOWN])
        row["check"] = _what_to_check(row, bool(known))
        rows.append((clusters.categories[code], row))
    columns: dict[str, Column] = {}
    for name in rows[0][1] if rows else ():
        values = [row[name] for _, row in rows]
        columns[name] = strings(values) if isinstance(values[0], str) else np.array(values)
    return Table(strings(name for name, _ in rows), columns, "cluster")


def _votes(members: np.ndarray, calls: CalledCells) -> dict[str, Any]:
    """Labels of the cells that have one, and shares of all cells."""
    votes = Counter(calls.label[members].tolist())
    unassigned = votes.pop("", 0)
    ranked = sorted(votes.items(), key=lambda vote: (-vote[1], vote[0]))
    (label, first), (second, other) = (*ranked, ("", 0), ("", 0))[:2]
    ids = calls.ontology_id[members][calls.label[members] == label]
    row = {
        "cells": len(members),
        "label": label,
        "ontology_id": ids[0] if label else "",
        "share": first / len(members),
        "second_label": second,
        "second_share": other / len(members),
        "unassigned": unassigned / len(members),
    }
    if calls.is_example is None:
        changed = (calls.own_label != calls.label)[members]
        row["changed_by_neighbours"] = float(changed.mean())
    else:
        row["examples"] = int(calls.is_example[members].sum())
    for name in ("confidence", "familiarity"):
        row[name] = float(np.median(getattr(calls, name)[members]))
    return row


def _what_to_check(row: Mapping[str, Any], has_known_markers: bool) -> str:
    """What a person should look at, in words; empty where nothing stands out."""
    remarks = []
    if row["cells"] < FEW_CELLS:
        remarks.append("few cells")
    if row["unassigned"] > MANY:
        remarks.append("most cells have no label that is confident enough")
    elif row["share"] < CLEAR_MAJORITY and row["second_share"] > STRONG_SECOND:
        remarks.append(f"mixed: {row['label']} and {row['second_label']}")
    if "examples" in row:
        if row["familiarity"] < NEAR:
            remarks.append("similar to no example: possibly a cell type without an example")
    elif row["familiarity"] < UNFAMILIAR:
        remarks.append("unlike the training cells: possibly a cell type new to the reader")
    if row.get("changed_by_neighbours", 0) > MANY:
        remarks.append("most cells' own labels differ from those with their neighbours")
    if has_known_markers and not row["known_markers"]:
        remarks.append("no known marker of its type is among its genes")
    return "; ".join(remarks)


def bare_name(label: str) -> str:
    """A type's name to look it up by: "Alpha cells" and "alpha" are the same."""
    return plain_name(label.replace("_", " ")).removesuffix(" cell")


def write_tsv(table: Table, path: str | Path) -> None:
    """The table of clusters as TSV, in one step; shares with three digits."""
    columns = [_texts(column) for column in table.columns.values()]
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
        writer.writerow([table.index_name, *table.columns])
        writer.writerows(zip(table.index, *columns, strict=True))


def _texts(column: Column) -> list[str]:
    values = np.asarray(column)
    return [f"{value:.3f}" for value in values] if values.dtype.kind == "f" else values.tolist()
