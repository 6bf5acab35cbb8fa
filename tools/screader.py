"""``screader``: all executables as subcommands, and the helpers around them."""

from __future__ import annotations

from importlib import import_module

import click

from screader_lib import __version__

SUBCOMMANDS = {
    "fetch-descriptions": "Gene names to one text per gene.",
    "embed-genes": "Gene texts to one vector per gene.",
    "build-cells": "Expression matrix to ranked, weighted gene sequences.",
    "train-reader": "Labelled cells to a trained reader.",
    "predict": "Cells and a reader to cell types.",
    "plot": "Pictures and the report.",
    "validate": "Check exchange files against their schemas.",
    "info": "Say in words what exchange files hold.",
    "demo": "Run everything on real cells.",
}


class Screader(click.Group):
    """A group that imports a subcommand only when it is used."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(SUBCOMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in SUBCOMMANDS:
            return None
        module = import_module(f"screader_tools.{name.replace('-', '_')}")
        command: click.Command = module.main
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(SUBCOMMANDS.items()))


@click.group("screader", cls=Screader)
@click.version_option(__version__, message="%(prog)s %(version)s")
def main() -> None:
    """A frozen large language model reads single cells and names their types.

    Each command is also an executable of its own. 'screader COMMAND --help' explains one.
    """
