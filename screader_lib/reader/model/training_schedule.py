"""The stages of a training, as its settings ask for them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from screader_lib.errors import ScReaderError
from screader_lib.option_values import LLM_METHODS
from screader_lib.reader.settings import TrainingSettings


@dataclass(frozen=True)
class Stage:
    """One stage: the read-outs that are trained, for how long and how fast."""

    number: int
    name: str
    wanted: tuple[str, ...]
    epochs: int
    learning_rate: float


def stages_of(settings: TrainingSettings) -> list[Stage]:
    """The stages in order, one at least: a warm start of the pooled read-out, then all.

    The last one's read-outs are those that the reader uses from then on. ScReaderError where
    the settings leave nothing to train, or read an LLM that the method does not have.
    """
    if "cls" in settings.pooling and settings.method not in LLM_METHODS:
        raise ScReaderError(
            f"method {settings.method} has no LLM whose output at cls could be read.",
            remedy="Leave cls out of --pooling.",
        )
    stages = []
    if "pool" in settings.pooling and settings.warm_start_epochs:
        rate = settings.warm_start_learning_rate
        stages.append(Stage(0, "warm start", ("pool",), settings.warm_start_epochs, rate))
    if settings.epochs and set(settings.pooling) != {"pool"}:
        rate = settings.learning_rate
        stages.append(Stage(1, "reading", settings.pooling, settings.epochs, rate))
    if not stages:
        raise ScReaderError(
            f"nothing to train: {settings.warm_start_epochs} epochs of pool alone, "
            f"{settings.epochs} of {','.join(settings.pooling)}.",
            remedy="Give --epochs, or --warm-start-epochs with pool in --pooling.",
        )
    return stages


def rate_factor(step: int, steps: int, settings: TrainingSettings) -> float:
    """What the learning rate of ``step``, from 0 of ``steps``, counts of the highest."""
    rising = min(1.0, (step + 1) / max(1, settings.warm_up_steps))
    if settings.schedule == "constant":
        return rising
    return rising * 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, steps))))
