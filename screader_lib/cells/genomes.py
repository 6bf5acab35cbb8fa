"""Genes of several genomes in one matrix, and names with the genome before them.

Cell Ranger names the genes of a reference of two genomes ``GRCh38_INS`` and ``mm10___Ins2``; Seurat
turns the lines into hyphens. Features of 10x, and var of scanpy, also have a column ``genome``.
"""

from __future__ import annotations

import re
from collections import Counter

import numpy as np

from screader_lib.cells.formats.expression import Expression, Wanted
from screader_lib.errors import ScReaderError
from screader_lib.exchange.table import Table, strings
from screader_lib.reporting import Reporter

COLUMN = "genome"
PREFIX = re.compile(
    r"((?:GRC[a-z]|hg|mm|rn|danRer|dm|ce|sacCer|susScr|galGal)\d+[^_\s]*?)[_-]+(?=\w)"
)
SPECIES = {"grch": "human", "hg": "human", "grcm": "mouse", "mm": "mouse", "rn": "rat"}
MIN_SHARE = 0.5  # of the names that have a prefix, from which it is one


def choose_genome(source: Expression, wanted: Wanted, reporter: Reporter) -> None:
    """Keep the genes of the wanted genome, and take its prefix off their names.

    ScReaderError where genes are of several species' genomes and none is wanted, or the one wanted
    is not there.
    """
    prefixes = [PREFIX.match(name) for name in source.genes.index]
    genomes = _genomes_of(source.genes, prefixes)
    sizes = Counter(genome for genome in genomes if genome)
    if wanted.genome is not None:
        _keep(source, genomes, wanted.genome, sizes)
    elif len({_species(genome) for genome in sizes}) > 1:
        listed = ", ".join(f"{genome} ({count:,})" for genome, count in sizes.most_common())
        raise ScReaderError(
            f"has genes of several genomes: {listed}.",
            file=source.name,
            remedy="Name one with --genome.",
        )
    _strip(source, reporter)


def _genomes_of(genes: Table, prefixes: list[re.Match[str] | None]) -> list[str]:
    """The genome of each gene, "" where nothing tells it."""
    if COLUMN in genes.columns:
        return [genome if genome != "nan" else "" for genome in genes.strings(COLUMN)]
    if sum(match is not None for match in prefixes) < MIN_SHARE * len(genes):
        return [""] * len(genes)
    return [match[1] if match else "" for match in prefixes]


def _species(genome: str) -> str:
    """What genomes of one species have in common, such as GRCh38 and hg19."""
    letters = re.match(r"[a-z]*", genome.lower())
    return SPECIES.get(letters[0] if letters else "", genome)


def _keep(source: Expression, genomes: list[str], wanted: str, sizes: Counter[str]) -> None:
    kept = np.array([genome == wanted for genome in genomes], bool)
    if not kept.any():
        raise ScReaderError(
            f"has no genes of {wanted}.",
            file=source.name,
            remedy=f"It has: {', '.join(sizes) or 'no names of genomes'}.",
        )
    if not kept.all():
        del sizes[wanted]
        source.keep_genes(kept, f"of other genomes ({', '.join(sizes) or 'not told'})")


def _strip(source: Expression, reporter: Reporter) -> None:
    """Take off the prefix that most names have."""
    names = source.genes.index
    found = Counter(match[0] for name in names if (match := PREFIX.match(name)))
    if not found or found.most_common(1)[0][1] < MIN_SHARE * len(names):
        return
    prefix = found.most_common(1)[0][0]
    reporter.info(f"{source.name}: genes are named without the prefix {prefix}")
    columns = {
        key: strings(value.removeprefix(prefix) for value in source.genes.strings(key))
        if key == "gene_ids"
        else column
        for key, column in source.genes.columns.items()
    }
    stripped = strings(name.removeprefix(prefix) for name in names)
    source.genes = Table(stripped, columns, source.genes.index_name)
