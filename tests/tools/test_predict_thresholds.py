"""``predict``: which calls are taken, which cells are called, and wrong ways to say so."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from fold_files import built
from small_files import CELLS, call, counts, fail, succeed

from screader_lib.exchange import encoding
from screader_lib.exchange.table import Table
from screader_lib.reader.confidence.calibration import MIN_CALIBRATION_CELLS, CalibrationSet

METHOD = ["--method", "genept-w"]


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cells of which a fifth have a wrong label, so that no reader is right of all."""
    random = np.random.default_rng(1)
    types = counts()[1]
    wrong = random.random(CELLS) < 0.2
    types = np.where(wrong, random.choice(["alpha", "beta", "delta"], CELLS), types)
    return built(tmp_path_factory.mktemp("noisy"), types)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory, noisy: Path) -> Path:
    """A reader that knows what its folds said of all cells."""
    path = tmp_path_factory.mktemp("reader") / "reader.h5"
    succeed("train-reader", noisy, *METHOD, "--folds", 3, "-o", path)
    return path


@pytest.fixture(scope="module")
def of_fold(tmp_path_factory: pytest.TempPathFactory, noisy: Path) -> Path:
    """The reader of fold 2 of 3."""
    path = tmp_path_factory.mktemp("fold") / "fold.h5"
    succeed("train-reader", noisy, *METHOD, "--folds", 3, "--fold", 2, "-o", path)
    return path


def kept_of(reader: Path) -> CalibrationSet:
    with h5py.File(reader) as file:
        group = file["kept"]
        return CalibrationSet(
            group["confidence"][()],
            group["correct"][()].astype(bool),
            group["evidence"][()],
            distance=group["distance"][()],
        )


def predicted(cells: Path, reader: Path, output: Path, *words: object) -> tuple[Table, str]:
    result = succeed("predict", cells, "-r", reader, *words, "-o", output)
    succeed("validate", output)
    with h5py.File(output) as file:
        return encoding.read_table(file["obs"]), " ".join(result.stderr.split())


def test_target_precision_is_the_least_confidence_that_assures_it(
    tmp_path: Path, noisy: Path, reader: Path
) -> None:
    kept = kept_of(reader)
    assert len(kept) == CELLS and 0 < kept.correct.mean() < 1
    target = 0.75
    least = kept.threshold(target)
    found, said = predicted(noisy, reader, tmp_path / "p.h5ad", "--target-precision", target)
    assert f"confidence of at least {least:.3f} are assigned: a precision of 0.75" in said
    confidence = np.asarray(found.columns["confidence"])
    assigned = found.strings("status") == "assigned"
    assert (assigned == (confidence >= np.float32(least))).all()
    same, _ = predicted(noisy, reader, tmp_path / "q.h5ad", "--min-confidence", repr(least))
    assert (same.strings("status") == found.strings("status")).all()
    more, _ = predicted(noisy, reader, tmp_path / "r.h5ad", "--target-precision", 0.5)
    assert (more.strings("status") == "assigned").sum() >= assigned.sum() > 0


def test_a_reader_that_kept_no_cell_assures_nothing(tmp_path: Path, noisy: Path) -> None:
    reader, output = tmp_path / "r.h5", tmp_path / "p.h5ad"
    succeed("train-reader", noisy, *METHOD, "--validation", 0, "-o", reader)
    line = fail("predict", noisy, "-r", reader, "--target-precision", 0.5, "-o", output)
    assert "the reader's 0 calibration cells" in line and "--folds" in line and not output.exists()
    found, _ = predicted(noisy, reader, output)
    assert (np.asarray(found.columns["familiarity"]) == 1).all()


def test_unfamiliar_cells_are_unassigned(tmp_path: Path, noisy: Path, reader: Path) -> None:
    least = 0.3
    found, _ = predicted(noisy, reader, tmp_path / "p.h5ad", "--min-familiarity", least)
    values = np.asarray(found.columns["familiarity"])
    signs = (np.asarray(found.columns[one]) for one in ("confidence", "evidence", "distance"))
    wanted = kept_of(reader).familiarity(*signs)
    assert len(kept_of(reader)) >= MIN_CALIBRATION_CELLS and (values == wanted).all()
    assert ((found.strings("status") == "assigned") == (values >= np.float32(least))).all()
    assert 0 < (found.strings("status") == "unassigned").sum() < CELLS
    both, _ = predicted(
        noisy, reader, tmp_path / "q.h5ad", "--min-familiarity", least, "--min-confidence", 0.8
    )
    sure = np.asarray(both.columns["confidence"]) >= np.float32(0.8)
    wanted = sure & (values >= np.float32(least))
    assert ((both.strings("status") == "assigned") == wanted).all()


