"""The components for Open Problems beside the task's controls, on files of the task's layout.

    python benchmarks/open_problems.py --data FOLDER --work FOLDER

FOLDER holds baron_human.h5ad (each donor is the test batch once) and pbmc_facs.h5ad (sorted blood
cells, in four batches at random; one of them is the test batch). Their train, test and solution
files have what the task's src/api asks for. The components in containers/open_problems run as
viash runs them: their script with parameters in place of its VIASH block. The controls, the
logistic regression on components and the metrics do what those of the task do.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import scanpy
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

COMPONENTS = Path(__file__).parents[1] / "containers" / "open_problems"
BLOCK = re.compile(r"## VIASH START.*?## VIASH END", re.DOTALL)
VARIABLE_GENES, PARTS = 1_000, 50
METRICS = ("accuracy", "f1_weighted", "f1_macro")
SEED = 0


def dataset(path: Path, label: str, batch: str | None, title: str) -> anndata.AnnData:
    """Cells in the layout of the common dataset, from an h5ad of counts."""
    cells = anndata.read_h5ad(path)
    scanpy.pp.filter_genes(cells, min_cells=1)
    counts = sparse.csr_matrix(cells.X)
    names = cells.var.get("feature_name", cells.var_names)
    batches = (
        cells.obs[batch] if batch else np.random.default_rng(SEED).integers(4, size=len(cells))
    )
    made = anndata.AnnData(
        obs={"label": cells.obs[label].astype(str).array, "batch": np.asarray(batches, str)},
        var={"feature_id": cells.var_names.to_numpy(), "feature_name": np.asarray(names, str)},
        shape=cells.shape,
        layers={"counts": counts, "normalized": counts.astype(np.float32)},
        uns={"dataset_id": path.stem, "dataset_name": title, "dataset_summary": title,
             "dataset_description": title, "dataset_organism": "homo_sapiens",
             "normalization_id": "log_cp10k"},
    )  # fmt: skip
    made.obs_names, made.var_names = cells.obs_names, cells.var_names
    scanpy.pp.normalize_total(made, target_sum=1e4, layer="normalized")
    scanpy.pp.log1p(made, layer="normalized")
    scanpy.pp.highly_variable_genes(
        made, layer="normalized", flavor="cell_ranger", n_top_genes=VARIABLE_GENES
    )
    made.var = made.var.rename(columns={"highly_variable": "hvg", "dispersions_norm": "hvg_score"})
    made.var = made.var[["feature_id", "feature_name", "hvg", "hvg_score"]]
    variable = made.layers["normalized"][:, made.var["hvg"].to_numpy()]
    made.obsm["X_pca"] = scanpy.pp.pca(variable, n_comps=PARTS, random_state=SEED)
    return made


def write_split(cells: anndata.AnnData, batch: str, folder: Path) -> None:
    """train, test and solution: the cells of ``batch`` are to be labelled."""
    is_test = (cells.obs["batch"] == batch).to_numpy()
    folder.mkdir(parents=True, exist_ok=True)
    cells[~is_test].copy().write_h5ad(folder / "train.h5ad")
    cells[is_test].copy().write_h5ad(folder / "solution.h5ad")
    test = cells[is_test].copy()
    del test.obs["label"], test.var["feature_id"]
    test.write_h5ad(folder / "test.h5ad")


def run_component(name: str, folder: Path) -> np.ndarray:
    """The labels that a component gives to the test cells of ``folder``."""
    config = (COMPONENTS / name / "config.vsh.yaml").read_text("utf-8")
    script = re.search(r"path: \S*?(\w+/script\.py|script\.py)", config)
    assert script, name
    where = script[1] if "/" in script[1] else f"{name}/{script[1]}"
    output = folder / f"{name}.h5ad"
    given = {"input_train": "train.h5ad", "input_test": "test.h5ad"}
    par = {key: str(folder / file) for key, file in given.items()} | {"output": str(output)}
    text = (COMPONENTS / where).read_text("utf-8")
    code = BLOCK.sub(lambda _: f"par = {par!r}\nmeta = {{'name': {name!r}}}", text)
    made = folder / f"run-{name}.py"
    made.write_text(code, "utf-8")
    with (folder / f"{name}.log").open("w") as log:
        subprocess.run([sys.executable, made], check=True, stdout=log, stderr=subprocess.STDOUT)
    prediction, test = anndata.read_h5ad(output), anndata.read_h5ad(par["input_test"])
    assert prediction.obs_names.equals(test.obs_names)
    assert prediction.uns["method_id"] == name
    return prediction.obs["label_pred"].to_numpy(str)


def random_labels(train: anndata.AnnData, solution: anndata.AnnData) -> np.ndarray:
    """Labels in their frequencies among the training cells."""
    share = train.obs["label"].value_counts(normalize=True)
    return np.random.default_rng(SEED).choice(share.index.to_numpy(str), len(solution), p=share)


def majority_vote(train: anndata.AnnData, solution: anndata.AnnData) -> np.ndarray:
    """The most frequent label."""
    return np.full(len(solution), train.obs["label"].value_counts().index[0])


def true_labels(train: anndata.AnnData, solution: anndata.AnnData) -> np.ndarray:
    """What should be found."""
    return solution.obs["label"].to_numpy(str)


def logistic_regression(train: anndata.AnnData, solution: anndata.AnnData) -> np.ndarray:
    """scikit-learn's by its defaults, on the components that the file holds."""
    model = LogisticRegression().fit(train.obsm["X_pca"], train.obs["label"].astype(str))
    return model.predict(solution.obsm["X_pca"])


