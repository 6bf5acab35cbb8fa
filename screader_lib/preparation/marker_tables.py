"""Which genes mark which cell type, and whether these and the cells are of one species.

Layouts, recognised by the header:

- PanglaoDB as published (27 March 2020): species, official gene symbol, cell type, organ;
- CellMarker 2.0 as published: species, tissue_class, tissue_type, cell_name, cellontology_id,
  Symbol, marker; one row per marker;
- CellMarker 2.0 by type: Tissue, CT, Gene, the genes separated by commas;
- a user's own: cell_type and gene, and optionally tissue, species and ontology_id.

Symbols are compared without regard to case, so nothing else would reveal a wrong species: HGNC
writes human symbols in capitals (INS, C1orf112), MGI mouse symbols with small letters (Ins1,
0610007P14Rik).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from screader_lib.cells.across_species import organisms_of
from screader_lib.cells.formats.expression import Expression
from screader_lib.errors import ScReaderError
from screader_lib.genes.spelling import species_by_spelling
from screader_lib.genes.text_files import read_table, read_text
from screader_lib.reporting import SILENT, Reporter


@dataclass
class CellType:
    """A cell type's name, its marker genes in upper case, and its Cell Ontology id if known."""

    name: str
    genes: set[str] = field(default_factory=set)
    ontology_id: str = ""


@dataclass(frozen=True)
class Layout:
    """The columns of a table that hold cell type, gene or genes, tissue, species and id."""

    cell_type: str
    gene: str
    tissues: tuple[str, ...] = ()
    species: str = ""
    ontology_id: str = ""


LAYOUTS = (
    Layout("cell type", "official gene symbol", ("organ",), "species"),
    Layout("cell_name", "Symbol", ("tissue_class", "tissue_type"), "species", "cellontology_id"),
    Layout("cell_name", "marker", ("tissue_class", "tissue_type"), "species", "cellontology_id"),
    Layout("CT", "Gene", ("Tissue",)),
    Layout("cell_type", "gene", ("tissue",), "species", "ontology_id"),
)
SPECIES = {"human": ("hs", "human"), "mouse": ("mm", "mouse")}
TAXA = {"human": "NCBITaxon:9606", "mouse": "NCBITaxon:10090"}


def read_marker_tables(
    paths: Sequence[Path],
    species: str = "human",
    tissues: Sequence[str] = (),
    *,
    names: Sequence[str] = (),
    reporter: Reporter = SILENT,
) -> list[CellType]:
    """The cell types of all tables, by name, with the genes of all; ``tissues`` limits the rows.

    Types are merged if their names differ only in case, plural or a remark in brackets, so that
    one table can supply the ids of another. Messages call the tables by ``names``. ScReaderError
    for another layout, or where no type remains.
    """
    types: dict[str, CellType] = {}
    known_tissues: set[str] = set()
    lower_tissues = set(map(str.lower, tissues))
    for path, name in zip(paths, names or map(str, paths), strict=True):
        rows = read_table(read_text(path, name), name)
        layout = _layout_of(rows, name)
        if layout.species not in rows[0]:
            spelled = species_by_spelling(gene for row in rows for gene in _genes(row, layout))
            message = f"{name} has no species column, so all its rows are used"
            if spelled in ("", species):
                reporter.info(f"{message}.")
            else:
                reporter.warning(
                    f"{message}; its genes are spelled like those of {spelled}, not {species}."
                )
        for row in rows:
            row_tissues = {(row.get(column) or "").strip() for column in layout.tissues}
            known_tissues |= row_tissues
            is_tissue = not tissues or bool(lower_tissues & set(map(str.lower, row_tissues)))
            if is_tissue and _is_species(row, layout, species):
                _add(types, row, layout)
    if not any(one.genes for one in types.values()):
        listed = ", ".join(sorted(known_tissues - {""})[:12]) or "none"
        raise ScReaderError(
            f"the marker tables have no cell type for {species}"
            + (f" in {', '.join(tissues)}." if tissues else "."),
            remedy=f"Tissues: {listed}, …" if tissues else "Check --species.",
        )
    return sorted((one for one in types.values() if one.genes), key=lambda one: one.name)


def _layout_of(rows: Sequence[Mapping[str, str]], name: str) -> Layout:
    columns = set(rows[0]) if rows else set()
    for layout in LAYOUTS:
        if {layout.cell_type, layout.gene} <= columns:
            return layout
    raise ScReaderError(
        "is not a marker table in a known layout.",
        file=name,
        remedy="Give a table with PanglaoDB's or CellMarker's columns, or cell_type and gene.",
    )


def _is_species(row: Mapping[str, str], layout: Layout, species: str) -> bool:
    names = (row.get(layout.species) or "").lower().split() if layout.species else []
    return not names or not {*names}.isdisjoint(SPECIES[species])


def _add(types: dict[str, CellType], row: Mapping[str, str], layout: Layout) -> None:
    name = " ".join((row.get(layout.cell_type) or "").split())
    if not name:
        return
    cell_type = types.setdefault(plain_name(name), CellType(name))
    cell_type.genes.update(gene.upper() for gene in _genes(row, layout))
    ontology_id = (row.get(layout.ontology_id) or "").strip().replace("_", ":")
    if ontology_id.startswith("CL:"):
        cell_type.ontology_id = cell_type.ontology_id or ontology_id


def _genes(row: Mapping[str, str], layout: Layout) -> list[str]:
    genes = (gene.strip() for gene in (row.get(layout.gene) or "").split(","))
    return [gene for gene in genes if gene not in ("", "NA")]


def plain_name(name: str) -> str:
    """A type's name without case, brackets and plural: "Beta cells" becomes "beta cell"."""
    bare = name.partition("(")[0].strip().lower() or name.lower()
    return bare[:-1] if bare.endswith("s") and not bare.endswith("ss") else bare


def check_species(
    source: Expression, genes: Iterable[str], species: str, reporter: Reporter
) -> None:
    """Warn where the cells, or their ``genes``, are of another species than the markers."""
    declared = sorted(organisms_of(source, np.ones(len(source.obs), bool)) - {TAXA[species]})
    spelled = species_by_spelling(genes)
    if declared:
        reason = f"its cells are of {' and '.join(declared)}"
    elif spelled not in ("", species):
        reason = f"its gene symbols are spelled like those of {spelled}"
    else:
        return
    reporter.warning(
        f"{source.name}: {reason}, but the markers are those of {species}: check --species. "
        "Symbols are compared without regard to case."
    )
