"""Where to compute, in one process or several, and how to get the same numbers every time.

Several processes read cells side by side, each with the whole reader. Each computes its share of
the batches of cells, and what all computed is summed, so that all know the same. It does not
matter how many there are, but for rounding: sums come in another order.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from screader_lib import launch
from screader_lib.errors import ScReaderError

if TYPE_CHECKING:
    from torch import Tensor

GPU_SHARE = 0.94  # of the GPU's memory that may be used
Item = TypeVar("Item")


@dataclass(frozen=True)
class Processes:
    """``count`` processes, of which this is ``index``, from 0; it computes on ``device``."""

    index: int = 0
    count: int = 1
    device: str = "cpu"

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
            import torch

            for array in arrays:
                array[...] = self.sum_tensor(torch.from_numpy(array).to(self.device)).cpu().numpy()

    def sum_tensor(self, tensor: Tensor) -> Tensor:
        """The sum over all processes."""
        if self.count > 1:
            from torch.distributed import all_reduce

            tensor = tensor.contiguous()
            all_reduce(tensor)
        return tensor

    def broadcast(self, values: list[float]) -> list[float]:
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
        """Wait for all processes."""
        self.min(0)


SINGLE_PROCESS = Processes()


@dataclass(frozen=True)
class Machine:
    """The devices to compute on.

    ``device`` is ``cpu``, ``cuda``, or ``spread``: the LLM over all GPUs and the CPU.
    ``max_memory`` in bytes, None for all that the device has. ``checkpointed`` layers keep only
    their input for the backward pass; None for as few as the memory requires. Each of several
    ``processes`` has a device of its own. ``compiled``: torch compiles the LLM's layers.
    """

    device: str = "cpu"
    max_memory: int | None = None
    checkpointed: int | None = None
    compiled: bool = False
    processes: Processes = SINGLE_PROCESS

    @property
    def torch_device(self) -> str:
        """Where torch puts tensors: ``cpu`` or ``cuda``."""
        if self.device != "spread":
            return self.device
        import torch

        return "cuda" if torch.cuda.is_available() else "cpu"

    @property
    def memory_limit(self) -> int | None:
        """Bytes that may be used; None on a CPU without ``max_memory``."""
        if self.max_memory is not None or self.device != "cuda":
            return self.max_memory
        import torch

        total = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
        return int(GPU_SHARE * total)


ON_CPU = Machine()


def memory_of_the_job() -> int | None:
    """Bytes that ``SCREADER_MEMORY_MB`` grants; None where it is empty.

    ScReaderError where it is not a whole number of megabytes.
    """
    granted = os.environ.get("SCREADER_MEMORY_MB", "")
    if not granted:
        return None
    if not granted.isdecimal() or not int(granted):
        raise ScReaderError(
            f"SCREADER_MEMORY_MB is {granted[:40]!r}, expected a number of megabytes.",
            remedy="Correct or unset it in the environment.",
        )
    return int(granted) * 10**6


def prepare(
    device: str,
    max_memory: int | None = None,
    checkpointed: int | None = None,
    compiled: bool = False,
    *,
    needs_torch: bool = True,
) -> Machine:
    """The machine for ``--device`` auto, cpu, cuda or spread; makes torch deterministic.

    Where nothing ``needs_torch`` and the device is ``auto``, a single process computes on the CPU,
    and torch is not imported.

    Connects the processes that a launcher has started; with GPUs, each gets the one of its index.
    Where no limit is given and the CPU computes, ``SCREADER_MEMORY_MB`` is the limit: what a server
    or queue grants the job, not the memory of a GPU. ScReaderError where a GPU is asked for and
    there is none.
    """
    if not needs_torch and device == "auto" and launch.process_count() == 1:
        return Machine("cpu", memory_of_the_job() if max_memory is None else max_memory)
    import torch

    if compiled:
        torch.use_deterministic_algorithms(True, warn_only=True)
    else:  # the same without the compiler, whose import takes seconds
        torch.set_deterministic_debug_mode("warn")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise ScReaderError("torch finds no GPU.", remedy="Use --device cpu.")
    if device == "cpu" and max_memory is None:
        max_memory = memory_of_the_job()
    processes = SINGLE_PROCESS
    if launch.process_count() > 1:
        from accelerate import PartialState

        state = PartialState(cpu=Machine(device).torch_device == "cpu")
        processes = Processes(state.process_index, state.num_processes, str(state.device))
    return Machine(device, max_memory, checkpointed, compiled, processes)
