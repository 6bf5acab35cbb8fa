"""``build-cells --folds``: each fold's genes come from its training cells, and from no other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pytest
from small_files import call, fail, genes, succeed, write_embeddings

from screader_lib.cells import cell_builder
from screader_lib.cells.cells_file import CellSequences
from screader_lib.cells.fold_sequences import of_fold
from screader_lib.exchange import encoding
from screader_lib.exchange.opening import open_exchange
from screader_lib.exchange.table import Categorical

CELLS, DONORS = 80, ("d1", "d2", "d3")
BY_LABEL, BY_DONOR = ("--folds", 4, "--seed", 5), ("--group-by", "donor")
VARIABLE = ("--variable-genes", 15)
NAMES = ("symbol", "gene_id", "ensembl_id", "text", "mean")
WARNING = "genes were selected with the held-out cells included"


def write_counts(path: Path, seed: int = 0, order: np.ndarray | None = None) -> Path:
    """Cells of which every tenth has no label; donors differ in the genes that vary."""
    from small_files import expression

    random = np.random.default_rng(seed)
    types = np.arange(CELLS) % 2
    donors = np.repeat(np.arange(3), [30, 26, 24])
    rate = np.full((CELLS, len(genes())), 1.0)
    for cell in range(CELLS):
        rate[cell, 10 * types[cell] : 10 * types[cell] + 8] = 6
        first = 22 + 5 * donors[cell]  # genes that vary within one donor
        rate[cell, first : first + 5] = random.gamma(0.3, 20, 5)
    labels = np.where(np.arange(CELLS) % 10 == 7, "unknown", np.array(["alpha", "beta"])[types])
    data = expression(random.poisson(rate), labels, donor=np.array(DONORS)[donors], fold="kept")
    data[np.arange(CELLS) if order is None else order].write_h5ad(path)
    return path


def build(counts: Path, name: str, *words: object) -> Path:
    """Cells beside their counts."""
    embeddings, output = counts.with_name("e.h5ad"), counts.with_name(name)
    if not embeddings.exists():
        write_embeddings(embeddings)
    label = ["--label", "cell_type"]
    succeed("build-cells", counts, "-e", embeddings, *label, *words, "-o", output)
    return output


@contextmanager
def fold_of(path: Path, number: int) -> Iterator[CellSequences]:
    """The cells by the genes of a fold, or of all cells for 0."""
    with open_exchange(path, "cells") as opened:
        cells = CellSequences(opened)
        plan = cells.fold_plan
        if number:
            assert plan is not None
            cells = of_fold(cells, plan.folds(plan.count, plan.group_by)[number - 1])
            assert cells.genes.index.tolist() != CellSequences(opened).genes.index.tolist() or (
                cells.construction["select"] == "all"
            )
        yield cells


def content(cells: CellSequences, rows: np.ndarray) -> dict[str, Any]:
    """All that a reader learns from, of these cells."""
    index, weight = cells.rows(rows)
    columns = cells.genes.columns.items()
    return {
        "cells": cells.obs.index[rows].tolist(),
        "genes": cells.genes.index.tolist(),
        "median": np.asarray(cells.genes.columns["median"]).tobytes(),
        "columns": {name: list(map(str, column)) for name, column in columns if name in NAMES},
        "embedding": cells.embedding.tobytes(),
        "index": index.tobytes(),
        "weight": weight.tobytes(),
        "lengths": cells.lengths[rows].tolist(),
        "width": cells.width,
    }


def parted(counts: Path, cells: Path, number: int, *words: object) -> tuple[Path, Path, np.ndarray]:
    """A build of the cells outside a fold, one of the fold's like it, and the fold of each cell."""
    with h5py.File(cells) as file:
        folds = file["obs/screader_fold"][()]
        names = encoding.read_strings(file["obs/id"])
    files = []
    for part, own in (("training", folds != number), ("held-out", folds == number)):
        chosen = counts.with_name(f"{part}.txt")
        chosen.write_text("\n".join(names[own]))
        given = words if part == "training" else ("--like", files[0])
        files.append(build(counts, f"{part}.h5ad", "--cells", chosen, *given))
    return files[0], files[1], folds


