"""Confidence that means something: one temperature, fitted on validation cells.

Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2.
"""

from __future__ import annotations

import numpy as np

from screader_lib.label_metrics import expected_calibration_error

TEMPERATURES = np.geomspace(0.05, 20.0, 400)
MIN_CELLS = 20


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Probabilities float32 (cells, labels) of logits (cells, labels)."""
    values = logits.astype(np.float64) / temperature
    values = np.exp(values - values.max(1, keepdims=True))
    return (values / values.sum(1, keepdims=True)).astype(np.float32)


def log_sum_exp(logits: np.ndarray) -> np.ndarray:
    """Logarithm of the sum of the exponentials of logits (cells, labels), float32 (cells,)."""
    highest = logits.max(1)
    total = np.exp((logits - highest[:, None]).astype(np.float64)).sum(1)
    return (highest + np.log(total)).astype(np.float32)


def fit_temperature(logits: np.ndarray, truth: np.ndarray) -> dict[str, float | int]:
    """The temperature of lowest cross-entropy on validation cells, with errors before and after.

    ``truth`` label numbers (cells,). It stays 1 with fewer than ``MIN_CELLS`` cells, and
    where all predictions are correct: any confidence would then look too low.
    """
    result: dict[str, float | int] = {"temperature": 1.0, "cells": len(truth)}
    if len(truth) < MIN_CELLS or (logits.argmax(1) == truth).all():
        return result
    losses = [_cross_entropy(logits, truth, temperature) for temperature in TEMPERATURES]
    result["temperature"] = float(TEMPERATURES[int(np.argmin(losses))])
    for name, temperature in (("error_before", 1.0), ("error_after", result["temperature"])):
        probability = softmax(logits, temperature)
        correct = probability.argmax(1) == truth
        result[name] = expected_calibration_error(probability.max(1), correct)
    return result


def calibrated_loss(logits: np.ndarray, truth: np.ndarray) -> float:
    """Mean cross-entropy at the temperature that minimises it."""
    return min(_cross_entropy(logits, truth, temperature) for temperature in TEMPERATURES[::10])


def _cross_entropy(logits: np.ndarray, truth: np.ndarray, temperature: float) -> float:
    values = logits.astype(np.float64) / temperature
    values -= values.max(1, keepdims=True)
    true = values[np.arange(len(truth)), truth]
    return float(np.mean(np.log(np.exp(values).sum(1)) - true))
