"""The prepared cells as an h5ad."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from screader_lib.exchange.writing import new_file
from screader_lib.preparation.clustering import LOG
from screader_lib.preparation.corrections import evidence_tsv
from screader_lib.preparation.labelling import UNKNOWN, ClusterLabel

if TYPE_CHECKING:
    import anndata

GROUP = "prepare_cells"


def write(
    path: Path, data: anndata.AnnData, calls: Sequence[ClusterLabel], record: Mapping[str, Any]
) -> None:
    """Write counts in X, ``cluster``, ``label`` and its evidence, PCA, UMAP, variable genes.

    ``record`` says which tool, version, parameters and inputs made it. The log-normalised values,
    which follow from the counts, are left out.
    """
    by_cluster = {call.cluster: call for call in calls}
    clusters = data.obs["cluster"].astype(str)
    for name, value in (
        ("label", lambda call: call.label),
        ("label_ontology_id", lambda call: call.ontology_id),
        ("label_status", lambda call: call.status),
    ):
        column = [value(by_cluster[cluster]) for cluster in clusters]
        data.obs[name] = np.array(column, dtype=object)
        data.obs[name] = data.obs[name].astype("category")
    scores = {call.cluster: call.scores[0].score if call.scores else 0.0 for call in calls}
    data.obs["label_score"] = np.array([scores[name] for name in clusters], np.float32)
    if all(call.status == UNKNOWN and not call.scores for call in calls):
        data.obs = data.obs.drop(columns=["label_ontology_id", "label_score"])
    del data.layers[LOG], data.obsp, data.uns
    data.uns[GROUP] = {
        "record": json.dumps(record, sort_keys=True),
        "evidence": evidence_tsv(calls),
        "markers": json.dumps(
            {call.cluster: [asdict(marker) for marker in call.markers] for call in calls}
        ),
    }
    from anndata.io import write_elem

    with new_file(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_elem(file, "/", data, dataset_kwargs={"compression": "gzip"})