OURS = ("screader", "screader_pooled")
THEIRS: dict[str, Callable[[anndata.AnnData, anndata.AnnData], np.ndarray]] = {
    function.__name__: function
    for function in (logistic_regression, majority_vote, random_labels, true_labels)
}


def scores(true: np.ndarray, called: np.ndarray) -> list[float]:
    """METRICS, as the task's two components of metrics compute them."""
    f1 = [f1_score(true, called, average=kind) for kind in ("weighted", "macro")]
    return [float(np.mean(true == called)), *f1]


def measured(folder: Path) -> Iterator[tuple[str, list[float], float]]:
    """For each method its scores on the split in ``folder``, and seconds of CPU."""
    train, solution = (anndata.read_h5ad(folder / f"{name}.h5ad") for name in ("train", "solution"))
    true = solution.obs["label"].to_numpy(str)
    for name in (*OURS, *THEIRS):
        start = _seconds()
        called = THEIRS[name](train, solution) if name in THEIRS else run_component(name, folder)
        yield name, scores(true, called), _seconds() - start


def _seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    """A table for each data set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    made: list[tuple[str, Any, str | None, str]] = [
        ("pbmc_facs.h5ad", "cell_type", None, "Sorted blood cells, a quarter at random"),
        ("baron_human.h5ad", "cell_type1", "donor", "Baron human, mean over four donors"),
    ]
    for file, label, batch, title in made:
        cells = dataset(given.data / file, label, batch, title)
        tested = sorted(set(cells.obs["batch"])) if batch else ["0"]
        results: dict[str, list[list[float]]] = {}
        for one in tested:
            folder = given.work / Path(file).stem / one
            write_split(cells, one, folder)
            for name, values, seconds in measured(folder):
                results.setdefault(name, []).append([*values, seconds])
                print(
                    one, name, *(f"{value:.3f}" for value in values), f"{seconds:.0f}", flush=True
                )
        print(f"\n## {title}\n\n| method | {' | '.join(METRICS)} | CPU seconds |")
        print("|---|---|---|---|---|")
        for name, runs in results.items():
            *means, seconds = np.mean(runs, axis=0)
            print(f"| {name} | {' | '.join(f'{one:.3f}' for one in means)} | {seconds:.0f} |")


if __name__ == "__main__":
    main()
