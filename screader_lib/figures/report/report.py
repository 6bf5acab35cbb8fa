"""The report: one HTML file that needs nothing but itself."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from screader_lib.errors import ScReaderError
from screader_lib.exchange.opening import ExchangeFile
from screader_lib.figures.data.coordinates import Given
from screader_lib.figures.data.prediction_data import PredictionData
from screader_lib.figures.drawing.canvas import Picture, Style
from screader_lib.figures.drawing.plotting_packages import need
from screader_lib.figures.drawing.type_names import cleaned
from screader_lib.figures.plots import (
    calibration_plot,
    confusion_matrix,
    gene_bars,
    method_comparison,
    training_curves,
)
from screader_lib.figures.plots.umap_panels import colouring, panels
from screader_lib.figures.plots.umap_plot import picture as umap_picture
from screader_lib.figures.report import report_tables
from screader_lib.figures.report.history import History, Spelling
from screader_lib.label_metrics import scores
from screader_lib.reporting import SILENT, Reporter

DPI = 160
GENES_DRAWN, GENES_SHOWN = 8, 3  # a type, in the picture and with their descriptions
SCREEN_DPI = 96


@dataclass(frozen=True)
class Inputs:
    """What a report is made of; all but the calls may be missing.

    ``metrics`` is the content of the demo's metrics file. ``beside`` are the calls of other
    methods on the same cells, ``coordinates`` those of the UMAP panels.
    """

    calls: PredictionData
    reader: ExchangeFile | None = None
    cells: ExchangeFile | None = None
    metrics: Mapping[str, Any] | None = None
    beside: Sequence[PredictionData] = ()
    coordinates: Given | None = None

    def by_option(self) -> dict[str, list[ExchangeFile]]:
        """The exchange files by the option or argument of ``plot report`` that takes them."""
        return {
            "predictions": [self.calls.opened],
            "reader": [self.reader] if self.reader else [],
            "cells": [self.cells] if self.cells else [],
            "beside": [other.opened for other in self.beside],
        }


@dataclass(frozen=True)
class Shown:
    """A picture as the template places it; sizes in pixels of the screen."""

    source: str
    alt: str
    caption: str
    width: int
    height: int


def build(
    inputs: Inputs,
    *,
    title: str = "",
    palette: str = "",
    seed: int = 0,
    spelling: Spelling | None = None,
    reporter: Reporter = SILENT,
) -> str:
    """The report as HTML; the same for the same inputs and seed.

    ``spelling`` turns a step of the provenance into the words of its command.
    """
    calls = inputs.calls
    _check_same_cells(inputs)
    taken = inputs.by_option()
    history = History([file for some in taken.values() for file in some], spelling)
    chosen = {"title": title, "palette": palette, "seed": seed}
    known = calls.known
    matrix = confusion_matrix.tabulate([calls])[0] if known.any() else None
    rows = _controls(inputs)
    content = {
        "title": cleaned(title) or f"{calls.title}: {len(calls):,} cells",
        "calls": calls,
        "has_reader": inputs.reader is not None,
        "measures": scores(calls.true[known].tolist(), calls.predicted[known].tolist()),
        "measure_names": report_tables.MEASURES,
        "controls": rows,
        "timed": any(row.seconds is not None for row in rows),
        "verdict": report_tables.verdict(rows),
        "disagreement": _disagreement(inputs, rows),
        "summary": report_tables.data_summary(calls, inputs.cells, inputs.reader),
        "types": report_tables.types_table(calls, inputs.reader),
        "genes": gene_bars.read(calls, GENES_SHOWN) if gene_bars.has_explanation(calls) else [],
        "pairs": confusion_matrix.most_confused(matrix) if matrix else [],
        "low": report_tables.low_confidence(calls),
        "steps": history.steps,
        "last_command": history.command("plot report", chosen, taken, "report.html"),
        "more_given": inputs.metrics is not None or inputs.coordinates is not None,
        "versions": report_tables.versions(),
        "pictures": _pictures(inputs, matrix, palette, seed, reporter),
    }
    return _render(content)


def _check_same_cells(inputs: Inputs) -> None:
    """ScReaderError where a file beside the calls is of other cells."""
    cells = set(inputs.calls.ids.tolist())
    for other in inputs.beside:
        if set(other.ids.tolist()) != cells:
            raise ScReaderError(
                f"holds other cells than {inputs.calls.name}, so they cannot stand side by side.",
                file=other.name,
            )


def _controls(inputs: Inputs) -> list[report_tables.Control]:
    """The methods to compare with: of the metrics file, else of the files beside."""
    if inputs.metrics:
        return report_tables.controls(inputs.metrics, inputs.calls.method)
    if not inputs.beside or not inputs.calls.known.any():
        return []
    return report_tables.measured_controls([inputs.calls, *inputs.beside])


def _disagreement(inputs: Inputs, rows: list[report_tables.Control]) -> str:
    """A warning where the metrics file tells of other calls than the predictions file holds."""
    calls = inputs.calls
    this = next((row for row in rows if row.is_this), None)
    if this is None or this.accuracy is None or not calls.known.any():
        return ""
    measured = float((calls.predicted == calls.true)[calls.known].mean())
    if abs(measured - this.accuracy) < 0.0005:
        return ""
    return (
        f"The comparison gives {this.title} an accuracy of {this.accuracy:.3f}, but the "
        f"predictions of this report have {measured:.3f}: they are not of the same cells."
    )


def _pictures(
    inputs: Inputs,
    matrix: confusion_matrix.Confusion | None,
    palette: str,
    seed: int,
    reporter: Reporter,
) -> dict[str, Shown]:
    calls = inputs.calls
    style = Style(palette=palette)
    both = [*inputs.beside[:1], calls]
    chosen = colouring(both, None)
    found = {}
    if all(one.has_vectors for one in both):
        drawn = panels(
            both, chosen, cells=inputs.cells, seed=seed, given=inputs.coordinates, reporter=reporter
        )
        found["umap"] = _shown(
            umap_picture(drawn, style, what=chosen.column, types=chosen.types, seed=seed),
            f"Cells in two dimensions (UMAP), coloured by {chosen.column.replace('_', ' ')}. "
            "Silhouette and purity of the nearest neighbours are taken in the vectors, not in "
            "the picture.",
        )
    if matrix is not None:
        # Two large matrices side by side could not be read on a page.
        few = len(matrix.types) <= confusion_matrix.READABLE
        found["confusion"] = _shown(
            confusion_matrix.picture(confusion_matrix.tabulate(both) if few else [matrix]),
            "Rows are true types with their numbers of cells, colours shares of the row. "
            "Neighbouring types are alike to the reader."
            + ("" if calls.assigned.all() else " Cells called by no type count as not right here."),
        )
        found["metrics"] = _shown(
            method_comparison.picture(method_comparison.measure([calls, *inputs.beside])),
            "Measures over all cells with a true label, and F1 of each type against its size.",
        )
        found["calibration"] = _shown(
            calibration_plot.picture(calibration_plot.measure([calls, *inputs.beside[:1]])),
            "Points on the dashed line: confidence can be taken at its word. Their area tells "
            "the number of cells, upright lines the 95 % interval of their share; ECE is the "
            "expected calibration error.",
        )
    if gene_bars.has_explanation(calls):
        found["genes"] = _shown(
            gene_bars.picture(gene_bars.read(calls, GENES_DRAWN), style, types=chosen.types),
            "What each gene added to the log-odds of the calls, on average over the cells called "
            "so; in brackets their number.",
        )
    if inputs.reader is not None and len(inputs.reader.file["history/epoch"]):
        found["training"] = _shown(
            training_curves.picture(training_curves.read(inputs.reader)),
            "Training loss and measures on the validation cells, by epoch.",
        )
    return found


def _shown(picture: Picture, caption: str) -> Shown:
    encoded = base64.b64encode(picture.render("svg", DPI)).decode("ascii")
    width, height = picture.figure.get_size_inches()
    source = f"data:image/svg+xml;base64,{encoded}"
    sizes = (round(width * SCREEN_DPI), round(height * SCREEN_DPI))
    return Shown(source, picture.alt, caption, *sizes)


def _render(content: Mapping[str, Any]) -> str:
    jinja2 = need("jinja2")
    folder = resources.files("screader_lib.figures") / "templates"
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        loader=jinja2.FunctionLoader(lambda name: (folder / name).read_text("utf-8")),
    )
    environment.filters["share"] = lambda value: "–" if value is None else f"{value:.3f}"
    environment.filters["line"] = lambda value: cleaned(str(value))
    style = (folder / "report.css").read_text("utf-8")
    try:
        return environment.get_template("report.html").render(
            content, style=need("markupsafe").Markup(style)
        )
    except jinja2.TemplateError as error:
        raise ScReaderError(f"the report's template is broken: {error}.") from error
