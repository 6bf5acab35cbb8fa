"""Calls from examples as a ``predictions`` file, which reports are made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from screader_lib.annotation.annotate import CELLS, PREDICTIONS, Annotation
from screader_lib.cells.cells_file import CellSequences
from screader_lib.exchange import encoding, writing
from screader_lib.exchange.opening import open_exchange
from screader_lib.exchange.provenance import Provenance
from screader_lib.exchange.table import Categorical, LazyColumn, LazyTable, Table, strings
from screader_lib.option_values import BY_EXAMPLES


def write_final_predictions(annotation: Annotation, made: Provenance, folder: Path) -> None:
    """Write them into ``folder``, where the ``cells`` file is.

    The most probable label of an example is its own, whatever the other cells say.
    """
    names, cells = annotation.labels.names, annotation.cells
    number_of = {name: number for number, name in enumerate(names)}
    ranked = cells.probability.copy()
    if cells.is_example is not None:
        named = np.flatnonzero(cells.is_example)
        ranked[named, [number_of[label] for label in cells.label[named]]] = np.inf
    order = np.argsort(-ranked, axis=1, kind="stable").astype(np.int32)
    no_term = Categorical(np.full(len(order), -1, np.int32), ())
    columns = {
        "predicted_label": Categorical(order[:, 0], names),
        "predicted_ontology_id": no_term,
        "confidence": cells.confidence,
        "second_label": Categorical(order[:, 1], names),
        "status": Categorical((cells.label == "").astype(np.int32), ("assigned", "unassigned")),
        "familiarity": np.clip(cells.familiarity, 0, 1),
    }
    obs = {name: LazyColumn.of(column) for name, column in columns.items()}
    with (
        open_exchange(folder / CELLS, "cells") as opened,
        writing.create("predictions", folder / PREDICTIONS, made) as file,
    ):
        index = CellSequences(opened, sequential=True).lazy_obs.index
        encoding.begin_anndata(file, LazyTable(index, obs), Table(strings([])))
        for name, values in {
            "probability": cells.probability,
            "X_screader": np.asarray(annotation.calls.obsm["X_screader"]),
        }.items():
            encoding.create_rows(file["obsm"], name, values.shape, np.float32, 1024)[...] = values
        encoding.write_strings(file["uns"], "labels", strings(names))
        encoding.write_strings(
            file["uns"], "label_ontology_ids", strings(annotation.labels.ontology_ids)
        )
        encoding.write_text(file["uns"], "method", BY_EXAMPLES)
