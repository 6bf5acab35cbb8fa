"""Normalisation of values as given, on whole transcriptomes and on panels of their genes.

    python benchmarks/normalisation.py panels EXPRESSION EMBEDDINGS LABEL [--groups COLUMN]
        [--held-out GROUP ...]
    python benchmarks/normalisation.py choices EXPRESSION LABEL [--groups COLUMN] [--held-out GROUP]
    python benchmarks/normalisation.py technologies EXPRESSION EMBEDDINGS LABEL GROUPS
    python benchmarks/normalisation.py transfer TRAINING LABEL QUERY LABEL EMBEDDINGS LABEL_MAP
        [--gene-column COLUMN]

`panels`: a reader of raw counts calls the cells of a group left out (or of a fifth of the cells),
as they are and as files of some of their genes with log1p of counts per 10,000 of all genes (of
which `totals` and `reader` make the same as of counts). `choices`: the same by scikit-learn's
logistic regression alone, and what a reader trained on the panel's genes reaches. `technologies`:
readers of logs of a part of the genes call the cells of a group left out. `transfer`: a reader of
one file calls the cells of another, whose labels a table translates.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from pathlib import Path

import anndata
import numpy as np
from scipy import sparse

from screader_lib import label_metrics
from screader_lib.exchange import encoding
from screader_lib.exchange.opening import open_exchange
from screader_tools import build_cells, predict, train_reader

METHODS = ("logistic", "pooled")
SIZES = (1000, 500, 300, 100)
FOLDS = 5


def run(command: object, *words: object) -> None:
    """Run one command in this process, quietly."""
    command.main([*map(str, words), "-q"], standalone_mode=False)  # type: ignore[attr-defined]


def train(folder: Path, data: anndata.AnnData, embeddings: str, label: str, *words: str) -> Path:
    """Readers of each method, of ``data``; returns the cells file."""
    data.write_h5ad(folder / "train-values.h5ad")
    cells = folder / "train.h5ad"
    run(build_cells.main, folder / "train-values.h5ad", "-e", embeddings, "--label", label, *words,
        "-o", cells)  # fmt: skip
    for method in METHODS:
        run(train_reader.main, cells, "--method", method, "-o", folder / f"{method}.h5")
    return cells


def call(
    folder: Path, data: anndata.AnnData, embeddings: str, label: str, *words: str
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """True and predicted labels of ``data`` by method."""
    data.write_h5ad(folder / "query-values.h5ad")
    cells, made = folder / "query.h5ad", folder / "calls.h5ad"
    run(build_cells.main, folder / "query-values.h5ad", "-e", embeddings, "--label", label,
        "--like", folder / "logistic.h5", "--min-mapped", 0, *words, "-o", cells)  # fmt: skip
    result = {}
    for method in METHODS:
        run(predict.main, cells, "-r", folder / f"{method}.h5", "-o", made)
        with open_exchange(made, "predictions") as opened:
            obs = encoding.read_table(opened.file["obs"])
            result[method] = obs.strings("true_label"), obs.strings("predicted_label")
    return result


def scores(true: np.ndarray, predicted: np.ndarray) -> tuple[float, float]:
    """Accuracy and macro F1."""
    found = label_metrics.scores(true, predicted)
    return found["accuracy"], found["macro_f1"]


def log_values(data: anndata.AnnData) -> anndata.AnnData:
    """log1p of counts per 10,000 of all genes."""
    made = data.copy()
    counts = sparse.csr_matrix(made.X, dtype=np.float64)
    totals = np.maximum(np.asarray(counts.sum(1)).ravel(), 1)
    made.X = (sparse.diags(1e4 / totals) @ counts).log1p().astype(np.float32).tocsr()
    return made


def most_variable(logs: anndata.AnnData) -> np.ndarray:
    """Genes seen in three cells, by falling excess of their variance over that of their mean."""
    mean = np.asarray(logs.X.mean(0)).ravel()
    variance = np.asarray(logs.X.multiply(logs.X).mean(0)).ravel() - mean**2
    seen = np.flatnonzero((np.asarray((logs.X > 0).sum(0)).ravel() >= 3) & (variance > 0))
    x, y = np.log(mean[seen]), np.log(variance[seen])
    return seen[np.argsort(np.polynomial.Polynomial.fit(x, y, 2)(x) - y, kind="stable")]


def print_table(results: dict[tuple[str, str], list[tuple[float, float]]]) -> None:
    """Means over groups: a row for each file and normalisation, a column for each method."""
    print(f"| cells | {' | '.join(METHODS)} |\n|---|{'---|' * len(METHODS)}")
    for name in dict.fromkeys(name for name, _ in results):
        means = [np.mean(results[name, method], axis=0) for method in METHODS]
        print(f"| {name} | {' | '.join(f'{a:.3f} / {f:.3f}' for a, f in means)} |", flush=True)


def panels(options: argparse.Namespace) -> None:
    """Panels of 1,000 to 100 genes, at random or most variable, of held-out cells."""
    data = anndata.read_h5ad(options.expression)
    random = np.random.default_rng(0)
    groups = random.permutation(data.n_obs) % FOLDS
    if options.groups:
        groups = data.obs[options.groups].to_numpy()
    results: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for group in options.held_out or sorted(set(groups)):
        held_out = groups.astype(str) == str(group)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            train(folder, data[~held_out].copy(), options.embeddings, options.label)
            query = data[held_out].copy()
            logs = log_values(query)
            variable = most_variable(log_values(data[~held_out].copy()))

            def record(what: str, cells: anndata.AnnData, normalise: str) -> None:
                words = [options.embeddings, options.label, "--normalise", normalise]
                for method, found in call(folder, cells, *words).items():  # noqa: B023
                    results[f"{what}, {normalise}", method].append(scores(*found))

            record("all genes, counts", query, "totals")
            record("all genes, counts", query, "reader")
            for size in SIZES:
                for kind in ("variable", "random"):
                    genes = variable[:size]
                    if kind == "random":
                        genes = np.sort(random.choice(variable, size, replace=False))
                    for normalise in ("totals", "reader", "none"):
                        record(f"{size} {kind} genes", logs[:, genes].copy(), normalise)
            print(f"without {group}:")
            print_table(results)


def choices(options: argparse.Namespace) -> None:
    """Normalisations of panels, before one was built in; 3,000 variable genes."""
    from sklearn.linear_model import LogisticRegression

    data = anndata.read_h5ad(options.expression)
    random = np.random.default_rng(0)
    groups = random.permutation(data.n_obs) % FOLDS
    if options.groups:
        groups = data.obs[options.groups].to_numpy()
    held_out = groups.astype(str) == options.held_out
    labels = data.obs[options.label].astype(str).to_numpy()
    ranked = most_variable(log_values(data[~held_out].copy()))
    chosen = ranked[:3000]
    values = log_values(data).X.expm1().tocsc()  # per 10,000 of all genes
    means = np.asarray(values[~held_out].mean(0)).ravel()

    def fit(features: sparse.csr_matrix) -> LogisticRegression:
        model = LogisticRegression(C=1, max_iter=60, tol=1e-2)
        return model.fit(features[~held_out], labels[~held_out])

    def over(genes: np.ndarray, target: float) -> sparse.csr_matrix:
        """Values whose total over ``genes`` is ``target``."""
        totals = np.maximum(np.asarray(values[:, genes].sum(1)).ravel(), 1e-9)
        return (sparse.diags(target / totals) @ values).tocsc()

    def measure(model: LogisticRegression, features: sparse.csr_matrix) -> str:
        found = scores(labels[held_out], model.predict(features[held_out]))
        return f"{found[0]:.3f} / {found[1]:.3f}"

    def logs(matrix: sparse.csc_matrix, genes: np.ndarray) -> sparse.csr_matrix:
        return matrix[:, genes].log1p().tocsr()

    whole, selected = fit(logs(values, chosen)), fit(logs(over(chosen, 1e4), chosen))
    print("| all genes |", measure(whole, logs(values, chosen)), "| over the 3,000:",
          measure(selected, logs(over(chosen, 1e4), chosen)), "|")  # fmt: skip
    for size in (1000, 300, 100):
        for kind in ("variable", "random"):
            panel = ranked[:size]
            if kind == "random":
                panel = np.sort(random.choice(ranked, size, replace=False))
            shared = np.intersect1d(panel, chosen)
            keep = sparse.diags(np.isin(chosen, shared).astype(float))
            tried = [
                (whole, logs(over(panel, 1e4), chosen) @ keep),
                (whole, logs(over(shared, float(means[shared].sum())), chosen) @ keep),
                (whole, logs(values, chosen) @ keep),
                (selected, logs(over(shared, 1e4), chosen) @ keep),
            ]
            for features in (logs(over(shared, 1e4), shared), logs(values, shared)):
                tried.append((fit(features), features))
            cells = " | ".join(measure(model, features) for model, features in tried)
            print(f"| {size:,} {kind} | {cells} |", flush=True)


def technologies(options: argparse.Namespace) -> None:
    """Each group left out; readers of values as given and of values normalised again."""
    data = anndata.read_h5ad(options.expression)
    results: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for group in sorted(set(data.obs[options.groups])):
        held_out = (data.obs[options.groups] == group).to_numpy()
        for normalise in ("totals", "none"):
            words = ["--normalise", normalise]
            with tempfile.TemporaryDirectory() as name:
                folder, training = Path(name), data[~held_out].copy()
                train(folder, training, options.embeddings, options.label, *words)
                found = call(
                    folder, data[held_out].copy(), options.embeddings, options.label, *words
                )
            for method, labels in found.items():
                results[f"without {group}, {normalise}", method].append(scores(*labels))
                results[f"mean, {normalise}", method].append(scores(*labels))
    print_table(results)


def transfer(options: argparse.Namespace) -> None:
    """A reader of whole transcriptomes calls a file of logs of a part of the genes."""
    data, query = anndata.read_h5ad(options.training), anndata.read_h5ad(options.query)
    lines = Path(options.label_map).read_text("utf-8").splitlines()
    names = dict(line.split("\t") for line in lines)
    query.obs[options.query_label] = query.obs[options.query_label].astype(str).map(names)
    query = query[query.obs[options.query_label].notna().to_numpy()].copy()
    results: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        words = ["--gene-column", options.gene_column] if options.gene_column else []
        train(folder, data, options.embeddings, options.label, *words)
        for normalise in ("totals", "reader", "none"):
            words = ["--normalise", normalise]
            found = call(folder, query, options.embeddings, options.query_label, *words)
            for method, labels in found.items():
                results[normalise, method].append(scores(*labels))
    print_table(results)


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = parser.add_subparsers(required=True)
    part = parts.add_parser("panels")
    for name in ("expression", "embeddings", "label"):
        part.add_argument(name)
    part.add_argument("--groups")
    part.add_argument("--held-out", nargs="+")
    part.set_defaults(measure=panels)
    part = parts.add_parser("choices")
    part.add_argument("expression")
    part.add_argument("label")
    part.add_argument("--groups")
    part.add_argument("--held-out", default="0")
    part.set_defaults(measure=choices)
    part = parts.add_parser("technologies")
    for name in ("expression", "embeddings", "label", "groups"):
        part.add_argument(name)
    part.set_defaults(measure=technologies)
    part = parts.add_parser("transfer")
    for name in ("training", "label", "query", "query_label", "embeddings", "label_map"):
        part.add_argument(name)
    part.add_argument("--gene-column")
    part.set_defaults(measure=transfer)
    options = parser.parse_args()
    options.measure(options)


if __name__ == "__main__":
    main()
