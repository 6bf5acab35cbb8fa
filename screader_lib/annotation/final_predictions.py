"""The final labels as a ``predictions`` file, which reports are made of."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from screader_lib.annotation.annotate import Annotation
from screader_lib.annotation.by_reader.answers import CELLS, PREDICTIONS
from screader_lib.cells.cells_file import CellSequences
from screader_lib.exchange import encoding, writing
from screader_lib.exchange.opening import open_exchange
from screader_lib.exchange.provenance import Provenance
from screader_lib.exchange.table import Categorical, Column, LazyColumn, LazyTable, Table, strings
from screader_lib.option_values import BY_EXAMPLES, BY_TYPES

STATUSES = ("assigned", "unassigned", "backed-off")


def store_final_labels(annotation: Annotation, folder: Path) -> None:
    """Make the ``predictions`` file in ``folder``, of own calls, one of the final labels.

    Those are of the consensus where there is one. A broader type is a label that was backed off to.
    """
    cells = annotation.cells
    new = _columns(annotation, cells.probability.max(1)) | {
        "assigned_label": Categorical.of(cells.label),
        "assigned_ontology_id": Categorical.of(cells.ontology_id),
    }
    with writing.new_file(folder / PREDICTIONS, "r+") as file:
        file["obsm/probability"][...] = cells.probability
        obs = file["obs"]
        for name, column in new.items():
            if name in obs:
                del obs[name]
            encoding.write_column(obs, name, column)
        given = [name for name in obs.attrs["column-order"] if name not in new]
        obs.attrs["column-order"] = np.array([*new, *given], dtype=h5py.string_dtype())


def write_final_predictions(annotation: Annotation, made: Provenance, folder: Path) -> None:
    """Write labels from examples or named types into ``folder``, where the ``cells`` file is."""
    names, cells = annotation.labels.names, annotation.cells
    columns = _columns(annotation, cells.confidence)
    if cells.familiarity is not None:
        columns["familiarity"] = np.clip(cells.familiarity, 0, 1)
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
        method = BY_TYPES if cells.is_example is None else BY_EXAMPLES
        encoding.write_text(file["uns"], "method", method)


def _columns(annotation: Annotation, confidence: np.ndarray) -> dict[str, Column]:
    """Label, ontology id, second label and status of each cell, beside its ``confidence``.

    The most probable label of an example is its own, whatever the other cells say.
    """
    names, cells = annotation.labels.names, annotation.cells
    ranked = cells.probability
    if cells.is_example is not None:
        number_of = {name: number for number, name in enumerate(names)}
        ranked, named = ranked.copy(), np.flatnonzero(cells.is_example)
        ranked[named, [number_of[label] for label in cells.label[named]]] = np.inf
    order = np.argsort(-ranked, axis=1, kind="stable").astype(np.int32)
    second = order[:, 1] if len(names) > 1 else np.full(len(order), -1, np.int32)
    status = np.where(cells.label == "", 1, np.where(np.isin(cells.label, names), 0, 2))
    return {
        "predicted_label": Categorical(order[:, 0], names),
        "predicted_ontology_id": Categorical.of(annotation.labels.ontology_ids).take(order[:, 0]),
        "confidence": confidence,
        "second_label": Categorical(second, names),
        "status": Categorical(status.astype(np.int32), STATUSES),
    }
