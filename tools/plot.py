"""``plot``: figures of predictions, cells and readers, and the report."""

from __future__ import annotations

from screader_lib.command_line.group import group

SUBCOMMANDS = {
    "umap": "UMAP of the cells: mean gene embeddings and the reader's latent space.",
    "confusion": "Which true labels are predicted as which.",
    "metrics": "Accuracy, precision, recall and F1 of one method or several.",
    "calibration": "Accuracy against confidence.",
    "genes": "The genes that contribute most to each predicted type.",
    "markers": "Genes that mark the types: in how many cells, and how much of them.",
    "training": "Loss and validation curves of a reader.",
    "embeddings": "UMAP of the genes by the embeddings of their texts.",
    "report": "Everything as one HTML file.",
}

EXAMPLES = (
    "plot umap predictions.h5ad --cells cells.h5ad -o umap.png",
    "plot confusion predictions.h5ad -o confusion.svg --data confusion.tsv",
    "predict cells.h5ad -r reader.h5 | plot metrics --format pdf > metrics.pdf",
    "plot report predictions.h5ad --reader reader.h5 --cells cells.h5ad -o report.html",
)


@group(
    "plot",
    subcommands=SUBCOMMANDS,
    place_of=lambda name: f"screader_tools.figures.{name}:main",
    heading="Figures",
    examples=EXAMPLES,
)
def main() -> None:
    """Draw predictions, cells and readers as PNG, SVG or PDF, or write a report as HTML.

    'plot FIGURE --help' explains each figure. All figures take --size, --dpi, --title,
    --palette and --format, and write their data with --data. The same input gives the same
    bytes.
    """
