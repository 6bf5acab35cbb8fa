"""Options of train-reader and predict that say what there is to compute with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from screader_lib.command_line.options import MemorySize
from screader_lib.option_values import DEVICES


class LayerCount(click.ParamType):
    """``auto``: None; ``none``: 0; ``all``: more than there are; else a number of layers."""

    name = "layers"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | None:
        named = {"auto": None, "none": 0, "all": 10**6}
        text = str(value)
        if text in named:
            return named[text]
        if not (text.isascii() and text.isdigit()):
            self.fail(f"{text!r} is neither auto, none, all nor a number of layers.", param, ctx)
        return int(text)


def machine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--device``, ``--max-memory``, ``--checkpoint-activations`` and ``--compile``."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


OPTIONS = [
    click.option(
        "--device",
        type=click.Choice(DEVICES),
        default="auto",
        help="Where to compute; spread: the LLM's layers over all GPUs, and the CPU's memory where "
        "these do not suffice.",
    ),
    click.option(
        "--max-memory",
        type=MemorySize(),
        metavar="SIZE",
        show_default="all of the GPU's",
        help="Memory of the device to plan with, such as 20G.",
    ),
    click.option(
        "--checkpoint-activations",
        type=LayerCount(),
        default="auto",
        metavar="auto|none|all|N",
        help="Layers of the LLM that are computed twice where gradients are needed, to save "
        "memory; auto: as few as let one cell fit.",
    ),
    click.option(
        "--compile",
        is_flag=True,
        help="Let torch compile the LLM's layers: minutes at the start, for long runs.",
    ),
]
