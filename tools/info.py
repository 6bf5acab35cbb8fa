"""``screader info``: a summary of exchange files."""

from __future__ import annotations

import click

from screader_lib.command_line.options import FilePath
from screader_lib.command_line.run import ToolRun
from screader_lib.command_line.tool import tool
from screader_lib.reporting import printable


@tool("info", examples=["screader info reader.h5", "embed-genes d.h5ad | screader info -"])
@click.argument("files", type=FilePath(), nargs=-1, required=True)
def main(run: ToolRun, files: tuple[str, ...]) -> None:
    """Summarise the content of exchange FILES and how they were made."""
    from screader_lib.exchange.summary import describe
    from screader_lib.readers.card import ELEMENT, in_words

    for number, name in enumerate(files):
        with run.open(name) as opened:
            lines = [*describe(opened, left_out=(ELEMENT,))]
            if ELEMENT in opened.file:
                lines += ["", *in_words(opened)]
            click.echo(printable(("\n" if number else "") + "\n".join(lines)))
