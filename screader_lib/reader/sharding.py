"""An LLM whose layers lie in pieces on the devices of several processes.

Before a layer runs, forward or backward, its pieces are brought together, and given up after it
(fully sharded data parallel). So all processes must run their layers in step.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from screader_lib.errors import ScReaderError
from screader_lib.reader.decoder import LayerStep, is_known
from screader_lib.reader.processes import Processes


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
