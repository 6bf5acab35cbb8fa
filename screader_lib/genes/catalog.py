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
                    adds to doubles, rules 1 to 4 without scanpy's ``-1``.

A name that a rule leads to several genes is ``ambiguous``: no gene is chosen. One that no rule
knows is ``discontinued`` where NCBI has withdrawn it and put nothing in its place.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from screader_lib.genes.records import ENSEMBL, Gene, without_version

SUFFIX = re.compile(r"(.+)[.-]\d{1,2}$")
GENE_ID = re.compile(r"(?:GeneID:|LOC)?([1-9]\d*)$")
SIGNS = re.compile(r"[^A-Za-z0-9_.]")
BEFORE_DASH = ("symbol", "ensembl_id", "database_id", "gene_id", "case", "ambiguous")
UNMATCHED = ("none", "ambiguous", "discontinued")
MOST_MERGERS = 20  # of records, one into the next
REGION = "biological-region"  # stretches of DNA with names of their own; no genes


@dataclass(frozen=True)
class CatalogMatch:
    """The gene found and the rule; ``candidates`` are the GeneIDs or symbols of an ambiguity."""

    gene: Gene | None = None
    how: str = "none"
    candidates: tuple[str, ...] = ()


NO_MATCH = CatalogMatch()
DISCONTINUED = CatalogMatch(None, "discontinued")
Index = Mapping[str, list[Gene]]


def is_gene_id(name: str) -> bool:
    """Whether a name can be nothing but a GeneID; ``LOC123`` may be a symbol too."""
    return GENE_ID.match(name) is not None and not name.startswith("LOC")


def _folded(name: str) -> str:
    return name.lower()


def _dotted(name: str) -> str:
    """A name as R's make.names and make.unique would write it, in lower case."""
    dotted = SIGNS.sub(".", name.lower())
    return f"x{dotted}" if dotted[:1].isdigit() or dotted[:1] == "_" else dotted


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
        self.by_folded = _index(named, lambda gene: (_folded(gene.symbol),))
        self.by_dotted = _index(named, lambda gene: (_dotted(gene.symbol),))
        self.by_alias = _index(named, lambda gene: gene.aliases)
        self.by_folded_alias = _index(named, lambda gene: map(_folded, gene.aliases))
        self.by_dotted_alias = _index(named, lambda gene: map(_dotted, gene.aliases))

    def match(self, name: str) -> CatalogMatch:
        """The gene that ``name`` means, by the rules above."""
        found = self._match(name)
        return DISCONTINUED if found == NO_MATCH and self._is_discontinued(name) else found

    def _match(self, name: str) -> CatalogMatch:
        found = self._whole(name)
        if found is not None:
            return found
        dashless = self.by_folded.get(_folded(name.replace("-", ""))) if "-" in name else None
        if dashless:
            return _decided(_official(dashless), "punctuation")
        stem = SUFFIX.match(name)
        found = self._whole(stem[1]) if stem and not ENSEMBL.match(name) else None
        by_dash = stem is not None and name[len(stem[1])] == "-"
        if found is None or (by_dash and found.how not in BEFORE_DASH):
            return NO_MATCH
        return CatalogMatch(found.gene, "suffix") if found.gene else found

    def same(self, gene: Gene) -> Gene | None:
        """This catalog's record of a gene known from elsewhere; by GeneID, Ensembl id, symbol."""
        if gene.gene_id and gene.gene_id in self.by_id:
            return self.by_id[gene.gene_id]
        for found in (
            self.by_database.get(without_version(gene.ensembl_id), []),
            self.by_symbol.get(gene.symbol, []),
        ):
            if len(found) == 1 and not (gene.gene_id and found[0].gene_id):
                return found[0]
        return None

    def _whole(self, name: str) -> CatalogMatch | None:
        found = self.by_symbol.get(name)
        if found:
            return _decided(_official(found), "symbol")
        is_ensembl = ENSEMBL.match(name) is not None
        found = self.by_database.get(without_version(name))
        if found:
            return _decided(_official(found), "ensembl_id" if is_ensembl else "database_id")
        return None if is_ensembl else self._by_number(name) or self._loosely(name)

    def _by_number(self, name: str) -> CatalogMatch | None:
        number = GENE_ID.match(name)
        if number and number[1] in self.by_id:
            return CatalogMatch(self.by_id[number[1]], "gene_id")
        current = self._current(number[1]) if number else ""
        return CatalogMatch(self.by_id[current], "withdrawn") if current in self.by_id else None

    def _current(self, gene_id: str) -> str:
        """The GeneID that a withdrawn one has become; itself where it is not known as one."""
        for _ in range(MOST_MERGERS):
            if gene_id not in self.replaced:
                break
            gene_id = self.replaced[gene_id]
        return gene_id

    def _is_discontinued(self, name: str) -> bool:
        number = GENE_ID.match(name)
        return name.lower() in self.withdrawn or bool(number and number[1] in self.replaced)

    def _loosely(self, name: str) -> CatalogMatch | None:
        folded, dotted = _folded(name), _dotted(name)
        for found, how in (
            (self.by_folded.get(folded), "case"),
            (self.by_dotted.get(dotted), "punctuation"),
        ):
            if found:
                return _decided(_official(found), how)
        for found in (
            self.by_alias.get(name),
            self.by_folded_alias.get(folded),
            self.by_dotted_alias.get(dotted),
        ):
            if found:
                return self._by_alias(found, folded)
        current = dict.fromkeys(map(self._current, self.withdrawn.get(folded, ())))
        merged = [self.by_id[key] for key in current if key in self.by_id]
        return _decided(merged, "withdrawn") if merged else None

    def _by_alias(self, found: list[Gene], folded: str) -> CatalogMatch:
        if folded in self.elsewhere:
            return CatalogMatch(None, "ambiguous", (*_names(found), "others"))
        return _decided(found, "alias")


def _index(genes: Iterable[Gene], keys: Callable[[Gene], Iterable[str]]) -> Index:
    index: dict[str, list[Gene]] = defaultdict(list)
    for gene in genes:
        for key in set(keys(gene)):
            if key:
                index[key].append(gene)
    return index


def _official(found: list[Gene]) -> list[Gene]:
    official = [gene for gene in found if gene.official]
    return official if len(official) == 1 else found


def _names(found: list[Gene]) -> tuple[str, ...]:
    return tuple(f"{gene.symbol} ({gene.gene_id or gene.ensembl_id or '?'})" for gene in found)


def _decided(found: list[Gene], how: str) -> CatalogMatch:
    if len(found) == 1:
        return CatalogMatch(found[0], how)
    return CatalogMatch(None, "ambiguous", _names(found))
