"""Make the packaged facts from NCBI's gene_info, as ``screader_lib/genes/facts/README.md`` says.

python scripts/make_packaged_facts.py GENE_INFO GENES FOLDER
"""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterable
from pathlib import Path

from screader_lib.cells.gene_lists import read_genes
from screader_lib.genes.catalog import REGION, Catalog
from screader_lib.genes.records import ENSEMBL, Gene, organism_of
from screader_lib.genes.sources.tables import BulkFiles

COLUMNS = (
    "gene_id",
    "symbol",
    "full_name",
    "gene_type",
    "aliases",
    "ensembl_id",
    "official",
)


def selected_genes(catalog: Catalog, names: Iterable[str]) -> list[Gene]:
    """The genes that ``names`` mean or could mean, in the catalog's order."""
    selected: set[str] = set()
    for name in names:
        match = catalog.match(name)
        if match.gene is not None:
            selected.add(match.gene.gene_id)
        selected.update(candidate.rpartition("(")[2].rstrip(")") for candidate in match.candidates)
    return [gene for gene in catalog.genes if gene.gene_id in selected]


def shared_names(catalog: Catalog, selected: Iterable[Gene]) -> list[str]:
    """Aliases, in lower case, of selected genes that also mean another gene."""
    selected = list(selected)
    ids = {gene.gene_id for gene in selected}
    others = (
        gene for gene in catalog.genes if gene.gene_id not in ids and gene.gene_type != REGION
    )
    elsewhere = {name.lower() for gene in others for name in (gene.symbol, *gene.aliases)}
    return sorted({alias.lower() for gene in selected for alias in gene.aliases} & elsewhere)


def _line(gene: Gene) -> str:
    ensembl = [one for one in gene.database_ids if ENSEMBL.match(one)]
    values = {
        "ensembl_id": "|".join(ensembl),
        "aliases": "|".join(gene.aliases),
        "official": "1" if gene.official else "0",
    }
    return "\t".join(
        values[name] if name in values else str(getattr(gene, name)) for name in COLUMNS
    )


def _write(path: Path, lines: Iterable[str]) -> None:
    with path.open("wb") as plain, gzip.GzipFile("", "wb", 9, plain, mtime=0) as stream:
        stream.write("".join(f"{line}\n" for line in lines).encode())


def main(gene_info: str, genes: str, folder: str) -> None:
    """Write both files of the human facts into ``folder``."""
    human = organism_of("human")
    catalog = BulkFiles(human, [Path(gene_info)]).catalog((), ())
    selected = selected_genes(catalog, read_genes(Path(genes), genes).names)
    head = "\t".join(COLUMNS)
    _write(Path(folder) / f"{human.tax_id}.genes.tsv.gz", (head, *map(_line, selected)))
    shared = shared_names(catalog, selected)
    _write(Path(folder) / f"{human.tax_id}.shared_names.txt.gz", shared)
    print(f"{len(selected):,} genes, {len(shared):,} shared names")


if __name__ == "__main__":
    main(*sys.argv[1:])
