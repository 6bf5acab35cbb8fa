"""A recorded step as the words of its command, spelt as the tool's own options are."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from screader_lib.figures.report.history import plain_spelling
from screader_tools.screader import SUBCOMMANDS


def spelling(tool: str, parameters: Mapping[str, Any], inputs: Mapping[str, Any]) -> list[str]:
    """Arguments, and the options that are not at their defaults.

    Inputs that the tool brings with it have no option and are left out. A tool that is not of
    this suite is spelt by the names of its parameters.
    """
    command = _command(tool)
    if command is None:
        return plain_spelling(tool, parameters, inputs)
    arguments: list[str] = []
    options: list[str] = []
    for part in command.params:
        name = part.name or ""
        value = inputs.get(name, parameters.get(name))
        if isinstance(part, click.Argument):
            arguments += _words(value)
        elif isinstance(part, click.Option):
            options += _option(part, value)
    return [*arguments, *options]


def _command(tool: str) -> click.Command | None:
    if tool.split(maxsplit=1)[0] not in SUBCOMMANDS:
        return None
    module = tool.replace("plot ", "pictures.").replace("-", "_")
    try:
        found = import_module(f"screader_tools.{module}").main
    except ModuleNotFoundError:
        return None
    return found if isinstance(found, click.Command) else None


def _words(value: Any) -> list[str]:
    if value is None:
        return []
    return [str(one) for one in value] if isinstance(value, list | tuple) else [str(value)]


def _option(option: click.Option, value: Any) -> list[str]:
    if value is None or value == option.default:
        return []
    if option.is_flag:
        names = option.opts if value else option.secondary_opts
        return [_long(names)] if names else []
    return [word for one in _words(value) for word in (_long(option.opts), one)]


def _long(names: list[str]) -> str:
    return max(names, key=len)
