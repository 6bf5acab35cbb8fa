"""``screader info``: a summary of any file that scReader reads."""

from __future__ import annotations

from collections.abc import Iterator

import click

from screader_lib.command_line.options import FilePath
from screader_lib.command_line.run import ToolRun
from screader_lib.command_line.tool import tool
from screader_lib.reporting import printable


@tool(
    "info",
    examples=[
        "screader info counts.h5ad",
        "screader info reader.h5",
        "embed-genes d.h5ad | screader info -",
    ],
)
@click.argument("files", type=FilePath(), nargs=-1, required=True)
def main(run: ToolRun, files: tuple[str, ...]) -> None:
    """Summarise the content of FILES: scReader's own, and how they were made, or any of cells.

    Of your own cells (h5ad, 10x, loom and whatever else build-cells reads), it reports the
    numbers of cells and genes, the species to which the gene names belong, what each matrix
    holds, and the columns that may be labels.
    """
    for number, name in enumerate(files):
        lines = list(_lines(run, name))
        click.echo(printable(("\n" if number else "") + "\n".join(lines)))


def _lines(run: ToolRun, name: str) -> Iterator[str]:
    from screader_lib.exchange.opening import is_exchange, open_exchange
    from screader_lib.exchange.summary import describe
    from screader_lib.readers.card import ELEMENT, card_lines

    display_name = "standard input" if name == "-" else name
    with run.path(name) as path:
        if not is_exchange(path):
            from screader_lib.preparation.cells_summary import describe_cells

            yield from describe_cells(path, display_name)
            return
        with open_exchange(path, name=display_name) as opened:
            yield from describe(opened, left_out=(ELEMENT,))
            if ELEMENT in opened.file:
                yield ""
                yield from card_lines(opened)
