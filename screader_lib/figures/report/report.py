"""The report: one self-contained HTML file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from screader_lib.errors import ScReaderError
from screader_lib.exchange.opening import ExchangeFile
from screader_lib.exchange.table import Table
from screader_lib.figures.data import type_genes
from screader_lib.figures.data.panels import Panel, SavedCoordinates
from screader_lib.figures.data.prediction_data import PredictionData
from screader_lib.figures.drawing.canvas import Picture, Style, require
from screader_lib.figures.drawing.type_names import one_line
from screader_lib.figures.plots import (
    calibration_plot,
    confusion_matrix,
    gene_bars,
    method_comparison,
    training_curves,
    umap_plot,
)
from screader_lib.figures.report import cell_map, report_tables
from screader_lib.figures.report.history import CommandWords, History, default_words
from screader_lib.label_metrics import scores
from screader_lib.reporting import SILENT, Reporter

SVG_DPI = 160  # of the points in a scatter plot
SCREEN_DPI = 96
GENES_DRAWN, GENES_LISTED = 8, 3  # per type, in the figure and with their descriptions
SCRIPT = "cell_map.js"  # the page's policy allows it by its hash, and no other
PAIR_COLUMNS = ("true label", "predicted label", "cells", "fraction of the true label")


@dataclass(frozen=True)
class ReportInputs:
    """What a report is made of; all but the predictions may be missing.

    ``metrics`` is the content of a metrics file, ``beside`` the predictions of other methods on
    the same cells, ``coordinates`` those of the UMAP panels, ``clusters`` a row for each cluster
    of an annotated sample, ``on_map`` what else the map tells of the cells.
    """

    predictions: PredictionData
    reader: ExchangeFile | None = None
    cells: ExchangeFile | None = None
    metrics: Mapping[str, Any] | None = None
    beside: Sequence[PredictionData] = ()
    coordinates: SavedCoordinates | None = None
    clusters: Table | None = None
    on_map: cell_map.MapInputs = cell_map.NOTHING_MORE


def build(
    inputs: ReportInputs,
    *,
    title: str = "",
    palette: str = "",
    seed: int = 0,
    words: CommandWords = default_words,
    reporter: Reporter = SILENT,
) -> str:
    """The report as HTML; the same for the same inputs and seed.

    ``words`` turns a step of the provenance into the words of its command. ScReaderError where
    ``inputs.beside`` are of other cells.
    """
    predictions = inputs.predictions
    cells = set(predictions.ids.tolist())
    for other in inputs.beside:
        if set(other.ids.tolist()) != cells:
            message = f"has other cells than {predictions.name}, so they cannot be compared."
            raise ScReaderError(message, file=other.name)
    files = {  # by the option or argument of ``plot report`` that takes them
        "predictions": [predictions.opened],
        "reader": [inputs.reader] if inputs.reader else [],
        "cells": [inputs.cells] if inputs.cells else [],
        "compare_with": [other.opened for other in inputs.beside],
    }
    history = History([file for some in files.values() for file in some], words)
    options = {"title": title, "palette": palette, "seed": seed}
    matrix = confusion_matrix.tabulate([predictions])[0] if predictions.known.any() else None
    explained = gene_bars.has_explanation(predictions)
    genes = gene_bars.read(predictions, GENES_LISTED) if explained else []
    confused = confusion_matrix.most_confused(matrix) if matrix else []
    if inputs.metrics:
        comparison = report_tables.compare_given(inputs.metrics, predictions.method)
    else:
        comparison = report_tables.compare_measured(predictions, inputs.beside)
    last_command = []
    if predictions.opened.steps[-1].tool != "annotate":  # which writes reports itself
        last_command = [history.command("plot report", options, files, "report.html")]
    both = []
    for one in (*inputs.beside[:1], predictions):
        if one.has_vectors or inputs.coordinates is not None:
            both.append(one)
        elif one is not predictions:
            reporter.warning(f"{one.name}: has no cell vectors; its UMAP is left out.")
    colours = umap_plot.colouring(both or [predictions], None)
    panels = []
    if predictions in both:
        before = inputs.cells if predictions.by_reader else None  # whose genes have no vectors
        panels = umap_plot.panels(
            both, colours, cells=before, seed=seed, saved=inputs.coordinates,
            reporter=reporter,
        )  # fmt: skip
    drawn = None
    if panels and len(predictions):
        telling = report_tables.telling_genes(inputs.clusters, genes)
        if inputs.cells is not None:
            of_types = type_genes.read(predictions, inputs.cells, predictions.final_label)
            telling += of_types.symbols[of_types.marking(GENES_LISTED)].tolist()
        drawn = cell_map.encode(
            predictions, panels[-1].coordinates, colours.types,
            inputs.on_map, inputs.cells, telling, palette, seed,
        )  # fmt: skip
    return _render({
        "map": drawn,
        "sketch": panels[-1].sketch if panels else None,
        "separated": any(panel.separation for panel in panels),
        "map_is_all": drawn is not None and len(panels) == 1,
        "title": one_line(title) or f"{predictions.title}: {len(predictions):,} cells",
        "method": predictions.title,
        "by_examples": predictions.by_examples,
        "by_types": predictions.by_types,
        "cells": len(predictions),
        "labelled": int(predictions.comparable.sum()),
        "other_labels": int((predictions.known & ~predictions.comparable).sum()),
        "all_assigned": bool(predictions.assigned.all()),
        "metrics": scores(*predictions.true_and_predicted()),
        "methods": comparison.rows,
        "this_method": comparison.this,
        "verdict": comparison.verdict(),
        "disagreement": comparison.disagreement(predictions),
        "summary": report_tables.data_summary(predictions, inputs.cells, inputs.reader),
        "types": report_tables.types_table(predictions, inputs.reader),
        "clusters": report_tables.clusters_table(inputs.clusters),
        "cluster_genes": report_tables.cluster_genes(inputs.clusters),
        "overview": report_tables.overview(predictions, inputs.clusters, inputs.on_map.proposed),
        "genes": report_tables.genes_table(genes),
        "pairs": [dict(zip(PAIR_COLUMNS, pair, strict=True)) for pair in confused],
        "low_confidence": report_tables.low_confidence(predictions),
        "steps": report_tables.steps_table(history.steps),
        "commands": [step.command for step in history.steps] + last_command,
        "other_files": inputs.metrics is not None or inputs.coordinates is not None,
        "versions": report_tables.versions(),
        "pictures": _pictures(
            inputs, colours, panels, matrix, Style(palette=palette), seed, reporter
        ),
    })  # fmt: skip


def _pictures(
    inputs: ReportInputs,
    colours: umap_plot.Colouring,
    panels: Sequence[Panel],
    matrix: confusion_matrix.Confusion | None,
    style: Style,
    seed: int,
    reporter: Reporter,
) -> dict[str, dict[str, Any]]:
    """Figures in the page by name: source, alternative text, and sizes in pixels of the screen."""
    predictions = inputs.predictions
    pictures = {}
    if panels:
        pictures["umap"] = umap_plot.picture(
            panels, style, column=colours.column, types=colours.types, seed=seed
        )
    if matrix is not None:
        # Two large matrices side by side could not be read on a page.
        small = len(matrix.types) <= confusion_matrix.READABLE_TYPES
        matrices = (
            confusion_matrix.tabulate([*inputs.beside[:1], predictions]) if small else [matrix]
        )
        pictures["confusion"] = confusion_matrix.picture(matrices)
    if predictions.comparable.any():
        methods = method_comparison.measure([predictions, *inputs.beside])
        pictures["metrics"] = method_comparison.picture(methods)
        curves = calibration_plot.measure([predictions, *inputs.beside[:1]])
        pictures["calibration"] = calibration_plot.picture(curves)
    if gene_bars.has_explanation(predictions):
        genes = gene_bars.read(predictions, GENES_DRAWN)
        pictures["genes"] = gene_bars.picture(genes, style, all_types=colours.types)
    if inputs.reader is not None and len(inputs.reader.file["history/epoch"]):
        pictures["training"] = training_curves.picture(training_curves.read(inputs.reader))
    embedded = {}
    with reporter.progress("drawing", len(pictures), "pictures") as advance:
        for name, picture in pictures.items():
            embedded[name] = _embedded(picture)
            advance(1)
    return embedded


def _embedded(picture: Picture) -> dict[str, Any]:
    encoded = base64.b64encode(picture.render("svg", SVG_DPI)).decode("ascii")
    width, height = (round(side * SCREEN_DPI) for side in picture.figure.get_size_inches())
    source = f"data:image/svg+xml;base64,{encoded}"
    return {"source": source, "alt": picture.alt, "width": width, "height": height}


def _render(content: Mapping[str, Any]) -> str:
    jinja2 = require("jinja2")
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        loader=jinja2.PackageLoader("screader_lib.figures"),
    )
    environment.filters["cell"] = _cell
    script = (resources.files("screader_lib.figures") / "templates" / SCRIPT).read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    own = {"script": require("markupsafe").Markup(script), "script_hash": f"sha256-{digest}"}
    return environment.get_template("report.html").render({**content, **own})


def _cell(value: Any) -> str:
    """A value as a table shows it."""
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 10 else f"{value:,.1f}"
    if isinstance(value, int):
        return f"{value:,}"
    return one_line(str(value or "")) or "–"
