"""Gradients of a batch, added up over the micro-batches that it is split into."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from screader_lib.errors import ScReaderError


class Gradients:
    """Sums of gradients of losses; what fails half way leaves nothing behind."""

    def __init__(self, parameters: tuple[nn.Parameter, ...]) -> None:
        self.parameters = parameters
        self.sums: list[Tensor | None] = [None] * len(parameters)
        self.loss = 0.0

    def add(self, loss: Tensor) -> None:
        """ScReaderError where the loss is not finite."""
        if not torch.isfinite(loss):
            raise ScReaderError(
                "the loss is not finite: training went astray.",
                remedy="Use a lower --learning-rate.",
            )
        found = torch.autograd.grad(loss, self.parameters, allow_unused=True)
        for number, gradient in enumerate(found):
            before = self.sums[number]
            if gradient is not None:
                self.sums[number] = gradient if before is None else before + gradient
        self.loss += float(loss.detach())

    def store(self) -> float:
        """Hand the sums to the parameters; returns the sum of the losses."""
        for parameter, gradient in zip(self.parameters, self.sums, strict=True):
            parameter.grad = gradient
        return self.loss
