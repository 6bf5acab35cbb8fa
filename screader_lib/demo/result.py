"""What came out of the demonstration, beside the controls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from screader_lib import label_metrics
from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding
from screader_lib.exchange.opening import open_exchange
from screader_lib.exchange.writing import replacing


def measure(predictions: Path) -> dict[str, float]:
    """Accuracy and macro F1 of the calls in a predictions file, where the true label is known."""
    with open_exchange(predictions, "predictions") as opened:
        obs = encoding.read_table(opened.file["obs"])
    called = obs.strings("predicted_label")
    true = obs.strings("true_label") if "true_label" in obs.columns else np.full(len(obs), "")
    known = true != ""
    if not known.any():
        raise ScReaderError("knows no true label to measure against.", file=predictions)
    scores = label_metrics.scores(true[known], called[known])
    return {name: scores[name] for name in ("accuracy", "macro_f1")}


def write_metrics(target: Path, metrics: dict[str, Any]) -> None:
    """The metrics as JSON."""
    with replacing(target) as temporary:
        temporary.write_text(json.dumps(metrics, indent=2) + "\n", "utf-8")


def print_table(metrics: dict[str, Any]) -> None:
    """The methods as a table on the terminal, best first."""
    from rich.console import Console
    from rich.table import Table

    cells = metrics["cells"]
    table = Table(
        title=f"Baron human pancreas: {cells['test']:,} held-out cells, "
        f"{cells['train']:,} to learn from"
    )
    table.add_column("method")
    for column in ("accuracy", "macro F1", "seconds"):
        table.add_column(column, justify="right")
    rows = sorted(metrics["methods"].items(), key=lambda item: -item[1]["accuracy"])
    for name, row in rows:
        table.add_row(
            row["title"],
            f"{row['accuracy']:.3f}",
            f"{row['macro_f1']:.3f}",
            f"{row['seconds']:.0f}",
            style="bold" if name == "screader" else "",
        )
    Console().print(table)
