"""Synthetic exchange files for the tests of the pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from screader_lib.exchange import encoding, provenance
from screader_lib.exchange.table import Categorical, Table, strings
from screader_lib.exchange.writing import create

PANCREAS = ("alpha", "beta", "delta", "ductal", "acinar", "gamma", "stellate", "endothelial")
GENES, DIM, K = 60, 16, 20
NOT = "unassigned"


@dataclass
class Case:
    """What the synthetic cells are like; ``share_right`` of the calls are."""

    types: Sequence[str] = PANCREAS
    cells: int = 240
    hidden: int = 24
    share_right: float = 0.9
    unassigned: float = 0.05
    labelled: bool = True
    method: str = "screader"
    seed: int = 0
    extra: dict[str, np.ndarray | Categorical] = field(default_factory=dict)
    inputs: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass
class Cells:
    """Types of the cells as numbers, and their names."""

    ids: np.ndarray
    codes: np.ndarray


def draw_cells(case: Case) -> Cells:
    """Types of unequal size, every type at least once where there are cells enough."""
    random = np.random.default_rng(case.seed)
    share = 1 / np.arange(1, len(case.types) + 1) ** 0.8
    codes = random.choice(len(case.types), case.cells, p=share / share.sum())
    codes[: len(case.types)] = np.arange(len(case.types))[: case.cells]
    return Cells(strings(f"cell-{number}" for number in range(case.cells)), codes)


def _probabilities(case: Case, codes: np.ndarray) -> np.ndarray:
    """Wrong calls go to the next type, so that pairs of types are alike."""
    random = np.random.default_rng(case.seed + 1)
    count = len(case.types)
    called = np.where(random.random(case.cells) < case.share_right, codes, codes ^ 1)
    called = np.where(called < count, called, codes)
    logits = random.normal(0, 0.7, (case.cells, count))
    rows = np.arange(case.cells)
    logits[rows, called] += random.uniform(2, 6, case.cells)
    logits[rows, (codes ^ 1) % count] += 1
    table = np.exp(logits)
    return (table / table.sum(axis=1, keepdims=True)).astype(np.float32)


def write_predictions(path: Path, case: Case) -> Path:
    """A predictions file of the case."""
    cells = draw_cells(case)
    probability = np.minimum(_probabilities(case, cells.codes), 1)
    ranked = np.argsort(-probability, axis=1, kind="stable")
    confidence = probability[np.arange(case.cells), ranked[:, 0]]
    random = np.random.default_rng(case.seed + 2)
    threshold = np.quantile(confidence, case.unassigned) if case.unassigned < 1 else 2
    names = tuple(case.types)
    second = ranked[:, 1] if len(names) > 1 else np.full(case.cells, len(names))
    columns: dict = {
        "predicted_label": Categorical(ranked[:, 0].astype(np.int32), names),
        "predicted_ontology_id": Categorical.of([""] * case.cells),
        "confidence": confidence,
        "second_label": Categorical(second.astype(np.int32), (*names, "")),
        "status": Categorical.of(
            ["unassigned" if value < threshold else "assigned" for value in confidence],
            ("assigned", "unassigned"),
        ),
    }
    if case.labelled:
        columns["true_label"] = Categorical(cells.codes.astype(np.int32), names)
    columns.update(case.extra)
    centres = random.normal(0, 1.2, (len(names), case.hidden))
    vectors = centres[cells.codes] + random.normal(0, 1, (case.cells, case.hidden))
    made = provenance.make("predict", {"batch": 8, "device": "auto"}, case.inputs, [])
    with create("predictions", path, made) as file:
        encoding.begin_anndata(file, Table(cells.ids, columns), Table(strings([])))
        encoding.write_array(file["obsm"], "probability", probability)
        encoding.write_array(file["obsm"], "X_screader", vectors.astype(np.float32))
        encoding.write_strings(file["uns"], "labels", strings(names))
        encoding.write_strings(file["uns"], "label_ontology_ids", strings([""] * len(names)))
        encoding.write_text(file["uns"], "method", case.method)
    return path


def write_cells(path: Path, case: Case, order: np.ndarray | None = None) -> Path:
    """A cells file of the case's cells, in ``order`` where given; types share genes."""
    cells = draw_cells(case)
    random = np.random.default_rng(case.seed + 3)
    profile = random.dirichlet(np.full(GENES, 0.15), len(case.types))
    index = np.full((case.cells, K), -1, np.int32)
    weight = np.zeros((case.cells, K), np.float32)
    for row, code in enumerate(cells.codes):
        counts = random.multinomial(40, 0.6 * profile[code] + 0.4 / GENES)
        genes = np.argsort(-counts, kind="stable")[: min(K, (counts > 0).sum())]
        index[row, : len(genes)] = genes
        weight[row, : len(genes)] = np.log1p(counts[genes])
    rows = np.arange(case.cells) if order is None else order
    columns = {
        "label": Categorical(cells.codes.astype(np.int32), tuple(case.types)).take(rows),
        "total_counts": np.full(case.cells, 40, np.float32),
        "genes_in_sequence": (index[rows] >= 0).sum(axis=1).astype(np.int32),
    }
    genes = strings(f"GENE{number}" for number in range(GENES))
    var = Table(genes, {"symbol": genes, "median": np.ones(GENES, np.float32)})
    made = provenance.make("build-cells", {"genes_per_cell": K}, {}, [])
    with create("cells", path, made) as file:
        encoding.begin_anndata(file, Table(cells.ids[rows], columns), var)
        embedding = random.normal(0, 1, (GENES, DIM)).astype(np.float32)
        encoding.write_array(file["varm"], "embedding", embedding)
        encoding.write_array(file["obsm"], "gene_index", index[rows])
        encoding.write_array(file["obsm"], "gene_weight", weight[rows])
        encoding.write_json(file["uns"], "construction", {"k": K})
        encoding.write_json(file["uns"], "embedding", {"model": "made-up", "dim": DIM})
    return path


