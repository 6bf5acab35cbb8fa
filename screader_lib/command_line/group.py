"""A command made of subcommands, each imported only when it is used."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

import click

from screader_lib import __version__

EXECUTABLES = (
    "fetch-descriptions",
    "embed-genes",
    "build-cells",
    "prepare-cells",
    "train-reader",
    "predict",
    "plot",
)
PREFIX = "screader-"  # of the executables' second names
_COMMAND = re.compile(rf"(^ *|\| )({'|'.join(EXECUTABLES)})(?= |$)")


class CommandWithExamples(click.Command):
    """Ends its help with ``examples``, commands as typed; continuation lines are indented.

    Executables are shown under the names by which this one was called, with or without
    ``PREFIX``.
    """

    def __init__(self, *args: Any, examples: Sequence[str] = (), **settings: Any) -> None:
        settings["context_settings"] = {"show_default": True, "max_content_width": 100}
        super().__init__(*args, **settings)
        self.examples = examples

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples, then what click writes."""
        has_prefix = (context.find_root().info_name or "").startswith(PREFIX)
        with formatter.section("Examples"):
            for example in self.examples:
                for number, line in enumerate(example.splitlines()):
                    text = _COMMAND.sub(rf"\1{PREFIX}\2", line) if has_prefix else line
                    formatter.write(f"  {'    ' if number else '$ '}{text}\n")
        super().format_epilog(context, formatter)


class Group(CommandWithExamples, click.Group):
    """``subcommands`` maps names to a line each; ``place_of`` gives a name's "module:function".

    ``default`` is the subcommand that is meant where none is named.
    """

    def __init__(
        self,
        *args: Any,
        subcommands: Mapping[str, str],
        place_of: Callable[[str], str],
        heading: str = "Commands",
        default: str = "",
        **settings: Any,
    ) -> None:
        super().__init__(*args, **settings)
        self.subcommands = subcommands
        self.place_of = place_of
        self.heading = heading
        self.default = default

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """The words after this command's own options."""
        return super().parse_args(context, args or [self.default] if self.default else args)

    def list_commands(self, context: click.Context) -> list[str]:
        """The names, in the order given."""
        return list(self.subcommands)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The subcommand; None if there is none of this name."""
        if name not in self.subcommands:
            return None
        module, _, function = self.place_of(name).partition(":")
        command: click.Command = getattr(import_module(module), function)
        return command

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The subcommand that the first word names; a usage error names the nearest one."""
        try:
            return super().resolve_command(context, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            alike = get_close_matches(args[0], self.subcommands, 1)
            if not alike:
                raise
            message = f"{error.message} Did you mean {alike[0]!r}?"
            raise click.UsageError(message, context) from None

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of subcommands, without importing any."""
        with formatter.section(self.heading):
            formatter.write_dl(list(self.subcommands.items()))


def group(name: str, **settings: Any) -> Callable[[Callable], Group]:
    """Make a function, whose docstring is the help, a :class:`Group` with ``--version``."""

    def decorate(function: Callable) -> Group:
        version = click.version_option(__version__, message="%(prog)s %(version)s")
        return click.group(name, cls=Group, **settings)(version(function))

    return decorate
