"""Label texts as a start of classifier weights, a trial (benchmarks/texts.md).

    python benchmarks/label_texts.py DATA --work FOLDER [--scenarios NAME ...]

Logistic regression on genes whose weights are drawn towards those that the texts of the labels
give, instead of towards zero: what the Cell Ontology says of a label against what is written of
each gene, by shared words (as ``annotate --types`` has them) or by the two texts' embeddings. Cells
and texts as in benchmarks/texts.py. Prints macro F1 as Markdown.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from pathlib import Path

import numpy as np
from few_labels import macro_f1, row_of
from no_labels import ISLETS
from scipy.optimize import minimize
from text_columns import Crossing, Draw, crossings, prepare_cells, prepare_texts

from screader_lib.annotation.no_labels.gene_sets import SampleGenes, text_weights
from screader_lib.annotation.no_labels.type_table import NamedType, read_types
from screader_lib.genes.providers.local_models import EncoderSettings, PackagedMiniLM
from screader_lib.reader.confidence.calibration import softmax
from screader_lib.reporting import SILENT

TERMS = {label: term for label, (_, term) in ISLETS.items()} | {
    "macrophage": "CL:0000235", "acinar": "CL:0002064",
    "B": "CL:0000236", "Mono_CD14": "CL:0000860", "Mono_CD16": "CL:0000875", "NK": "CL:0000623",
    "T_CD4": "CL:0000624", "T_CD8": "CL:0000625", "DC": "CL:0000451",
    "CD19+ B": "CL:0000236", "CD34+": "CL:0000037", "CD56+ NK": "CL:0000623",
    "CD8+ Cytotoxic T": "CL:0000794", "CD4+ T Helper2": "CL:0000546",
    "CD4+/CD45RO+ Memory": "CL:0000897", "CD8+/CD45RA+ Naive Cytotoxic": "CL:0000900",
    "CD4+/CD25 T Reg": "CL:0000792", "CD4+/CD45RA+/CD25- Naive T": "CL:0000895",
    "CD14+ Monocyte": "CL:0001054",
}  # fmt: skip
CHOSEN_ON = ("Baron mouse, other mouse", "blood, three chemistries")
LABELS, SEEDS = (1, 5, 20, 0), 5
STRENGTHS = (0.1, 0.3, 1.0, 3.0)  # of the texts' logits, in deviations over cells


class Priors:
    """What the texts of a scenario's labels say: logits of its cells, of deviation 1 over them."""

    def __init__(self, crossing: Crossing) -> None:
        self.crossing = crossing
        learnt, called, names = crossing.parts
        cells = crossing.train.view("true", 0, {})
        self.values = cells.weights(learnt).toarray().astype(np.float64)
        self.others = cells.weights(called).toarray().astype(np.float64)
        mean, spread = self.values.mean(0), self.values.std(0)
        spread[spread == 0] = 1
        standard = [np.clip((one - mean) / spread, -10, 10) for one in (self.values, self.others)]
        types = [type_of(name) for name in names]
        genes = cells.embedding - cells.embedding.mean(0)
        told = PackagedMiniLM(EncoderSettings()).embed([one.text for one in types], SILENT)
        by_words = text_weights(types, SampleGenes(cells.genes))
        mixed = np.random.default_rng(0).permutation(by_words.shape[1])
        of_genes = {
            "words": by_words,
            "words, shuffled": by_words[:, mixed],
            "embeddings": (told - told.mean(0)) @ genes.T,
        }
        self.logits = {}
        for kind, weights in of_genes.items():
            scores = [one @ weights.T for one in standard]
            scale = np.maximum(scores[0].std(0), 1e-9)
            self.logits[kind] = [(one - scores[0].mean(0)) / scale for one in scores]

    def called(self, draw: Draw, kind: str, strength: float) -> np.ndarray:
        """Type numbers of the cells that are called; all types take part."""
        learnt, called, _ = self.crossing.parts
        own = np.searchsorted(learnt, draw.rows)
        offsets, others = (strength * one for one in self.logits[kind])
        weights, biases = fit(self.values[own], draw.truth, offsets[own])
        found = self.others @ weights + biases + others
        return found[np.searchsorted(called, draw.test_rows)].argmax(1)


def type_of(label: str) -> NamedType:
    """What the Cell Ontology says of a label."""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "types.csv"
        table.write_text(f'type,ontology_id\n"{label}",{TERMS[label]}\nanother,\n')
        return read_types({"types": table}, ())[0]


def fit(
    values: np.ndarray, truth: np.ndarray, offsets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Weights (genes, labels) and biases, beside ``offsets`` (cells, labels) of the logits; C = 1.

    Half the squared weights is the penalty, as in scikit-learn: only what is added to what the
    texts say is drawn to zero.
    """
    wanted, genes = np.eye(offsets.shape[1])[truth], values.shape[1]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights, biases = flat[: -len(wanted[0])].reshape(genes, -1), flat[-len(wanted[0]) :]
        logits = values @ weights + biases + offsets
        logits -= logits.max(1, keepdims=True)
        errors = softmax(logits).astype(np.float64) - wanted
        sums = np.log(np.exp(logits).sum(1))
        total = float(sums.sum() - (logits * wanted).sum() + 0.5 * (weights**2).sum())
        return total, np.concatenate([(values.T @ errors + weights).ravel(), errors.sum(0)])

    start = np.zeros((genes + 1) * len(wanted[0]))
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 500}).x
    return found[: -len(wanted[0])].reshape(genes, -1), found[-len(wanted[0]) :]


def main() -> None:
    """A row for each scenario, number of labels and strength."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--scenarios", nargs="*", default=[*CHOSEN_ON])
    parser.add_argument("--strengths", nargs="*", type=float, default=[*STRENGTHS])
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    prepare_cells(given.data, given.work)
    prepare_texts(given.work)
    kinds = ("words", "words, shuffled", "embeddings")
    columns = [f"{kind}, {strength:g}" for kind in kinds for strength in given.strengths]
    print(f"| cells | labels a type | no texts | {' | '.join(columns)} |")
    print(f"|{'---|' * (3 + len(columns))}")
    with crossings(given.work, {}) as every:
        for name in given.scenarios:
            priors = Priors(every[name])
            for labels in LABELS:
                found: dict[tuple[str, float], list[float]] = {}
                for seed in range(SEEDS):
                    draw = every[name].draw(labels, False, seed)
                    for key in [("words", 0.0), *((k, s) for k in kinds for s in given.strengths)]:
                        calls = priors.called(draw, *key)
                        found.setdefault(key, []).append(macro_f1(draw.test_truth, calls))
                row = " | ".join(row_of(values) for values in found.values())
                print(f"| {name} | {labels or 'all'} | {row} |", flush=True)


if __name__ == "__main__":
    main()
