"""Few labels: how well the cells of a file are called from some of them (benchmarks/few_labels.md).

    python benchmarks/few_labels.py DATA [NAME ...]

DATA holds the h5ad files of ``SETS``. Each cell type of at least 20 cells gives 1, 2, 5 or 20 cells
with a label, drawn six times; all other cells are called, and compared with their labels. Prints
the tables as Markdown.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path

import anndata
import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from screader_lib.annotation.by_reader.consensus import gene_weights
from screader_lib.annotation.few_labels.by_examples import NEAR, usual_cosine
from screader_lib.annotation.few_labels.own_cells import OwnCells
from screader_lib.annotation.sample import SampleOptions
from screader_lib.cells.cells_file import CellSequences
from screader_lib.cells.formats.open_expression import open_expression
from screader_lib.exchange import writing
from screader_lib.exchange.opening import open_exchange
from screader_lib.exchange.provenance import Provenance, Record
from screader_lib.label_metrics import expected_calibration_error
from screader_lib.reader.methods.label_propagation import LabelPropagation
from screader_lib.reader.methods.places import MOST_DEVIATIONS, own_components

SETS = {  # label, and donor where labels of one alone are tried; the first two chose settings
    "baron_mouse": ("cell_type1", "donor"),
    "pbmc_chemistries": ("cell_type", ""),
    "pbmc_facs": ("cell_type", ""),
    "baron_human": ("cell_type1", "donor"),
}
LABELS, SEEDS, MIN_CELLS = (1, 2, 5, 20), 6, 20
METHODS = ("genes", "PCA-50", "cosine PCA-20", "spread", "`--examples`")
MIN_CONFIDENCE = 0.5  # of annotate


def standardised(weights: sparse.csr_matrix) -> np.ndarray:
    """z-scores clipped at 10, float32 (cells, genes)."""
    values = weights.toarray()
    spread = values.std(0)
    kept = spread > 0
    values = (values[:, kept] - values[:, kept].mean(0)) / spread[kept]
    return np.clip(values, -MOST_DEVIATIONS, MOST_DEVIATIONS).astype(np.float32)


def regression(features: np.ndarray, rows: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Label numbers by logistic regression with scikit-learn's defaults, (cells,)."""
    model = LogisticRegression(max_iter=2000).fit(features[rows], truth)
    return model.predict(features)


def label_spreading(
    propagation: LabelPropagation, rows: np.ndarray, truth: np.ndarray
) -> np.ndarray:
    """Label numbers by the 15-neighbour graph alone (Zhou et al. 2004, alpha 0.99)."""
    links = (propagation.links > 0).astype(float)
    root = sparse.diags(1 / np.sqrt(links.sum(1).A1))
    graph, start = root @ links @ root, np.zeros((len(propagation.places), truth.max() + 1))
    start[rows, truth] = 1
    start /= start.sum(0)
    found = start
    for _ in range(100):
        found = 0.99 * (graph @ found) + 0.01 * start
    return found.argmax(1)


def macro_f1(truth: np.ndarray, called: np.ndarray) -> float:
    """Of label numbers; every label of ``truth`` counts alike."""
    return float(f1_score(truth, called, labels=np.unique(truth), average="macro"))


