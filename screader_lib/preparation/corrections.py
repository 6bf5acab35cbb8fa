"""A person's word over the labels, and the evidence they are shown for it."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from screader_lib.errors import ScReaderError
from screader_lib.genes.text_files import read_table, read_text
from screader_lib.preparation.labelling import ClusterLabel

COLUMNS = (
    "cluster",
    "label",
    "ontology_id",
    "status",
    "cells",
    "score",
    "margin",
    "p",
    "evidence",
    "second",
    "second_score",
    "second_evidence",
    "markers",
)
MOST_GENES = 15


def evidence_tsv(calls: Sequence[ClusterLabel]) -> str:
    """The calls as a table, tab-separated: what a person confirms, or edits and hands back."""
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
    writer.writerow(COLUMNS)
    for call in calls:
        best, second = (*call.scores[:2], None, None)[:2]
        writer.writerow(
            (
                call.cluster,
                call.label,
                call.ontology_id,
                call.status,
                call.cells,
                f"{best.score:.3f}" if best else "",
                f"{call.margin:.3f}",
                f"{best.p:.2g}" if best else "",
                f"{best.cell_type.name}: {', '.join(best.genes[:MOST_GENES])}" if best else "",
                second.cell_type.name if second else "",
                f"{second.score:.3f}" if second else "",
                ", ".join(second.genes[:MOST_GENES]) if second else "",
                ", ".join(marker.gene for marker in call.markers[:MOST_GENES]),
            )
        )
    return stream.getvalue()


def corrected(calls: Sequence[ClusterLabel], path: Path) -> list[ClusterLabel]:
    """The calls with the labels of a table: columns cluster and label, and ontology_id if any.

    A row that repeats a call's own label leaves it as it is, so that an edited table of evidence
    can be handed back. ScReaderError for a cluster that is not there, or named twice.
    """
    rows = read_table(read_text(path, str(path)), str(path), "cluster", "label")
    wanted: dict[str, tuple[str, str]] = {}
    known = {call.cluster for call in calls}
    for row in rows:
        cluster, label = (row["cluster"] or "").strip(), (row["label"] or "").strip()
        if cluster not in known:
            raise ScReaderError(
                f"names a cluster {cluster!r}.",
                file=path,
                remedy=f"Clusters: 1 to {len(known)}; the same --seed and settings give the same.",
            )
        if cluster in wanted:
            raise ScReaderError(f"names cluster {cluster} twice.", file=path)
        wanted[cluster] = label, (row.get("ontology_id") or "").strip()
    return [_corrected(call, *wanted.get(call.cluster, ("", ""))) for call in calls]


def _corrected(call: ClusterLabel, label: str, ontology_id: str) -> ClusterLabel:
    if not label or (label, ontology_id) == (call.label, call.ontology_id):
        return call
    if label != call.label and ontology_id == call.ontology_id:
        ontology_id = ""  # it was the old label's
    return replace(call, label=label, ontology_id=ontology_id, status="corrected")
