"""Find genes by the names that people give them.

Rules, tried in this order; the first that knows the name decides:

1. ``symbol``       the official symbol as written; of several genes with one symbol the only one
                    whose symbol is a nomenclature committee's;
2. ``ensembl_id``   an Ensembl gene id, its version ignored; ``database_id``, one of another
                    database (``FBgn0000490``, ``HGNC:6081``, ``MIM:176730``); of several genes
                    with one id again the only one with an official symbol;
3. ``gene_id``      an NCBI GeneID, plain or after ``GeneID:`` or ``LOC``;
                    ``withdrawn``, where its record was merged into another;
4. ``case``         the symbol but for upper and lower case;
5. ``punctuation``  the symbol but for the signs that R's ``make.names`` turns into dots
                    (``HLA.A`` for ``HLA-A``);
6. ``alias``        another symbol of the gene, as written, then but for case or signs;
7. ``withdrawn``    a symbol of a record that was merged into this gene;
8. ``punctuation``  the symbol without a dash that people put into it (``STAT-3`` for ``STAT3``);
9. ``suffix``       rules 1 to 7 for the name without the suffix ``.1`` that R's ``make.unique``
                    adds to duplicates, rules 1 to 4 without scanpy's ``-1``;
10. rule 2 for an Ensembl id within the name, such as ``INS_ENSG00000254647``.

A name that a rule leads to several genes is ``ambiguous`` and left unmatched. One that no rule
knows is ``discontinued`` where NCBI has withdrawn it and put nothing in its place.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from screader_lib.genes.records import ENSEMBL, Gene, without_version
from screader_lib.genes.spelling import dotted, name_within, without_suffix

GENE_ID = re.compile(r"(?:GeneID:|LOC)?([1-9]\d*)$")
RULES_WITH_DASH = ("symbol", "ensembl_id", "database_id", "gene_id", "case", "ambiguous")
UNMATCHED = ("none", "ambiguous", "discontinued")
MAX_MERGERS = 20  # of records, one into the next
REGION = "biological-region"  # stretches of DNA with names of their own; no genes


@dataclass(frozen=True)
class CatalogMatch:
    """The gene and the rule that led to it; ``candidates`` are the genes of an ambiguous name."""

    gene: Gene | None = None
    how: str = "none"
    candidates: tuple[str, ...] = ()


NO_MATCH = CatalogMatch()
DISCONTINUED = CatalogMatch(None, "discontinued")


class Catalog:
    """Genes that can be looked up by name.

    ``elsewhere`` are names that mean genes outside this catalog too: as aliases they are
    ambiguous. ``withdrawn`` maps symbols of withdrawn records, in lower case, to GeneIDs, and
    ``replaced`` their GeneIDs to the one that took their place, or to nothing.
    """

    def __init__(
        self,
        genes: Iterable[Gene],
        elsewhere: Iterable[str] = (),
        withdrawn: Mapping[str, Iterable[str]] | None = None,
        replaced: Mapping[str, str] | None = None,
    ) -> None:
        self.genes = list(genes)
        self.elsewhere = {name.lower() for name in elsewhere}
        self.withdrawn = withdrawn or {}
        self.replaced = replaced or {}
        self.by_id: dict[str, Gene] = {gene.gene_id: gene for gene in self.genes if gene.gene_id}
        named = [gene for gene in self.genes if gene.gene_type != REGION]
        self.by_database = _index(named, lambda gene: gene.database_ids)
        self.by_symbol = _index(named, lambda gene: (gene.symbol,))
        self.by_folded = _index(named, lambda gene: (gene.symbol.lower(),))
        self.by_dotted = _index(named, lambda gene: (_dotted(gene.symbol),))
        self.by_alias = _index(named, lambda gene: gene.aliases)
        self.by_folded_alias = _index(named, lambda gene: map(str.lower, gene.aliases))
        self.by_dotted_alias = _index(named, lambda gene: map(_dotted, gene.aliases))

    def match(self, name: str) -> CatalogMatch:
        """The gene that ``name`` means, by the rules above."""
        match = (
            self._whole(name)
            or self._without_dash(name)
            or self._without_suffix(name)
            or self._composed(name)
        )
        if match is not None:
            return match
        number = GENE_ID.match(name)
        discontinued = name.lower() in self.withdrawn or (number and number[1] in self.replaced)
        return DISCONTINUED if discontinued else NO_MATCH

    def same(self, gene: Gene) -> Gene | None:
        """This catalog's record of a gene known from elsewhere; by GeneID, Ensembl id, symbol."""
        if gene.gene_id and gene.gene_id in self.by_id:
            return self.by_id[gene.gene_id]
        for genes in (
            self.by_database.get(without_version(gene.ensembl_id), []),
            self.by_symbol.get(gene.symbol, []),
        ):
            if len(genes) == 1 and not (gene.gene_id and genes[0].gene_id):
                return genes[0]
        return None

    def _whole(self, name: str) -> CatalogMatch | None:
        """Rules 1 to 7."""
        genes = self.by_symbol.get(name)
        if genes:
            return _official(genes, "symbol")
        is_ensembl = ENSEMBL.match(name) is not None
        genes = self.by_database.get(without_version(name))
        if genes:
            return _official(genes, "ensembl_id" if is_ensembl else "database_id")
        return None if is_ensembl else self._by_number(name) or self._loosely(name)

    def _by_number(self, name: str) -> CatalogMatch | None:
        number = GENE_ID.match(name)
        if number and number[1] in self.by_id:
            return CatalogMatch(self.by_id[number[1]], "gene_id")
        current = self._current(number[1]) if number else ""
        return CatalogMatch(self.by_id[current], "withdrawn") if current in self.by_id else None

    def _current(self, gene_id: str) -> str:
        """The GeneID that a withdrawn one has become; itself where it was not withdrawn."""
        for _ in range(MAX_MERGERS):
            if gene_id not in self.replaced:
                break
            gene_id = self.replaced[gene_id]
        return gene_id

    def _loosely(self, name: str) -> CatalogMatch | None:
        folded, dotted = name.lower(), _dotted(name)
        if genes := self.by_folded.get(folded):
            return _official(genes, "case")
        if genes := self.by_dotted.get(dotted):
            return _official(genes, "punctuation")
        genes = (
            self.by_alias.get(name)
            or self.by_folded_alias.get(folded)
            or self.by_dotted_alias.get(dotted)
        )
        if genes:
            if folded in self.elsewhere:
                return CatalogMatch(None, "ambiguous", (*_names(genes), "others"))
            return _only(genes, "alias")
        current = dict.fromkeys(map(self._current, self.withdrawn.get(folded, ())))
        merged = [self.by_id[gene_id] for gene_id in current if gene_id in self.by_id]
        return _only(merged, "withdrawn") if merged else None

    def _without_dash(self, name: str) -> CatalogMatch | None:
        genes = self.by_folded.get(name.replace("-", "").lower()) if "-" in name else None
        return _official(genes, "punctuation") if genes else None

    def _without_suffix(self, name: str) -> CatalogMatch | None:
        stem = without_suffix(name)
        if not stem:
            return None
        match = self._whole(stem)
        if match is None or (name[len(stem)] == "-" and match.how not in RULES_WITH_DASH):
            return None
        return CatalogMatch(match.gene, "suffix") if match.gene else match

    def _composed(self, name: str) -> CatalogMatch | None:
        inner = name_within(name)
        return self._whole(inner) if inner else None


def _dotted(name: str) -> str:
    """A name as R's make.names and make.unique would write it, in lower case."""
    return dotted(name).lower()


def _index(
    genes: Iterable[Gene], keys: Callable[[Gene], Iterable[str]]
) -> Mapping[str, list[Gene]]:
    index: dict[str, list[Gene]] = defaultdict(list)
    for gene in genes:
        for key in set(keys(gene)):
            if key:
                index[key].append(gene)
    return index


def _official(genes: list[Gene], how: str) -> CatalogMatch:
    official = [gene for gene in genes if gene.official]
    return _only(official if len(official) == 1 else genes, how)


def _only(genes: list[Gene], how: str) -> CatalogMatch:
    if len(genes) == 1:
        return CatalogMatch(genes[0], how)
    return CatalogMatch(None, "ambiguous", _names(genes))


def _names(genes: Iterable[Gene]) -> tuple[str, ...]:
    return tuple(f"{gene.symbol} ({gene.gene_id or gene.ensembl_id or '?'})" for gene in genes)
