"""The tables of the report: rows as dictionaries, column title → value, for the template.

Its metrics are also MultiQC's custom content, so that runs stand in one table.
"""

from __future__ import annotations

import json
import math
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources
from importlib.metadata import PackageNotFoundError, version
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from screader_lib import __version__
from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding
from screader_lib.exchange.opening import ExchangeFile
from screader_lib.exchange.table import Table
from screader_lib.figures.data.prediction_data import PredictionData, distinct_titles
from screader_lib.figures.plots.gene_bars import TypeGenes
from screader_lib.figures.report.history import Step
from screader_lib.label_metrics import expected_calibration_error, per_label, scores

MULTIQC = resources.files("screader_lib.figures") / "templates" / "multiqc.json"
LOW_CONFIDENCE = 20  # cells listed
LABELS_IN_WORDS, REMARKS = 6, 3  # in the first paragraph
WORTH_NAMING = 0.01  # share of a cluster's cells
ROUNDING = 1e-9  # of accuracies
MAX_DONORS = 12  # listed by name
OF_CLUSTERS = {  # columns of a clusters' table and their titles; by examples or types, some differ
    "nearest_type": "nearest type",
    "confidence": "confidence",
    "familiarity": "familiarity",
    "evidence": "evidence",
    "genes": "genes",
    "known_markers": "known markers",
    "examples": "examples",
    "markers": "markers",
    "genes_by_text": "genes by text",
}
GENES_OF_CLUSTERS = ("known_markers", "markers", "genes_by_text")
PACKAGES = ("numpy", "h5py", "matplotlib", "scikit-learn", "umap-learn", "jinja2")

Row = dict[str, Any]


def read_metrics(path: Path, name: str) -> dict[str, Any]:
    """The methods' metrics as ``screader demo`` writes them; ScReaderError for anything else."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError):
        raise ScReaderError("is not JSON.", file=name) from None
    methods = content.get("methods") if isinstance(content, dict) else None
    if not isinstance(methods, dict) or not all(isinstance(one, dict) for one in methods.values()):
        raise ScReaderError(
            "has no 'methods' with the accuracy and macro_f1 of each method by name.", file=name
        )
    return content


@dataclass(frozen=True)
class Comparison:
    """Methods, the most accurate first: rows of method, accuracy, macro F1 and perhaps seconds.

    ``this`` is the row of the method that the report is about, None where it is not there. Methods
    are level with it where accuracies differ by no more than one standard error over ``cells``
    cells; if that is 0, where they are equal.
    """

    rows: list[Row]
    this: Row | None = None
    cells: int = 0

    def __post_init__(self) -> None:
        self.rows.sort(key=lambda r: -1 if r["accuracy"] is None else r["accuracy"], reverse=True)

    def verdict(self) -> str:
        """One sentence on how this method ranks; empty where that is unknown."""
        ranked = [row for row in self.rows if row["accuracy"] is not None]
        if self.this is None or self.this not in ranked or len(ranked) < 2:
            return ""
        name, accuracy = self.this["method"], self.this["accuracy"]
        others = [row for row in ranked if row is not self.this]
        error = math.sqrt(accuracy * (1 - accuracy) / self.cells) if self.cells else 0.0
        level = [r["method"] for r in others if abs(r["accuracy"] - accuracy) <= error + ROUNDING]
        better = [row for row in others if row["accuracy"] > accuracy + error + ROUNDING]
        tied = f" Level with: {', '.join(level)}." if level else ""
        if not better:
            return f"Of {len(ranked)} methods, none is more accurate than {name}.{tied}"
        verb = "are" if len(better) > 1 else "is"
        return (
            f"{len(better)} of the other {len(ranked) - 1} methods {verb} more accurate than "
            f"{name}; the most accurate is {better[0]['method']} ({better[0]['accuracy']:.3f})."
            f"{tied}"
        )

    def disagreement(self, predictions: PredictionData) -> str:
        """A warning where this method's accuracy is not that of ``predictions``."""
        if self.this is None or self.this["accuracy"] is None or not predictions.comparable.any():
            return ""
        accuracy = predictions.confidence_and_correct()[1].mean()
        if abs(accuracy - self.this["accuracy"]) < 0.0005:
            return ""
        return (
            f"The comparison gives {self.this['method']} an accuracy of "
            f"{self.this['accuracy']:.3f}, but the predictions in this report have "
            f"{accuracy:.3f}: they are not of the same cells."
        )


