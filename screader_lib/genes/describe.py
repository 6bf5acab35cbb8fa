"""Ask the sources, in order, for the genes of a list, and make one description per gene."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from screader_lib.genes.catalog import NO_MATCH, UNMATCHED, CatalogMatch
from screader_lib.genes.records import Gene, merged
from screader_lib.genes.sources.gene_source import GeneSource
from screader_lib.genes.texts import DEFAULT_FIELDS, compose
from screader_lib.reporting import SILENT, Reporter, counted


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
    unmatched = [name for name, match in matches.items() if match.gene is None]
    incomplete = {
        name: match.gene
        for name, match in matches.items()
        if match.gene is not None and match.gene.lacks(fillable) and not match.gene.text
    }
    if not unmatched and not incomplete:
        reporter.detail(f"{source.name}: not asked, as everything is known already.")
        return
    ids = dict.fromkeys(gene.gene_id for gene in incomplete.values() if gene.gene_id)
    catalog = source.catalog(unmatched, list(ids))
    for name in unmatched:
        match = catalog.match(name)
        if match.gene is not None and match.gene.source == "user":
            match = replace(match, how="user")
        if match != NO_MATCH:
            matches[name] = match
    for name, gene in incomplete.items():
        other = catalog.same(gene)
        if other is not None:
            matches[name] = replace(matches[name], gene=merged(gene, other))
    matched = sum(matches[name].gene is not None for name in unmatched)
    reporter.detail(f"{source.name}: matched {matched:,} of {counted(len(unmatched), 'name')}.")


def with_texts(
    descriptions: Iterable[Description], fields: Sequence[str] = DEFAULT_FIELDS
) -> list[Description]:
    """The descriptions with their texts composed anew from the genes' facts."""
    composed = []
    for description in descriptions:
        text = compose(description.gene, fields) if description.match.gene else ""
        source = description.gene.source if text else "none"
        composed.append(replace(description, text=text, source=source))
    return composed


def summary_lines(descriptions: Sequence[Description], repeated: int = 0) -> list[str]:
    """In words: how many names were matched and how, and how many have a summary or no text.

    ``repeated`` is the number of names that the input repeats.
    """
    total = len(descriptions)
    counts = Counter(description.match.how for description in descriptions)
    rules = ", ".join(
        f"{how.replace('_', ' ')} {count:,}"
        for how, count in counts.most_common()
        if how not in UNMATCHED
    )
    matched = total - sum(counts[how] for how in UNMATCHED)
    summaries = sum(bool(description.gene.summary) for description in descriptions)
    without = sum(not description.text for description in descriptions)
    ids = Counter(one.gene.gene_id for one in descriptions if one.gene.gene_id)
    shared = sum(count > 1 for count in ids.values())
    lines = [
        f"{matched:,} of {counted(total, 'name')} matched" + (f" ({rules})." if rules else ".")
    ]
    if counts["ambiguous"]:
        lines.append(f"{counted(counts['ambiguous'], 'ambiguous name')} left unmatched.")
    if counts["discontinued"]:
        names = counted(counts["discontinued"], "name")
        lines.append(f"{names} discontinued by NCBI without a replacement.")
    share = summaries / max(1, total)
    lines.append(
        f"{summaries:,} of {total:,} have a summary ({share:.1%}); {without:,} have no text."
    )
    if repeated:
        lines.append(f"{counted(repeated, 'duplicate name')} dropped.")
    if shared:
        lines.append(f"{counted(shared, 'gene')} listed under more than one name; all names kept.")
    return lines
