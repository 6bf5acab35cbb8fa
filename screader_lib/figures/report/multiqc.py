"""The report's numbers as MultiQC custom content, so that runs stand in one table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from screader_lib.figures.data.prediction_data import PredictionData
from screader_lib.label_metrics import expected_calibration_error, scores

HEADERS: dict[str, dict[str, Any]] = {
    "method": {"title": "Method", "description": "Method that made the calls"},
    "cells": {"title": "Cells", "description": "Cells called", "format": "{:,.0f}"},
    "unassigned": {
        "title": "Unassigned", "description": "Share of cells left unassigned",
        "min": 0, "max": 100, "suffix": "%", "scale": "OrRd", "format": "{:,.1f}",
    },
    "backed_off": {
        "title": "Backed off", "description": "Share of cells called by a term above a type",
        "min": 0, "max": 100, "suffix": "%", "scale": "Oranges", "format": "{:,.1f}",
    },
    "confidence": {
        "title": "Confidence", "description": "Median confidence of the calls",
        "min": 0, "max": 1, "format": "{:,.3f}",
    },
    "accuracy": {
        "title": "Accuracy", "description": "Share of cells with a true label called right",
        "min": 0, "max": 1, "scale": "Blues", "format": "{:,.3f}",
    },
    "macro_f1": {
        "title": "Macro F1", "description": "Mean F1 of the types",
        "min": 0, "max": 1, "scale": "Blues", "format": "{:,.3f}",
    },
    "calibration_error": {
        "title": "ECE", "description": "Expected calibration error",
        "min": 0, "scale": "OrRd", "format": "{:,.3f}",
    },
}  # fmt: skip


def row(calls: PredictionData) -> dict[str, Any]:
    """The measures of one file; those that need true labels only where there are some."""
    count = len(calls)
    found: dict[str, Any] = {"method": calls.title, "cells": count}
    if count:
        found["unassigned"] = round(100 * float(calls.unassigned.mean()), 4)
        if calls.backed_off.any():
            found["backed_off"] = round(100 * float(calls.backed_off.mean()), 4)
        found["confidence"] = round(float(np.median(calls.confidence)), 6)
    known = calls.known
    if known.any():
        true, predicted = calls.true[known], calls.predicted[known]
        measured = scores(true.tolist(), predicted.tolist())
        error = expected_calibration_error(
            calls.confidence[known].astype(np.float64), predicted == true
        )
        found["accuracy"] = round(measured["accuracy"], 6)
        found["macro_f1"] = round(measured["macro_f1"], 6)
        found["calibration_error"] = round(error, 6)
    return found


def content(samples: Sequence[str], calls: Sequence[PredictionData]) -> str:
    """MultiQC's custom content as JSON: one row per sample."""
    data = {sample: row(one) for sample, one in zip(samples, calls, strict=True)}
    return json.dumps(_table(data), indent=1, ensure_ascii=False) + "\n"


def _table(data: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    used = {name for entry in data.values() for name in entry}
    return {
        "id": "screader",
        "section_name": "scReader",
        "description": "cell types that a frozen large language model read from single cells.",
        "plot_type": "table",
        "pconfig": {"id": "screader_calls", "title": "scReader: calls"},
        "headers": {name: header for name, header in HEADERS.items() if name in used},
        "data": data,
    }
