"""A recorded step as the words of its command, with the options of the tool itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from screader_lib.annotation.no_labels.type_table import is_term
from screader_lib.figures.report.history import default_words
from screader_tools.screader import SUBCOMMANDS


def command_words(tool: str, parameters: Mapping[str, Any], inputs: Mapping[str, Any]) -> list[str]:
    """Arguments, and the options that differ from their defaults.

    Inputs for which the tool has no option are left out. A tool that is not of this suite gets
    options with the names of its parameters.
    """
    command = _command(tool)
    if command is None:
        return default_words(tool, parameters, inputs)
    arguments: list[str] = []
    options: list[str] = []
    for param in command.params:
        name = param.name or ""
        value = _files(name, inputs) or parameters.get(name)
        if name == "types":  # files and terms
            value = [*_files(name, inputs), *filter(is_term, parameters.get(name, ()))]
        values = value if isinstance(value, list | tuple) else [value]
        if value is None or (isinstance(param, click.Option) and value == param.default):
            continue
        if isinstance(param, click.Argument):
            arguments += map(str, values)
        elif isinstance(param, click.Option) and param.is_flag:
            names = param.opts if value else param.secondary_opts
            options += [max(names, key=len)] if names else []
        else:
            options += [word for one in values for word in (max(param.opts, key=len), str(one))]
    return [*arguments, *options]


def _files(name: str, inputs: Mapping[str, Any]) -> list[str]:
    """The files of an option: one of its name, or several that are numbered."""
    found = [file for role, file in inputs.items() if re.fullmatch(rf"{name}(_\d+)?", role)]
    return [word for one in found for word in (one if isinstance(one, list | tuple) else [one])]


def _command(tool: str) -> click.Command | None:
    if tool.split(maxsplit=1)[0] not in SUBCOMMANDS:
        return None
    module = tool.replace("plot ", "figures.").replace("-", "_")
    try:
        command = import_module(f"screader_tools.{module}").main
    except ModuleNotFoundError:
        return None
    return command if isinstance(command, click.Command) else None
