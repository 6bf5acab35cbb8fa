"""Where to compute, and how to get the same numbers every time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from screader_lib import launch
from screader_lib.errors import ScReaderError

if TYPE_CHECKING:
    from screader_lib.reader.llm.processes import Processes

GPU_SHARE = 0.94  # of the GPU's memory that may be used


@dataclass(frozen=True)
class Machine:
    """The devices to compute on.

    ``device`` is ``cpu``, ``cuda``, or ``spread``: the LLM over all GPUs and the CPU.
    ``max_memory`` in bytes, None for all that the device has. ``checkpointed`` layers keep only
    their input for the backward pass; None for as few as the memory requires. With several
    ``processes``, None for one alone, each has a device of its own. ``compiled``: torch compiles
    the LLM's layers.
    """

    device: str = "cpu"
    max_memory: int | None = None
    checkpointed: int | None = None
    compiled: bool = False
    processes: Processes | None = None

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

    def wait(self) -> None:
        """Until all processes have come here."""
        if self.processes is not None:
            self.processes.wait()


ON_CPU = Machine()


def prepare(
    device: str,
    max_memory: int | None = None,
    checkpointed: int | None = None,
    compiled: bool = False,
) -> Machine:
    """The machine for ``--device`` auto, cpu, cuda or spread; makes torch deterministic.

    ScReaderError where a GPU is asked for and there is none.
    """
    import torch

    if compiled:
        torch.use_deterministic_algorithms(True, warn_only=True)
    else:  # the same without the compiler, whose import takes seconds
        torch.set_deterministic_debug_mode("warn")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise ScReaderError("torch finds no GPU.", remedy="Use --device cpu.")
    machine = Machine(device, max_memory, checkpointed, compiled)
    if launch.process_count() == 1:
        return machine
    from screader_lib.reader.llm.processes import join

    return replace(machine, processes=join(machine.torch_device))
