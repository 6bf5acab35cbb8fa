"""Make the packaged facts from NCBI's bulk files, as ``screader_lib/genes/facts/README.md`` says.

python scripts/make_packaged_facts.py human --gene-info F --gene-summary F --genes F [--genes F]
python scripts/make_packaged_facts.py mouse … --orthologs F     (after those of human)
"""

from __future__ import annotations

import argparse
import gzip
import lzma
from collections.abc import Iterable
from pathlib import Path

from screader_lib.cells.gene_lists import read_genes
from screader_lib.genes.catalog import REGION, Catalog
from screader_lib.genes.missing_texts import HUMAN, read_pairs
from screader_lib.genes.records import ENSEMBL, Gene, Organism, organism_of
from screader_lib.genes.sources.tables import BulkFiles, PackagedFacts, facts_file

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
    """The genes that ``names`` mean or could mean and those with a summary, in catalog order."""
    selected = {gene.gene_id for gene in catalog.genes if gene.summary}
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
    text = "".join(f"{line}\n" for line in lines).encode()
    if path.suffix == ".xz":
        path.write_bytes(lzma.compress(text, preset=9 | lzma.PRESET_EXTREME))
        return
    with path.open("wb") as plain, gzip.GzipFile("", "wb", 9, plain, mtime=0) as stream:
        stream.write(text)


def ortholog_ids(table: Path, organism: Organism, catalog: Catalog) -> dict[str, str]:
    """The GeneIDs of human one-to-one orthologs, by GeneID of ``catalog``'s genes."""
    by_symbol = {gene.symbol: gene.gene_id for gene in catalog.genes}
    human = PackagedFacts(HUMAN).catalog((), ())
    pairs = {}
    for one, other in read_pairs(table, organism, list(by_symbol)).items():
        gene = human.match(other).gene
        if one in by_symbol and gene is not None:
            pairs[by_symbol[one]] = gene.gene_id
    return pairs


def main() -> None:
    """Write the files of one species into the folder of packaged facts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("organism")
    parser.add_argument("--gene-info", type=Path, required=True)
    parser.add_argument("--gene-summary", type=Path, required=True)
    parser.add_argument("--genes", type=Path, action="append", required=True)
    parser.add_argument("--orthologs", type=Path)
    given = parser.parse_args()
    organism = organism_of(given.organism)
    catalog = BulkFiles(organism, [given.gene_info], [given.gene_summary]).catalog((), ())
    names = [name for path in given.genes for name in read_genes(path, str(path)).names]
    orthologs = ortholog_ids(given.orthologs, organism, catalog) if given.orthologs else {}
    selected = selected_genes(catalog, (*names, *orthologs))
    shared = shared_names(catalog, selected)
    summaries = [f"{gene.gene_id}\t{gene.summary}" for gene in selected if gene.summary]
    for what, lines in {
        "genes.tsv.gz": ["\t".join(COLUMNS), *map(_line, selected)],
        "shared_names.txt.gz": shared,
        "summaries.tsv.xz": summaries,
        "human_orthologs.tsv.xz": ["\t".join(pair) for pair in orthologs.items()],
    }.items():
        if lines:
            _write(facts_file(organism, what), lines)
    print(
        f"{len(selected):,} genes, {len(shared):,} shared names, {len(summaries):,} summaries, "
        f"{len(orthologs):,} human orthologs"
    )


if __name__ == "__main__":
    main()
