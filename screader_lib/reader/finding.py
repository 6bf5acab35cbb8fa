"""What is measured of a trained method before it is stored."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from screader_lib.reader.familiarity import Kept, measure_kept
from screader_lib.reader.task import Task, Trained, calibrate


@dataclass(frozen=True)
class Finding:
    """Calibration, what was said of kept cells, and the cross-validation if any."""

    calibration: dict[str, float | int]
    kept: Kept
    cross_validation: dict[str, Any] = field(default_factory=dict)

    def with_cross_validation(self, kept: Kept, metrics: dict[str, Any]) -> Finding:
        """The same with what the folds' readers said of all cells instead of a kept share."""
        return replace(self, kept=kept, cross_validation=metrics)


def measure(trained: Trained, task: Task) -> Finding:
    """Fit the temperature on the kept cells, then measure."""
    calibration = calibrate(trained, task)
    temperature = float(calibration["temperature"])
    return Finding(calibration, measure_kept(trained, task, temperature))