def compare_given(metrics: Mapping[str, Any], method: str) -> Comparison:
    """The methods of a metrics file; ``method`` is this one."""
    entries = metrics["methods"]
    rows: dict[str, Row] = {}
    for name, entry in entries.items():
        rows[name] = {"method": str(entry.get("title") or name)}
        columns = {"accuracy": "accuracy", "macro_f1": "macro F1", "seconds": "seconds"}
        for key, column in columns.items():
            if key != "seconds" or any("seconds" in other for other in entries.values()):
                rows[name][column] = _number(entry.get(key))
    cells = metrics.get("cells")
    tested = cells.get("test") if isinstance(cells, dict) else None
    tested = tested if isinstance(tested, int) and tested > 0 else 0
    return Comparison(list(rows.values()), rows.get(method), tested)


def _number(value: Any) -> float | None:
    usable = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if usable and np.isfinite(value) else None


def compare_measured(this: PredictionData, beside: Sequence[PredictionData]) -> Comparison:
    """This method and those beside it, as their own predictions score."""
    if not beside or not this.comparable.any():
        return Comparison([])
    rows, methods = [], [this, *beside]
    for one, title in zip(methods, distinct_titles(methods), strict=True):
        one.require_comparable()
        found = scores(*one.true_and_predicted())
        rows.append({"method": title, "accuracy": found["accuracy"], "macro F1": found["macro_f1"]})
    return Comparison(rows, rows[0], int(this.comparable.sum()))


def data_summary(
    predictions: PredictionData, cells: ExchangeFile | None, reader: ExchangeFile | None
) -> dict[str, str]:
    """Numbers of cells, types, donors and genes, and what the reader is."""

    def counted(cells: np.ndarray) -> str:
        return f"{int(cells.sum()):,} ({cells.sum() / max(1, len(cells)):.1%})"

    known = predictions.true[predictions.known]
    rows = {
        "cells": f"{len(predictions):,}",
        "cells with a true label": f"{len(known):,}" if len(known) else "",
        "types known to the reader" if predictions.by_reader else "types that were named": (
            f"{len(predictions.labels):,}"
        ),
        "unassigned cells": counted(predictions.unassigned),
    }
    if predictions.backed_off.any():
        rows["cells given a broader type"] = counted(predictions.backed_off)
    if unknown := sorted(set(known) - set(predictions.labels)):
        rows["true labels unknown to the reader"] = ", ".join(unknown)
    if "donor" in predictions.columns:
        donors = sorted(Counter(predictions.column("donor").tolist()).items())
        names = ", ".join(f"{name or '(none)'} {count:,}" for name, count in donors)
        rows["donors"] = names if len(donors) <= MAX_DONORS else f"{len(donors):,}"
    if cells is not None:
        rows["genes in the vocabulary"] = f"{cells.file['var/id'].shape[0]:,}"
        if len(lengths := cells.file["obs/genes_in_sequence"][()]):
            low, middle, high = np.percentile(lengths, [0, 50, 100])
            rows["genes per cell"] = f"median {middle:,.0f} ({low:,.0f} to {high:,.0f})"
        if predictions.by_reader:
            embedding = encoding.read_json(cells.file["uns"], "embedding")
            rows["gene embedding"] = _facts(embedding, ("model", "provider", "dim"))
    if reader is not None:
        llm, calibration = (encoding.read_json(reader.file, key) for key in ("llm", "calibration"))
        rows["training cells"] = f"{int(reader.file['labels/count'][()].sum()):,}"
        parameters = sum(int(tensor.size) for tensor in reader.file["tensors"].values())
        rows["trained parameters"] = f"{parameters:,}"
        rows["frozen LLM"] = _facts(llm, ("name", "kind", "layers", "hidden_size"))
        rows["calibration"] = _facts(
            calibration, tuple(name for name in calibration if name != "few_genes")
        )
    return {name: value for name, value in rows.items() if value}


def _facts(values: Mapping[str, Any], keys: Sequence[str]) -> str:
    return ", ".join(
        f"{key.replace('_', ' ')} {f'{value:.3g}' if isinstance(value, float) else value}"
        for key in keys
        if (value := values.get(key)) not in (None, "", {}, [])
    )


