"""Descriptions as an exchange file; the table of unmatched names."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from screader_lib.exchange import encoding
from screader_lib.exchange.schema import load
from screader_lib.exchange.table import Categorical, Column, Table, strings
from screader_lib.genes.catalog import UNMATCHED
from screader_lib.genes.describe import Description
from screader_lib.genes.records import FACTS

if TYPE_CHECKING:
    import h5py

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
    columns["text_sha256"] = column(lambda d: _sha256(d.text))
    return Table(column(lambda d: d.name), columns)


def _sha256(text: str) -> str:
    """SHA-256 of a text in UTF-8, hexadecimal; empty for an empty text."""
    return hashlib.sha256(text.encode()).hexdigest() if text else ""


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
