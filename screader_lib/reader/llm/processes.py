"""Several processes that read cells side by side, each with the whole reader.

Groups of cells are dealt to them in turn; what each found is added up, so all know the same. It
does not matter how many there are, but for rounding: sums come in another order.

An LLM whose layers lie in pieces on the devices of several processes.

Before a layer runs, forward or backward, its pieces are brought together, and given up after it
(fully sharded data parallel). So all processes must run their layers in step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from screader_lib import launch
from screader_lib.errors import ScReaderError
from screader_lib.reader.llm.decoder import LayerStep, is_known

Group = TypeVar("Group")


class Processes:
    """``count`` processes, of which this is ``number``, from 0; ``device`` is where it computes."""

    def __init__(self, number: int = 0, count: int = 1, device: str = "cpu") -> None:
        self.number = number
        self.count = count
        self.device = device

    def dealt(self, groups: Iterable[Group], in_step: bool = False) -> Iterator[tuple[Group, bool]]:
        """The groups that this process works on, and whether its work on each counts.

        ``in_step``: as many as any other process has, the last one perhaps for nothing.
        """
        first: Group | None = None
        place = -1
        for place, group in enumerate(groups):
            first = group if first is None else first
            if place % self.count == self.number:
                yield group, True
        if in_step and first is not None and place % self.count < self.number:
            yield first, False

    def add_up(self, *arrays: np.ndarray) -> None:
        """Put the sum over all processes into each array, float32 or float64 or int64."""
        if self.count > 1:
            for array in arrays:
                tensor = torch.from_numpy(array).to(self.device)
                torch.distributed.all_reduce(tensor)
                array[...] = tensor.cpu().numpy()

    def add_up_tensors(self, tensors: Iterable[Tensor]) -> None:
        """Put the sum over all processes into each tensor."""
        if self.count > 1:
            for tensor in tensors:
                torch.distributed.all_reduce(tensor)

    def of_first(self, values: list[float]) -> list[float]:
        """What the first process has: all go by the same numbers."""
        found = np.array(values if self.number == 0 else [0.0] * len(values), np.float64)
        self.add_up(found)
        return found.tolist()

    def least(self, value: int) -> int:
        """The least of all processes' values."""
        every = np.zeros(self.count, np.int64)
        every[self.number] = value
        self.add_up(every)
        return int(every.min())

    def wait(self) -> None:
        """Until all have come here."""
        self.least(0)


ALONE = Processes()


def join(device: str) -> Processes:
    """The processes that a launcher has started, connected; one alone where there is none.

    ``device`` is ``cpu`` or ``cuda``; with ``cuda``, each gets the GPU of its number.
    """
    if launch.process_count() == 1:
        return ALONE
    from accelerate import PartialState

    state = PartialState(cpu=device == "cpu")
    return Processes(state.process_index, state.num_processes, str(state.device))


def shard(model: Any, processes: Processes) -> None:
    """Cut the layers of a decoder; ScReaderError where its layers are not known here."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    if not is_known(model):
        raise ScReaderError(
            f"a {type(model).__name__} cannot be spread over several processes.",
            remedy="Use one process with --device spread.",
        )
    device = torch.device(processes.device).type
    mesh = init_device_mesh(device, (processes.count,))
    steps = [LayerStep(layer) for layer in model.layers]
    for step in steps:
        fully_shard(step, mesh=mesh, reshard_after_forward=True)
    model.layers = nn.ModuleList(steps)
    for name, part in model.named_children():
        if name != "layers":
            part.to(processes.device)
