"""Training curves of a reader: loss, and metrics on the validation cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding
from screader_lib.exchange.opening import ExchangeFile
from screader_lib.figures.drawing import canvas
from screader_lib.figures.drawing.palettes import colours_of
from screader_lib.figures.drawing.type_names import method_title, one_line

METRICS = {"validation_accuracy": "accuracy", "validation_macro_f1": "macro F1"}
MARKERS = {"loss": "o", "accuracy": "s", "macro F1": "^"}
STAGE_NAME_WIDTH = 0.2  # of the epochs, for the name of a short last stage


@dataclass(frozen=True)
class TrainingHistory:
    """``epoch`` int64, ``stage`` objects and float64 curves, all (epochs,)."""

    method: str
    epoch: np.ndarray
    stage: np.ndarray
    loss: np.ndarray
    metrics: dict[str, np.ndarray]


def read(opened: ExchangeFile) -> TrainingHistory:
    """The history of an open ``reader`` file; ScReaderError where there is none."""
    history = opened.file["history"]
    if not len(history["epoch"]):
        raise ScReaderError(
            "has no training history: its method is not trained by epochs.", file=opened.name
        )
    curves = {name: history[path][()] for path, name in METRICS.items()}
    return TrainingHistory(
        encoding.read_text(opened.file, "method"),
        history["epoch"][()],
        encoding.read_strings(history["stage"]),
        history["loss"][()],
        {name: curve for name, curve in curves.items() if np.isfinite(curve).any()},
    )


def picture(history: TrainingHistory, style: canvas.Style = canvas.DEFAULT_STYLE) -> canvas.Picture:
    """Loss and, where there were validation cells, the metrics on them, by epoch."""
    panels = 2 if history.metrics else 1
    with canvas.drawing(style):
        across, down = (1, panels) if style.is_narrow else (panels, 1)
        figure = canvas.new_figure(style, (3.6 * across, (2.2 if style.is_narrow else 2.8) * down))
        axes = figure.subplots(down, across, squeeze=False).ravel()
        colours = colours_of(MARKERS, style.palette)
        _curve(axes[0], history.loss, "loss", colours["loss"])
        axes[0].set_title("training loss")
        axes[0].set_ylim(0, max(1e-9, 1.2 * float(history.loss.max())))
        if history.metrics:
            for name, curve in history.metrics.items():
                _curve(axes[1], curve, name, colours[name])
            axes[1].set_title("validation cells")
            lowest = min(float(np.nanmin(curve)) for curve in history.metrics.values())
            floor = max(0.0, np.floor(10 * lowest - 0.5) / 10)  # room for the legend
            axes[1].set_ylim(floor, 1 + 0.2 * (1 - floor))
            axes[1].set_yticks([tick for tick in axes[1].get_yticks() if floor <= tick <= 1.0001])
            axes[1].legend(loc="lower right")
        for axis in axes:
            _mark_stages(axis, history.stage)
    loss, curves = history.loss, history.metrics
    columns = ("epoch", "stage", "loss", *(name.replace(" ", "_") for name in curves))
    values = [[None if np.isnan(v) else float(v) for v in curve] for curve in curves.values()]
    rows = zip(history.epoch, history.stage, loss.tolist(), *values, strict=True)
    alt = [
        f"Training of {method_title(history.method)} over {len(loss)} epochs",
        f"Loss from {loss[0]:.3g} to {loss[-1]:.3g}",
    ]
    for name, curve in curves.items():
        known = curve[np.isfinite(curve)]
        alt.append(f"{name} on validation cells from {known[0]:.3f} to {known[-1]:.3f}")
    return canvas.Picture.of(figure, columns, list(rows), alt)


def _curve(axis: Any, values: np.ndarray, name: str, colour: str) -> None:
    known = np.isfinite(values)  # validation may take place every few epochs only
    epochs = np.arange(1, len(values) + 1)[known]  # counted through all stages
    axis.plot(
        epochs, values[known], color=colour, marker=MARKERS[name], markersize=3.5,
        linewidth=1.4, label=name,
    )  # fmt: skip


def _mark_stages(axis: Any, stage: np.ndarray) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_xlabel("epoch")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axis.grid(axis="y")
    epochs = len(stage)
    starts = [0, *(np.flatnonzero(stage[1:] != stage[:-1]) + 1)]
    if len(starts) == 1:
        axis.set_xlim(0.5, epochs + 0.5)
        return
    # A short last stage needs room for its name.
    axis.set_xlim(0.5, 0.5 + max(epochs, starts[-1] + STAGE_NAME_WIDTH * epochs))
    for start in starts:
        if start:
            axis.axvline(start + 0.5, color=canvas.GRID, linewidth=1.2, linestyle="--")
        axis.text(
            start + 0.6, 0.99, one_line(str(stage[start])), fontsize=7, va="top",
            transform=axis.get_xaxis_transform(),
        )  # fmt: skip
