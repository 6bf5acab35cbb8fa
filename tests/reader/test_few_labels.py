"""Method few-labels: cells without a label join in, from the same file or from others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import anndata
import numpy as np
import pytest
from small_files import call, counts, expression, fail, succeed, write_embeddings

from screader_lib.cells.cells_file import CellSequences
from screader_lib.exchange.opening import open_exchange
from screader_lib.reader.evaluation import evaluate
from screader_lib.reader.methods import few_labels, methods
from screader_lib.reader.settings import settings_for
from screader_lib.reader.task import TrainedMethod, make_task

LABELLED = 3  # of each type


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cells with a few labels, the same without the others, the others, and further cells."""
    folder = tmp_path_factory.mktemp("few")
    values, types = counts(seed=3)
    order = np.argsort(types, kind="stable")
    rank = np.empty(len(types), int)
    for kind in np.unique(types):
        rank[order[types[order] == kind]] = np.arange((types == kind).sum())
    known, further = rank < LABELLED, rank >= 20
    whole = expression(values, np.where(known, types, ""))
    whole.obs_names = [f"c{number}" for number in range(len(values))]
    write_embeddings(folder / "e.h5ad")
    parts = {"all": ~further, "few": known, "others": ~known & ~further, "new": further}
    for name, mask in parts.items():
        part = whole[mask].copy()
        if name == "new":
            part.obs["cell_type"] = types[mask]
        part.write_h5ad(folder / f"{name}-counts.h5ad")
        like = () if name == "all" else ("--like", folder / "all.h5ad")
        words = (folder / f"{name}-counts.h5ad", "-e", folder / "e.h5ad", *like)
        succeed("build-cells", *words, "--label", "cell_type", "-o", folder / f"{name}.h5ad")
    return folder


@pytest.fixture(scope="module")
def cells(folder: Path) -> Iterator[dict[str, CellSequences]]:
    with ExitStack() as stack:
        yield {
            name: CellSequences(
                stack.enter_context(open_exchange(folder / f"{name}.h5ad", "cells"))
            )
            for name in ("all", "few", "others", "new")
        }


def trained(cells: CellSequences, *unlabelled: CellSequences) -> TrainedMethod:
    settings = settings_for("few-labels", "default", {})
    return methods.train(make_task(cells, settings, unlabelled=unlabelled))


def outputs(method: TrainedMethod, cells: CellSequences) -> np.ndarray:
    return method.outputs(cells, np.arange(len(cells)))[0]


def test_cells_without_a_label_join_in_from_any_file(cells: dict[str, CellSequences]) -> None:
    together = outputs(trained(cells["all"]), cells["new"])
    apart = outputs(trained(cells["few"], cells["others"]), cells["new"])
    alone = outputs(trained(cells["few"]), cells["new"])
    assert np.allclose(apart, together, atol=0.02)  # the order of the cells changes rounding
    assert np.abs(alone - together).max() > 0.2


def test_few_labels_are_enough(cells: dict[str, CellSequences]) -> None:
    assert cells["new"].labels is not None and cells["all"].labels is not None
    called = outputs(trained(cells["all"]), cells["new"]).argmax(1)
    names = np.array(sorted(set(cells["all"].labels.strings()) - {""}))
    assert (names[called] == cells["new"].labels.strings()).mean() > 0.9


def test_a_cell_is_called_by_itself(cells: dict[str, CellSequences]) -> None:
    method, new = trained(cells["all"]), cells["new"]
    whole = outputs(method, new)
    single = [method.outputs(new, np.array([row]))[0][0] for row in range(len(new))]
    assert np.allclose(single, whole, atol=1e-4)
    evidence = method.evidence(new, np.arange(len(new)), whole)
    assert evidence.shape == (len(new),) and (evidence <= 1 + 1e-5).all()


def test_labelled_cells_are_judged_without_their_own_labels(folder: Path, tmp_path: Path) -> None:
    """Where the labels say nothing, cells are called by chance out of fold, and well in it."""
    values, types = counts(seed=4, cells=27)
    random_labels = np.random.default_rng(0).permutation(types)
    for labels, least, most in ((types, 0.95, 1.0), (random_labels, 0.0, 0.6)):
        expression(values, labels).write_h5ad(tmp_path / "c.h5ad")
        words = ("-e", folder / "e.h5ad", "--label", "cell_type", "-o", tmp_path / "cells.h5ad")
        succeed("build-cells", tmp_path / "c.h5ad", *words)
        with open_exchange(tmp_path / "cells.h5ad", "cells") as opened:
            sequences = CellSequences(opened)
            task = make_task(sequences, settings_for("few-labels", "default", {}))
            method = methods.train(task)
            known = evaluate(method, task).calibration_set
            own = method.outputs(sequences, task.rows)[0].argmax(1) == task.truth
        assert len(task.validation_rows) == 0 and len(known) == 27
        assert least <= known.correct.mean() <= most and own.mean() > 0.75


