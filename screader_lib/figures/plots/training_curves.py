"""Training curves of a reader: loss, and measures on the validation cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding
from screader_lib.exchange.opening import ExchangeFile
from screader_lib.figures.drawing.canvas import (
    GRID,
    Numbers,
    Picture,
    Style,
    drawing,
    joined,
    new_figure,
)
from screader_lib.figures.drawing.palettes import colours_of
from screader_lib.figures.drawing.type_names import cleaned, method_title

MEASURES = {"validation_accuracy": "accuracy", "validation_macro_f1": "macro F1"}
NAME_ROOM = 0.16  # for a stage's name, over the number of epochs
MARKERS = {"loss": "o", "accuracy": "s", "macro F1": "^"}


@dataclass(frozen=True)
class Training:
    """A reader's history: ``epoch`` int64, ``stage`` objects and float64 curves, all (epochs,)."""

    method: str
    epoch: np.ndarray
    stage: np.ndarray
    loss: np.ndarray
    measures: dict[str, np.ndarray]

    @property
    def place(self) -> np.ndarray:
        """Where an epoch is drawn: counted through all stages."""
        return np.arange(1, len(self.epoch) + 1)


def read(opened: ExchangeFile) -> Training:
    """The history of an open ``reader`` file; ScReaderError where there is none."""
    history = opened.file["history"]
    if not len(history["epoch"]):
        raise ScReaderError(
            "has no training history: its method is not trained by epochs.",
            file=opened.name,
        )
    measures = {name: history[path][()] for path, name in MEASURES.items()}
    return Training(
        encoding.read_text(opened.file, "method"),
        history["epoch"][()],
        encoding.read_strings(history["stage"]),
        history["loss"][()],
        {name: curve for name, curve in measures.items() if np.isfinite(curve).any()},
    )


def picture(training: Training, style: Style | None = None) -> Picture:
    """Loss and, where there were validation cells, the measures on them, by epoch."""
    style = style or Style()
    panels = 2 if training.measures else 1
    with drawing():
        figure = new_figure(style, (3.6 * panels, 2.8))
        axes = figure.subplots(1, panels, squeeze=False)[0]
        colours = colours_of(["loss", *MEASURES.values()], style.palette)
        _curve(axes[0], training, training.loss, "loss", colours["loss"])
        axes[0].set_title("training loss")
        axes[0].set_ylim(0, max(1e-9, 1.2 * float(training.loss.max())))
        if training.measures:
            for name, curve in training.measures.items():
                _curve(axes[1], training, curve, name, colours[name])
            axes[1].set_title("validation cells")
            least = min(float(np.nanmin(curve)) for curve in training.measures.values())
            floor = max(0.0, np.floor(10 * least - 0.5) / 10)  # room for the legend
            axes[1].set_ylim(floor, 1 + 0.2 * (1 - floor))
            axes[1].set_yticks([tick for tick in axes[1].get_yticks() if floor <= tick <= 1.0001])
            axes[1].legend(loc="lower left")
        for axis in axes:
            _frame(axis, training)
    return Picture(figure, _numbers(training), _alt(training))


def _curve(axis: Any, training: Training, values: np.ndarray, name: str, colour: str) -> None:
    known = np.isfinite(values)  # validation may take place every few epochs only
    axis.plot(
        training.place[known], values[known], color=colour, marker=MARKERS[name], markersize=3.5,
        linewidth=1.4, label=name,
    )  # fmt: skip


def _frame(axis: Any, training: Training) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_xlabel("epoch")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    starts = np.flatnonzero(training.stage[1:] != training.stage[:-1]) + 1
    epochs = len(training.epoch)
    # A short last stage needs room for its name.
    room = max(0.0, NAME_ROOM * epochs - (epochs - starts[-1])) if len(starts) else 0.0
    axis.set_xlim(0.5, epochs + 0.5 + room)
    axis.grid(axis="y")
    if not len(starts):
        return
    for start in starts:
        axis.axvline(start + 0.5, color=GRID, linewidth=1.2, linestyle="--")
    for start in (0, *starts):
        axis.text(
            start + 0.6, 0.99, cleaned(str(training.stage[start])), fontsize=7, va="top",
            transform=axis.get_xaxis_transform(),
        )  # fmt: skip


def _numbers(training: Training) -> Numbers:
    columns = ("epoch", "stage", "loss", *(name.replace(" ", "_") for name in training.measures))
    rows: list[tuple] = []
    for number, epoch in enumerate(training.epoch):
        curves = [float(curve[number]) for curve in training.measures.values()]
        shown = [value if np.isfinite(value) else None for value in curves]
        row = (int(epoch), str(training.stage[number]), float(training.loss[number]), *shown)
        rows.append(row)
    return Numbers(columns, rows)


def _alt(training: Training) -> str:
    loss = training.loss
    parts = [
        f"Training of {method_title(training.method)} over {len(loss)} epochs",
        f"Loss from {loss[0]:.3g} to {loss[-1]:.3g}",
    ]
    for name, curve in training.measures.items():
        known = curve[np.isfinite(curve)]
        parts.append(f"{name} on validation cells from {known[0]:.3f} to {known[-1]:.3f}")
    return joined(parts)
