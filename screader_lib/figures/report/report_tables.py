"""The tables of the report, as plain values for the template."""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from screader_lib import __version__
from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding
from screader_lib.exchange.opening import ExchangeFile
from screader_lib.exchange.table import Categorical, Column
from screader_lib.figures.data.prediction_data import PredictionData, distinct_titles
from screader_lib.label_metrics import per_label, scores

LOW_CONFIDENCE = 20  # cells listed
PACKAGES = ("numpy", "h5py", "matplotlib", "scikit-learn", "umap-learn", "jinja2")
MEASURES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "macro_f1": "macro F1",
    "weighted_f1": "weighted F1",
}


@dataclass(frozen=True)
class Control:
    """One method of the comparison; None where a measure is unknown."""

    title: str
    accuracy: float | None
    macro_f1: float | None
    seconds: float | None
    is_this: bool


def read_metrics(path: Path, name: str) -> dict[str, Any]:
    """The methods' measures as the demo writes them; ScReaderError for anything else."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError):
        raise ScReaderError("is not JSON.", file=name) from None
    methods = content.get("methods") if isinstance(content, dict) else None
    sound = isinstance(methods, dict) and all(isinstance(one, dict) for one in methods.values())
    if not sound:
        raise ScReaderError(
            "has no 'methods', wanted a name and its accuracy and macro_f1 each.", file=name
        )
    return content


def controls(metrics: Mapping[str, Any], method: str) -> list[Control]:
    """All methods, the most accurate first, whichever that is."""
    rows = [
        Control(
            str(entry.get("title") or name),
            _number(entry.get("accuracy")),
            _number(entry.get("macro_f1")),
            _number(entry.get("seconds")),
            name == method,
        )
        for name, entry in metrics["methods"].items()
    ]
    return sorted(rows, key=lambda row: -1 if row.accuracy is None else row.accuracy, reverse=True)


def measured_controls(calls: Sequence[PredictionData]) -> list[Control]:
    """The methods as their own calls measure, the most accurate first; the first is this one."""
    rows = []
    for one, title in zip(calls, distinct_titles(calls), strict=True):
        one.need_true()
        found = scores(one.true[one.known].tolist(), one.predicted[one.known].tolist())
        this = one is calls[0]
        rows.append(Control(title, found["accuracy"], found["macro_f1"], None, this))
    return sorted(rows, key=lambda row: row.accuracy or 0, reverse=True)


def _number(value: Any) -> float | None:
    usable = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if usable and np.isfinite(value) else None


def verdict(rows: list[Control]) -> str:
    """One sentence on where this reader stands among the methods; empty where it is not there."""
    ranked = [row for row in rows if row.accuracy is not None]
    this = next((row for row in ranked if row.is_this), None)
    if this is None or len(ranked) < 2 or this.accuracy is None:
        return ""
    better = [row for row in ranked if (row.accuracy or 0) > this.accuracy]
    if not better:
        equal = [row for row in ranked if row.accuracy == this.accuracy and row is not this]
        shared = f", as accurate as {equal[0].title}" if equal else ""
        return f"Of {len(ranked)} methods, {this.title} is the most accurate{shared}."
    many = f"{len(better)} of the other {len(ranked) - 1} methods are"
    one = f"1 of the other {len(ranked) - 1} methods is"
    return (
        f"{many if len(better) > 1 else one} more accurate than {this.title}; "
        f"the most accurate is {better[0].title} ({better[0].accuracy:.3f})."
    )


def data_summary(
    calls: PredictionData, cells: ExchangeFile | None, reader: ExchangeFile | None
) -> list[tuple[str, str]]:
    """What went in and came out, as names and values."""
    rows = [
        ("cells", f"{len(calls):,}"),
        ("cells with a true label", f"{int(calls.known.sum()):,}"),
        ("types that the reader knows", f"{len(calls.labels):,}"),
        ("unassigned cells", _count_and_share(calls.unassigned)),
    ]
    if calls.backed_off.any():
        rows.append(("cells backed off to a term above", _count_and_share(calls.backed_off)))
    unknown = sorted(set(calls.true[calls.known]) - set(calls.labels))
    if unknown:
        rows.append(("types that the reader never saw", ", ".join(unknown)))
    if "donor" in calls.columns:
        donors: Counter[str] = Counter(_strings(calls.column("donor")).tolist())
        shown = ", ".join(f"{name or '(none)'} {count:,}" for name, count in sorted(donors.items()))
        rows.append(("donors", shown if len(donors) <= 12 else f"{len(donors):,}"))
    return rows + (_of_cells(cells) if cells else []) + (_of_reader(reader) if reader else [])


def _count_and_share(cells: np.ndarray) -> str:
    return f"{int(cells.sum()):,} ({cells.sum() / max(1, len(cells)):.1%})"


def _strings(column: Column) -> np.ndarray:
    return column.strings() if isinstance(column, Categorical) else column.astype(str)


def _of_cells(cells: ExchangeFile) -> list[tuple[str, str]]:
    lengths = cells.file["obs/genes_in_sequence"][()]
    identity = encoding.read_json(cells.file["uns"], "embedding")
    rows = [("genes of the vocabulary", f"{cells.file['var/id'].shape[0]:,}")]
    if len(lengths):
        low, middle, high = np.percentile(lengths, [0, 50, 100])
        rows.append(("genes a cell", f"median {middle:,.0f} ({low:,.0f} to {high:,.0f})"))
    rows.append(("gene embedding", _facts(identity, ("model", "provider", "dim"))))
    return rows


def _of_reader(reader: ExchangeFile) -> list[tuple[str, str]]:
    llm = encoding.read_json(reader.file, "llm")
    calibration = encoding.read_json(reader.file, "calibration")
    trained = sum(int(tensor.size) for tensor in reader.file["tensors"].values())
    counts = reader.file["labels/count"][()]
    rows = [
        ("training cells", f"{int(counts.sum()):,}"),
        ("trained values", f"{trained:,}"),
        ("frozen LLM", _facts(llm, ("name", "kind", "layers", "hidden_size"))),
        ("calibration", _facts(calibration, tuple(calibration))),
    ]
    return [(name, value) for name, value in rows if value]


def _facts(found: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    known = {key: found[key] for key in keys if found.get(key) not in (None, "", {}, [])}
    shown = [
        f"{key.replace('_', ' ')} {f'{value:.3g}' if isinstance(value, float) else value}"
        for key, value in known.items()
    ]
    return ", ".join(shown)


def types_table(calls: PredictionData, reader: ExchangeFile | None) -> list[dict[str, Any]]:
    """One row per type that is known, true or called; None where a value has no meaning."""
    known = calls.known
    measured = per_label(calls.true[known].tolist(), calls.predicted[known].tolist())
    called = Counter(calls.predicted.tolist())
    ids = encoding.read_strings(calls.opened.file["uns/label_ontology_ids"])
    ontology = dict(zip(calls.labels, ids, strict=True))
    trained: dict[str, int] = {}
    if reader is not None:
        names = encoding.read_strings(reader.file["labels/name"])
        trained = dict(zip(names, reader.file["labels/count"][()].tolist(), strict=True))
    rows = []
    for label in calls.all_labels:
        row: dict[str, Any] = {"type": label, "ontology_id": ontology.get(label, "")}
        row["trained"] = trained.get(label)
        row["called"] = called[label]
        mine = calls.confidence[calls.predicted == label]
        row["confidence"] = float(mine.mean()) if len(mine) else None
        measures = measured.get(label, {})
        row["cells"] = int(measures.get("cells", 0))
        for name in ("precision", "recall", "f1"):
            row[name] = measures.get(name)
        rows.append(row)
    return sorted(rows, key=lambda row: (-row["cells"], -row["called"], row["type"]))


def low_confidence(calls: PredictionData, most: int = LOW_CONFIDENCE) -> list[dict[str, Any]]:
    """The cells with the least sure calls, the least sure first."""
    rows = np.argsort(calls.confidence, kind="stable")[:most]
    return [
        {
            "cell": calls.ids[row],
            "predicted": calls.predicted[row],
            "second": calls.second[row],
            "confidence": float(calls.confidence[row]),
            "status": _status(calls, row),
            "true": calls.true[row],
        }
        for row in rows.tolist()
    ]


def _status(calls: PredictionData, row: int) -> str:
    status, name = calls.status[row], calls.at_last[row]
    return f"backed off to {name}" if calls.backed_off[row] and name else str(status)


def versions() -> list[tuple[str, str]]:
    """Program and package versions that made the report."""
    found = [("scReader", __version__), ("Python", platform.python_version())]
    for package in PACKAGES:
        try:
            found.append((package, version(package)))
        except PackageNotFoundError:
            continue
    return found
