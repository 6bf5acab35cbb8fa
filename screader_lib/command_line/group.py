"""A command made of subcommands, each imported only when it is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

import click

from screader_lib import __version__


class Group(click.Group):
    """``subcommands`` name and one line each; ``module_of`` tells where a name's ``main`` is."""

    def __init__(
        self,
        *args: Any,
        subcommands: Mapping[str, str],
        module_of: Callable[[str], str],
        heading: str = "Commands",
        examples: Sequence[str] = (),
        **settings: Any,
    ) -> None:
        settings.setdefault("context_settings", {"max_content_width": 100})
        super().__init__(*args, **settings)
        self.subcommands = subcommands
        self.module_of = module_of
        self.heading = heading
        self.examples = tuple(examples)

    def list_commands(self, context: click.Context) -> list[str]:
        """The names, in the order they are told."""
        return list(self.subcommands)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The subcommand, None where there is none of this name."""
        if name not in self.subcommands:
            return None
        command: click.Command = import_module(self.module_of(name)).main
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of subcommands, without importing any."""
        with formatter.section(self.heading):
            formatter.write_dl(list(self.subcommands.items()))

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples, as typed."""
        write_examples(formatter, self.examples)
        super().format_epilog(context, formatter)


def write_examples(formatter: click.HelpFormatter, examples: Sequence[str]) -> None:
    """A section of the help with commands as typed; further lines of one are indented."""
    if not examples:
        return
    with formatter.section("Examples"):
        for example in examples:
            for number, line in enumerate(example.splitlines()):
                formatter.write(f"  {'$ ' if number == 0 else '    '}{line}\n")


def group(name: str, **settings: Any) -> Callable[[Callable], Group]:
    """Make a function, whose docstring is the help, a :class:`Group` with ``--version``."""

    def decorate(function: Callable) -> Group:
        version = click.version_option(__version__, message=f"{name} %(version)s")
        return click.group(name, cls=Group, **settings)(version(function))

    return decorate
