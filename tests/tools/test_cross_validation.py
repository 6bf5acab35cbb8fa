"""``train-reader --folds``, and the same fold by fold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import h5py
import numpy as np
import pytest
from fold_files import built, gathered, read, scatter
from small_files import CELLS, call, counts, fail, succeed, write_cells

from screader_lib import label_metrics
from screader_lib.exchange import encoding
from screader_lib.exchange.table import Categorical
from screader_lib.reader.methods import methods
from screader_lib.reader.task import split_groups

FOLDS = 3
OWN = ("evidence", "distance", "familiarity")  # columns besides the calls and the cells' own


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cells with genes for each fold; folds are those that they were built for."""
    words = ("--folds", FOLDS, "--seed", 1, "--variable-genes", 25)
    return write_cells(tmp_path_factory.mktemp("cells"), *words)


@pytest.fixture(scope="module")
def words() -> list[object]:
    return ["--method", "genept-w", "--folds", FOLDS, "--seed", 3]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, cells: Path, words: list[object]) -> Path:
    """A folder with the reader and the out-of-fold calls of one command."""
    folder = tmp_path_factory.mktemp("whole")
    output = ["--oof-predictions", folder / "calls.h5ad", "-o", folder / "reader.h5"]
    succeed("train-reader", cells, *words, *output)
    return folder


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory, cells: Path, words: list[object]) -> list[Path]:
    """The calls of each fold, from commands of their own."""
    return scatter(cells, tmp_path_factory.mktemp("parts"), FOLDS, *words)


def test_one_command_is_the_same_as_fold_by_fold(
    tmp_path: Path, cells: Path, whole: Path, parts: list[Path]
) -> None:
    one, other = read(whole / "calls.h5ad"), read(gathered(tmp_path, parts))
    succeed("validate", whole / "calls.h5ad", tmp_path / "g.h5ad", *parts)
    assert list(one[0].columns) == list(other[0].columns)
    assert {*OWN, "fold", "donor", "total_counts"} <= set(one[0].columns)
    for name in one[0].columns:
        assert (one[0].strings(name) == other[0].strings(name)).all(), name
    assert (one[1] == other[1]).all()
    assert one[2:] == other[2:]
    with h5py.File(cells) as file:
        assert (one[0].index == encoding.read_strings(file["obs/id"])).all()


def test_with_an_llm_too(tmp_path: Path, cells: Path, llama: Path) -> None:
    words = ["--llm", llama, "--precision", "float32", "--warm-start-epochs", 2, "--folds", 2]
    calls = tmp_path / "calls.h5ad"
    succeed("train-reader", cells, *words, "--oof-predictions", calls, "-o", tmp_path / "r.h5")
    other = read(gathered(tmp_path, scatter(cells, tmp_path, 2, *words)))
    assert (read(calls)[1] == other[1]).all()
    assert read(calls)[3] == other[3]


def test_each_cell_is_called_once_by_the_fold_that_held_it_out(
    whole: Path, parts: list[Path], cells: Path
) -> None:
    obs = read(whole / "calls.h5ad")[0]
    held: dict[str, int] = {}
    for number, part in enumerate(parts, start=1):
        reader = part.with_name(f"r{number}.h5")
        with h5py.File(reader) as file:
            ids = encoding.read_strings(file["held_out/id"])
            known = int(file["labels/count"][()].sum())
        assert known == CELLS - len(ids)
        held |= dict.fromkeys(ids, number)
    assert len(held) == CELLS
    assert [held[name] for name in obs.index] == obs.columns["fold"].tolist()  # type: ignore[union-attr]


def test_metrics_and_calibration_set_are_those_of_the_columns(whole: Path) -> None:
    obs, _, _, metrics = read(whole / "calls.h5ad")
    true, called = obs.strings("true_label"), obs.strings("predicted_label")
    wanted = label_metrics.scores(true, called)
    assert {name: metrics[name] for name in wanted} == wanted
    fold = np.asarray(obs.columns["fold"])
    each = [float((true == called)[fold == number].mean()) for number in range(1, FOLDS + 1)]
    found = metrics["folds"]["accuracy"]
    assert found["values"] == pytest.approx(each)
    assert found["mean"] == pytest.approx(np.mean(each))
    assert found["spread"] == pytest.approx(np.std(each, ddof=1))
    assert metrics["assigned"] == 1 and metrics["accuracy_of_assigned"] == metrics["accuracy"]
    assert "hierarchical_accuracy" not in metrics
    with h5py.File(whole / "reader.h5") as file:
        assert "fold" not in file and "held_out" not in file
        assert file["labels/count"][()].sum() == CELLS
        confidence = np.asarray(obs.columns["confidence"])  # at the same temperature, 1
        np.testing.assert_allclose(file["kept/confidence"][()], confidence, rtol=1e-5)
        assert (file["kept/correct"][()] == (true == called)).all()
        assert encoding.read_json(file, "cross_validation") == metrics


