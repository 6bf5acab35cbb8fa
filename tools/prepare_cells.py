"""``prepare-cells``: raw counts without labels to labelled cells, with the evidence."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from screader_lib.command_line.options import FilePath, OutputPath, output_option, seed_option
from screader_lib.command_line.run import ToolRun
from screader_lib.command_line.tool import tool

if TYPE_CHECKING:
    from screader_lib.preparation.labelling import ClusterLabel


@tool(
    "prepare-cells",
    examples=[
        "prepare-cells counts.h5ad --markers PanglaoDB_markers_27_Mar_2020.tsv.gz "
        "--tissue Pancreas -o prepared.h5ad",
        "prepare-cells filtered_feature_bc_matrix/ --max-mito 10 -o prepared.h5ad",
        "prepare-cells counts.h5ad --markers mine.csv --evidence clusters.tsv -o prepared.h5ad",
        "prepare-cells counts.h5ad --markers mine.csv --labels edited.tsv -o prepared.h5ad",
        "build-cells prepared.h5ad -e genes.h5ad --label label -o cells.h5ad",
    ],
)
@click.argument("expression", type=FilePath())
@output_option("the prepared cells, an h5ad")
@click.option(
    "--markers",
    type=FilePath(),
    multiple=True,
    help="Table of marker genes: PanglaoDB, CellMarker, or columns cell_type and gene. Repeatable.",
)
@click.option(
    "--tissue", "tissues", metavar="NAME", multiple=True, help="Only types of this tissue or organ."
)
@click.option(
    "--species", type=click.Choice(["human", "mouse"]), default="human", help="Of the markers."
)
@click.option("--labels", type=FilePath(), help="Your labels: a table with cluster and label.")
@click.option(
    "--evidence", type=OutputPath(), help="Write clusters, labels, scores and marker genes here."
)
@click.option("--layer", metavar="NAME", help="Matrix with the counts, if not X.")
@click.option("--gene-column", metavar="COLUMN", help="Column with the genes' symbols.")
@click.option("--min-counts", type=click.IntRange(min=0), default=0, help="Least counts of a cell.")
@click.option("--min-genes", type=click.IntRange(min=0), default=200, help="Least genes of a cell.")
@click.option("--max-genes", type=click.IntRange(min=1), help="Most genes of a cell.")
@click.option(
    "--max-mito",
    type=click.FloatRange(0, 100),
    default=20.0,
    help="Most mitochondrial counts of a cell, in per cent.",
)
@click.option(
    "--min-cells", type=click.IntRange(min=0), default=3, help="Least cells that express a gene."
)
@click.option(
    "--variable-genes", type=click.IntRange(min=2), default=2000, help="Genes to cluster by."
)
@click.option("--components", type=click.IntRange(min=1), default=10, help="Of the PCA.")
@click.option("--neighbours", type=click.IntRange(min=2), default=20, help="Of a cell.")
@click.option(
    "--resolution", type=click.FloatRange(min=0), default=0.5, help="Higher: more clusters."
)
@click.option(
    "--min-fold-change",
    type=click.FloatRange(min=0),
    default=0.3,
    help="Least log2 fold change of a marker.",
)
@click.option(
    "--min-share",
    type=click.FloatRange(0, 1),
    default=0.3,
    help="Least share of the cluster's cells that express a marker.",
)
@seed_option
def main(
    run: ToolRun,
    expression: str,
    output: str | None,
    markers: tuple[str, ...],
    tissues: tuple[str, ...],
    species: str,
    labels: str | None,
    evidence: str | None,
    layer: str | None,
    gene_column: str | None,
    min_counts: int,
    min_genes: int,
    max_genes: int | None,
    max_mito: float,
    min_cells: int,
    variable_genes: int,
    components: int,
    neighbours: int,
    resolution: float,
    min_fold_change: float,
    min_share: float,
    seed: int,
) -> None:
    """Turn raw counts into clean, clustered cells, with labels where --markers are given.

    Quality control, log-normalisation, variable genes, PCA, neighbours, UMAP, clusters, their
    marker genes, and labels from a table of known markers. The output keeps the counts in X, so
    that build-cells takes it. A cluster that fits two types alike is called ambiguous, one that
    fits none unknown; both count as without a label later. Labels are proposals: read the
    evidence, correct its table, and hand it back with --labels.
    """
    from screader_lib.cells.formats.open_expression import open_expression
    from screader_lib.exchange.writing import replacing
    from screader_lib.preparation import cluster_markers, clustering, corrections, prepared, quality
    from screader_lib.preparation.labelling import check_markers, label_clusters
    from screader_lib.preparation.loading import load_counts
    from screader_lib.preparation.marker_tables import read_marker_tables
    from screader_lib.preparation.species import check_cells

    destination = run.destination(output)
    limits = quality.Limits(min_counts, min_genes, max_genes, max_mito, min_cells)
    settings = clustering.ClusteringSettings(
        variable_genes, components, neighbours, resolution, seed
    )
    criteria = cluster_markers.Criteria(min_fold_change, min_share)
    with ExitStack() as stack:
        tables = [stack.enter_context(run.path(name)) for name in markers]
        types = (
            read_marker_tables(tables, species, tissues, names=markers, reporter=run.reporter)
            if tables
            else []
        )
        path = stack.enter_context(run.path(expression))
        shown = "standard input" if expression == "-" else expression
        source = stack.enter_context(
            open_expression(
                path, shown, layer=layer, gene_column=gene_column, reporter=run.reporter
            )
        )
        counts = load_counts(source, run.reporter)
        if types:
            check_cells(source, counts.var_names, species, run.reporter)
            check_markers(types, counts.var_names, run.reporter)
        data = quality.kept(counts, limits, run.reporter)
        clustering.cluster(data, settings, run.reporter)
        found = cluster_markers.find_markers(data, criteria)
        sizes = data.obs["cluster"].value_counts().to_dict()
        calls = label_clusters(found, sizes, types, list(data.var_names))
        if labels is not None:
            corrections_path = stack.enter_context(run.path(labels))
            calls = corrections.corrected(calls, corrections_path)
        if evidence is not None:
            table = stack.enter_context(replacing(evidence))
            table.write_text(corrections.evidence_tsv(calls), "utf-8")
        inputs = {"expression": path}
        inputs |= {f"markers_{number}": file for number, file in enumerate(tables)}
        if labels is not None:
            inputs["labels"] = corrections_path
        target = stack.enter_context(replacing(destination))
        prepared.write(target, data, calls, run.record(inputs))
    _tell(run, calls, labelled=bool(types or labels))


def _tell(run: ToolRun, calls: list[ClusterLabel], *, labelled: bool) -> None:
    if not labelled:
        run.reporter.info("no labels: give --markers or --labels.")
        return
    for call in calls:
        why = ", ".join(call.scores[0].genes[:5]) if call.scores else "no known marker"
        run.reporter.info(f"cluster {call.cluster}, {call.cells:,} cells: {call.label} ({why})")
