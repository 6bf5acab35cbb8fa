"""Gradients of a batch, added up over the micro-batches that it is split into."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from screader_lib.errors import ScReaderError
from screader_lib.reader.processes import Processes


class Gradients:
    """Sums of gradients of losses; what fails half way leaves nothing behind."""

    def __init__(self, parameters: tuple[nn.Parameter, ...]) -> None:
        self.parameters = parameters
        self.sums: list[Tensor | None] = [None] * len(parameters)
        self.loss = 0.0

    def of(self, loss: Tensor) -> Callable[[], None]:
        """Work out the gradients of a loss; returns what adds them.

        ScReaderError where the loss is not finite.
        """
        if not torch.isfinite(loss):
            raise ScReaderError(
                "the loss is not finite: training went astray.",
                remedy="Use a lower --learning-rate.",
            )
        found = torch.autograd.grad(loss, self.parameters, allow_unused=True)
        return partial(self._add, found, float(loss.detach()))

    def _add(self, found: tuple[Tensor | None, ...], loss: float) -> None:
        for number, gradient in enumerate(found):
            before = self.sums[number]
            if gradient is not None:
                self.sums[number] = gradient if before is None else before + gradient
        self.loss += loss

    def store(self, processes: Processes) -> float:
        """Hand the sums over all processes to the parameters; returns the sum of the losses."""
        loss = np.array([self.loss])
        processes.add_up(loss)
        if processes.count > 1:
            self._add_up(processes)
        for parameter, gradient in zip(self.parameters, self.sums, strict=True):
            parameter.grad = gradient
        return float(loss[0])

    def _add_up(self, processes: Processes) -> None:
        """A process may have had no cell; a parameter that none has a gradient of stays without."""
        known = np.array([float(gradient is not None) for gradient in self.sums])
        processes.add_up(known)
        for number, parameter in enumerate(self.parameters):
            if known[number]:
                own = self.sums[number]
                total = torch.zeros_like(parameter) if own is None else own.contiguous()
                processes.add_up_tensors([total])
                self.sums[number] = total