def test_cells_of_a_label_with_hardly_any_are_not_left_out() -> None:
    truth = np.array([0] * 12 + [1] + [2] * 2 + [3] * 3)
    fold = few_labels._folds(truth, seed=0)
    assert ((fold < 0) == np.isin(truth, [1, 2])).all()
    for number in range(few_labels.FOLDS):
        assert set(truth[fold != number]) == {0, 1, 2, 3}


def test_an_unknown_type_is_unfamiliar(folder: Path, tmp_path: Path) -> None:
    """Five to ten labels a type are enough to tell, without any validation cell."""
    values, types = counts(seed=5, cells=60)
    known = types != types[0]
    for name, mask in (("known", known & (np.arange(60) < 42)), ("new", np.arange(60) >= 42)):
        expression(values[mask], types[mask]).write_h5ad(tmp_path / f"{name}-counts.h5ad")
        like = ("--like", tmp_path / "known.h5ad") if name == "new" else ()
        words = ("--label", "cell_type", *like, "-o", tmp_path / f"{name}.h5ad")
        succeed("build-cells", tmp_path / f"{name}-counts.h5ad", "-e", folder / "e.h5ad", *words)
    reader, calls = tmp_path / "reader.h5", tmp_path / "calls.h5ad"
    succeed("train-reader", tmp_path / "known.h5ad", "--method", "few-labels", "-o", reader)
    succeed("predict", tmp_path / "new.h5ad", "-r", reader, "-o", calls)
    obs = anndata.read_h5ad(calls).obs
    unknown = obs["true_label"].astype(str) == types[0]
    assert obs["familiarity"][unknown].max() < 0.05 < obs["familiarity"][~unknown].median()


class WithoutLabels(CellSequences):
    labels = None


def test_labels_of_unlabelled_cells_are_not_read(cells: dict[str, CellSequences]) -> None:
    labelled, new = cells["new"], WithoutLabels(cells["new"].opened)
    assert labelled.labels is not None
    methods_of = trained(cells["few"], labelled), trained(cells["few"], new)
    assert np.array_equal(*(outputs(method, new) for method in methods_of))


def test_by_the_tools(folder: Path, tmp_path: Path) -> None:
    reader, calls = tmp_path / "reader.h5", tmp_path / "calls.h5ad"
    words = ("--method", "few-labels", "--unlabelled", folder / "others.h5ad", "-o", reader)
    done = succeed("train-reader", folder / "few.h5ad", *words)
    others = anndata.read_h5ad(folder / "others-counts.h5ad").n_obs
    assert f"{others:,} without a label join in" in done.stderr
    succeed("predict", folder / "new.h5ad", "-r", reader, "-o", calls)
    obs = anndata.read_h5ad(calls).obs
    assert (obs["predicted_label"].astype(str) == obs["true_label"].astype(str)).mean() > 0.9


def test_what_does_not_fit_is_refused(folder: Path, tmp_path: Path) -> None:
    few, others, output = folder / "few.h5ad", folder / "others.h5ad", tmp_path / "reader.h5"
    done = call("train-reader", few, "--method", "logistic", "--unlabelled", others, "-o", output)
    assert done.exit_code == 2 and "few-labels" in done.stderr
    renamed = anndata.read_h5ad(folder / "others-counts.h5ad")
    renamed.var_names = [f"{name}x" for name in renamed.var_names]
    renamed.write_h5ad(tmp_path / "x.h5ad")
    write_embeddings(tmp_path / "e.h5ad", list(renamed.var_names))
    succeed(
        "build-cells", tmp_path / "x.h5ad", "-e", tmp_path / "e.h5ad", "-o", tmp_path / "c.h5ad"
    )
    words = ("--method", "few-labels", "--unlabelled", tmp_path / "c.h5ad", "-o", output)
    message = fail("train-reader", few, *words)
    assert "c.h5ad" in message and "of the genes of" in message and "--like" in message
    assert not output.exists()
