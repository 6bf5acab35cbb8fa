"""What is measured of a trained method before it is stored."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from screader_lib.reader.confidence.familiarity import CalibrationSet, measure_validation
from screader_lib.reader.task import Task, TrainedMethod, calibrate


@dataclass(frozen=True)
class Evaluation:
    """Calibration, what was said of kept cells, and the cross-validation if any."""

    calibration: dict[str, float | int]
    kept: CalibrationSet
    cross_validation: dict[str, Any] = field(default_factory=dict)

    def with_cross_validation(self, kept: CalibrationSet, metrics: dict[str, Any]) -> Evaluation:
        """The same with what the folds' readers said of all cells instead of a kept share."""
        return replace(self, kept=kept, cross_validation=metrics)


def measure(trained: TrainedMethod, task: Task) -> Evaluation:
    """Fit the temperature on the kept cells, then measure."""
    calibration = calibrate(trained, task)
    temperature = float(calibration["temperature"])
    return Evaluation(calibration, measure_validation(trained, task, temperature))
