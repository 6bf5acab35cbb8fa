"""Whether confidence and familiarity mean something, on cells that no reader saw.

    python benchmarks/confidence.py precision EXPRESSION EMBEDDINGS LABEL [--method pooled]
    python benchmarks/confidence.py donors EXPRESSION EMBEDDINGS LABEL [--method logistic]
    python benchmarks/confidence.py unknown EXPRESSION EMBEDDINGS LABEL [--method pooled]

`precision`: five times, a fifth of the cells is held out; a reader trained on the rest with
`--folds 5` calls them with `--target-precision`. `donors`: each donor (`--donor COLUMN`) is left
out of the training once; does the threshold for a target precision, where the reader gives one,
reach it there, and how many of its cells does `--min-familiarity 0.05` leave unassigned?
`unknown`: each type of at least 20 cells is left out of the training once; are its cells told from
held-out cells of known types?
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import anndata
import numpy as np

from screader_lib import label_metrics
from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding
from screader_lib.exchange.opening import open_exchange
from screader_lib.exchange.table import Table
from screader_lib.reader.reader_file import read_reader

FEWEST_CELLS = 20
TARGETS = (0.95, 0.98, 0.99)
DONOR_TARGETS = (0.95, 0.97, 0.98, 0.99)
REFUSED = 0.05


@dataclass
class Data:
    """Cells by name and label, and how to build and read them."""

    expression: str
    embeddings: str
    label: str
    method: str
    names: np.ndarray
    labels: np.ndarray
    folder: Path
    donor: str = "donor"
    donors: np.ndarray | None = None

    def build(self, name: str, chosen: np.ndarray, *options: str) -> str:
        """A cells file of the ``chosen`` cells, boolean (cells,)."""
        listed = self.folder / f"{name}.txt"
        listed.write_text("".join(f"{cell}\n" for cell in self.names[chosen]), "utf-8")
        target = str(self.folder / f"{name}.h5ad")
        command = ["build-cells", self.expression, "-e", self.embeddings, "--label", self.label]
        run(*command, "--cells", str(listed), *options, "-o", target)
        return target

    def labels_of(self, cells: str) -> np.ndarray:
        """The true labels of a cells file, object (cells,)."""
        with open_exchange(Path(cells), "cells") as opened:
            return encoding.read_table(opened.file["obs"]).strings("label")

    def train(self, cells: str, *options: str) -> str:
        """A reader of them."""
        target = str(self.folder / "reader.h5")
        run("train-reader", cells, "--method", self.method, *options, "-o", target)
        return target

    def call(self, cells: str, reader: str, *options: str) -> Table:
        """The calls."""
        target = self.folder / "calls.h5ad"
        run("predict", cells, "-r", reader, *options, "-o", str(target))
        with open_exchange(target, "predictions") as opened:
            return encoding.read_table(opened.file["obs"])


def run(tool: str, *words: str) -> None:
    """Run one of the tools in this process, quietly."""
    main = import_module(f"screader_tools.{tool.replace('-', '_')}").main
    try:
        main([*words, "-q"], prog_name=tool)
    except SystemExit as end:
        if end.code:
            raise RuntimeError(f"{tool} {' '.join(words)} failed.") from None


def deal(labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """A fold 0 … ``folds`` − 1 for each cell, stratified."""
    random = np.random.default_rng(seed)
    order = np.concatenate(
        [random.permutation(np.flatnonzero(labels == one)) for one in sorted(set(labels))]
    )
    fold = np.empty(len(labels), int)
    fold[order] = np.arange(len(labels)) % folds
    return fold


def area(strange: np.ndarray, unknown: np.ndarray) -> float:
    """Area under the ROC curve of telling ``unknown`` cells by how ``strange`` they are."""
    _, place, counts = np.unique(strange, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    inside = int(unknown.sum())
    outside = len(unknown) - inside
    return float((ranks[unknown].sum() - inside * (inside + 1) / 2) / (inside * outside))


def precision(data: Data) -> None:
    """Precision and share of assigned cells at each target, over all held-out cells."""
    fold = deal(data.labels, 5, 0)
    tables: dict[float, list[Table]] = {target: [] for target in TARGETS}
    for number in range(5):
        train = data.build("train", fold != number)
        test = data.build("test", fold == number, "--like", train)
        reader = data.train(train, "--folds", "5")
        for target in TARGETS:
            tables[target].append(data.call(test, reader, "--target-precision", str(target)))
    print("| target precision | precision of assigned cells | assigned | calibration error |")
    print("|---|---|---|---|")
    for target, found in tables.items():
        right = np.concatenate(
            [t.strings("predicted_label") == t.strings("true_label") for t in found]
        )
        assigned = np.concatenate([t.strings("status") == "assigned" for t in found])
        confidence = np.concatenate([np.asarray(t.columns["confidence"]) for t in found])
        error = label_metrics.expected_calibration_error(confidence, right.astype(bool))
        print(f"| {target} | {right[assigned].mean():.4f} | {assigned.mean():.3f} | {error:.3f} |")


def donors(data: Data) -> None:
    """Precision of assigned labels and share assigned at each target, donor by donor."""
    assert data.donors is not None, "give --donor"
    shown = [f"wanted {target}" for target in DONOR_TARGETS]
    print(f"| donor left out | cells | accuracy | {' | '.join(shown)} | unfamiliar |")
    print("|" + "---|" * 8)
    reached = given = 0
    for donor in sorted(set(data.donors)):
        out, options = data.donors == donor, ("--donor", data.donor)
        train = data.build("train", ~out, *options)
        test = data.build("test", out, "--like", train, *options)
        reader = data.train(train)
        calls = data.call(test, reader)
        right = (calls.strings("predicted_label") == calls.strings("true_label")).astype(bool)
        confidence = np.asarray(calls.columns["confidence"])
        with open_exchange(Path(reader), "reader") as opened:
            known = read_reader(opened).calibration_set
        row = []
        for target in DONOR_TARGETS:
            try:
                assigned = confidence >= known.threshold(target)
            except ScReaderError:
                row.append("none given")
                reached += 1
                continue
            found = right[assigned].mean()
            given, reached = given + 1, reached + (found >= target)
            mark = "" if found >= target else "**"
            row.append(f"{mark}{found:.3f}{mark} of {assigned.mean():.0%}")
        unfamiliar = (np.asarray(calls.columns["familiarity"]) < REFUSED).mean()
        shown = " | ".join(row)
        print(
            f"| {donor} | {int(out.sum())} | {right.mean():.3f} | {shown} | {unfamiliar:.1%} |",
            flush=True,
        )
    print(f"\n{given} thresholds given; {reached} reached or not given.")


def unknown(data: Data) -> None:
    """How well each left-out type is told from known ones, and how many cells are refused.

    By confidence, by familiarity without distances (confidence and evidence alone), and by
    familiarity. Refused: less familiar than ``REFUSED``.
    """
    fold = deal(data.labels, 5, 0)
    names = ("confidence", "without distance", "familiarity")
    shown = [f"AUC, {names[0]}", *(f"{what}, {by}" for what in ("AUC", "refused", "known refused")
             for by in names[1:])]  # fmt: skip
    print(f"| left out | cells | labelled | {' | '.join(shown)} |")
    print("|" + "---|" * (3 + len(shown)))
    rows = []
    for left_out in sorted(set(data.labels)):
        out = data.labels == left_out
        if out.sum() < FEWEST_CELLS:
            continue
        train = data.build("train", (fold != 0) & ~out)
        test = data.build("test", (fold == 0) | out, "--like", train)
        reader = data.train(train)
        calls = data.call(test, reader)
        confidence = np.asarray(calls.columns["confidence"])
        with open_exchange(Path(reader), "reader") as opened:
            known = read_reader(opened).calibration_set
        before = known.familiarity(confidence, np.asarray(calls.columns["evidence"]))
        after = np.asarray(calls.columns["familiarity"])
        new = data.labels_of(test) == left_out
        label, count = np.unique(
            calls.strings("predicted_label")[new].astype(str), return_counts=True
        )
        called = f"{label[count.argmax()]} {count.max() / count.sum():.0%}"
        row = [area(-sign, new) for sign in (confidence, before, after)]
        row += [(sign[new] < REFUSED).mean() for sign in (before, after)]
        row += [(sign[~new] < REFUSED).mean() for sign in (before, after)]
        rows.append(row)
        shown = " | ".join(f"{value:.2f}" for value in row)
        print(f"| {left_out} | {int(out.sum())} | {called} | {shown} |", flush=True)
    shown = " | ".join(f"**{value:.3f}**" for value in np.mean(rows, 0))
    print(f"| mean | | | {shown} |")


def main() -> None:
    """Print one of the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", choices=("precision", "donors", "unknown"))
    parser.add_argument("expression")
    parser.add_argument("embeddings")
    parser.add_argument("label")
    parser.add_argument("--method", default="pooled")
    parser.add_argument("--donor", default="donor")
    given = parser.parse_args()
    obs = anndata.read_h5ad(given.expression, backed="r").obs
    with tempfile.TemporaryDirectory() as folder:
        data = Data(
            given.expression,
            given.embeddings,
            given.label,
            given.method,
            obs.index.to_numpy(dtype=object),
            obs[given.label].astype(str).to_numpy(dtype=object),
            Path(folder),
            given.donor,
            obs[given.donor].astype(str).to_numpy(dtype=object) if given.donor in obs else None,
        )
        {"precision": precision, "donors": donors, "unknown": unknown}[given.table](data)


if __name__ == "__main__":
    main()
