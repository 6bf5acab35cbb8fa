"""Clusters' markers against a table of cell types: scores, labels, and the evidence for these.

A type's score in a cluster is the sum, over the genes that are markers of both, of the gene's fold
change (at most ``MAX_CHANGE``) times its weight, over the root of the type's summed squared weights
plus those of a median type, so that a short list of genes is no advantage. A gene's weight
decreases with the number of types that it marks, as a gene that marks many types says little. The
overlap is tested by the hypergeometric distribution.

A user may correct the table of the evidence. The prepared cells are written as an h5ad.
"""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.exchange.writing import new_file
from screader_lib.genes.text_files import read_table, read_text
from screader_lib.preparation.clustering import LOG, Marker
from screader_lib.preparation.marker_tables import CellType
from screader_lib.reporting import SILENT, Reporter

if TYPE_CHECKING:
    import anndata

UNKNOWN, AMBIGUOUS = "unknown", "ambiguous"
MAX_CHANGE = 4.0  # log2
MAX_P = 0.01
MIN_GENES = 2
MAX_LISTED = 15  # genes per type in the evidence
MIN_MARGIN = 0.1  # of the best score; below it two types cannot be distinguished


@dataclass(frozen=True)
class TypeScore:
    """How well a cell type fits a cluster: score, p of the overlap, the genes in support."""

    cell_type: CellType
    score: float
    p: float
    genes: tuple[str, ...]


@dataclass(frozen=True)
class ClusterLabel:
    """A cluster's label with its evidence, best type first.

    ``status`` is assigned, ambiguous, unknown, or corrected by a user.
    """

    cluster: str
    cells: int
    label: str = UNKNOWN
    ontology_id: str = ""
    status: str = UNKNOWN
    scores: tuple[TypeScore, ...] = ()
    markers: tuple[Marker, ...] = field(default=(), repr=False)

    @property
    def margin(self) -> float:
        """How far the best type is ahead of the second, as a fraction of its score."""
        best = [score.score for score in self.scores[:2]]
        if not best or best[0] <= 0:
            return 0.0
        return 1 - best[1] / best[0] if len(best) > 1 else 1.0


def check_markers(
    types: Sequence[CellType], genes: Sequence[str], reporter: Reporter = SILENT
) -> None:
    """Report how many marker genes the ``genes`` of the data have; ScReaderError where none."""
    markers = {gene for cell_type in types for gene in cell_type.genes}
    present = len(markers & {gene.upper() for gene in genes})
    if not present:
        raise ScReaderError(
            "none of the marker genes is among the genes of the cells.",
            remedy="Give symbols with --gene-column, and check --species.",
        )
    reporter.info(f"{present:,} of {len(markers):,} marker genes are among the genes of the cells.")


def label_clusters(
    markers: Mapping[str, Sequence[Marker]],
    sizes: Mapping[str, int],
    types: Sequence[CellType],
    genes: Sequence[str],
) -> list[ClusterLabel]:
    """One label per cluster; ``genes`` are all genes of the data.

    ScReaderError where none of them marks any type.
    """
    from scipy.stats import hypergeom

    if types:
        check_markers(types, genes)
    present = {gene.upper() for gene in genes}
    known = [cell_type.genes & present for cell_type in types]
    counts = Counter(gene for of_type in known for gene in of_type)
    weights = {gene: 1 / np.sqrt(count) for gene, count in counts.items()}
    squares = [sum(weights[gene] ** 2 for gene in sorted(of_type)) for of_type in known]
    median = np.median([square for square in squares if square] or [0.0])

    def scores(own: Sequence[Marker]) -> Iterator[TypeScore]:
        for cell_type, of_type, square in zip(types, known, squares, strict=True):
            shared = [marker for marker in own if marker.gene.upper() in of_type]
            p = float(hypergeom.sf(len(shared) - 1, len(present), len(of_type), len(own)))
            if len(shared) >= MIN_GENES and p < MAX_P:
                total = sum(
                    min(marker.fold_change, MAX_CHANGE) * weights[marker.gene.upper()]
                    for marker in shared
                )
                score = float(total / np.sqrt(square + median))
                yield TypeScore(cell_type, score, p, tuple(marker.gene for marker in shared))

    labels = []
    for cluster, own in markers.items():
        best_first = sorted(scores(own), key=lambda one: (-one.score, one.cell_type.name))
        label = ClusterLabel(cluster, sizes[cluster], scores=tuple(best_first), markers=tuple(own))
        if label.scores and label.margin < MIN_MARGIN:
            label = replace(label, label=AMBIGUOUS, status=AMBIGUOUS)
        elif label.scores:
            best = label.scores[0].cell_type
            label = replace(label, label=best.name, ontology_id=best.ontology_id, status="assigned")
        labels.append(label)
    return labels


