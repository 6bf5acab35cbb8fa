"""Label texts as a start of classifier weights (benchmarks/texts.md).

    python benchmarks/label_texts_option.py DATA [NAME ...]

Logistic regression on genes as ``train-reader --method logistic`` fits it: weights drawn to zero,
to what the labels' texts say of the genes (``--label-texts packaged``), or to the same shuffled
between labels or between genes. Every other cell is called; labelled ones are drawn five times
among the rest. Prints macro F1 as Markdown.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import anndata
import numpy as np
from few_labels import macro_f1, row_of
from label_texts import TERMS as TERMS_OF_SOME
from text_columns import tool

from screader_lib.annotation.no_labels.label_texts import label_text_weights
from screader_lib.cells.cells_file import CellSequences
from screader_lib.exchange.opening import open_exchange
from screader_lib.reader.methods import methods
from screader_lib.reader.settings import TrainingSettings
from screader_lib.reader.task import Labels, LabelTexts, Task

TERMS = TERMS_OF_SOME | {
    "schwann": "CL:0002573", "T_cell": "CL:0000084", "t_cell": "CL:0000084",
    "B_cell": "CL:0000236",
}  # fmt: skip
SETS = {  # column of the labels; the first two chose the strength
    "baron_mouse": "cell_type1",
    "pbmc_chemistries": "cell_type",
    "pbmc_facs": "cell_type",
    "baron_human": "cell_type1",
}
BOTH = "pancreas and blood"  # Baron human and sorted blood in one file
LABELS, SEEDS = (1, 2, 5, 20), 5
LEAST = 4  # cells of a type
KINDS = ("no texts", "texts", "of other labels", "of other genes")


@dataclass(frozen=True)
class AmongAll(Task):
    """A task whose file has other cells without a label, ``others``."""

    others: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def unlabelled_rows(self) -> np.ndarray:
        """The cells that are not called and have no label."""
        return self.others


def cells_of(data: Path, name: str, folder: Path) -> Path:
    """The cells file of a data set, with TF-IDF vectors, which nothing here reads."""
    counts, label = data / f"{name}.h5ad", SETS.get(name, "label")
    if name == BOTH:
        parts = [anndata.read_h5ad(data / f"{one}.h5ad") for one in ("baron_human", "pbmc_facs")]
        parts[1].var_names = parts[1].var["feature_name"].astype(str)
        for part, column in zip(parts, ("cell_type1", "cell_type"), strict=True):
            part.obs["label"] = part.obs[column].astype(str)
            part.var_names_make_unique()
        counts = folder / f"{name}.h5ad"
        anndata.concat(parts, index_unique="-").write_h5ad(counts)
    species = "mouse" if name == "baron_mouse" else "human"
    texts, vectors, cells = (folder / f"{name}-{kind}.h5ad" for kind in ("texts", "genes", "cells"))
    own = ["--organism", species, "--source", "packaged"]
    tool("fetch-descriptions", "--genes", counts, *own, "-o", texts)
    tool("embed-genes", texts, "--model", "tfidf", "-o", vectors)
    tool("build-cells", counts, "-e", vectors, "--label", label, "-o", cells)
    return cells


def texts_of(kind: str, weights: np.ndarray) -> LabelTexts | None:
    """What the genes' weights are drawn to, ``weights`` (labels, genes) or the same shuffled."""
    order = np.random.default_rng(0).permutation(weights.shape[1])
    found = {"of other labels": np.roll(weights, 1, axis=0), "of other genes": weights[:, order]}
    drawn_to = found.get(kind, weights)
    return None if kind == "no texts" else LabelTexts(lambda genes, labels: drawn_to, kind)


def rows_of(path: Path, name: str) -> None:
    """A row of the table for each number of labels."""
    with open_exchange(path, "cells") as opened:
        cells = CellSequences(opened)
        assert cells.labels is not None
        labels = cells.labels.strings().astype(str)
        known, counts = np.unique(labels, return_counts=True)
        types = known[(counts >= LEAST) & (known != "")]
        number = {one: place for place, one in enumerate(types)}
        every = np.flatnonzero(np.isin(labels, types))
        order = np.random.default_rng(0).permutation(every)
        # every other cell of each type is called
        order = order[np.argsort(labels[order], kind="stable")]
        learnt, called = np.sort(order[::2]), np.sort(order[1::2])
        truth = np.array([number[one] for one in labels[called]])
        terms = tuple(TERMS.get(one, "") for one in types)
        every_label = Labels(tuple(types), terms, (0,) * len(types))
        weights = label_text_weights(cells.genes, every_label, {})
        for count in LABELS:
            found: dict[str, list[float]] = {kind: [] for kind in KINDS}
            for seed in range(SEEDS):
                random = np.random.default_rng([seed, count])
                pools = [random.permutation(learnt[labels[learnt] == one]) for one in types]
                rows = np.sort(np.concatenate([pool[:count] for pool in pools]))
                own = np.array([number[one] for one in labels[rows]], np.int64)
                for kind in KINDS:
                    task = AmongAll(
                        cells, Labels(tuple(types), terms, tuple(np.bincount(own).tolist())), rows,
                        own, rows[:0], own[:0], TrainingSettings("logistic"),
                        label_texts=texts_of(kind, weights), others=np.setdiff1d(learnt, rows),
                    )  # fmt: skip
                    logits = methods.train(task).outputs(cells, called)[0]
                    found[kind].append(macro_f1(truth, logits.argmax(1)))
            gain = [b - a for a, b in zip(found["no texts"], found["texts"], strict=True)]
            row = " | ".join(row_of(values) for values in [*found.values()])
            change = f"{np.mean(gain):+.3f} ± {np.std(gain):.3f}"
            print(f"| {name}, {len(types)} types | {count} | {row} | {change} |", flush=True)


def main(data: str, *names: str) -> None:
    """The table of all data sets, or of some."""
    warnings.simplefilter("ignore")
    print(f"| cells | labels a type | {' | '.join(KINDS)} | texts − none |")
    print(f"|{'---|' * (len(KINDS) + 3)}")
    with tempfile.TemporaryDirectory() as folder:
        for name in names or (*SETS, BOTH):
            rows_of(cells_of(Path(data), name, Path(folder)), name)


if __name__ == "__main__":
    main(*sys.argv[1:])