def test_a_label_of_one_donor_is_never_called_there(tmp_path: Path) -> None:
    """The poison: its cells can be called so only by a reader that has seen them."""
    _, types = counts()
    donor = [f"donor{number % 3}" for number in range(CELLS)]  # as the types: alpha, beta, delta
    for number in range(0, CELLS, 2):
        donor[number] = f"donor{(number + 1) % 3}"
    types = np.where(np.array(donor) == "donor2", "rare", types)
    cells, calls = built(tmp_path, types, donor=donor), tmp_path / "calls.h5ad"
    words = ["--method", "genept-w", "--group-by", "donor"]
    succeed("train-reader", cells, *words, "--oof-predictions", calls, "-o", tmp_path / "r.h5")
    obs, probability, labels, metrics = read(calls)
    assert labels == ["alpha", "beta", "delta", "rare"]
    called, poisoned = obs.strings("predicted_label"), obs.strings("donor") == "donor2"
    assert poisoned.any() and (obs.strings("true_label")[poisoned] == "rare").all()
    assert not (called[poisoned] == "rare").any()
    assert (probability[poisoned, labels.index("rare")] == 0).all()
    assert (probability[~poisoned, labels.index("rare")] > 0).all()
    assert probability.sum(1) == pytest.approx(np.ones(CELLS), abs=1e-5)
    assert metrics["per_label"]["rare"]["recall"] == 0
    for name in set(obs.strings("donor")):
        assert len(set(np.asarray(obs.columns["fold"])[obs.strings("donor") == name])) == 1
    files = scatter(cells, tmp_path, 3, *words)
    other = read(gathered(tmp_path, files[::-1]))
    assert (other[1] == probability).all() and other[2] == labels and other[3] == metrics


class Killed(BaseException):
    """As a signal would."""


@contextmanager
def killed_at(fold: int) -> Iterator[list[int]]:
    """Training dies when it comes to this fold; gives the folds trained."""
    usual, trained = methods.train, []

    def train(task: object, *words: object) -> object:
        number = task.fold.number if task.fold else 0  # type: ignore[attr-defined]
        trained.append(number)
        if number == fold:
            raise Killed
        return usual(task, *words)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch, suppress(Killed):
        patch.setattr(methods, "train", train)
        yield trained


def test_a_run_that_was_killed_goes_on(
    tmp_path: Path, cells: Path, whole: Path, words: list[object]
) -> None:
    reader, calls = tmp_path / "reader.h5", tmp_path / "calls.h5ad"
    command = ("train-reader", cells, *words, "--oof-predictions", calls, "-o", reader)
    with killed_at(3) as trained:
        call(*command)
    assert trained == [1, 2, 3]
    done = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("fold-*.h5ad")}
    assert len(done) == 2 and not reader.exists() and not calls.exists()
    with killed_at(0) as trained:  # after the folds
        call(*command)
    assert trained == [3, 0]
    assert {file: file.stat().st_mtime_ns for file in done} == done
    with killed_at(-1) as trained:
        succeed(*command)
    assert trained == [0]
    assert sorted(tmp_path.iterdir()) == [calls, reader]
    assert calls.read_bytes() == (whole / "calls.h5ad").read_bytes()
    assert reader.read_bytes() == (whole / "reader.h5").read_bytes()


