"""What made the calls: a row for each cluster, with the genes behind its type."""

from __future__ import annotations

from typing import Any

import numpy as np

from screader_lib.annotation.no_labels.type_evidence import TypeEvidence
from screader_lib.exchange.table import Categorical, Column, Table, strings

GENES_SHOWN = 8
SHOWN_FROM = 0.5  # a gene's mean z-score in the cluster
CLEAR_MAJORITY = 0.7  # of a cluster's cells
FEW_CELLS = 10


def tabulate_evidence(
    evidence: TypeEvidence, is_called: np.ndarray, clusters: Categorical, values: np.ndarray
) -> Table:
    """A row for each of the ``clusters`` with cells; ``is_called`` bool (cells,).

    ``values`` float64 (clusters, genes) are their mean z-scores. The genes are those that add most
    to the score of the type with the most calls, or else the most probable one.
    """
    best, confidence, strength = evidence.best()
    names = [one.name for one in evidence.of.types]
    rows: dict[str, dict[str, Any]] = {}
    for code, cluster in enumerate(clusters.categories):
        members = np.flatnonzero(clusters.codes == code)
        if not len(members):
            continue
        calls = np.bincount(best[members][is_called[members]], minlength=len(names))
        first, second, *_ = np.argsort(-calls, kind="stable").tolist()
        likely = first if calls[first] else int(evidence.probability[members].mean(0).argmax())
        row: dict[str, Any] = {
            "cells": len(members),
            "label": names[first] if calls[first] else "",
            "ontology_id": evidence.of.types[first].ontology_id if calls[first] else "",
            "share": calls[first] / len(members),
            "second_label": names[second] if calls[second] else "",
            "second_share": calls[second] / len(members),
            "without_label": float((~is_called[members]).mean()),
            "nearest_type": names[likely],
            "confidence": float(np.median(confidence[members])),
            "evidence": float(np.median(strength[members])),
            "markers": _genes(evidence.of.by_markers[likely], values[code], evidence),
            "genes_by_text": _genes(evidence.of.by_text[likely], values[code], evidence),
        }
        row["check"] = _what_to_check(row, evidence.of.by_markers[likely].any())
        rows[cluster] = row
    columns: dict[str, Column] = {}
    for name in next(iter(rows.values())):
        found = [row[name] for row in rows.values()]
        columns[name] = strings(found) if isinstance(found[0], str) else np.array(found)
    return Table(strings(rows), columns, "cluster")


def _genes(weights: np.ndarray, values: np.ndarray, evidence: TypeEvidence) -> str:
    parts = np.where(values >= SHOWN_FROM, weights * values, 0)
    most = np.argsort(-parts, kind="stable")[:GENES_SHOWN]
    return ", ".join(evidence.of.genes.names[gene] for gene in most if parts[gene] > 0)


def _what_to_check(row: dict[str, Any], has_markers: bool) -> str:
    """What a person should look at, in words; empty where nothing stands out."""
    remarks = []
    if row["cells"] < FEW_CELLS:
        remarks.append("few cells")
    if row["without_label"] > 1 - CLEAR_MAJORITY:
        remarks.append("many cells are like none of the types, or like several")
    elif row["share"] < CLEAR_MAJORITY:
        remarks.append(f"mixed: {row['label']} and {row['second_label']}")
    if not has_markers:
        remarks.append("no marker of this type is known: by its text alone")
    elif not row["markers"]:
        remarks.append("no marker of this type is higher here than elsewhere")
    return "; ".join(remarks)
