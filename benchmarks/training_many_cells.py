"""Training on many cells: time and memory, and what fewer cells of each label cost in accuracy.

    python benchmarks/training_many_cells.py time EMBEDDINGS REFERENCE [--cells 10000 100000]
        [--per-label 0 500] [--rounds 3] [--celltypist PYTHON]
    python benchmarks/training_many_cells.py optimum EMBEDDINGS REFERENCE [--cells 20000]
    python benchmarks/training_many_cells.py steps EMBEDDINGS REFERENCE [--cells 20000]
        [--warm-start-steps 1000 0] [--head-alone]
    python benchmarks/training_many_cells.py accuracy EMBEDDINGS CELLS COLUMN [--per-label 25 … 0]

``time``: the cells of REFERENCE (``cell_type1``, ``donor``) again and again, a random 40 to 100 %
of the counts left of each copy, with 50 labels: by type, donor, and whether they have more counts
than half of these cells. In turns, whole processes of ``train-reader`` by method; scikit-learn's
logistic regression on the same 3,000 genes; and, by a Python that has it, CellTypist's stochastic
gradient descent on them. Medians of the seconds of the clock and of all processors, and of the
largest resident set.

``optimum``: regressions on four fifths of such cells, and how far each is from the optimum: by the
objective, and by the probabilities of the last fifth.

``steps``: for each donor, a reader is trained on such cells of the others, labelled by type, with
at most so many steps of the warm start (0: no limit), and calls the donor's own cells, which are
not copied. ``--head-alone``: by the head, which the warm start trains, without gene scores.

``accuracy``: three seeds each draw 30 % of the cells of each label to be held out; the reader is
trained on the others, with at most so many cells of each label (0: all), and calls the held-out
ones. Genes are selected from the cells that are not held out.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import anndata
import h5py
import numpy as np
import pandas
from anndata.io import write_elem
from cells import measured
from sklearn.linear_model import LogisticRegression

from screader_lib.cells.cells_file import CellSequences
from screader_lib.exchange.opening import open_exchange
from screader_lib.label_metrics import scores
from screader_lib.reader.confidence.calibration import log_sum_exp, softmax
from screader_lib.reader.model.logistic_regression import fit_logistic

SUITE = Path(sys.executable).parent
SEEDS = range(3)
LABELS = 50  # the most frequent
COPIES = 50  # of the reference that differ; with more cells than these have, they come again
Features = Any  # sparse, float32 (cells, genes)
LEARN = """
import sys, warnings, anndata
from screader_lib.cells.cells_file import CellSequences
from screader_lib.exchange.opening import open_exchange
from pathlib import Path
import numpy as np
from sklearn.linear_model import LogisticRegression
with open_exchange(Path(sys.argv[1]), "cells") as opened:
    cells = CellSequences(opened)
    weights, labels = cells.weights(np.arange(len(cells))), cells.labels.codes
