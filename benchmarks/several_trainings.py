"""How far readers of the same cells, trained several times, differ on cells from elsewhere.

    python benchmarks/several_trainings.py REFERENCE QUERY --label COLUMN [--query-label COLUMN]
        [--map TABLE] [--where donor=human3] [--trainings 5]

Each training is one of `annotate --reference` (`pooled`). Those of the first row differ in the seed
alone: in the validation cells, on which the strength of the regression and the temperature are
chosen. Those of the others have fewer of the reference's genes, drawn at random, to choose their
3,000 from. *Averaged*: the mean of the trainings' probabilities. Options are those of annotate.py.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import anndata
import h5py
import numpy as np
from annotate import read_map

from screader_lib import label_metrics
from screader_lib.annotation.annotate import AnnotationOptions, annotate
from screader_lib.annotation.by_reader.answers import LoadedReader
from screader_lib.annotation.reference import ReferenceOptions, train_on
from screader_lib.cells.formats.open_expression import open_expression
from screader_lib.cells.obs.columns import ObsColumns
from screader_lib.exchange import provenance
from screader_lib.exchange.opening import open_exchange

SHARES = (1.0, 0.8, 0.6)  # of the reference's genes
WAYS = ("reader alone", "annotate, own call", "annotate, consensus")


def probabilities(
    reference: Path, query: Path, label: str, seed: int, folder: Path
) -> tuple[np.ndarray, list[np.ndarray]]:
    """The labels, and float (cells, labels) of each of WAYS, by one training."""
    made = provenance.make("benchmark", {}, {}, [])
    options = ReferenceOptions(ObsColumns(label), provider="tfidf", settings={"seed": seed})
    with open_expression(reference, reference.name) as cells:
        train_on([cells], folder / "reader.h5", folder, options)
    found = []
    for consensus in ("none", "auto"):
        with (
            open_exchange(folder / "reader.h5", "reader") as opened,
            open_expression(query, query.name) as source,
        ):
            wanted = AnnotationOptions(
                min_confidence=0, consensus=consensus, force=True, keeps_files=True
            )
            result = annotate([source], LoadedReader(opened), made, folder, wanted)
            labels = np.array(result.labels.names, object)
            if consensus == "none":
                with h5py.File(folder / "predictions.h5ad") as file:
                    found.append(file["obsm/probability"][()])
            found.append(np.array(result.cells.probability))
    return labels, found


def main() -> None:
    """A row for each share of the genes and way of calling."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reference", type=Path)
    parser.add_argument("query", type=Path)
    parser.add_argument("--label", required=True)
    parser.add_argument("--query-label")
    parser.add_argument("--map", type=Path)
    parser.add_argument("--where")
    parser.add_argument("--trainings", type=int, default=5)
    given = parser.parse_args()
    reference, query = anndata.read_h5ad(given.reference), anndata.read_h5ad(given.query)
    if given.where:
        column, value = given.where.split("=", 1)
        query = query[query.obs[column].astype(str) == value].copy()
        reference = reference[reference.obs[column].astype(str) != value].copy()
    names = read_map(given.map)
    common = np.vectorize(lambda label: names.get(label, label), otypes=[object])
    truth = common(query.obs[given.query_label or given.label].astype(str).to_numpy())
    known = np.isin(truth, np.unique(common(reference.obs[given.label].astype(str).to_numpy())))

    def scores(labels: np.ndarray, chances: np.ndarray) -> tuple[float, float]:
        called = common(labels[chances.argmax(1)])[known]
        found = label_metrics.scores(truth[known], called)
        return found["accuracy"], found["macro_f1"]

    print(f"{known.sum():,} cells.\n")
    print("| genes to choose from | way | accuracy | macro F1 | averaged: accuracy | macro F1 |")
    print("|---|---|---|---|---|---|")
    for share in SHARES:
        runs = []
        for number in range(given.trainings):
            kept = np.random.default_rng(number).random(reference.n_vars) < share
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                reference[:, kept].copy().write_h5ad(folder / "some.h5ad")
                query.write_h5ad(folder / "query.h5ad")
                files = (folder / "some.h5ad", folder / "query.h5ad")
                labels, found = probabilities(*files, given.label, number, folder)
            runs.append(found)
        for way, chances in zip(WAYS, zip(*runs, strict=True), strict=True):
            each = np.array([scores(labels, one) for one in chances])
            row = [f"{one.mean():.3f} ({one.min():.3f} to {one.max():.3f})" for one in each.T]
            row += [f"{one:.3f}" for one in scores(labels, np.mean(chances, axis=0))]
            print(f"| {share:.0%} | {way} | {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