class Cells:
    """One data set: features of its cells, and the numbers of their labels."""

    def __init__(self, path: Path, label: str, donor: str) -> None:
        obs = anndata.read_h5ad(path, backed="r").obs
        names = obs[label].astype(str)
        counts = names.value_counts()
        kept = names.isin(counts.index[counts >= MIN_CELLS]) & names.ne("nan")
        with tempfile.TemporaryDirectory() as folder:
            chosen = Path(folder) / "cells.h5ad"
            anndata.read_h5ad(path)[kept.to_numpy()].write_h5ad(chosen)
            with open_expression(chosen, path.name) as source:
                own = OwnCells([source], SampleOptions())
                made = Provenance(Record("few_labels", "", {}, {}))
                with writing.create("cells", Path(folder) / "built.h5ad", made) as file:
                    own.write(file)
            with open_exchange(Path(folder) / "built.h5ad", "cells") as opened:
                cells = CellSequences(opened)
                read = gene_weights(cells)
                places, sketch = own_components(read, len(cells))
                self.genes = standardised(read(np.arange(len(cells))))
        self.propagation, self.cosine = LabelPropagation(places, sketch), places
        left, sizes, _ = sparse.linalg.svds(self.genes, 50, v0=np.ones(min(self.genes.shape)))
        self.components = left * sizes
        self.truth = np.unique(names[kept], return_inverse=True)[1]
        self.donors = obs.loc[kept, donor].astype(str).to_numpy() if donor else None

    def drawn(self, count: int, seed: int, among: np.ndarray | None = None) -> np.ndarray:
        """Rows of ``count`` cells of each label, int64."""
        random = np.random.default_rng(seed)
        allowed = np.ones(len(self.truth), bool) if among is None else among
        labels = range(self.truth.max() + 1)
        pools = (np.flatnonzero((self.truth == label) & allowed) for label in labels)
        return np.concatenate([random.permutation(pool)[:count] for pool in pools])

    def calls(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Label numbers by each method, and what ``--examples`` says of them."""
        truth = self.truth[rows]
        return {
            "genes": regression(self.genes, rows, truth),
            "PCA-50": regression(self.components, rows, truth),
            "cosine PCA-20": regression(self.cosine, rows, truth),
            "spread": label_spreading(self.propagation, rows, truth),
            "`--examples`": self.probability(rows).argmax(1),
        }

    def probability(self, rows: np.ndarray) -> np.ndarray:
        """By ``annotate --examples``, float32 (cells, labels); 0 for a label without an example."""
        labels, truth = np.unique(self.truth[rows], return_inverse=True)
        whole = np.zeros((len(self.truth), self.truth.max() + 1), np.float32)
        whole[:, labels] = self.propagation.probability(rows, truth, len(labels))
        return whole

    def is_near(self, rows: np.ndarray, usual: bool = False) -> np.ndarray:
        """Whether cells are near enough to an example, bool (cells,).

        By default, or, if ``usual``, by the cosine that is told, where one is.
        """
        least = usual_cosine(self.propagation.places[rows], self.truth[rows]) if usual else None
        return self.propagation.nearness(rows) >= max(NEAR, least or 0)


def row_of(values: list[float], best: bool = False) -> str:
    text = f"{np.mean(values):.3f} ± {np.std(values):.3f}"
    return f"**{text}**" if best else text


def by_labels(name: str, cells: Cells, only: str = "") -> None:
    """A row for each number of labels; ``only`` is the donor whose cells have some."""
    among = np.asarray(cells.donors == only) if only else None
    for count in LABELS:
        found: dict[str, list[float]] = {}
        for seed in range(SEEDS):
            rows = cells.drawn(count, seed, among)
            others = np.setdiff1d(np.arange(len(cells.truth)), rows)
            if among is not None:
                others = others[~among[others]]
                others = others[np.isin(cells.truth[others], cells.truth[rows])]
            for method, called in cells.calls(rows).items():
                found.setdefault(method, []).append(macro_f1(cells.truth[others], called[others]))
        best = max(found, key=lambda method: np.mean(found[method]))
        columns = " | ".join(row_of(found[method], method == best) for method in METHODS)
        print(f"| {name} | {count} | {columns} |", flush=True)


def confidence(name: str, cells: Cells) -> None:
    """A row for each number of labels: what is assigned, how right it is, and a type left out."""
    types = cells.truth.max() + 1
    for count in LABELS:
        found: dict[str, list[float]] = {}
        for seed in range(SEEDS):
            rows = cells.drawn(count, seed)
            others = np.setdiff1d(np.arange(len(cells.truth)), rows)
            probability = cells.probability(rows)
            right = probability.argmax(1) == cells.truth
            sure = probability.max(1)
            given = cells.is_near(rows) & (sure >= MIN_CONFIDENCE)
            alike = cells.is_near(rows, True) & (sure >= MIN_CONFIDENCE)
            values = {
                "assigned": given[others].mean(),
                "accuracy": right[others][given[others]].mean(),
                "all": right[others].mean(),
                "confidence": sure[others].mean(),
                "error": expected_calibration_error(sure[others], right[others]),
            }
            for out in range(types):
                known = rows[cells.truth[rows] != out]
                some = cells.probability(known).max(1)
                is_out = others[cells.truth[others] == out]
                for key, usual in (("refused", False), ("refused by that", True)):
                    given = cells.is_near(known, usual) & (some >= MIN_CONFIDENCE)
                    values[key] = values.get(key, 0) + (~given[is_out]).mean() / types
            values["assigned by that"] = alike[others].mean()
            values["accuracy by that"] = right[others][alike[others]].mean()
            for key, value in values.items():
                found.setdefault(key, []).append(float(value))
        columns = " | ".join(f"{np.mean(values):.3f}" for values in found.values())
        print(f"| {name} | {count} | {columns} |", flush=True)


def main(folder: str, *names: str) -> None:
    """Print the tables, of all sets or of some."""
    warnings.simplefilter("ignore")
    chosen = {name: SETS[name] for name in names or SETS}
    every = {name: Cells(Path(folder) / f"{name}.h5ad", *of) for name, of in chosen.items()}
    print(f"| cells | labels a type | {' | '.join(METHODS)} |\n|{'---|' * (2 + len(METHODS))}")
    for name, cells in every.items():
        types = cells.truth.max() + 1
        by_labels(f"{name}, {types} types", cells)
        if cells.donors is not None:
            donors, counts = np.unique(cells.donors, return_counts=True)
            largest = donors[counts.argmax()]
            by_labels(f"{name}, labels of donor {largest}, all others called", cells, largest)
    print(
        "\n| cells | labels a type | assigned | of these right | right of all | mean confidence | "
        "calibration error | refused, of a type without a label | by the cosine that is told | "
        "assigned by that | of these right |\n|" + "---|" * 11
    )
    for name, cells in every.items():
        confidence(name, cells)


if __name__ == "__main__":
    main(*sys.argv[1:])
