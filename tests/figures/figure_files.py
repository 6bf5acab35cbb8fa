"""Synthetic exchange files for the tests of the pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import made_files
import numpy as np
import small_files
from scipy.special import softmax

from screader_lib.exchange import encoding, provenance
from screader_lib.exchange.opening import open_exchange
from screader_lib.exchange.table import Categorical, Table, strings
from screader_lib.exchange.writing import create
from screader_lib.figures.data.prediction_data import PredictionData

PANCREAS = ("alpha", "beta", "delta", "ductal", "acinar", "gamma", "stellate", "endothelial")
GENES, DIM, K = 60, 16, 20
STATUS = ("assigned", "unassigned", "backed-off")


@contextmanager
def predictions(path: Path, title: str = "") -> Iterator[PredictionData]:
    """An open predictions file as the pictures see it."""
    with open_exchange(path, "predictions") as opened:
        yield PredictionData(opened, title)


@dataclass
class Case:
    """What the synthetic cells are like; ``accuracy`` is that of the predictions."""

    types: Sequence[str] = PANCREAS
    cells: int = 240
    hidden: int = 24
    accuracy: float = 0.9
    unassigned: float = 0.05
    labelled: bool = True
    method: str = "screader"
    extra: dict[str, np.ndarray | Categorical] = field(default_factory=dict)

    @property
    def ids(self) -> np.ndarray:
        """Names of the cells."""
        return strings(f"cell-{number}" for number in range(self.cells))

    @property
    def codes(self) -> np.ndarray:
        """Types of unequal size, every type at least once where there are cells enough."""
        share = 1 / np.arange(1, len(self.types) + 1) ** 0.8
        codes = np.random.default_rng(0).choice(len(self.types), self.cells, p=share / share.sum())
        codes[: len(self.types)] = np.arange(len(self.types))[: self.cells]
        return codes


def _probabilities(case: Case, codes: np.ndarray) -> np.ndarray:
    """Errors go to the next type, so that pairs of types are similar."""
    random = np.random.default_rng(1)
    count = len(case.types)
    predicted = np.where(random.random(case.cells) < case.accuracy, codes, codes ^ 1)
    predicted = np.where(predicted < count, predicted, codes)
    logits = random.normal(0, 0.7, (case.cells, count))
    rows = np.arange(case.cells)
    logits[rows, predicted] += random.uniform(2, 6, case.cells)
    logits[rows, (codes ^ 1) % count] += 1
    return np.minimum(softmax(logits, axis=1).astype(np.float32), 1)


def write_predictions(path: Path, case: Case) -> Path:
    """A predictions file of the case."""
    random = np.random.default_rng(2)
    codes, names = case.codes, tuple(case.types)
    probability = _probabilities(case, codes)
    ranked = np.argsort(-probability, axis=1, kind="stable").astype(np.int32)
    confidence = probability[np.arange(case.cells), ranked[:, 0]]
    threshold = np.quantile(confidence, case.unassigned) if case.unassigned < 1 else 2
    second = ranked[:, 1] if len(names) > 1 else np.full(case.cells, len(names), np.int32)
    columns: dict = {
        "predicted_label": Categorical(ranked[:, 0], names),
        "confidence": confidence,
        "second_label": Categorical(second, (*names, "")),
        "status": Categorical((confidence < threshold).astype(np.int32), STATUS),
    }
    if case.labelled:
        columns["true_label"] = Categorical(codes.astype(np.int32), names)
    centres = random.normal(0, 1.2, (len(names), case.hidden))
    vectors = centres[codes] + random.normal(0, 1, (case.cells, case.hidden))
    columns.update(case.extra)
    return _write(path, columns, probability, vectors, names, case.method)


def write_labels(
    path: Path, rows: Sequence[tuple[str, str, bool | str]], labels: Sequence[str]
) -> Path:
    """A predictions file of given (true label, predicted label, assigned); '' = unknown.

    Instead of assigned, a name is that of the term which the cell was backed off to.
    """
    names = tuple(labels)
    predicted = Categorical.of([row[1] for row in rows], names)
    probability = np.full((len(rows), len(names)), 0.1, np.float32)
    probability[np.arange(len(rows)), predicted.codes] = 0.8
    status = [2 if isinstance(how, str) else int(not how) for *_, how in rows]
    columns: dict = {
        "predicted_label": predicted,
        "confidence": np.full(len(rows), 0.8, np.float32),
        "second_label": Categorical.of([""] * len(rows)),
        "status": Categorical(np.array(status, np.int32), STATUS),
        "true_label": Categorical.of([row[0] for row in rows]),
    }
    if 2 in status:
        final = [how if isinstance(how, str) else label * how for _, label, how in rows]
        columns["assigned_label"] = Categorical.of(final)
    vectors = np.random.default_rng(0).normal(size=(len(rows), 4))
    return _write(path, columns, probability, vectors, names, "screader")


def _write(
    path: Path, columns: dict, probability: np.ndarray, vectors: np.ndarray,
    names: Sequence[str], method: str,
) -> Path:  # fmt: skip
    count = len(probability)
    columns["predicted_ontology_id"] = Categorical.of([""] * count)
    ids = strings(f"cell-{number}" for number in range(count))
    made = provenance.make("predict", {"batch": 8, "device": "auto"}, {}, [])
    with create("predictions", path, made) as file:
        encoding.begin_anndata(file, Table(ids, columns), Table(strings([])))
        encoding.write_array(file["obsm"], "probability", probability)
        encoding.write_array(file["obsm"], "X_screader", vectors.astype(np.float32))
        encoding.write_strings(file["uns"], "labels", strings(names))
        encoding.write_strings(file["uns"], "label_ontology_ids", strings([""] * len(names)))
        encoding.write_text(file["uns"], "method", method)
    return path


def write_cells(path: Path, case: Case, order: np.ndarray | None = None) -> Path:
    """A cells file of the case's cells, in ``order`` where given; types share genes."""
    random = np.random.default_rng(3)
    profile = random.dirichlet(np.full(GENES, 0.15), len(case.types))
    index = np.full((case.cells, K), -1, np.int32)
    weight = np.zeros((case.cells, K), np.float32)
    for row, code in enumerate(case.codes):
        counts = random.multinomial(40, 0.6 * profile[code] + 0.4 / GENES)
        genes = np.argsort(-counts, kind="stable")[: min(K, (counts > 0).sum())]
        index[row, : len(genes)] = genes
        weight[row, : len(genes)] = np.log1p(counts[genes])
    rows = np.arange(case.cells) if order is None else order
    columns = {
        "label": Categorical(case.codes.astype(np.int32), tuple(case.types)).take(rows),
        "total_counts": np.full(case.cells, 40, np.float32),
        "genes_in_sequence": (index[rows] >= 0).sum(axis=1).astype(np.int32),
    }
    genes = strings(f"GENE{number}" for number in range(GENES))
    var = Table(genes, {"symbol": genes, "median": np.ones(GENES, np.float32)})
    made = provenance.make("build-cells", {"genes_per_cell": K}, {}, [])
    with create("cells", path, made) as file:
        encoding.begin_anndata(file, Table(case.ids[rows], columns), var)
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
    epoch = np.arange(1, epochs + 1)
    accuracy = 0.97 - 0.6 * np.exp(-epoch / 2) if validated else np.full(epochs, np.nan)
    made = provenance.make("train-reader", {"epochs": epochs, "seed": 0, "freeze": None}, {}, [])
    made_files.write("reader", path, made, epochs=epochs, labels=len(types))
    elements = {
        "method": "screader",
        "labels/name": strings(types),
        "history/epoch": epoch,
        "history/stage": strings("projector" if n <= epochs // 3 else "reader" for n in epoch),
        "history/loss": 2.6 * np.exp(-epoch / 3) + 0.05,
        "history/validation_accuracy": accuracy,
        "history/validation_macro_f1": accuracy * 0.93,
    }
    with h5py.File(path, "r+") as file:
        for name, values in elements.items():
            file[name][...] = values
    return path


def write_embeddings(path: Path, count: int) -> Path:
    """Embeddings of ``count`` genes; every second one has no text."""
    names = [f"gene-{number}" for number in range(count)]
    symbols = [f"SYMBOL{number}" for number in range(count)]
    source = [("ncbi", "none")[number % 2] for number in range(count)]
    return small_files.write_embeddings(path, names, symbol=symbols, source=source)


def write_descriptions(path: Path, count: int) -> Path:
    """Descriptions of ``count`` genes, the last one first; gene types cycle through three."""
    made_files.write("descriptions", path, genes=count)
    with h5py.File(path, "r+") as file:
        file["obs/id"][...] = [f"gene-{number}" for number in range(count)[::-1]]
        file["obs/gene_type"][...] = [f"type {number % 3}" for number in range(count)[::-1]]
    return path
