"""Several processes that read cells side by side, each with the whole reader.

Each computes its share of the batches of cells, and what all computed is summed, so that all know
the same. It does not matter how many there are, but for rounding: sums come in another order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from screader_lib import launch

Item = TypeVar("Item")


class Processes:
    """``count`` processes, of which this is ``index``, from 0; it computes on ``device``."""

    def __init__(self, index: int = 0, count: int = 1, device: str = "cpu") -> None:
        self.index = index
        self.count = count
        self.device = device

    def share(self, items: Iterable[Item], in_step: bool = False) -> Iterator[tuple[Item, bool]]:
        """The items that this process computes, and whether each counts.

        ``in_step``: as many as any other process has, the last one perhaps not to be counted.
        """
        first: Item | None = None
        position = -1
        for position, item in enumerate(items):
            first = item if first is None else first
            if position % self.count == self.index:
                yield item, True
        if in_step and first is not None and position % self.count < self.index:
            yield first, False

    def sum_arrays(self, *arrays: np.ndarray) -> None:
        """Put the sum over all processes into each array, float32, float64 or int64."""
        if self.count > 1:
            for array in arrays:
                array[...] = self.sum_tensor(torch.from_numpy(array).to(self.device)).cpu().numpy()

    def sum_tensor(self, tensor: Tensor) -> Tensor:
        """The sum over all processes."""
        if self.count > 1:
            tensor = tensor.contiguous()
            torch.distributed.all_reduce(tensor)
        return tensor

    def from_first(self, values: list[float]) -> list[float]:
        """The first process's values: all go by the same numbers."""
        array = np.array(values if self.index == 0 else [0.0] * len(values), np.float64)
        self.sum_arrays(array)
        return array.tolist()

    def min(self, value: int) -> int:
        """The smallest of all processes' values."""
        values = np.zeros(self.count, np.int64)
        values[self.index] = value
        self.sum_arrays(values)
        return int(values.min())

    def wait(self) -> None:
        """Until all have come here."""
        self.min(0)


ALONE = Processes()


def join(device: str) -> Processes:
    """The processes that a launcher has started, connected; one alone where there is none.

    ``device`` is ``cpu`` or ``cuda``; with ``cuda``, each gets the GPU of its index.
    """
    if launch.process_count() == 1:
        return ALONE
    from accelerate import PartialState

    state = PartialState(cpu=device == "cpu")
    return Processes(state.process_index, state.num_processes, str(state.device))