def types_table(predictions: PredictionData, reader: ExchangeFile | None) -> list[Row]:
    """One row per known, true or predicted type, the largest first; None where undefined."""
    by_label = per_label(*predictions.true_and_predicted())
    predicted = Counter(predictions.predicted.tolist())
    true = Counter(predictions.true[predictions.known].tolist())
    ids = encoding.read_strings(predictions.opened.file["uns/label_ontology_ids"])
    ontology = dict(zip(predictions.labels, ids, strict=True))
    training: dict[str, int] = {}
    if reader is not None:
        names = encoding.read_strings(reader.file["labels/name"])
        training = dict(zip(names, reader.file["labels/count"][()].tolist(), strict=True))
    rows = []
    for label in predictions.all_labels:
        confidence = predictions.confidence[predictions.predicted == label]
        metrics = by_label.get(label, {})
        rows.append({
            "type": label,
            "Cell Ontology ID": ontology.get(label, ""),
            **({} if reader is None else {"training cells": training.get(label)}),
            "true cells": true[label],
            "predicted cells": predicted[label],
            "precision": metrics.get("precision"),
            "recall": metrics.get("recall"),
            "F1": metrics.get("f1"),
            "mean confidence": float(confidence.mean()) if len(confidence) else None,
        })  # fmt: skip
    return sorted(rows, key=lambda r: (-r["true cells"], -r["predicted cells"], r["type"]))


def genes_table(types: Sequence[TypeGenes]) -> list[Row]:
    """The genes behind the predictions of each type, and their descriptions."""
    return [
        {
            "type": one.type,
            "gene": gene.symbol,
            "contribution": gene.contribution,
            "description": gene.text if len(gene.text) <= 240 else f"{gene.text[:239].rstrip()}…",
        }
        for one in types
        for gene in one.genes
    ]


def clusters_table(clusters: Table | None) -> list[Row]:
    """The clusters of an annotated sample: their labels, genes and what to check."""
    if clusters is None:
        return []
    rows = []
    for name, row in _rows_of(clusters):
        second = f"{row['second_label']} {row['second_share']:.0%}"
        shown = row | {"genes": ", ".join(_genes_of(row))}
        rows.append({
            "cluster": name,
            "cells": row["cells"],
            "label": row["label"],
            "share": row["share"],
            "second label": second if row["second_share"] > WORTH_NAMING else "",
            **{title: shown[name] for name, title in OF_CLUSTERS.items() if name in row},
            "to check": row["check"],
        })  # fmt: skip
    return rows


def cluster_genes(clusters: Table | None) -> dict[str, str]:
    """Full names of the genes behind the clusters' labels, where they are known."""
    rows = [] if clusters is None else [row for _, row in _rows_of(clusters)]
    named = {gene: name for row in rows for gene, name in _genes_of(row).items() if name}
    return dict(sorted(named.items()))


def telling_genes(clusters: Table | None, types: Sequence[TypeGenes]) -> list[str]:
    """Symbols of the genes behind the labels and of known markers, by turns of the clusters."""
    lists = [[gene.symbol for gene in one.genes] for one in types]
    for _, row in [] if clusters is None else _rows_of(clusters):
        listed = [row[name].split(", ") for name in GENES_OF_CLUSTERS if name in row]
        lists.append([*filter(None, chain(*listed)), *_genes_of(row)])
    turns = zip_longest(*lists)
    return list(dict.fromkeys(gene for turn in turns for gene in turn if gene))


def _rows_of(clusters: Table) -> list[tuple[str, Row]]:
    columns = {name: np.asarray(column).tolist() for name, column in clusters.columns.items()}
    return [
        (str(name), {key: values[number] for key, values in columns.items()})
        for number, name in enumerate(clusters.index)
    ]


def _genes_of(row: Row) -> dict[str, str]:
    """Symbol → full name, from "INS (insulin); IAPP"."""
    parts = (one.partition(" (") for one in row.get("genes", "").split("; ") if one)
    return {symbol: name.removesuffix(")") for symbol, _, name in parts}


