"""The report's metrics as MultiQC custom content, so that runs stand in one table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from typing import Any

import numpy as np

from screader_lib.figures.data.prediction_data import PredictionData
from screader_lib.label_metrics import expected_calibration_error, scores

TEMPLATE = resources.files("screader_lib.figures") / "templates" / "multiqc.json"


def row(predictions: PredictionData) -> dict[str, Any]:
    """The metrics of one file; those of accuracy only where the reader has true labels."""
    result: dict[str, Any] = {"method": predictions.title, "cells": len(predictions)}
    if len(predictions):
        result["unassigned"] = round(100 * float(predictions.unassigned.mean()), 4)
        if predictions.backed_off.any():
            result["backed_off"] = round(100 * float(predictions.backed_off.mean()), 4)
        result["confidence"] = round(float(np.median(predictions.confidence)), 6)
    if predictions.comparable.any():
        metrics = scores(*predictions.true_and_predicted())
        error = expected_calibration_error(*predictions.confidence_and_correct())
        result["accuracy"] = round(metrics["accuracy"], 6)
        result["macro_f1"] = round(metrics["macro_f1"], 6)
        result["calibration_error"] = round(error, 6)
    return result


def content(samples: Sequence[str], predictions: Sequence[PredictionData]) -> str:
    """MultiQC's custom content as JSON: one row per sample."""
    data = {sample: row(one) for sample, one in zip(samples, predictions, strict=True)}
    table = json.loads(TEMPLATE.read_text("utf-8"))
    headers = table["headers"].items()
    used = {name for entry in data.values() for name in entry}
    table["headers"] = {name: header for name, header in headers if name in used}
    return json.dumps({**table, "data": data}, indent=1, ensure_ascii=False) + "\n"
