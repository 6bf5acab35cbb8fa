"""The best state of a stage of training, by what it says of the cells kept from it.

The state of a training, kept on disk now and then, so that a kill costs minutes at most.

An HDF5 file of its own, replaced in one step. It is taken up only by the same training: same
cells, settings, LLM and version of scReader.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import h5py
import torch
from torch import nn

from screader_lib import launch
from screader_lib.errors import ScReaderError
from screader_lib.exchange import safety
from screader_lib.exchange.writing import replacing
from screader_lib.reader.evaluation import ValidationScores
from screader_lib.reader.task import Epoch
from screader_lib.reporting import SILENT, Reporter


@dataclass
class BestState:
    """``loss`` of the best check, the ``epoch`` before it, checks ``since``, and its tensors."""

    loss: float = float("inf")
    epoch: int | None = None
    since: int = 0
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)

    def position(self) -> dict[str, Any]:
        """All but the tensors, for a checkpoint."""
        return {"loss": self.loss, "epoch": self.epoch, "since": self.since}

    def offer(self, check: ValidationScores | None, model: nn.Module, epoch: int) -> None:
        """Keep the model's state where the check is better than all before."""
        if check is None:
            return
        if check.loss < self.loss:
            self.loss, self.epoch, self.since = check.loss, epoch, 0
            self.tensors = {name: value.clone() for name, value in model.state_dict().items()}
        else:
            self.since += 1

    def given_up(self, patience: int) -> bool:
        """Whether the last ``patience`` checks brought nothing better; 0 never gives up."""
        return bool(patience) and self.since >= patience

    def put_back(self, model: nn.Module) -> int | None:
        """Give the model its best state; returns the epoch it is of, None where none was kept."""
        if self.tensors:
            model.load_state_dict(self.tensors)
        return self.epoch


MOMENTS = ("exp_avg", "exp_avg_sq", "step")


@dataclass
class TrainingState:
    """How far a stage is: steps done, losses of the epoch under way, and what restores it."""

    stage: int
    step: int = 0
    losses: list[float] = field(default_factory=list)
    history: list[Epoch] = field(default_factory=list)
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    moments: dict[int, dict[str, torch.Tensor]] = field(default_factory=dict)
    best: BestState = field(default_factory=BestState)

    def restore(
        self, model: torch.nn.Module, optimiser: torch.optim.Optimizer, history: list[Epoch]
    ) -> None:
        """Put the saved state into a model, its optimiser and its history; nothing when new."""
        if not self.tensors:
            return
        model.load_state_dict(self.tensors)
        groups = optimiser.state_dict()["param_groups"]
        optimiser.load_state_dict({"state": self.moments, "param_groups": groups})
        history[:] = self.history


@dataclass
class TrainingCheckpoint:
    """Saves at most every ``minutes`` and at the end of a stage; 0 saves every step."""

    path: Path
    fingerprint: str
    minutes: float = 5.0
    reporter: Reporter = SILENT
    last_saved: float = field(default_factory=time.monotonic)

    def load(self) -> TrainingState | None:
        """The saved state; None where there is none, or one of another training.

        ScReaderError where the file is no checkpoint: it will not be overwritten.
        """
        if not self.path.exists():
            return None
        with safety.open_checked(self.path) as file:
            known = file.attrs.get("fingerprint")
            if known == self.fingerprint:
                return _read(file)
            if known is None:
                raise ScReaderError(
                    "is no checkpoint of a training.",
                    file=self.path,
                    remedy="Name another with --checkpoint.",
                )
        self.reporter.warning(f"{self.path} is of another training; starting anew.")
        return None

    def save(
        self,
        state: TrainingState,
        model: torch.nn.Module,
        optimiser: torch.optim.Optimizer,
        history: list[Epoch],
        *,
        last: bool = False,
    ) -> None:
        """Keep the state, if it is time to."""
        now = time.monotonic()
        if launch.is_worker():
            return
        if not last and now - self.last_saved < 60 * self.minutes:
            return
        self.last_saved = now
        with replacing(self.path) as temporary, h5py.File(temporary, "w", locking=False) as file:
            file.attrs["fingerprint"] = self.fingerprint
            _write(file, state, model, optimiser, history)


def _write(
    file: h5py.File,
    state: TrainingState,
    model: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    history: list[Epoch],
) -> None:
    entries = [asdict(entry) for entry in history]
    position = {
        "stage": state.stage,
        "step": state.step,
        "losses": state.losses,
        "history": entries,
        "best": state.best.position(),
    }
    file.create_dataset("position", data=json.dumps(position))
    for name, value in model.state_dict().items():
        file.create_dataset(f"model/{name}", data=value.cpu().numpy())
    for name, value in state.best.tensors.items():
        file.create_dataset(f"best/{name}", data=value.cpu().numpy())
    for number, values in optimiser.state_dict()["state"].items():
        for name in MOMENTS:
            file.create_dataset(f"optimiser/{number}/{name}", data=values[name].cpu().numpy())


def _read(file: h5py.File) -> TrainingState:
    position = json.loads(file["position"].asstr()[()])
    moments = {
        int(number): {name: torch.as_tensor(group[name][()]) for name in MOMENTS}
        for number, group in file["optimiser"].items()
    }
    return TrainingState(
        position["stage"],
        position["step"],
        position["losses"],
        [Epoch(**entry) for entry in position["history"]],
        _tensors(file, "model"),
        moments,
        BestState(**position["best"], tensors=_tensors(file, "best")),
    )


def _tensors(file: h5py.File, group: str) -> dict[str, torch.Tensor]:
    if group not in file:
        return {}
    return {name: torch.as_tensor(values[()]) for name, values in file[group].items()}