def overview(
    predictions: PredictionData, clusters: Table | None, proposed: np.ndarray | None = None
) -> str:
    """What was found, how sure it is, and what to look at; for cells without true labels.

    ``proposed``, objects (cells,), are types that the reader does not know, empty for most cells.
    """
    cells, labelled = len(predictions), predictions.final_label[predictions.final_label != ""]
    if not cells:
        return "There are no cells."
    counts = Counter(labelled.tolist()).most_common()
    listed = ", ".join(f"{name} ({count / cells:.0%})" for name, count in counts[:LABELS_IN_WORDS])
    more = f" and {len(counts) - LABELS_IN_WORDS} more" if len(counts) > LABELS_IN_WORDS else ""
    text = f"{len(labelled):,} of {cells:,} cells have a label"
    if clusters is not None and "examples" in clusters.columns:
        text += f", {int(np.asarray(clusters.columns['examples']).sum()):,} of them as examples"
    text += f": {listed}{more}." if counts else "."
    text += f" The median confidence is {np.median(predictions.confidence):.2f}."
    if proposed is not None and (proposed != "").any():
        types = Counter(proposed[proposed != ""].tolist())
        named = ", ".join(f"{name} ({count:,})" for name, count in types.most_common())
        text += f" Cells unlike all types of the reader may be of one that it lacks: {named}."
    if clusters is not None:
        with_remark: dict[str, list[str]] = {}
        for name, row in _rows_of(clusters):
            if row["check"]:
                with_remark.setdefault(row["check"], []).append(name)
        remarks = [*with_remark.items()]
        shown = "; ".join(
            f"cluster{'s' * (len(names) > 1)} {', '.join(names)} ({remark})"
            for remark, names in remarks[:REMARKS]
        )
        rest = f"; and {len(remarks) - REMARKS} more below" if len(remarks) > REMARKS else ""
        text += f" Look at {shown}{rest}." if remarks else " No cluster stands out as doubtful."
    return text


def low_confidence(predictions: PredictionData, count: int = LOW_CONFIDENCE) -> list[Row]:
    """The cells with the lowest confidence, the lowest first; true labels where some are known."""
    indices = np.argsort(predictions.confidence, kind="stable")[:count].tolist()
    known = predictions.known.any()
    return [
        {
            "cell": predictions.ids[i],
            "predicted label": predictions.predicted[i],
            "second label": predictions.second[i],
            "confidence": float(predictions.confidence[i]),
            "status": f"broader type: {predictions.final_label[i]}"
            if predictions.backed_off[i] and predictions.final_label[i]
            else predictions.status[i],
            **({"true label": predictions.true[i]} if known else {}),
        }
        for i in indices
    ]


def steps_table(steps: Sequence[Step]) -> list[Row]:
    """What ran, and which files it read and wrote."""
    return [
        {
            "step": step.tool,
            "version": f"{step.version}, {step.created}" if step.created else step.version,
            "output": step.output,
            "inputs": "; ".join(f"{i.role}: {i.name} ({i.sha256[:16]})" for i in step.inputs),
        }
        for step in steps
    ]


def versions() -> dict[str, str]:
    """The programs and packages that made the report, and their versions."""
    result = {"scReader": __version__, "Python": platform.python_version()}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            result[package] = version(package)
    return result


def multiqc_row(predictions: PredictionData) -> dict[str, Any]:
    """The metrics of one file; those of accuracy only where the reader has true labels."""
    result: dict[str, Any] = {"method": predictions.title, "cells": len(predictions)}
    if len(predictions):
        result["unassigned"] = round(100 * float(predictions.unassigned.mean()), 4)
        if predictions.backed_off.any():
            result["backed_off"] = round(100 * float(predictions.backed_off.mean()), 4)
        result["confidence"] = round(float(np.median(predictions.confidence)), 6)
    if predictions.comparable.any():
        metrics = scores(*predictions.true_and_predicted())
        error = expected_calibration_error(*predictions.confidence_and_correct())
        result["accuracy"] = round(metrics["accuracy"], 6)
        result["macro_f1"] = round(metrics["macro_f1"], 6)
        result["calibration_error"] = round(error, 6)
    return result


def multiqc_content(samples: Sequence[str], predictions: Sequence[PredictionData]) -> str:
    """MultiQC's custom content as JSON: one row per sample."""
    data = {sample: multiqc_row(one) for sample, one in zip(samples, predictions, strict=True)}
    table = json.loads(MULTIQC.read_text("utf-8"))
    headers = table["headers"].items()
    used = {name for entry in data.values() for name in entry}
    table["headers"] = {name: header for name, header in headers if name in used}
    return json.dumps({**table, "data": data}, indent=1, ensure_ascii=False) + "\n"
