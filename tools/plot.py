"""``plot``: pictures of predictions, cells and readers, and the report."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from screader_lib import __version__

SUBCOMMANDS = {
    "umap": "Cells before and after reading, in two dimensions.",
    "confusion": "Which types are taken for which.",
    "metrics": "Accuracy, precision, recall and F1 of one method or several.",
    "calibration": "How often calls of a given confidence are right.",
    "training": "Loss and validation curves of a reader.",
    "embeddings": "Genes in two dimensions, by the embedding of their texts.",
    "report": "Everything as one HTML file.",
}

EXAMPLES = (
    "plot umap predictions.h5ad --cells cells.h5ad -o umap.png",
    "plot confusion predictions.h5ad -o confusion.svg --data confusion.tsv",
    "predict cells.h5ad -r reader.h5 | plot metrics --format pdf > metrics.pdf",
    "plot report predictions.h5ad --reader reader.h5 --cells cells.h5ad -o report.html",
)


class Plot(click.Group):
    """A group that imports a subcommand only when it is used, with examples in its help."""

    examples = EXAMPLES

    def list_commands(self, context: click.Context) -> list[str]:
        return list(SUBCOMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in SUBCOMMANDS:
            return None
        command: click.Command = import_module(f"screader_tools.plot_{name}").main
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Pictures"):
            formatter.write_dl(list(SUBCOMMANDS.items()))

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Examples"):
            for example in self.examples:
                formatter.write(f"  $ {example}\n")
        super().format_epilog(context, formatter)


SETTINGS: dict[str, Any] = {"max_content_width": 100}


@click.group("plot", cls=Plot, context_settings=SETTINGS)
@click.version_option(__version__, message="plot %(version)s")
def main() -> None:
    """Draw what a reader did, as PNG, SVG or PDF, or write a report as HTML.

    Each picture takes exchange files; 'plot PICTURE --help' explains one. All pictures take
    --size, --dpi, --title, --palette and --format, and write their numbers with --data. The
    same input gives the same bytes.
    """