def evidence_tsv(labels: Sequence[ClusterLabel]) -> str:
    """The labels with their evidence, tab-separated: for a user to confirm or correct."""
    import pandas

    table = pandas.DataFrame([_evidence(one) for one in labels])
    return table.to_csv(sep="\t", index=False, lineterminator="\n")


def _evidence(one: ClusterLabel) -> dict[str, object]:
    best, second = (*one.scores[:2], None, None)[:2]
    return {
        "cluster": one.cluster,
        "label": one.label,
        "ontology_id": one.ontology_id,
        "status": one.status,
        "cells": one.cells,
        "score": f"{best.score:.3f}" if best else "",
        "margin": f"{one.margin:.3f}",
        "p": f"{best.p:.2g}" if best else "",
        "evidence": f"{best.cell_type.name}: {', '.join(best.genes[:MAX_LISTED])}" if best else "",
        "second": second.cell_type.name if second else "",
        "second_score": f"{second.score:.3f}" if second else "",
        "second_evidence": ", ".join(second.genes[:MAX_LISTED]) if second else "",
        "markers": ", ".join(marker.gene for marker in one.markers[:MAX_LISTED]),
    }


def corrected(labels: Sequence[ClusterLabel], path: Path) -> list[ClusterLabel]:
    """The labels with a user's: a table with cluster and label, and optionally ontology_id.

    A row that repeats a cluster's own label changes nothing, so an edited evidence table can be
    given. ScReaderError for a cluster that does not exist or occurs twice.
    """
    corrections: dict[str, tuple[str, str]] = {}
    clusters = {one.cluster for one in labels}
    for row in read_table(read_text(path, str(path)), str(path), "cluster", "label"):
        cluster, label = (row["cluster"] or "").strip(), (row["label"] or "").strip()
        if cluster not in clusters:
            raise ScReaderError(
                f"has an unknown cluster {cluster!r}.",
                file=path,
                remedy=f"Clusters are 1 to {len(clusters)}, as long as --seed and settings are "
                "the same.",
            )
        if cluster in corrections:
            raise ScReaderError(f"has cluster {cluster} twice.", file=path)
        corrections[cluster] = label, (row.get("ontology_id") or "").strip()
    return [_corrected(one, *corrections.get(one.cluster, ("", ""))) for one in labels]


def _corrected(old: ClusterLabel, label: str, ontology_id: str) -> ClusterLabel:
    if not label or (label, ontology_id) == (old.label, old.ontology_id):
        return old
    if label != old.label and ontology_id == old.ontology_id:
        ontology_id = ""  # it was the old label's
    return replace(old, label=label, ontology_id=ontology_id, status="corrected")


def write(
    path: Path, data: anndata.AnnData, labels: Sequence[ClusterLabel], record: Mapping[str, Any]
) -> None:
    """Write counts in X, ``cluster``, ``label`` and its evidence, PCA, UMAP, variable genes.

    ``record`` is the provenance: tool, version, parameters, inputs. The log-normalised values,
    which follow from the counts, are left out.
    """
    from anndata.io import write_elem

    cluster = data.obs["cluster"].astype(str)
    columns = {
        "label": {one.cluster: one.label for one in labels},
        "label_ontology_id": {one.cluster: one.ontology_id for one in labels},
        "label_status": {one.cluster: one.status for one in labels},
    }
    for name, of_cluster in columns.items():
        data.obs[name] = cluster.map(of_cluster).astype("category")
    scores = {one.cluster: one.scores[0].score if one.scores else 0.0 for one in labels}
    data.obs["label_score"] = cluster.map(scores).astype(np.float32)
    if all(one.status == UNKNOWN and not one.scores for one in labels):
        data.obs = data.obs.drop(columns=["label_ontology_id", "label_score"])
    del data.layers[LOG], data.obsp, data.uns
    markers = {one.cluster: [asdict(marker) for marker in one.markers] for one in labels}
    data.uns["prepare_cells"] = {
        "record": json.dumps(record, sort_keys=True),
        "evidence": evidence_tsv(labels),
        "markers": json.dumps(markers),
    }
    with new_file(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_elem(file, "/", data, dataset_kwargs={"compression": "gzip"})
