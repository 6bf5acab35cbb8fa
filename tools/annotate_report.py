"""``annotate --report``: the page, from what was called."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from screader_lib.annotation import new_h5ad
from screader_lib.annotation.annotate import CELLS, PREDICTIONS, Annotation
from screader_lib.cells.formats.expression import Expression
from screader_lib.command_line.run import ToolRun
from screader_lib.exchange.opening import ExchangeFile, open_exchange
from screader_lib.exchange.writing import replacing
from screader_lib.figures.data.prediction_data import PredictionData
from screader_lib.figures.report.cell_map import MapInputs
from screader_lib.figures.report.report import ReportInputs, build
from screader_tools.pictures.command_words import command_words


def write_report(
    path: str,
    annotation: Annotation,
    folder: Path,
    sources: Sequence[Expression],
    called_by: str,
    run: ToolRun,
    reader: ExchangeFile | None = None,
) -> None:
    """The report of the ``cells`` and ``predictions`` files in ``folder``, of the final labels."""
    obs, rows = new_h5ad.cells_of(sources), annotation.calls.rows
    called = obs if rows is None else obs.take(rows)
    on_map = MapInputs(called.index, annotation.calls.obs, called.columns)
    named = sources[0].name if len(sources) == 1 else f"{len(sources)} files"
    with (
        open_exchange(folder / PREDICTIONS, "predictions") as predictions,
        open_exchange(folder / CELLS, "cells") as cells,
    ):
        inputs = ReportInputs(
            PredictionData(predictions), reader, cells, clusters=annotation.clusters, on_map=on_map
        )
        title = f"{Path(named).name}: {len(inputs.predictions):,} cells labelled by {called_by}"
        page = build(inputs, title=title, words=command_words, reporter=run.reporter)
    with replacing(path) as temporary:
        temporary.write_text(page, "utf-8")
