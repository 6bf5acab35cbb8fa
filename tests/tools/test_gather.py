"""``screader gather``: the calls of all folds in one file."""

from __future__ import annotations

from pathlib import Path

import pytest
from fold_files import scatter, write_obo
from small_files import call, fail, succeed, write_cells

FOLDS = 3
WORDS = ["--method", "genept-w", "--folds", FOLDS, "--seed", 3]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory, cells: Path) -> list[Path]:
    """The calls of each fold."""
    return scatter(cells, tmp_path_factory.mktemp("parts"), FOLDS, *WORDS)


@pytest.mark.parametrize(
    ("training", "ontology"),
    [
        pytest.param([*WORDS[:-1], 4], False, id="seed"),
        pytest.param([*WORDS, "--group-by", "donor"], False, id="groups"),
        pytest.param(["--method", "majority", *WORDS[2:]], False, id="method"),
        pytest.param(None, False, id="cells"),
        pytest.param(WORDS, True, id="ontology"),
    ],
)
def test_a_fold_of_another_cross_validation(
    tmp_path: Path, cells: Path, parts: list[Path], training: list[object] | None, ontology: bool
) -> None:
    if training is None:
        cells, training = write_cells(tmp_path, seed=5), WORDS
    reader, stranger, output = (tmp_path / name for name in ("r.h5", "stranger.h5ad", "g.h5ad"))
    calling = ["--ontology", write_obo(tmp_path / "cl.obo")] if ontology else []
    succeed("train-reader", cells, *training, "--fold", 2, "-o", reader)
    succeed("predict", cells, "-r", reader, "--held-out", *calling, "-o", stranger)
    line = fail("screader", "gather", parts[0], stranger, parts[2], "-o", output)
    assert "stranger.h5ad: is of another cross-validation" in line and not output.exists()


def test_folds_that_are_missing_twice_or_none(
    tmp_path: Path, cells: Path, parts: list[Path]
) -> None:
    output = tmp_path / "g.h5ad"
    usual = tmp_path / "usual.h5ad"
    succeed("predict", cells, "-r", parts[0].with_name("r1.h5"), "-o", usual)
    for files, told in (
        (parts[1:2], "of 3 folds, these are missing: 1, 3"),
        ([*parts, parts[1]], "is fold 2, but so is"),
        ([parts[0], parts[0], parts[2]], "is fold 1, but so is"),
        ([*parts[:2], usual], "usual.h5ad: does not hold a fold's held-out cells"),
        ([*parts[:2], cells], "is a cells file, expected predictions"),
    ):
        assert told in fail("screader", "gather", *files, "-o", output)
        assert not output.exists()
    assert call("screader", "gather", "-o", output).exit_code == 2