@pytest.mark.parametrize(
    ("words", "folds"),
    [
        pytest.param(VARIABLE, BY_LABEL, id="log"),
        pytest.param(VARIABLE, BY_DONOR, id="sampled"),
        pytest.param((*VARIABLE, "-k", 5, "--weight", "normalised"), BY_LABEL, id="truncated"),
        pytest.param(
            (*VARIABLE, "-k", 4, "--weight", "rank", "--rank-by", "expression"), BY_DONOR, id="rank"
        ),
        pytest.param((*VARIABLE, "-k", 6, "--weight", "expression"), BY_LABEL, id="counts"),
        pytest.param((*VARIABLE, "--weight", "none"), BY_DONOR, id="none"),
        pytest.param(
            ("--select", "all", "-k", 7, "--weight", "median-ratio"), BY_LABEL, id="all genes"
        ),
    ],
)
def test_a_fold_is_as_if_built_from_its_training_cells(
    tmp_path: Path,
    words: tuple[object, ...],
    folds: tuple[object, ...],
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "sampled" in request.node.name:
        monkeypatch.setattr(cell_builder, "MAX_SAMPLED", 30)
    counts = write_counts(tmp_path / "x.h5ad")
    cells, plain = build(counts, "c.h5ad", *folds, *words), build(counts, "p.h5ad", *words)
    succeed("validate", cells)
    everyone = np.arange(CELLS)
    with fold_of(cells, 0) as one, fold_of(plain, 0) as other:
        assert content(one, everyone) == content(other, everyone)
        assert set(one.obs.columns) - set(other.obs.columns) == {"screader_fold"}
    for number in (1, 3):
        training, held_out, fold = parted(counts, cells, number, *words)
        for file, own in ((training, fold != number), (held_out, fold == number)):
            with fold_of(cells, number) as one, fold_of(file, 0) as other:
                expected = content(other, np.arange(int(own.sum())))
                assert content(one, np.flatnonzero(own)) == expected
                assert sum(expected["lengths"])


def reader_of(path: Path) -> dict[str, Any]:
    """All that training determines in a reader, as bytes by name."""
    parts: dict[str, Any] = {}

    def visit(name: str, item: object) -> None:
        kept = name.startswith(("tensors", "genes", "labels", "history", "kept"))
        if isinstance(item, h5py.Dataset) and kept:
            text = h5py.check_string_dtype(item.dtype)
            parts[name] = np.ravel(item.asstr()[()]).tolist() if text else item[()].tobytes()

    with h5py.File(path) as file:
        file.visititems(visit)
    assert any(name.startswith("tensors") for name in parts)
    return parts


@pytest.mark.parametrize(
    ("method", "folds"), [("pooled", BY_DONOR), ("logistic", BY_LABEL), ("genept-w", BY_DONOR)]
)
def test_so_is_its_reader_and_what_it_predicts(
    tmp_path: Path, method: str, folds: tuple[object, ...]
) -> None:
    counts = write_counts(tmp_path / "x.h5ad")
    cells = build(counts, "c.h5ad", *folds, *VARIABLE)
    training, held_out, _ = parted(counts, cells, 2, *VARIABLE)
    one, other = tmp_path / "one.h5", tmp_path / "other.h5"
    words: list[object] = ["--method", method, "--seed", 3, "--calibrate-on", "cells"]
    predicted = []
    result = succeed("train-reader", cells, *words, *folds[:2], "--fold", 2, "-o", one)
    assert "as built" in result.stderr and WARNING not in result.stderr
    succeed("train-reader", training, *words, "-o", other)
    assert reader_of(one) == reader_of(other)
    for file, reader, own in ((cells, one, ["--held-out"]), (held_out, other, [])):
        calls = tmp_path / f"calls-{reader.stem}.h5ad"
        succeed("predict", file, "-r", reader, *own, "-o", calls)
        with h5py.File(calls) as stored:
            ids = encoding.read_strings(stored["obs/id"])
            probability = stored["obsm/probability"][()]
            predicted.append(dict(zip(ids, probability.tolist(), strict=True)))
            metrics = encoding.read_json(stored["uns"], "metrics")
        assert metrics.get("genes_selected_from") == ("training cells" if own else None)
    labelled = {name: row for name, row in predicted[1].items() if name in predicted[0]}
    assert predicted[0] == labelled and len(labelled) > 10
    # The held-out cells beside others, and like the reader, have the fold's genes too.
    succeed("predict", cells, "-r", one, "-o", tmp_path / "all.h5ad")
    succeed("predict", held_out, "-r", one, "-o", tmp_path / "like.h5ad")
    for name in ("all", "like"):
        with h5py.File(tmp_path / f"{name}.h5ad") as stored:
            ids = encoding.read_strings(stored["obs/id"])
            rows = dict(zip(ids, stored["obsm/probability"][()].tolist(), strict=True))
        assert {cell: rows[cell] for cell in labelled} == labelled


@pytest.mark.parametrize("sampled", [False, True])
def test_held_out_cells_change_nothing(
    tmp_path: Path, sampled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sampled:
        monkeypatch.setattr(cell_builder, "MAX_SAMPLED", 30)
    readers, bases = [], []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        counts = write_counts(folder / "x.h5ad")
        if number:  # the cells of donor d2, which fold 2 holds out, become others
            data = anndata.read_h5ad(counts)
            values = data.X.toarray()
            poisoned = (data.obs["donor"] == "d2").to_numpy()
            shape = (int(poisoned.sum()), values.shape[1])
            values[poisoned] = np.random.default_rng(9).negative_binomial(1, 0.01, shape)
            data.X = type(data.X)(values)
            data.write_h5ad(counts)
        cells = build(counts, "c.h5ad", *BY_DONOR, *VARIABLE)
        reader, words = folder / "r.h5", ["--method", "pooled", *BY_DONOR, "--fold", 2]
        succeed("train-reader", cells, *words, "-o", reader)
        readers.append(reader_of(reader))
        with fold_of(cells, 0) as base:
            bases.append(base.genes.index.tolist())
    assert bases[0] != bases[1]
    assert readers[0] == readers[1]


def test_the_order_of_the_cells_does_not_matter(tmp_path: Path) -> None:
    by_name = []
    for number in range(2):
        order = np.random.default_rng(number).permutation(CELLS) if number else np.arange(CELLS)
        (tmp_path / str(number)).mkdir()
        counts = write_counts(tmp_path / str(number) / "x.h5ad", order=order)
        with fold_of(build(counts, "c.h5ad", *BY_DONOR, *VARIABLE), 3) as cells:
            own = content(cells, np.argsort(cells.obs.index))
            by_name.append(own)
    assert by_name[0] == by_name[1]


def test_unlabelled_cells_are_held_out_with_their_donor(tmp_path: Path) -> None:
    counts = write_counts(tmp_path / "x.h5ad")
    for words in (BY_LABEL, BY_DONOR):
        with fold_of(build(counts, "c.h5ad", *words, *VARIABLE), 0) as cells:
            fold = np.asarray(cells.obs.columns["screader_fold"])
            label, donor = cells.obs.columns["label"], cells.obs.strings("donor")
        assert isinstance(label, Categorical)
        assert (label.codes < 0).sum() == 8
        if words == BY_DONOR:
            assert (fold == [DONORS.index(name) + 1 for name in donor]).all()
        else:
            assert ((fold == 0) == (label.codes < 0)).all()


@pytest.mark.parametrize(
    ("built", "trained", "genes"),
    [
        pytest.param(BY_DONOR, ["--group-by", "donor"], "training cells", id="as built"),
        pytest.param(BY_DONOR, ["--group-by", "donor", "--folds", 3], "training cells", id="count"),
        pytest.param(BY_LABEL, ["--folds", 4, "--seed", 8], "training cells", id="other seed"),
        pytest.param(("--group-by", "fold", "--folds", 2), ["--folds", 2], "", id="one group"),
        pytest.param((), ["--group-by", "donor"], "all cells", id="no folds"),
        pytest.param(BY_LABEL, ["--folds", 3], "all cells", id="other count"),
        pytest.param(BY_LABEL, ["--group-by", "donor"], "all cells", id="other groups"),
        pytest.param((*BY_DONOR, "--folds", 2), ["--group-by", "donor"], "all cells", id="merged"),
        pytest.param(("--like", "c0.h5ad"), ["--folds", 3], "all cells", id="like these cells"),
        pytest.param(("--like", "o.h5ad"), ["--folds", 3], "other cells", id="like others"),
        pytest.param(("--select", "all", "--rank-by", "expression"), ["--folds", 3],
                     "training cells", id="nothing measured"),
    ],
)  # fmt: skip
def test_what_a_cross_validation_says_of_its_genes(
    tmp_path: Path, built: tuple[object, ...], trained: list[object], genes: str
) -> None:
    counts = write_counts(tmp_path / "x.h5ad")
    own = built if "--select" in built or "--like" in built else (*built, *VARIABLE)
    if "--like" in built:
        build(counts, "c0.h5ad", *VARIABLE)
        build(write_counts(tmp_path / "other.h5ad", seed=1), "o.h5ad", *VARIABLE)
        own = ("--like", tmp_path / str(built[1]))
    if not genes:
        words = [counts, "-e", write_embeddings(tmp_path / "e.h5ad"), "--label", "cell_type"]
        assert "column 'fold' has 1 group, too few" in fail(
            "build-cells", *words, *built, "-o", tmp_path / "c.h5ad"
        )
        return
    cells, reader = build(counts, "c.h5ad", *own), tmp_path / "r.h5"
    result = succeed("train-reader", cells, "--method", "genept-w", *trained, "-o", reader)
    with h5py.File(reader) as file:
        metrics = encoding.read_json(file, "cross_validation")
    assert metrics["genes_selected_from"] == genes
    lines = [line for line in result.stderr.splitlines() if WARNING in line]
    assert len(lines) == (genes == "all cells")
    if lines:
        options = " ".join(map(str, trained))
        assert all(word in lines[0] for word in options.split())
    succeed("train-reader", cells, "--method", "majority", *trained, "--fold", 1, "-o", reader)
    with h5py.File(reader) as file:
        assert encoding.read_json(file, "fold")["genes"] == genes


def test_held_out_cells_with_other_genes_are_refused(tmp_path: Path) -> None:
    counts = write_counts(tmp_path / "x.h5ad")
    cells, plain = build(counts, "c.h5ad", *BY_DONOR, *VARIABLE), build(counts, "p.h5ad", *VARIABLE)
    other = build(counts, "o.h5ad", *BY_DONOR, "--variable-genes", 14)
    reader, calls = tmp_path / "r.h5", tmp_path / "calls.h5ad"
    words = ["--method", "genept-w", *BY_DONOR, "--fold", 2, "-o", reader]
    succeed("train-reader", cells, *words)
    for file in (plain, other):
        line = fail("predict", file, "-r", reader, "--held-out", "-o", calls)
        assert "its genes are not those that the training cells of" in line
        assert not calls.exists()
        succeed("predict", file, "-r", reader, "-o", tmp_path / "every.h5ad")


@pytest.mark.parametrize(
    ("status", "words", "message"),
    [
        (1, ["--folds", 3], "folds need labelled cells. Give --label"),
        (1, ["--group-by", "doner", "--label", "cell_type"], "Did you mean: donor"),
        (1, ["--folds", 4, *BY_DONOR, "--label", "cell_type"], "has 3 groups, too few for 4 folds"),
        (1, ["--folds", 99, "--label", "cell_type"], "has 72 labelled cells, too few for 99 folds"),
        (2, ["--folds", 1], "--folds"),
        (2, ["--folds", 3, "--like", "c.h5ad"], "'--folds' cannot be combined with --like"),
        (2, [*BY_DONOR, "--like", "c.h5ad"], "'--group-by' cannot be combined with --like"),
    ],
)
def test_folds_that_cannot_be_built(
    tmp_path: Path, status: int, words: list[object], message: str
) -> None:
    counts, embeddings = write_counts(tmp_path / "x.h5ad"), write_embeddings(tmp_path / "e.h5ad")
    output = tmp_path / "new.h5ad"
    result = call("build-cells", counts, "-e", embeddings, *words, "-o", output)
    assert result.exit_code == status and message in result.stderr, result.stderr
    assert not output.exists()
