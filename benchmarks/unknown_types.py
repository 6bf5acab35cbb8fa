"""Is a type that the training did not have noticed in a sample? (benchmarks/confidence.md)

    python benchmarks/unknown_types.py DATA

DATA holds the h5ad files of ``text_columns.DATA``. From a part of each, a reader is trained
without one type at a time and annotates the rest; prints, as Markdown, whether a warning names the
label that most cells of the left-out type got, and how many warnings name another label.
"""

from __future__ import annotations

import re
import sys
import warnings
from pathlib import Path

import anndata
import numpy as np
from no_labels_reader import QUERY
from text_columns import DATA

import screader

SETS = ("baron_mouse", "pbmc_chemistries", "baron_human", "pbmc_facs")
METHODS = ("pooled", "logistic")
LEAST = 20  # cells of a type, in either part
NAMED = re.compile(r"of the [\d,]+ cells called (.+) are unlike the cells of the training")


def parts(data: Path, name: str) -> tuple[anndata.AnnData, anndata.AnnData]:
    """Cells to learn from and others, of the types that both have, which are in ``obs["kind"]``."""
    whole = anndata.read_h5ad(data / f"{name}.h5ad")
    whole.obs["kind"] = whole.obs[DATA[name][0]].astype(str)
    by, values = QUERY.get(name, ("", set()))
    other = np.arange(whole.n_obs) % 2 == 1
    if by:
        other = whole.obs[by].astype(str).isin(values).to_numpy()
    counts = [whole.obs["kind"][mask].value_counts() for mask in (~other, other)]
    frequent = [set(one.index[one >= LEAST]) for one in counts]
    kept = whole.obs["kind"].isin(frequent[0] & frequent[1] - {"nan", ""}).to_numpy()
    return whole[kept & ~other].copy(), whole[kept & other].copy()


def warned(reader: screader.Reader, cells: anndata.AnnData) -> tuple[list[str], np.ndarray]:
    """Labels that warnings name, and the label of each cell, object (cells,)."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        done = screader.annotate(
            cells, reader, min_confidence=0, consensus="none", in_place=False, verbose=False
        )
    found = (NAMED.search(str(one.message)) for one in told)
    return [one[1] for one in found if one], done.obs["screader_label"].astype(object).to_numpy()


def main(data: str) -> None:
    """Print a row for each set of cells and method."""
    print(
        "| cells | method | types left out | noticed | other labels warned of | warned of with all "
        "types |\n|---|---|---|---|---|---|"
    )
    for name in SETS:
        known, others = parts(Path(data), name)
        truth = others.obs["kind"].to_numpy()
        for method in METHODS:
            noticed, wrong = [], 0
            options = {"label": "kind", "method": method, "embeddings": "tfidf", "verbose": False}
            whole = screader.train(known, organism=DATA[name][1], **options)
            usual, _ = warned(whole, others)
            for kind in np.unique(truth):
                some = known[known.obs["kind"] != kind].copy()
                reader = screader.train(some, organism=DATA[name][1], **options)
                labels, called = warned(reader, others)
                taken, counts = np.unique(called[truth == kind].astype(str), return_counts=True)
                most = str(taken[counts.argmax()])
                noticed.append(most in labels)
                wrong += len(set(labels) - {most})
            row = [name, method, len(noticed), sum(noticed), wrong, len(usual)]
            print(f"| {' | '.join(map(str, row))} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
