"""Ask the sources, in order, for the genes of a list, and make one description per gene."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from screader_lib.genes.catalog import NO_MATCH, UNMATCHED, CatalogMatch
from screader_lib.genes.records import Gene, merged
from screader_lib.genes.sources.gene_source import GeneSource
from screader_lib.genes.texts import DEFAULT_FIELDS, compose
from screader_lib.reporting import SILENT, Reporter

FOUND = "found"


@dataclass(frozen=True)
class Description:
    """One asked-for ``name``: how it was matched, to which gene, and the text to embed.

    ``text`` is empty where nothing is known, and then ``source`` is ``none``.
    """

    name: str
    match: CatalogMatch
    text: str = ""
    source: str = "none"

    @property
    def gene(self) -> Gene:
        """The gene's facts; of an unknown gene only the name."""
        return self.match.gene or Gene(self.name, source="none")


def describe(
    names: Sequence[str],
    sources: Iterable[GeneSource],
    fields: Sequence[str] = DEFAULT_FIELDS,
    reporter: Reporter = SILENT,
) -> list[Description]:
    """One description per name, in the order of ``names``.

    The first source that knows a name decides which gene it is; the sources after it fill the
    fields of the text that are still empty.
    """
    matches = dict.fromkeys(names, NO_MATCH)
    for source in sources:
        _ask(source, matches, fields, reporter)
    return with_texts((Description(name, match) for name, match in matches.items()), fields)


def _ask(
    source: GeneSource, matches: dict[str, CatalogMatch], fields: Sequence[str], reporter: Reporter
) -> None:
    fillable = [field for field in (*fields, "text") if field in source.provides]
    unknown = [name for name, match in matches.items() if match.gene is None]
    lacking = {
        name: match.gene
        for name, match in matches.items()
        if match.gene is not None and match.gene.lacks(fillable) and not match.gene.text
    }
    if not unknown and not lacking:
        reporter.detail(f"{source.name}: nothing left to ask for.")
        return
    ids = dict.fromkeys(gene.gene_id for gene in lacking.values() if gene.gene_id)
    catalog = source.catalog(unknown, list(ids))
    for name in unknown:
        matches[name] = _first_known(matches[name], catalog.match(name), source)
    for name, gene in lacking.items():
        other = catalog.same(gene)
        if other is not None:
            matches[name] = replace(matches[name], gene=merged(gene, other))
    found = sum(matches[name].gene is not None for name in unknown)
    reporter.detail(f"{source.name}: knows {found:,} of {len(unknown):,} genes asked for.")


def _first_known(before: CatalogMatch, now: CatalogMatch, source: GeneSource) -> CatalogMatch:
    if now == NO_MATCH:
        return before
    by_user = now.gene is not None and now.gene.source == "user"
    return replace(now, how="user") if by_user else now


def with_texts(
    descriptions: Iterable[Description], fields: Sequence[str] = DEFAULT_FIELDS
) -> list[Description]:
    """The descriptions with their texts composed anew from the genes' facts."""
    done = []
    for description in descriptions:
        text = compose(description.gene, fields) if description.match.gene else ""
        source = description.gene.source if text else "none"
        done.append(replace(description, text=text, source=source))
    return done


def summary_lines(descriptions: Sequence[Description], repeated: int = 0) -> list[str]:
    """In words: how many genes were matched and how, and how many have no text or summary."""
    total = len(descriptions)
    how = Counter(description.match.how for description in descriptions)
    matched = total - sum(how[way] for way in UNMATCHED)
    ways = ", ".join(
        f"{way.replace('_', ' ')} {count:,}"
        for way, count in how.most_common()
        if way not in UNMATCHED
    )
    with_summary = sum(bool(description.gene.summary) for description in descriptions)
    without = sum(not description.text for description in descriptions)
    lines = [f"{matched:,} of {_counted(total, 'gene')} matched" + (f" ({ways})." if ways else ".")]
    if how["ambiguous"]:
        means = (
            "name means several genes and stays"
            if how["ambiguous"] == 1
            else ("names mean several genes and stay")
        )
        lines.append(f"{how['ambiguous']:,} {means} without one.")
    if how["discontinued"]:
        names = _counted(how["discontinued"], "name")
        lines.append(f"{names} discontinued by NCBI, with no gene in their place.")
    share = with_summary / max(1, total)
    lines.append(f"{with_summary:,} have a summary ({share:.1%}), {without:,} have no text.")
    if repeated:
        lines.append(f"{_counted(repeated, 'repeated name')} left out; each is kept once.")
    doubled = _genes_twice(descriptions)
    if doubled:
        lines.append(f"{_counted(doubled, 'gene')} asked for by more than one name, kept by each.")
    return lines


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _genes_twice(descriptions: Iterable[Description]) -> int:
    asked = Counter(
        description.gene.gene_id for description in descriptions if description.gene.gene_id
    )
    return sum(count > 1 for count in asked.values())
