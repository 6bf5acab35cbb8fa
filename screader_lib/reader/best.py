"""The best state of a stage of training, by what it says of the cells kept from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from screader_lib.reader.task import Check


@dataclass
class Best:
    """``loss`` of the best check, the ``epoch`` before it, checks ``since``, and its tensors."""

    loss: float = float("inf")
    epoch: int | None = None
    since: int = 0
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)

    def position(self) -> dict[str, Any]:
        """All but the tensors, for a checkpoint."""
        return {"loss": self.loss, "epoch": self.epoch, "since": self.since}

    def offer(self, check: Check | None, model: nn.Module, epoch: int) -> None:
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
