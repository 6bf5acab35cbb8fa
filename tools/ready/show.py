"""``screader readers show``: the card of a reader."""

from __future__ import annotations

import click

from screader_lib.command_line.run import ToolRun
from screader_lib.command_line.tool import tool
from screader_lib.reporting import printable
from screader_tools.ready.reader_options import registry_option


@tool(
    "screader readers show",
    examples=["screader readers show human-pancreas", "screader readers show reader.h5"],
)
@click.argument("reader", metavar="NAME|FILE")
@registry_option
def main(run: ToolRun, reader: str, registry: str | None) -> None:
    """Print what a reader knows, how well, and what it does not know.

    The labels, their cells and the figures on held-out cells are the reader's own; the rest is
    from its card (train-reader --card).
    """
    from screader_lib.exchange.summary import human_size
    from screader_lib.readers.card import in_words
    from screader_lib.readers.fetching import find_reader

    with run.open(str(find_reader(reader, registry, run.reporter)), "reader") as opened:
        click.echo(printable("\n".join(in_words(opened))))
        size = human_size(opened.path.stat().st_size)
        click.echo(f"\n{opened.path}, {size}, SHA-256 {opened.sha256}")
