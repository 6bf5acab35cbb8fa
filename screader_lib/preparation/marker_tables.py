"""Which genes are known to mark which cell type.

Layouts, told apart by the header:

- PanglaoDB as published (27 March 2020): species, official gene symbol, cell type, organ;
- CellMarker 2.0 as published: species, tissue_class, tissue_type, cell_name, cellontology_id,
  Symbol, marker; one row per marker;
- CellMarker 2.0 by type: Tissue, CT, Gene, the genes separated by commas;
- one's own: cell_type and gene, and where known tissue and ontology_id.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from screader_lib.errors import ScReaderError
from screader_lib.genes.text_files import read_table, read_text
from screader_lib.preparation.species import tell_of_table
from screader_lib.reporting import SILENT, Reporter

Row = dict[str, str]


@dataclass
class CellType:
    """A type's name, its marker genes in upper case, and its Cell Ontology id where known."""

    name: str
    genes: set[str] = field(default_factory=set)
    ontology_id: str = ""


@dataclass(frozen=True)
class Layout:
    """Columns of a table: of the type, the gene or genes, the tissue, the species, the id."""

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


def read_marker_tables(
    paths: Sequence[Path],
    species: str = "human",
    tissues: Sequence[str] = (),
    *,
    names: Sequence[str] = (),
    reporter: Reporter = SILENT,
) -> list[CellType]:
    """The types of all tables, by name, with the genes of all; ``tissues`` limits the rows.

    Names are joined that differ in case, a plural or a remark in brackets only, so that one table
    can bring the ids of another. ``names`` are what messages call the tables. ScReaderError for
    another layout, or where nothing is left.
    """
    found: dict[str, CellType] = {}
    known: set[str] = set()
    for path, name in zip(paths, names or [str(path) for path in paths], strict=True):
        rows = read_table(read_text(path, name), name)
        layout = _layout_of(rows, name)
        if layout.species not in rows[0]:
            genes = [gene for row in rows for gene in _genes(row, layout)]
            tell_of_table(name, genes, species, reporter)
        for row in rows:
            tissue = [(row.get(column) or "").strip() for column in layout.tissues]
            known.update(tissue)
            if _fits(row, layout, species) and _in_tissues(tissue, tissues):
                _add(found, row, layout)
    types = [one for one in found.values() if one.genes]
    if not types:
        listed = ", ".join(sorted(known - {""})[:12]) or "none"
        raise ScReaderError(
            f"the marker tables hold no type for {species}"
            + (f" in {', '.join(tissues)}." if tissues else "."),
            remedy=f"Tissues: {listed}, …" if tissues else "Check --species.",
        )
    return sorted(types, key=lambda one: one.name)


def _layout_of(rows: Sequence[Row], name: str) -> Layout:
    columns = set(rows[0]) if rows else set()
    for layout in LAYOUTS:
        if {layout.cell_type, layout.gene} <= columns:
            return layout
    raise ScReaderError(
        "is no table of markers that is known.",
        file=name,
        remedy="Wanted are PanglaoDB's or CellMarker's columns, or cell_type and gene.",
    )


def _fits(row: Row, layout: Layout, species: str) -> bool:
    named = (row.get(layout.species) or "").lower().split() if layout.species else []
    return not named or bool(set(named) & set(SPECIES.get(species, (species.lower(),))))


def _in_tissues(found: Iterable[str], wanted: Sequence[str]) -> bool:
    return not wanted or bool({one.lower() for one in found} & {one.lower() for one in wanted})


def _add(found: dict[str, CellType], row: Row, layout: Layout) -> None:
    name = " ".join((row.get(layout.cell_type) or "").split())
    if not name:
        return
    kept = found.setdefault(plain_name(name), CellType(name))
    kept.genes.update(gene.upper() for gene in _genes(row, layout))
    identity = (row.get(layout.ontology_id) or "").strip().replace("_", ":")
    if identity.startswith("CL:"):
        kept.ontology_id = kept.ontology_id or identity


def _genes(row: Row, layout: Layout) -> list[str]:
    genes = (gene.strip() for gene in (row.get(layout.gene) or "").split(","))
    return [gene for gene in genes if gene not in ("", "NA")]


def plain_name(name: str) -> str:
    """A type's name without case, brackets and plural: "Beta cells" and "beta cell" are one."""
    bare = name.partition("(")[0].strip().lower() or name.lower()
    return bare[:-1] if bare.endswith("s") and not bare.endswith("ss") else bare
