"""Options that the subcommands of ``screader readers`` share."""

from __future__ import annotations

import click

from screader_lib.command_line.options import FilePath

registry_option = click.option(
    "--registry",
    type=FilePath(),
    envvar="SCREADER_READERS",
    show_default="$SCREADER_READERS",
    help="Table of more readers, in YAML or JSON, such as a facility's (docs/readers.md).",
)
