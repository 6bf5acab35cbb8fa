"""``prepare-cells``: raw counts without labels to labelled cells, with the evidence."""

from __future__ import annotations

from contextlib import ExitStack

import click

from screader_lib.command_line.options import (
    FilePath,
    OutputPath,
    expression_options,
    minimum_options,
    output_option,
    seed_option,
)
from screader_lib.command_line.run import ToolRun
from screader_lib.command_line.tool import tool


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
@output_option("the prepared cells (h5ad)")
@click.option(
    "--markers",
    type=FilePath(),
    multiple=True,
    help="Table of marker genes: PanglaoDB, CellMarker, or columns cell_type and gene. Repeatable.",
)
@click.option(
    "--tissue",
    "tissues",
    metavar="NAME",
    multiple=True,
    help="Use only the cell types of this tissue or organ. Repeatable.",
)
@click.option(
    "--species",
    type=click.Choice(["human", "mouse"]),
    default="human",
    help="Species of the marker genes.",
)
@click.option(
    "--labels",
    type=FilePath(),
    help="Your own labels: a table with columns cluster and label.",
)
@click.option(
    "--evidence", type=OutputPath(), help="Write clusters, labels, scores and marker genes here."
)
@expression_options
@minimum_options(min_genes=200)
@click.option("--max-genes", type=click.IntRange(min=1), help="Maximum genes per cell.")
@click.option(
    "--max-mito",
    type=click.FloatRange(0, 100),
    default=20.0,
    help="Maximum percentage of mitochondrial counts per cell.",
)
@click.option(
    "--min-cells",
    type=click.IntRange(min=0),
    default=3,
    help="Minimum number of cells that express a gene.",
)
@click.option(
    "--variable-genes",
    type=click.IntRange(min=2),
    default=2000,
    help="Number of highly variable genes to cluster by.",
)
@click.option(
    "--components",
    type=click.IntRange(min=1),
    default=10,
    help="Number of principal components.",
)
@click.option(
    "--neighbours",
    type=click.IntRange(min=2),
    default=20,
    help="Number of nearest neighbours of each cell in the graph.",
)
@click.option(
    "--resolution",
    type=click.FloatRange(min=0),
    default=0.5,
    help="Resolution of the clusters; higher gives more of them.",
)
@click.option(
    "--min-fold-change",
    type=click.FloatRange(min=0),
    default=0.3,
    help="Minimum log2 fold change of a cluster's marker.",
)
@click.option(
    "--min-share",
    type=click.FloatRange(0, 1),
    default=0.3,
    help="Minimum fraction of the cluster's cells that express a marker.",
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
    modality: str | None,
    genome: str | None,
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
    """Turn raw counts into clean, clustered cells, with labels if --markers are given.

    The steps are quality control, log-normalisation, variable genes, PCA, neighbours, UMAP,
    clusters, their marker genes, and labels from a table of known markers. The output keeps the
    counts in X, as build-cells needs them. A cluster that fits two cell types equally well is
    labelled ambiguous, one that fits none unknown; later tools treat both as unlabelled. Labels
    are proposals: review the evidence, correct its table, and pass it back with --labels.
    """
    from screader_lib.cells.formats.expression import ReadOptions
    from screader_lib.cells.formats.open_expression import open_expression
    from screader_lib.exchange.writing import replacing
    from screader_lib.preparation import clustering, counts, labelling, marker_tables
    from screader_lib.preparation.clustering import find_markers
    from screader_lib.preparation.labelling import check_markers, label_clusters

    reporter = run.reporter
    destination = run.output_path(output)
    with ExitStack() as stack:
        inputs = {
            f"markers_{number}": stack.enter_context(run.path(name))
            for number, name in enumerate(markers)
        }
        types = []
        if markers:
            types = marker_tables.read_marker_tables(
                list(inputs.values()), species, tissues, names=markers, reporter=reporter
            )
        inputs["expression"] = path = stack.enter_context(run.path(expression))
        name = "standard input" if expression == "-" else expression
        source = stack.enter_context(
            open_expression(path, name, ReadOptions(layer, gene_column, modality, genome), reporter)
        )
        raw = counts.load_counts(source, reporter)
        if types:
            marker_tables.check_species(source, raw.var_names, species, reporter)
            check_markers(types, raw.var_names, reporter)
        thresholds = counts.QualityThresholds(min_counts, min_genes, max_genes, max_mito, min_cells)
        data = counts.filter_counts(raw, thresholds, reporter)
        settings = clustering.ClusteringSettings(
            variable_genes, components, neighbours, resolution, seed
        )
        clustering.cluster(data, settings, reporter)
        cluster_markers = find_markers(data, min_fold_change, min_share)
        sizes = data.obs["cluster"].value_counts().to_dict()
        cluster_labels = label_clusters(cluster_markers, sizes, types, list(data.var_names))
        if labels is not None:
            inputs["labels"] = stack.enter_context(run.path(labels))
            cluster_labels = labelling.corrected(cluster_labels, inputs["labels"])
        if evidence is not None:
            table = stack.enter_context(replacing(evidence))
            table.write_text(labelling.evidence_tsv(cluster_labels), "utf-8")
        target = stack.enter_context(replacing(destination))
        labelling.write(target, data, cluster_labels, run.record(inputs))
    if not types and labels is None:
        reporter.info("clusters are not labelled: give --markers or --labels.")
        return
    for one in cluster_labels:
        genes = ", ".join(one.scores[0].genes[:5]) if one.scores else "no known markers"
        reporter.info(f"cluster {one.cluster}, {one.cells:,} cells: {one.label} ({genes})")
