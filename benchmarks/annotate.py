"""`screader annotate` beside others, all from the same reference to the same query.

    python benchmarks/annotate.py REFERENCE READER QUERY --label cell_type1 [--query-label ...]
        [--map TABLE] [--where donor=human4] [--genes 300] [--log-values] [--reference-too]
        [--methods ...]

REFERENCE and QUERY are h5ad files with counts (QUERY with --log-values: log1p of normalised
counts), READER a reader trained on REFERENCE. Genes are compared by name in upper case, of the
column `feature_name` where there is one. With --genes only the query's most variable genes stay.
The table of --map translates labels of both into common ones; cells of labels that the reference
does not have are left out. Rows: the reader as `predict` calls, each cell's own call of `annotate`
without a threshold, and the consensus; logistic regression on the shared genes and on 50 principal
components of them; SingleR (PyPI's singler), CellTypist, and Seurat's label
transfer and SingleR of R (annotate.R), where they are installed.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
from scipy import sparse
from scipy.io import mmwrite

from screader_lib import label_metrics
from screader_lib.annotation.annotate import AnnotationOptions, annotate
from screader_lib.annotation.by_reader.answers import LoadedReader
from screader_lib.annotation.reference import ReferenceOptions, train_on
from screader_lib.cells.formats.open_expression import open_expression
from screader_lib.cells.obs.columns import ObsColumns
from screader_lib.exchange import provenance
from screader_lib.exchange.opening import open_exchange

Calls = tuple[np.ndarray, np.ndarray | None]  # labels and confidences, None where there are none


def symbols(cells: anndata.AnnData) -> np.ndarray:
    """Gene names in upper case."""
    names = cells.var.get("feature_name", cells.var_names)
    return np.array([str(name).upper() for name in names])


def logs(cells: anndata.AnnData, genes: np.ndarray) -> sparse.csr_matrix:
    """log1p of counts per 10,000 over all genes of the file, of these genes."""
    values = sparse.csr_matrix(cells.X, dtype=np.float64)
    total = np.asarray(values.sum(1)).ravel()
    values = sparse.csr_matrix(sparse.diags(1e4 / np.maximum(total, 1)) @ values)
    return values[:, genes].log1p()


def by_reference(
    reference: Path, query: Path, columns: ObsColumns, consensus: str
) -> dict[str, Calls]:
    """What ``annotate --reference --shared-genes`` calls: a reader is trained for the query."""
    with (
        tempfile.TemporaryDirectory() as folder,
        open_expression(reference, reference.name) as cells,
        open_expression(query, query.name) as source,
    ):
        options = ReferenceOptions(columns, provider="tfidf")
        train_on([cells], Path(folder) / "reader.h5", Path(folder), options, [source])
        found = by_reader(Path(folder) / "reader.h5", query, consensus)
    return {f"{name}, shared genes": calls for name, calls in found.items()}


def by_reader(reader: Path, query: Path, consensus: str) -> dict[str, Calls]:
    """What ``annotate`` calls with or without its consensus, and the reader's own calls."""
    with (
        tempfile.TemporaryDirectory() as folder,
        open_exchange(reader, "reader") as opened,
        open_expression(query, query.name) as source,
    ):
        made = provenance.make("benchmark", {}, {}, [])
        options = AnnotationOptions(
            min_confidence=0, consensus=consensus, force=True, keeps_files=True
        )
        result = annotate([source], LoadedReader(opened), made, Path(folder), options)
        labels = np.array(result.labels.names, object)
        chances = result.cells.probability
        if consensus == "auto":
            return {"annotate, consensus": (labels[chances.argmax(1)], chances.max(1))}
        with h5py.File(Path(folder) / "predictions.h5ad") as file:
            alone = file["obsm/probability"][()]
        return {
            "reader alone (predict)": (labels[alone.argmax(1)], alone.max(1)),
            "annotate, own call": (labels[chances.argmax(1)], chances.max(1)),
        }


Measured = tuple[dict[str, Calls], float, float]  # what was called, CPU seconds, bytes at most


