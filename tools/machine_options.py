"""Options of train-reader and predict for the hardware they run on."""

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
            self.fail(f"{text!r} is not auto, none, all or a number of layers.", param, ctx)
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
        help="Device to compute on; spread: spread the LLM's layers over all GPUs, and CPU "
        "memory where these do not suffice.",
    ),
    click.option(
        "--max-memory",
        type=MemorySize(),
        metavar="SIZE",
        show_default="all GPU memory",
        help="Device memory to use at most, such as 20G.",
    ),
    click.option(
        "--checkpoint-activations",
        type=LayerCount(),
        default="auto",
        metavar="auto|none|all|N",
        help="LLM layers whose activations are recomputed in the backward pass to save memory; "
        "auto: as few as needed for one cell to fit.",
    ),
    click.option(
        "--compile",
        is_flag=True,
        help="Compile the LLM's layers with torch: slow to start, pays off in long runs.",
    ),
]