@pytest.mark.parametrize(
    ("status", "words", "message"),
    [
        (2, ["--fold", 2], "--fold requires --folds or --group-by"),
        (2, ["--folds", 3, "--fold", 4], "--fold 4 is out of range: there are 3 folds"),
        (2, ["--folds", 1], "--folds"),
        (2, ["--oof-predictions", "x"], "--oof-predictions requires --folds or --group-by"),
        (2, ["--folds", 3, "--fold", 1, "--oof-predictions", "x"], "combined with --fold"),
        (1, ["--group-by", "donor", "--fold", 5], "has 4 groups, so there is no fold 5"),
        (1, ["--group-by", "donor", "--folds", 5], "has 4 groups, too few for 5 folds"),
        (1, ["--group-by", "patient"], "no column 'patient'"),
        (1, ["--folds", 91], "has 90 labelled cells, too few for 91 folds"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_folds_that_cannot_be(
    tmp_path: Path, cells: Path, status: int, words: list[object], message: str
) -> None:
    result = call("train-reader", cells, "--method", "majority", *words, "-o", tmp_path / "r.h5")
    assert result.exit_code == status and message in result.stderr
    assert not list(tmp_path.iterdir())


def test_whole_donors_serve_for_calibration(tmp_path: Path, cells: Path) -> None:
    """As with --group-by; each calibration cell's donor is stored with the reader."""
    words = ["--method", "genept-w"]
    one, other, third = (tmp_path / f"{name}.h5" for name in ("one", "other", "third"))
    said = succeed("train-reader", cells, *words, "-o", one).stderr
    assert "the cells are of 4 donors: calibrating on 4 folds of whole donors" in said
    succeed("train-reader", cells, *words, "--group-by", "donor", "-o", other)
    succeed("train-reader", cells, *words, "--calibrate-on", "cells", "-o", third)
    succeed("validate", one, third)
    with h5py.File(one) as file, h5py.File(other) as same, h5py.File(third) as alone:
        for name in file["kept"]:
            assert np.all(file["kept"][name][()] == same["kept"][name][()]), name
        with h5py.File(cells) as source:
            donor = encoding.read_column(source["obs/donor"])
        assert isinstance(donor, Categorical)
        assert (encoding.read_strings(file["kept/group"]) == donor.strings()).all()
        assert encoding.read_text(file["kept"], "group_by") == "donor"
        assert len(alone["kept/correct"]) < 20 and "group" not in alone["kept"]
        for name, tensor in file["tensors"].items():
            assert (tensor[()] == alone["tensors"][name][()]).all()
    calls = tmp_path / "calls.h5ad"
    line = fail("predict", cells, "-r", one, "--target-precision", 0.9, "-o", calls)
    assert "they come from 4 donors; for new ones, at least 3 with 44 cells each" in line
    said = succeed("predict", cells, "-r", one, "--target-precision", 0.5, "-o", calls).stderr
    assert "expected for new donors like those of the training" in " ".join(said.split())


def test_labels_of_one_donor_do_not_serve_for_calibration(tmp_path: Path) -> None:
    """Their folds' readers do not know them; the reader of all cells does."""
    _, types = counts()
    donor = np.array([f"donor{number % 4}" for number in range(CELLS)])
    types = np.where((donor == "donor2") & (types == "beta"), "own", types)
    types[np.flatnonzero(donor == "donor2")[:6]] = "own"
    cells, reader = built(tmp_path, types, donor=donor.tolist()), tmp_path / "reader.h5"
    said = succeed("train-reader", cells, "--method", "genept-w", "-o", reader).stderr
    count = int((types == "own").sum())
    assert count >= 10
    assert f"{count} cells do not serve for calibration" in said and "(own)" in said
    with h5py.File(reader) as file:
        assert len(file["kept/group"]) == len(file["kept/correct"]) == CELLS - count


def test_donors_with_a_label_each_cannot_be_held_out(tmp_path: Path) -> None:
    _, types = counts()
    types = np.where(types == "delta", "beta", types)
    cells, reader = built(tmp_path, types, donor=types.tolist()), tmp_path / "reader.h5"
    said = succeed("train-reader", cells, "--method", "genept-w", "-o", reader).stderr
    assert "whole donors" not in said
    with h5py.File(reader) as file:
        assert "group" not in file["kept"] and len(file["kept/correct"])


def test_validation_cells_of_whole_donors() -> None:
    truth = np.repeat([0, 1], [90, 110])
    donor = np.array([f"d{number % 20}" for number in range(200)])
    training, validation = split_groups(donor, truth, 0.1, seed=3)
    assert (training == ~validation).all() and validation.sum() == 20
    assert not set(donor[training]) & set(donor[validation])
    rare = np.where(np.arange(200) < 9, 2, truth)
    assert not split_groups(donor, rare, 0.1, seed=3)[1][:9].any()
    assert not split_groups(np.where(donor > "d15", "a", "b"), truth, 0.1, seed=3)[1].any()