LogisticRegression(max_iter=1000).fit(weights, labels)
"""
CELLTYPIST = """
import sys, anndata, celltypist, scanpy
cells = anndata.read_h5ad(sys.argv[1])
genes = anndata.read_h5ad(sys.argv[3]).var
scanpy.pp.normalize_total(cells, target_sum=1e4)
scanpy.pp.log1p(cells)
names = genes["symbol"] if "symbol" in genes else genes.index
celltypist.train(
    cells[:, cells.var_names.isin(names)].copy(),
    labels="label", use_SGD=True, mini_batch=True, check_expression=False,
).write(sys.argv[2])
"""


def finely_labelled(reference: Path) -> anndata.AnnData:
    """Its cells of the most frequent labels by type, donor and counts."""
    data = anndata.read_h5ad(reference)
    labels = data.obs["cell_type1"].astype(str) + " of " + data.obs["donor"].astype(str)
    counts = pandas.Series(np.asarray(data.X.sum(1)).ravel(), data.obs_names)
    rank = counts.groupby(labels).rank(pct=True)
    data.obs["label"] = labels + np.where(rank > 0.5, ", many counts", ", few counts")
    frequent = data.obs["label"].value_counts().index[:LABELS]
    return data[data.obs["label"].isin(frequent)].copy()


def tiled(data: anndata.AnnData, count: int, target: Path) -> int:
    """Write ``count`` of its cells with a label, copy by copy; returns the number of labels."""
    random, single = np.random.default_rng(0), data.X.tocsr()
    names = data.obs["label"].to_numpy(str)
    obs = pandas.DataFrame({"label": np.resize(names, count)})
    obs.index = [f"cell-{number:07}" for number in range(count)]
    with h5py.File(target, "w") as file:
        write_elem(file, "/", anndata.AnnData(obs=obs, var=data.var[[]]))
        group, ends = file.create_group("X"), [np.zeros(1, np.int64)]
        group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0"})
        group.attrs["shape"] = np.array([count, data.n_vars])
        for name in ("data", "indices"):
            group.create_dataset(
                name, (0,), np.int32, maxshape=(None,), chunks=(65_536,),
                compression="gzip", compression_opts=1,
            )  # fmt: skip
        copies = []
        for number, start in enumerate(range(0, count, len(names))):
            if number < COPIES:
                copy = single.copy()
                left = random.binomial(copy.data.astype(int), random.uniform(0.4, 1))
                copy.data = left.astype(np.int32)
                copy.eliminate_zeros()
                copies.append(copy)
            part = copies[number % COPIES][: count - start]
            first = int(ends[-1][-1])
            for name in ("data", "indices"):
                group[name].resize(first + part.nnz, 0)
                group[name][first:] = getattr(part, name)
            ends.append(first + part.indptr[1:].astype(np.int64))
        group["indptr"] = np.concatenate(ends)
    return obs["label"].nunique()


def tiled_finely(reference: Path, count: int, target: Path) -> int:
    """The same of finely labelled cells."""
    return tiled(finely_labelled(reference), count, target)


def measure_time(given: argparse.Namespace, folder: Path) -> None:
    """A row for each number of cells and each way to learn."""
    print("| cells | labels | method | cells of a label | seconds | CPU seconds | GB |")
    print("|---|---|---|---|---|---|---|")
    for count in given.cells:
        source, cells = folder / "tiled.h5ad", folder / "cells.h5ad"
        with ProcessPoolExecutor(1) as other:  # whose memory is not counted below
            labels = other.submit(tiled_finely, given.reference, count, source).result()
        build = [SUITE / "build-cells", source, "-e", given.embeddings, "--label", "label"]
        subprocess.run([*build, "-q", "-o", cells], check=True)
        ways: dict[tuple[str, str], list] = {
            (method, str(limit or "all")): [
                SUITE / "train-reader", cells, "-q", "--method", method,
                "--cells-per-label", str(limit), "-o", folder / "reader.h5",
            ]
            for method in given.methods for limit in given.per_label
        }  # fmt: skip
        if count <= given.sklearn_up_to:
            ways["scikit-learn's logistic regression", "all"] = [sys.executable, "-c", LEARN, cells]
        if given.celltypist:
            model = folder / "model.pkl"
            ways["CellTypist, SGD", "all"] = [
                given.celltypist, "-c", CELLTYPIST, source, model, cells,
            ]  # fmt: skip
        rounds = [
            {way: measured(command) for way, command in ways.items()} for _ in range(given.rounds)
        ]
        for method, limit in ways:
            of_way = [each[method, limit] for each in rounds]
            seconds, processor, memory = (median(one[part] for one in of_way) for part in range(3))
            row = f"{seconds:.0f} | {processor:.0f} | {memory / 1000:.2f}"
            print(f"| {count:,} | {labels} | {method} | {limit} | {row} |", flush=True)
    print(f"\nLoad at the end: {os.getloadavg()[0]:.1f}.")


def of_sklearn(
    features: Features, truth: np.ndarray, solver: str, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Weights (features, labels) and biases (labels,) by scikit-learn."""
    model = LogisticRegression(solver=solver, tol=tolerance, max_iter=10_000)
    model.fit(features.astype(np.float64), truth)
    return model.coef_.T, model.intercept_


