"""The state of a training, saved now and then, so that a kill costs minutes at most.

An HDF5 file of its own, replaced in one step. It is resumed only by the same training: same
cells, settings, LLM and version of scReader.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import h5py
import torch
from torch import nn
from torch.optim import Optimizer

from screader_lib import launch
from screader_lib.errors import ScReaderError
from screader_lib.exchange import safety
from screader_lib.exchange.writing import new_file, replacing
from screader_lib.reader.evaluation import ValidationScores
from screader_lib.reader.task import Epoch
from screader_lib.reporting import SILENT, Reporter

MOMENTS = ("exp_avg", "exp_avg_sq", "step")  # of AdamW


@dataclass
class BestState:
    """The weights of a stage that scored best: their validation ``loss``, the ``epoch`` after
    which they were, and how many validations were worse ``since``."""

    loss: float = float("inf")
    epoch: int | None = None
    since: int = 0
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)

    def update(self, scores: ValidationScores | None, model: nn.Module, epoch: int) -> None:
        """Keep the model's weights where they score better than all before."""
        if scores is None:
            return
        if scores.loss < self.loss:
            self.loss, self.epoch, self.since = scores.loss, epoch, 0
            self.tensors = {name: value.clone() for name, value in model.state_dict().items()}
        else:
            self.since += 1

    def is_out_of_patience(self, patience: int) -> bool:
        """Whether the last ``patience`` validations brought nothing better; never where it is 0."""
        return bool(patience) and self.since >= patience

    def restore(self, model: nn.Module) -> int | None:
        """Give the model its best weights; returns their epoch, None where none were kept."""
        if self.tensors:
            model.load_state_dict(self.tensors)
        return self.epoch


@dataclass
class TrainingState:
    """How far a stage is: ``step`` steps done, the ``losses`` of the current epoch, and the rest
    that restores it from a checkpoint: ``tensors`` of the model, ``moments`` of the optimiser."""

    stage: int
    step: int = 0
    losses: list[float] = field(default_factory=list)
    best: BestState = field(default_factory=BestState)
    history: list[Epoch] = field(default_factory=list)
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    moments: dict[int, dict[str, torch.Tensor]] = field(default_factory=dict)


@dataclass
class TrainingCheckpoint:
    """Saves at most every ``minutes`` and at the end of a stage; with 0, at every step."""

    path: Path
    fingerprint: str
    minutes: float = 5.0
    reporter: Reporter = SILENT
    last_saved: float = field(default_factory=time.monotonic)

    def load(self) -> TrainingState | None:
        """The saved state; None where there is none, or one of another training.

        ScReaderError where the file is not a checkpoint: it will not be overwritten.
        """
        if not self.path.exists():
            return None
        try:
            with safety.open_checked(self.path) as file, safety.checking(str(self.path)):
                fingerprint = file.attrs.get("fingerprint")
                if fingerprint == self.fingerprint:
                    return _state(file)
        except ScReaderError as error:
            raise ScReaderError(
                "is not a checkpoint of a training, or a damaged one.",
                file=self.path,
                remedy="Remove it, to start from scratch, or name another with --checkpoint.",
            ) from error
        if fingerprint is None:
            raise ScReaderError(
                "is not a checkpoint of a training.",
                file=self.path,
                remedy="Name another file with --checkpoint.",
            )
        self.reporter.warning(f"{self.path} belongs to another training; starting from scratch.")
        return None

    def save(
        self, state: TrainingState, model: nn.Module, optimiser: Optimizer, last: bool
    ) -> None:
        """Save the state if it is time to, or if it is the ``last`` of a stage."""
        now = time.monotonic()
        if launch.is_worker() or not (last or now - self.last_saved >= 60 * self.minutes):
            return
        self.last_saved = now
        position = {
            "stage": state.stage,
            "step": state.step,
            "losses": state.losses,
            "history": [asdict(entry) for entry in state.history],
            "best": {name: getattr(state.best, name) for name in ("loss", "epoch", "since")},
        }
        groups = {"model": model.state_dict(), "best": state.best.tensors}
        for number, moments in optimiser.state_dict()["state"].items():
            groups[f"optimiser/{number}"] = {name: moments[name] for name in MOMENTS}
        with replacing(self.path) as temporary, new_file(temporary) as file:
            file.attrs["fingerprint"] = self.fingerprint
            file.create_dataset("position", data=json.dumps(position))
            for group, tensors in groups.items():
                for name, value in tensors.items():
                    file.create_dataset(f"{group}/{name}", data=value.cpu().numpy())


def _state(file: h5py.File) -> TrainingState:
    position = json.loads(file["position"].asstr()[()])
    position["best"] = BestState(**position["best"], tensors=_tensors(file.get("best", {})))
    position["history"] = [Epoch(**entry) for entry in position["history"]]
    moments = {int(n): _tensors(group) for n, group in file["optimiser"].items()}
    return TrainingState(**position, tensors=_tensors(file["model"]), moments=moments)


def _tensors(group: h5py.Group) -> dict[str, torch.Tensor]:
    return {name: torch.as_tensor(values[()]) for name, values in group.items()}
