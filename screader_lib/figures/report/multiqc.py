"""The report's metrics as MultiQC custom content, so that runs stand in one table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from screader_lib.figures.data.prediction_data import PredictionData
from screader_lib.label_metrics import expected_calibration_error, scores

_PERCENT = {"min": 0, "max": 100, "suffix": "%", "format": "{:,.1f}"}
_FRACTION = {"min": 0, "max": 1, "format": "{:,.3f}"}
_COLUMNS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "method": ("Method", "Method that made the predictions", {}),
    "cells": ("Cells", "Cells with a prediction", {"format": "{:,.0f}"}),
    "unassigned": ("Unassigned", "Cells left unassigned", {**_PERCENT, "scale": "OrRd"}),
    "backed_off": (
        "Backed off", "Cells backed off to an ancestor term", {**_PERCENT, "scale": "Oranges"},
    ),
    "confidence": ("Confidence", "Median confidence of the predictions", _FRACTION),
    "accuracy": (
        "Accuracy", "Accuracy over the cells with a true label", {**_FRACTION, "scale": "Blues"},
    ),
    "macro_f1": ("Macro F1", "Mean F1 over the types", {**_FRACTION, "scale": "Blues"}),
    "calibration_error": (
        "ECE", "Expected calibration error", {"min": 0, "scale": "OrRd", "format": "{:,.3f}"},
    ),
}  # fmt: skip
HEADERS = {
    name: {"title": title, "description": description, **form}
    for name, (title, description, form) in _COLUMNS.items()
}


def row(predictions: PredictionData) -> dict[str, Any]:
    """The metrics of one file; those that need true labels only where there are some."""
    result: dict[str, Any] = {"method": predictions.title, "cells": len(predictions)}
    if len(predictions):
        result["unassigned"] = round(100 * float(predictions.unassigned.mean()), 4)
        if predictions.backed_off.any():
            result["backed_off"] = round(100 * float(predictions.backed_off.mean()), 4)
        result["confidence"] = round(float(np.median(predictions.confidence)), 6)
    if predictions.known.any():
        metrics = scores(*predictions.true_and_predicted())
        error = expected_calibration_error(*predictions.confidence_and_correct())
        result["accuracy"] = round(metrics["accuracy"], 6)
        result["macro_f1"] = round(metrics["macro_f1"], 6)
        result["calibration_error"] = round(error, 6)
    return result


def content(samples: Sequence[str], predictions: Sequence[PredictionData]) -> str:
    """MultiQC's custom content as JSON: one row per sample."""
    data = {sample: row(one) for sample, one in zip(samples, predictions, strict=True)}
    used = {name for entry in data.values() for name in entry}
    table = {
        "id": "screader",
        "section_name": "scReader",
        "description": "cell types that a frozen large language model read from single cells.",
        "plot_type": "table",
        "pconfig": {"id": "screader_calls", "title": "scReader: predictions"},
        "headers": {name: header for name, header in HEADERS.items() if name in used},
        "data": data,
    }
    return json.dumps(table, indent=1, ensure_ascii=False) + "\n"