def write_reader(
    path: Path, epochs: int = 8, validated: bool = True, types: Sequence[str] = PANCREAS
) -> Path:
    """A reader file with a training history of two stages."""
    place = np.arange(1, epochs + 1)
    accuracy = 0.97 - 0.6 * np.exp(-place / 2) if validated else np.full(epochs, np.nan)
    stage = strings("projector" if number <= epochs // 3 else "reader" for number in place)
    made = provenance.make("train-reader", {"epochs": epochs, "seed": 0, "freeze": None}, {}, [])
    with create("reader", path, made) as file:
        for name in ("labels", "genes", "history", "tensors"):
            file.create_group(name)
        encoding.write_strings(file["labels"], "name", strings(types))
        encoding.write_strings(file["labels"], "ontology_id", strings([""] * len(types)))
        encoding.write_array(file["labels"], "count", np.full(len(types), 9, np.int64))
        encoding.write_strings(file["genes"], "id", strings(["GENE0"]))
        encoding.write_array(file["genes"], "median", np.ones(1, np.float32))
        encoding.write_array(file["genes"], "embedding", np.ones((1, 3), np.float32))
        file.create_group("kept")
        encoding.write_array(file["kept"], "confidence", np.zeros(0, np.float32))
        encoding.write_array(file["kept"], "correct", np.zeros(0, np.int64))
        encoding.write_array(file["kept"], "evidence", np.zeros(0, np.float32))
        encoding.write_array(file["tensors"], "cls", np.zeros(4, np.float32))
        encoding.write_array(file["history"], "epoch", place.astype(np.int64))
        encoding.write_strings(file["history"], "stage", stage)
        encoding.write_array(file["history"], "loss", 2.6 * np.exp(-place / 3) + 0.05)
        encoding.write_array(file["history"], "validation_accuracy", accuracy)
        encoding.write_array(file["history"], "validation_macro_f1", accuracy * 0.93)
        encoding.write_text(file, "method", "screader")
        for name in ("configuration", "construction", "embedding", "llm", "calibration"):
            encoding.write_json(file, name, {})
    return path


def write_calls(
    path: Path, rows: Sequence[tuple[str, str, bool | str]], labels: Sequence[str]
) -> Path:
    """A predictions file of given (true label, called label, assigned); '' = unknown.

    In the place of assigned, a name is that of a term which the cell was backed off to.
    """
    names = tuple(labels)
    called = Categorical.of([row[1] for row in rows], names)
    probability = np.full((len(rows), len(names)), 0.1, np.float32)
    probability[np.arange(len(rows)), called.codes] = 0.8
    columns: dict = {
        "predicted_label": called,
        "predicted_ontology_id": Categorical.of([""] * len(rows)),
        "confidence": np.full(len(rows), 0.8, np.float32),
        "second_label": Categorical.of([""] * len(rows)),
        "status": Categorical.of(
            [
                "backed-off" if row[2] not in (True, False) else "assigned" if row[2] else NOT
                for row in rows
            ],
            ("assigned", NOT, "backed-off"),
        ),
        "true_label": Categorical.of([row[0] for row in rows]),
    }
    if any(isinstance(row[2], str) for row in rows):
        at_last = [row[2] if isinstance(row[2], str) else row[1] * row[2] for row in rows]
        columns["assigned_label"] = Categorical.of(at_last)
    vectors = np.random.default_rng(0).normal(size=(len(rows), 4)).astype(np.float32)
    with create("predictions", path, provenance.make("predict", {}, {}, [])) as file:
        ids = strings(f"cell-{number}" for number in range(len(rows)))
        encoding.begin_anndata(file, Table(ids, columns), Table(strings([])))
        encoding.write_array(file["obsm"], "probability", probability)
        encoding.write_array(file["obsm"], "X_screader", vectors)
        encoding.write_strings(file["uns"], "labels", strings(names))
        encoding.write_strings(file["uns"], "label_ontology_ids", strings([""] * len(names)))
        encoding.write_text(file["uns"], "method", "screader")
    return path


def _genes(count: int) -> dict[str, np.ndarray]:
    empty = strings([""] * count)
    return {
        "symbol": strings(f"SYMBOL{number}" for number in range(count)),
        **dict.fromkeys(("gene_id", "ensembl_id", "aliases", "text_sha256"), empty),
    }


def write_embeddings(path: Path, count: int) -> Path:
    """Embeddings of ``count`` genes; every second one has no text."""
    ids = strings(f"gene-{number}" for number in range(count))
    source = [("ncbi", "none")[number % 2] for number in range(count)]
    columns: dict = {**_genes(count), "source": Categorical.of(source)}
    vectors = np.random.default_rng(0).normal(size=(count, DIM)).astype(np.float32)
    with create("gene-embeddings", path, provenance.make("embed-genes", {}, {}, [])) as file:
        var = Table(strings(range(DIM)))
        encoding.begin_anndata(file, Table(ids, columns), var)
        encoding.write_array(file, "X", vectors)
        encoding.write_text(file["uns"], "model", "made-up")
        encoding.write_text(file["uns"], "provider", "import")
        encoding.write_number(file["uns"], "dim", DIM)
    return path


def write_descriptions(path: Path, count: int) -> Path:
    """Descriptions of ``count`` genes, the last one first; gene types go round three."""
    rows = np.arange(count)[::-1]
    ids = strings(f"gene-{number}" for number in range(count))
    empty = strings([""] * count)
    texts = ("full_name", "organism", "lineage", "expression", "summary", "text")
    columns: dict = {
        **_genes(count),
        **dict.fromkeys(texts, empty),
        "gene_type": strings(f"type {number % 3}" for number in range(count)),
        "tax_id": np.zeros(count, np.int32),
        "source": Categorical.of(["none"] * count),
        "matched_by": Categorical.of(["none"] * count),
    }
    made = provenance.make("fetch-descriptions", {}, {}, [])
    with create("descriptions", path, made) as file:
        encoding.begin_anndata(file, Table(ids, columns).take(rows), Table(strings([])))
    return path