def measured(calls: Callable[[], dict[str, Calls]]) -> Measured | None:
    """The calls of a method that runs in a fork; None where it is not installed."""

    def run(target: Any) -> None:
        try:
            found = calls()
        except ImportError:
            target.send(None)
            return
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        seconds = sum(one.ru_utime + one.ru_stime for one in used)
        target.send((found, seconds, 1024.0 * max(one.ru_maxrss for one in used)))

    source, target = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=run, args=(target,))
    process.start()
    target.close()
    result: Measured | None = source.recv()
    process.join()
    return result


def logistic(train: sparse.csr_matrix, truth: np.ndarray, test: sparse.csr_matrix) -> Calls:
    """On z-scores clipped at 10."""
    from sklearn.linear_model import LogisticRegression

    mean, spread = train.mean(0).A1, train.toarray().std(0) + 1e-9
    first, second = (np.clip((one.toarray() - mean) / spread, -10, 10) for one in (train, test))
    chances = LogisticRegression(C=0.01, max_iter=2000).fit(first, truth)
    probability = chances.predict_proba(second)
    return chances.classes_[probability.argmax(1)], probability.max(1)


def components(train: sparse.csr_matrix, truth: np.ndarray, test: sparse.csr_matrix) -> Calls:
    """On 50 principal components of the reference's z-scores."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression

    mean, spread = train.mean(0).A1, train.toarray().std(0) + 1e-9
    first, second = (np.clip((one.toarray() - mean) / spread, -10, 10) for one in (train, test))
    places = PCA(min(50, *first.shape), svd_solver="arpack", random_state=0).fit(first)
    fitted = LogisticRegression(C=1.0, max_iter=2000).fit(places.transform(first), truth)
    probability = fitted.predict_proba(places.transform(second))
    return fitted.classes_[probability.argmax(1)], probability.max(1)


def single_r(train: sparse.csr_matrix, truth: np.ndarray, test: sparse.csr_matrix) -> Calls:
    """SingleR in C++, by its defaults."""
    import singler

    first, second = (sparse.csc_matrix(one.T) for one in (train, test))
    first.sort_indices()
    second.sort_indices()
    names = [str(number) for number in range(train.shape[1])]
    result = singler.annotate_single(second, first, list(truth), names, names, num_threads=1)
    return np.array(result.column("best"), object), None


def celltypist(train: sparse.csr_matrix, truth: np.ndarray, test: sparse.csr_matrix) -> Calls:
    """CellTypist's own training and prediction, by its defaults."""
    import celltypist as package

    names = [f"g{number}" for number in range(train.shape[1])]
    first, second = anndata.AnnData(train), anndata.AnnData(test)
    first.var_names = second.var_names = names
    model = package.train(first, labels=truth, n_jobs=1, check_expression=False)
    result = package.annotate(second, model=model)
    labels = result.predicted_labels["predicted_labels"].astype(str).to_numpy()
    return labels.astype(object), result.probability_matrix.max(1).to_numpy()


def in_r(method: str) -> Callable[..., Calls]:
    """A method of annotate.R, by its defaults; ImportError where R lacks it."""

    def calls(train: sparse.csr_matrix, truth: np.ndarray, test: sparse.csr_matrix) -> Calls:
        script = Path(__file__).with_suffix(".R")
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            mmwrite(folder / "reference.mtx", sparse.coo_matrix(train.T))
            mmwrite(folder / "query.mtx", sparse.coo_matrix(test.T))
            (folder / "labels.txt").write_text("\n".join(truth) + "\n")
            words = ["Rscript", script, method, folder]
            if not shutil.which("Rscript") or subprocess.run(words, check=False).returncode:
                raise ImportError(method)
            rows = [line.split("\t") for line in (folder / "calls.tsv").read_text().splitlines()]
        labels = np.array([label for label, _ in rows], object)
        if method == "SingleR":
            return labels, None
        return labels, np.array([float(score) for _, score in rows])

    return calls