def test_held_out_cells_alone(tmp_path: Path, noisy: Path, of_fold: Path) -> None:
    words = ("--held-out", "--min-confidence", 0.9, "--explain", 3)
    found, _ = predicted(noisy, of_fold, tmp_path / "p.h5ad", *words)
    sure = np.asarray(found.columns["confidence"]) >= np.float32(0.9)
    assert ((found.strings("status") == "assigned") == sure).all()
    whole, _ = predicted(noisy, of_fold, tmp_path / "q.h5ad")
    with h5py.File(of_fold) as file, h5py.File(tmp_path / "p.h5ad") as calls:
        assert set(found.index) == set(encoding.read_strings(file["held_out/id"]))
        assert encoding.read_json(calls["uns"], "fold") == encoding.read_json(file, "fold")
        part = calls["obsm/probability"][()]
        assert calls["obsm/explanation_gene"].shape == (len(found), 3)
    rows = np.asarray(found.columns["row"])
    assert (np.diff(rows) > 0).all() and (whole.index[rows] == found.index).all()
    with h5py.File(tmp_path / "q.h5ad") as file:
        # Other cells beside them: other shapes of products, whose last bits differ.
        np.testing.assert_allclose(file["obsm/probability"][()][rows], part, rtol=1e-4, atol=1e-6)
        assert "fold" not in file["uns"] and "row" not in whole.columns


@pytest.mark.parametrize(
    ("words", "message", "remedy"),
    [
        (["--held-out"], "reader.h5: has no held-out cells", "--fold"),
        (
            ["--target-precision", 0.995],
            f"the reader's {CELLS} calibration cells cannot assure --target-precision 0.995",
            "or lower it",
        ),
    ],
    ids=["no cells held out", "precision out of reach"],
)
def test_what_the_reader_cannot_do(
    tmp_path: Path, noisy: Path, reader: Path, words: list[object], message: str, remedy: str
) -> None:
    line = fail("predict", noisy, "-r", reader, *words, "-o", tmp_path / "p.h5ad")
    assert message in line and remedy in line and not list(tmp_path.iterdir())


def test_held_out_cells_that_are_not_there(tmp_path: Path, noisy: Path, of_fold: Path) -> None:
    others, output = tmp_path / "others.h5ad", tmp_path / "p.h5ad"
    others.write_bytes(noisy.read_bytes())
    with h5py.File(of_fold) as file, h5py.File(others, "a") as cells:
        held = encoding.read_strings(file["held_out/id"])
        names = cells["obs/id"].asstr()[()]
        names[names == held[0]] = "somebody else"
        cells["obs/id"][...] = names
    line = fail("predict", others, "-r", of_fold, "--held-out", "-o", output)
    assert f"has {len(held) - 1} of the {len(held)} cells" in line and "others.h5ad" in line
    assert not output.exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--target-precision", 0.9, "--min-confidence", 0.5], "mutually exclusive"),
        (["--min-confidence", "nan"], "'--min-confidence': expected a finite number"),
        (["--target-precision", 1], "--target-precision"),
        (["--min-familiarity", 1.5], "--min-familiarity"),
        (["--embedder", "packaged"], "--embedder only applies to readers of method genept-s"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_wrong_usage(
    tmp_path: Path, noisy: Path, reader: Path, words: list[object], told: str
) -> None:
    result = call("predict", noisy, "-r", reader, *words, "-o", tmp_path / "p.h5ad")
    assert result.exit_code == 2 and told in result.stderr, result.stderr
    assert not list(tmp_path.iterdir())


def test_options_of_an_llm_that_the_reader_does_not_use(
    tmp_path: Path, noisy: Path, reader: Path
) -> None:
    words = ["--llm", "packaged", "--precision", "float32"]
    _, said = predicted(noisy, reader, tmp_path / "p.h5ad", *words)
    assert ": --llm, --precision" in said
    assert "--precision" not in predicted(noisy, reader, tmp_path / "q.h5ad")[1]