def of_reader(features: Features, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same by ``train-reader``'s fit."""
    cuts = [slice(start, start + 4096) for start in range(0, len(truth), 4096)]
    blocks = [(features[cut], truth[cut]) for cut in cuts]
    return fit_logistic(lambda: blocks, int(truth.max()) + 1)


WAYS: dict[str, Callable[..., tuple[np.ndarray, np.ndarray]]] = {
    "scikit-learn, Newton-CG to 1e-7": partial(of_sklearn, solver="newton-cg", tolerance=1e-7),
    "scikit-learn, its defaults": partial(of_sklearn, solver="lbfgs", tolerance=1e-4),
    "`logistic`": of_reader,
}


def measure_optimum(given: argparse.Namespace, folder: Path) -> None:
    """A row for each way to fit: how far it is from the optimum, and how long it takes."""
    source, path, count = folder / "tiled.h5ad", folder / "cells.h5ad", given.cells[0]
    tiled_finely(given.reference, count, source)
    build = [SUITE / "build-cells", source, "-e", given.embeddings, "--label", "label"]
    subprocess.run([*build, "-q", "-o", path], check=True)
    with open_exchange(path, "cells") as opened:
        cells = CellSequences(opened)
        assert cells.labels is not None
        order = np.random.default_rng(0).permutation(count)
        train, test = np.sort(order[: count * 4 // 5]), np.sort(order[count * 4 // 5 :])
        features, new = cells.weights(train), cells.weights(test)
        truth = cells.labels.codes[train].astype(np.int64)
    known: tuple[float, np.ndarray] | None = None
    print("| cells | method | seconds | objective | largest | mean | other labels |")
    print("|---|---|---|---|---|---|---|")
    for name, fit in WAYS.items():
        begin = time.perf_counter()
        weights, biases = fit(features, truth)
        seconds = time.perf_counter() - begin
        logits = features @ weights + biases
        losses = log_sum_exp(logits) - logits[np.arange(len(truth)), truth]
        objective = float((losses.sum() + 0.5 * (weights.astype(float) ** 2).sum()) / len(truth))
        probability = softmax(new @ weights + biases)
        known = known or (objective, probability)
        gap = np.abs(probability - known[1]).max(1)
        changed = int((probability.argmax(1) != known[1].argmax(1)).sum())
        row = f"{objective:.7f} | {gap.max():.3f} | {gap.mean():.0e} | {changed}"
        print(f"| {len(truth):,} | {name} | {seconds:.0f} | {row} |", flush=True)


def called_rightly(reader: Path, cells: Path, folder: Path) -> tuple[float, float]:
    """Accuracy and macro F1 of a reader on labelled ``cells``."""
    called = folder / "called.h5ad"
    subprocess.run([SUITE / "predict", cells, "-q", "-r", reader, "-o", called], check=True)
    obs = anndata.read_h5ad(called).obs
    truth, label = (obs[name].astype(str) for name in ("true_label", "predicted_label"))
    result = scores(truth.to_numpy(), label.to_numpy())
    called.unlink()
    return result["accuracy"], result["macro_f1"]


def measure_steps(given: argparse.Namespace, folder: Path) -> None:
    """A row for each limit of the warm start's steps: accuracy and macro F1 on each donor."""
    data = anndata.read_h5ad(given.reference)
    data.obs["label"], count = data.obs[given.column].astype(str), given.cells[0]
    found: dict[int, list[tuple[float, float]]] = {limit: [] for limit in given.warm_start_steps}
    paths = [folder / f"{name}.h5ad" for name in ("many", "new", "cells", "held-out")]
    build = [SUITE / "build-cells", "-q", "-e", given.embeddings, "--label", "label"]
    for donor in sorted(data.obs["donor"].unique()):
        is_new = (data.obs["donor"] == donor).to_numpy()
        tiled(data[~is_new].copy(), count, paths[0])
        data[is_new].copy().write_h5ad(paths[1])
        subprocess.run([*build, paths[0], "-o", paths[2]], check=True)
        subprocess.run([*build, paths[1], "--like", paths[2], "-o", paths[3]], check=True)
        for limit, each in found.items():
            reader = folder / "reader.h5"
            train = [SUITE / "train-reader", paths[2], "-q", "--method", "pooled"]
            train += ["--warm-start-steps", str(limit), "--calibrate-on", "cells", "-o", reader]
            train += ["--no-gene-scores"] if given.head_alone else []
            subprocess.run(train, check=True)
            each.append(called_rightly(reader, paths[3], folder))
            print(f"{donor}, {limit}: {each[-1]}", file=sys.stderr, flush=True)
            reader.unlink()
    print("| cells | steps at most | accuracy | macro F1 |")
    print("|---|---|---|---|")
    for limit, each in found.items():
        row = " | ".join(
            ", ".join(f"{one:.3f}" for one in part) for part in zip(*each, strict=True)
        )
        print(f"| {count:,} | {limit or 'no limit'} | {row} |", flush=True)


def measure_accuracy(given: argparse.Namespace, folder: Path) -> None:
    """A row for each method and number of cells of a label."""
    data = anndata.read_h5ad(given.reference)
    data.obs["label"] = data.obs[given.column].astype(str)
    found: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for seed in SEEDS:
        random = np.random.default_rng(seed)
        held_out = np.zeros(data.n_obs, bool)
        for rows in data.obs.groupby("label").indices.values():
            held_out[random.permutation(rows)[: round(0.3 * len(rows))]] = True
        paths = [folder / f"{name}.h5ad" for name in ("known", "new", "cells", "held-out")]
        data[~held_out].write_h5ad(paths[0])
        data[held_out].write_h5ad(paths[1])
        build = [SUITE / "build-cells", "-q", "-e", given.embeddings, "--label", "label"]
        subprocess.run([*build, paths[0], "-o", paths[2]], check=True)
        subprocess.run([*build, paths[1], "--like", paths[2], "-o", paths[3]], check=True)
        for method in given.methods:
            for limit in given.per_label:
                reader = folder / "reader.h5"
                train = [SUITE / "train-reader", paths[2], "-q", "--method", method]
                train += ["--cells-per-label", str(limit), "--seed", str(seed), "-o", reader]
                subprocess.run(train, check=True)
                right = called_rightly(reader, paths[3], folder)
                found.setdefault((method, limit), []).append(right)
    print("| cells | method | cells of a label | accuracy | macro F1 |")
    print("|---|---|---|---|---|")
    for (method, limit), each in found.items():
        ranges = [f"{min(one):.3f} to {max(one):.3f}" for one in zip(*each, strict=True)]
        row = f"{limit or 'all'} | {ranges[0]} | {ranges[1]}"
        print(f"| {given.reference.stem} | {method} | {row} |", flush=True)


MEASURES: dict[str, Callable[[argparse.Namespace, Path], None]] = {
    "time": measure_time,
    "optimum": measure_optimum,
    "steps": measure_steps,
    "accuracy": measure_accuracy,
}


def main() -> None:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=tuple(MEASURES))
    parser.add_argument("embeddings", type=Path)
    parser.add_argument("reference", type=Path)
    parser.add_argument("column", nargs="?", default="cell_type1")
    parser.add_argument("--cells", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--per-label", type=int, nargs="+", default=[0])
    parser.add_argument("--methods", nargs="+", default=["pooled", "logistic"])
    parser.add_argument("--warm-start-steps", type=int, nargs="+", default=[1_000, 0])
    parser.add_argument("--head-alone", action="store_true", help="train no gene scores")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--sklearn-up-to", type=int, default=100_000)
    parser.add_argument("--celltypist", metavar="PYTHON")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        MEASURES[given.what](given, Path(folder))


if __name__ == "__main__":
    main()