METHODS: dict[str, Callable[..., Calls]] = {
    "logistic regression": logistic,
    "50 components, logistic regression": components,
    "SingleR": single_r,
    "CellTypist": celltypist,
    "Seurat": in_r("Seurat"),
    "SingleR in R": in_r("SingleR"),
}


def read_map(path: Path | None) -> dict[str, str]:
    """Label to common label."""
    if path is None:
        return {}
    with path.open() as stream:
        return dict(csv.reader(stream, delimiter="\t"))


def main() -> None:
    """A row for each method."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reference", type=Path)
    parser.add_argument("reader", type=Path)
    parser.add_argument("query", type=Path)
    parser.add_argument("--label", required=True)
    parser.add_argument("--query-label")
    parser.add_argument("--map", type=Path)
    parser.add_argument(
        "--where", help="COLUMN=VALUE: these cells of QUERY, the others as reference"
    )
    parser.add_argument("--genes", type=int)
    parser.add_argument("--log-values", action="store_true")
    parser.add_argument(
        "--reference-too",
        action="store_true",
        help="also annotate --reference REFERENCE --shared-genes",
    )
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    given = parser.parse_args()
    reference, query = anndata.read_h5ad(given.reference), anndata.read_h5ad(given.query)
    if given.where:
        column, value = given.where.split("=", 1)
        query = query[query.obs[column].astype(str) == value].copy()
        reference = reference[reference.obs[column].astype(str) != value].copy()
    if given.genes:
        values = query.X if given.log_values else logs(query, np.arange(query.n_vars))
        values = sparse.csr_matrix(values)
        spread = values.multiply(values).mean(0).A1 - values.mean(0).A1 ** 2
        query = query[:, np.sort(np.argsort(-spread, kind="stable")[: given.genes])].copy()
    to_common = read_map(given.map)
    common = np.vectorize(lambda label: to_common.get(label, label), otypes=[object])
    own = reference.obs[given.label].astype(str).to_numpy()
    truth = common(query.obs[given.query_label or given.label].astype(str).to_numpy())
    known = np.isin(truth, np.unique(common(own)))
    own_names, names = symbols(reference), symbols(query)
    _, first, second = np.intersect1d(own_names, names, return_indices=True)
    train = logs(reference, first)
    test = sparse.csr_matrix(query.X)[:, second] if given.log_values else logs(query, second)
    print(f"{known.sum():,} cells, {len(first):,} shared genes.\n")
    print("| method | accuracy | macro F1 | calibration error | CPU seconds | GB |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        path, other = Path(folder) / "query.h5ad", Path(folder) / "reference.h5ad"
        query.write_h5ad(path)
        reference.write_h5ad(other)
        runs: list[Callable[[], dict[str, Calls]]] = [
            partial(by_reader, given.reader, path, consensus) for consensus in ("none", "auto")
        ]
        if given.reference_too:
            columns = ObsColumns(given.label)
            runs += [partial(by_reference, other, path, columns, way) for way in ("none", "auto")]
        runs += [partial(_alone, name, train, own, test) for name in given.methods]
        for run in runs:
            if result := measured(run):
                for name, calls in result[0].items():
                    _row(name, calls, truth, known, common, result[1:])


def _alone(
    name: str, train: sparse.csr_matrix, truth: np.ndarray, test: sparse.csr_matrix
) -> dict[str, Calls]:
    return {name: METHODS[name](train, truth, test)}


def _row(
    name: str,
    calls: Calls,
    truth: np.ndarray,
    known: np.ndarray,
    common: Callable[[np.ndarray], np.ndarray],
    cost: tuple[float, float],
) -> None:
    labels, confidence = common(calls[0])[known], calls[1]
    scores = label_metrics.scores(truth[known], labels)
    error = "–"
    if confidence is not None:
        right = labels == truth[known]
        error = f"{label_metrics.expected_calibration_error(confidence[known], right):.3f}"
    print(
        f"| {name} | {scores['accuracy']:.3f} | {scores['macro_f1']:.3f} | {error} | "
        f"{cost[0]:.0f} | {cost[1] / 1e9:.1f} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
