"""``screader readers list``: the readers that have a name."""

from __future__ import annotations

import click

from screader_lib.command_line.run import ToolRun
from screader_lib.command_line.tool import tool
from screader_lib.reporting import printable
from screader_tools.ready.reader_options import registry_option


@tool(
    "screader readers list",
    examples=["screader readers list", "screader readers list --registry /data/readers.yaml"],
)
@registry_option
def main(run: ToolRun, registry: str | None) -> None:
    """List the readers that have a name: name, version, where it is known from, summary.

    Each line has these four, separated by tabs. A reader is packaged with the suite, named by the
    registry, or was fetched before.
    """
    from screader_lib.readers.registry import known_readers

    for entry in known_readers(registry):
        known_from = entry.known_from
        line = f"{entry.name}\t{entry.version or '-'}\t{known_from}\t{entry.summary}"
        click.echo(printable(line.rstrip()))
