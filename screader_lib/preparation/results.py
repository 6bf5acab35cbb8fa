"""The evidence for the labels as a table, a user's corrections to it, and the prepared h5ad."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.exchange.writing import new_file
from screader_lib.genes.text_files import read_table, read_text
from screader_lib.preparation.clustering import LOG
from screader_lib.preparation.labelling import UNKNOWN, ClusterLabel

if TYPE_CHECKING:
    import anndata

GROUP = "prepare_cells"
MAX_GENES = 15  # listed per type


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
        "evidence": f"{best.cell_type.name}: {', '.join(best.genes[:MAX_GENES])}" if best else "",
        "second": second.cell_type.name if second else "",
        "second_score": f"{second.score:.3f}" if second else "",
        "second_evidence": ", ".join(second.genes[:MAX_GENES]) if second else "",
        "markers": ", ".join(marker.gene for marker in one.markers[:MAX_GENES]),
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
    data.uns[GROUP] = {
        "record": json.dumps(record, sort_keys=True),
        "evidence": evidence_tsv(labels),
        "markers": json.dumps(markers),
    }
    with new_file(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_elem(file, "/", data, dataset_kwargs={"compression": "gzip"})
