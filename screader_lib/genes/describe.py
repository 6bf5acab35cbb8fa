"""Ask the sources, in order, for the genes of a list, and make one description per gene.

A description's text is composed of the gene's fields, cleaned. Descriptions are written as an
exchange file; the unmatched names as a table.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding
from screader_lib.exchange.schema import load
from screader_lib.exchange.table import Categorical, Column, Table, strings
from screader_lib.genes.catalog import NO_MATCH, UNMATCHED, CatalogMatch
from screader_lib.genes.records import FACTS, Gene, Organism, merged
from screader_lib.genes.sources.gene_source import GeneSource
from screader_lib.genes.spelling import other_species
from screader_lib.reporting import SILENT, Reporter, counted

if TYPE_CHECKING:
    import h5py

FIELDS = (
    "symbol", "full_name", "gene_type", "aliases", "organism", "lineage", "expression", "summary",
)  # fmt: skip
DEFAULT_FIELDS = ("symbol", "full_name", "gene_type", "expression", "summary")

CITATION = re.compile(
    r"\s*(?:\[(?:provided|supplied|submitted|adapted|modified|recorded)\b[^\[\]]*\]"
    r"|\[(?:from|pubmed|pmid|omim|mim|rgd|mgi|zfin|uniprot\w*|refseq)\b[^\[\]]*\]"
    r"|\[\d+(?:\s*[,–-]\s*\d+)*\]"
    r"|\((?:pubmed|pmid|omim|mim)\b[:\s]*[\d\s,;:a-z]*\))",
    re.IGNORECASE,
)
INVISIBLE = ("Cc", "Cf", "Co", "Cs", "Cn")


def cleaned(text: str) -> str:
    """``text`` in Unicode form C without control characters, citations and doubled space.

    Citations are bracketed remarks on provenance, such as ``[provided by RefSeq, May 2020]``,
    ``[PubMed 123]``, ``(PMID: 123)`` and ``[1, 2]``.
    """
    normal = unicodedata.normalize("NFC", text)
    visible = "".join(
        " " if unicodedata.category(letter) in INVISIBLE else letter for letter in normal
    )
    return " ".join(CITATION.sub("", visible).split())


def parse_fields(listed: str) -> tuple[str, ...]:
    """Field names from a comma-separated list; ScReaderError for one that is not known."""
    fields = tuple(field.strip() for field in listed.split(",") if field.strip())
    for field in fields:
        if field not in FIELDS:
            raise ScReaderError(
                f"--fields: {field!r} is not a field of the text.",
                remedy=f"Fields: {', '.join(FIELDS)}.",
            )
    if not fields or len(set(fields)) != len(fields):
        raise ScReaderError("--fields: list each field once, and at least one.")
    return fields


def compose(gene: Gene, fields: Sequence[str] = DEFAULT_FIELDS) -> str:
    """The text to embed: the gene's own ``text``, or its filled fields as sentences, in order."""
    if gene.text:
        return cleaned(gene.text)
    parts = (_sentence(field, gene) for field in fields)
    return " ".join(part for part in parts if part)


def _sentence(field: str, gene: Gene) -> str:
    value = ", ".join(gene.aliases) if field == "aliases" else getattr(gene, field)
    value = cleaned(value)
    if not value:
        return ""
    if field == "aliases":
        value = f"Also known as {value}"
    return value if value.endswith((".", "!", "?")) else f"{value}."


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


def doubt(descriptions: Sequence[Description], organism: Organism) -> str:
    """What is wrong with the match as a whole, such as another species; "" for nothing.

    ScReaderError where no name is a gene.
    """
    names = [description.name for description in descriptions]
    counts = Counter(description.match.how for description in descriptions)
    matched = len(names) - sum(counts[how] for how in UNMATCHED)
    species = organism.common or organism.name or str(organism.tax_id)
    other = other_species(names, species)
    hint = f"These look like {other} genes: --organism {other}." if other else ""
    if not matched and not any(description.text for description in descriptions):
        raise ScReaderError(
            f"none of the {counted(len(names), 'name')} is a gene of {species}.",
            remedy=hint or "Are --organism and --column right?",
        )
    if matched < len(names) / 2:
        return f"only {matched:,} of {counted(len(names), 'name')} are genes of {species}. " + (
            hint or "Are --organism and --column right?"
        )
    if other and counts["case"] > matched / 2:
        return f"most names match only if upper and lower case are ignored. {hint}"
    return ""


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


KIND = "descriptions"


def write_descriptions(
    file: h5py.File,
    descriptions: Sequence[Description],
    generation: Mapping[str, str] | None = None,
) -> None:
    """Write descriptions into a new exchange file; ``generation`` is a chat model's record."""
    encoding.begin_anndata(file, _to_table(descriptions), Table(strings(())))
    if generation is not None:
        encoding.write_json(file["uns"], "generation", dict(generation))


def _to_table(descriptions: Sequence[Description]) -> Table:
    """obs of a descriptions file, one row per description."""

    def column(value: Callable[[Description], object]) -> np.ndarray:
        return strings(value(description) for description in descriptions)

    def category(name: str, value: Callable[[Description], str]) -> Categorical:
        allowed = load(KIND).element(f"obs/{name}").values
        return Categorical.of((value(description) for description in descriptions), allowed)

    columns: dict[str, Column] = {
        name: strings(_plain(getattr(description.gene, name)) for description in descriptions)
        for name in FACTS
    }
    columns["tax_id"] = np.array([d.gene.tax_id for d in descriptions], np.int32)
    columns["aliases"] = column(lambda d: _plain("|".join(d.gene.aliases)))
    columns["other_ids"] = column(lambda d: _plain("|".join(d.gene.other_ids)))
    columns["text"] = column(lambda d: d.text)
    columns["source"] = category("source", lambda d: d.source)
    columns["matched_by"] = category("matched_by", lambda d: d.match.how)
    columns["text_sha256"] = column(
        lambda d: hashlib.sha256(d.text.encode()).hexdigest() if d.text else ""
    )
    return Table(column(lambda d: d.name), columns)


def _plain(value: str) -> str:
    """HDF5 strings end at a NUL."""
    return value.replace("\0", " ")


def unmatched_tsv(descriptions: Iterable[Description]) -> str:
    """The names without a gene, tab-separated: name, why, candidates."""
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
    writer.writerow(("id", "reason", "candidates"))
    for description in descriptions:
        if description.match.how in UNMATCHED:
            how = description.match.how
            reason = "unknown" if how == "none" else how
            writer.writerow((description.name, reason, "|".join(description.match.candidates)))
    return stream.getvalue()
