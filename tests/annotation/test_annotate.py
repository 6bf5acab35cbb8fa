"""``annotate``: own calls of each cell, broad types, the consensus, and what is refused."""

from __future__ import annotations

import csv
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas
import pytest
from running import invoke
from small_files import GENES, TYPES, counts, expression, genes, write_embeddings, write_expression

from screader_lib.annotation.by_reader import consensus, sample_checks
from screader_lib.cells.cell_builder import CellBuilder
from screader_lib.exchange import provenance
from screader_lib.reader.methods.places import Neighbours, nearest, own_components
from screader_lib.reader.prediction import write_predictions

OWN = ["screader_label", "screader_confidence", "screader_familiarity", "screader_status"]


@pytest.fixture(scope="module")
def annotated(reader: Path, tmp_path_factory: pytest.TempPathFactory) -> anndata.AnnData:
    folder = tmp_path_factory.mktemp("annotated")
    source = write_expression(folder / "new.h5ad", seed=5, cells=120)
    arguments = [source, "-r", reader, "-o", folder / "out.h5ad", "--calls", folder / "calls.csv"]
    done = invoke("annotate", *arguments)
    assert done.exit_code == 0, done.stderr
    assert "40 of 40 genes are genes of the reader" in done.stderr
    assert "120 cells: 120 assigned." in done.stderr
    return anndata.read_h5ad(folder / "out.h5ad")


def test_the_file_comes_back_with_labels_that_are_right(annotated: anndata.AnnData) -> None:
    values, types = counts(5, 120)
    assert (annotated.X.toarray() == values).all()
    assert (annotated.obs["cell_type"].astype(str) == types).all()
    assert (annotated.obs["screader_label"].astype(str) == types).all()
    assert (annotated.obs["screader_consensus_label"].astype(str) == types).all()
    assert set(annotated.obs["screader_status"]) == {"assigned"}
    assert annotated.obs["screader_confidence"].between(0.5, 1).all()
    assert annotated.obsm["X_screader"].shape[0] == 120
    assert annotated.uns["screader"]["tool"] == "annotate"


def test_a_cells_own_call_depends_on_that_cell_alone(
    annotated: anndata.AnnData, reader: Path, tmp_path: Path
) -> None:
    few = np.array([3, 70, 7, 119])
    values, types = counts(5, 120)
    expression(values[few], types[few]).write_h5ad(tmp_path / "few.h5ad")
    done = invoke("annotate", tmp_path / "few.h5ad", "-r", reader, "-o", tmp_path / "o.h5ad")
    assert done.exit_code == 0, done.stderr
    alone = anndata.read_h5ad(tmp_path / "o.h5ad").obs
    for name in OWN:
        expected = annotated.obs[name].iloc[few]
        if alone[name].dtype.kind == "f":
            assert alone[name].to_numpy() == pytest.approx(expected.to_numpy(), abs=1e-5)
        else:
            assert alone[name].astype(str).tolist() == expected.astype(str).tolist()
    assert "screader_consensus_label" not in alone  # too few cells to have neighbours


def test_the_table_says_what_the_h5ad_says(
    annotated: anndata.AnnData, reader: Path, tmp_path: Path
) -> None:
    source = write_expression(tmp_path / "new.h5ad", seed=5, cells=120)
    done = invoke("annotate", source, "-r", reader, "--calls", tmp_path / "calls.tsv")
    assert done.exit_code == 0, done.stderr
    with (tmp_path / "calls.tsv").open(newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert [row["cell"] for row in rows] == annotated.obs_names.tolist()
    for name in ("screader_label", "screader_status", "screader_consensus_label"):
        assert [row[name] for row in rows] == annotated.obs[name].astype(str).tolist()


def test_in_place_and_again(reader: Path, tmp_path: Path) -> None:
    source = write_expression(tmp_path / "new.h5ad", seed=6, cells=60)
    for _ in range(2):
        done = invoke("annotate", source, "-r", reader, "--in-place")
        assert done.exit_code == 0, done.stderr
    obs = anndata.read_h5ad(source).obs
    assert (obs["screader_label"].astype(str) == obs["screader_label_previous"].astype(str)).all()


def test_cells_left_out_stay_in_the_file(reader: Path, tmp_path: Path) -> None:
    values, types = counts(7, 60)
    values[10] = 0
    values[10, 3] = 2
    expression(values, types).write_h5ad(tmp_path / "new.h5ad")
    arguments = [tmp_path / "new.h5ad", "-r", reader, "-o", tmp_path / "o.h5ad"]
    done = invoke("annotate", *arguments, "--min-counts", 10)
    assert done.exit_code == 0, done.stderr
    obs = anndata.read_h5ad(tmp_path / "o.h5ad").obs
    assert obs["screader_status"].iloc[10] == "left out"
    assert pandas.isna(obs["screader_label"].iloc[10])
    assert (obs["screader_status"] == "assigned").sum() == 59


def test_an_unsure_cell_has_no_label(reader: Path, tmp_path: Path) -> None:
    values, types = counts(8, 60)
    values[4, :30] = 3  # as much of every type
    expression(values, types).write_h5ad(tmp_path / "new.h5ad")
    arguments = [tmp_path / "new.h5ad", "-r", reader, "-o", tmp_path / "o.h5ad"]
    done = invoke("annotate", *arguments, "--min-confidence", 0.95)
    assert done.exit_code == 0, done.stderr
    obs = anndata.read_h5ad(tmp_path / "o.h5ad").obs
    assert obs["screader_status"].iloc[4] == "low confidence"
    assert pandas.isna(obs["screader_label"].iloc[4])


def test_names_in_another_case_are_found(reader: Path, tmp_path: Path) -> None:
    values, types = counts(9, 60)
    made = expression(values, types)
    made.var_names = [name.capitalize() for name in genes()]
    made.write_h5ad(tmp_path / "mouse.h5ad")
    done = invoke("annotate", tmp_path / "mouse.h5ad", "-r", reader, "-o", tmp_path / "o.h5ad")
    assert done.exit_code == 0, done.stderr
    assert "ignoring upper and lower case" in done.stderr
    obs = anndata.read_h5ad(tmp_path / "o.h5ad").obs
    assert (obs["screader_label"].astype(str) == types).all()


def _few_genes(folder: Path) -> Path:
    values, types = counts(9, 60)
    made = expression(values, types)
    made.var_names = [*genes()[:5], *(f"other{number}" for number in range(GENES - 5))]
    made.write_h5ad(folder / "few.h5ad")
    return folder / "few.h5ad"


def _another_tissue(folder: Path) -> Path:
    """Its genes are expressed the other way round: what no label expresses most of all."""
    random = np.random.default_rng(0)
    rate = np.concatenate([np.linspace(0.1, 0.4, 30), np.full(10, 9.0)])
    expression(random.poisson(rate, (60, GENES)), np.full(60, "?")).write_h5ad(folder / "t.h5ad")
    return folder / "t.h5ad"


@pytest.mark.parametrize(
    ("make", "words"),
    [(_few_genes, "has only 5 of the 40 genes"), (_another_tissue, "another tissue?")],
)
def test_refused_unless_forced(
    make: object, words: str, reader: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample_checks, "MIN_GENES_TO_JUDGE", 30)
    source, output = make(tmp_path), tmp_path / "o.h5ad"  # type: ignore[operator]
    refused = invoke("annotate", source, "-r", reader, "-o", output)
    assert refused.exit_code == 1 and words in refused.stderr and "--force" in refused.stderr
    assert refused.stderr.count("error:") == 1 and not output.exists()
    forced = invoke("annotate", source, "-r", reader, "-o", output, "--force")
    assert forced.exit_code == 0, forced.stderr
    assert words in forced.stderr
    statuses = set(anndata.read_h5ad(output).obs["screader_status"])
    assert statuses <= {"doubtful", "low confidence", "no known gene"}


def test_the_files_that_a_reader_was_trained_on_are_known(reader: Path, tmp_path: Path) -> None:
    told = "was trained on cells of this file"
    own, other = reader.with_name("counts-0.h5ad"), write_expression(tmp_path / "o.h5ad", seed=5)
    for source, is_own in ((own, True), (other, False)):
        done = invoke("annotate", source, "-r", reader, "--calls", tmp_path / "calls.csv")
        assert done.exit_code == 0 and (told in done.stderr) == is_own, done.stderr


def test_cells_are_read_while_their_file_is_hashed(
    reader: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each hash waits here until the cells are read: a run that waits for it first would hang."""
    source, were_read = write_expression(tmp_path / "new.h5ad", cells=60), threading.Event()
    sha256_of, map_weights, write = provenance.sha256_of, CellBuilder.map_weights, CellBuilder.write

    def hashed(path: Path) -> str:
        assert path != source or were_read.wait(60)
        return sha256_of(path)

    def mapped(builder: CellBuilder, *given: Any) -> Iterator[Any]:
        yield from map_weights(builder, *given)
        were_read.set()

    def written(builder: CellBuilder, *given: Any) -> None:
        write(builder, *given)
        were_read.set()

    monkeypatch.setattr(provenance, "sha256_of", hashed)
    monkeypatch.setattr(CellBuilder, "map_weights", mapped)
    monkeypatch.setattr(CellBuilder, "write", written)
    embeddings, output = write_embeddings(tmp_path / "genes.h5ad"), tmp_path / "out.h5ad"
    for command in (
        ["annotate", source, "-r", reader],
        ["annotate", source, "-r", reader, "--clusters", "donor"],
        ["build-cells", source, "-e", embeddings, "--like", reader],
    ):
        were_read.clear()
        done = invoke(*command, "-o", output)
        assert done.exit_code == 0, done.stderr
        with h5py.File(output) as file:
            made = provenance.read(file)
        assert made.record.inputs["expression"]["sha256"] == sha256_of(source)


def test_unfamiliar_cells_are_warned_of_once(
    reader: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_expression(tmp_path / "new.h5ad", cells=60)
    monkeypatch.setattr(write_predictions, "UNFAMILIAR", 1.1)
    done = invoke("annotate", source, "-r", reader, "--calls", tmp_path / "calls.csv")
    assert done.stderr.count("half of the cells have a familiarity below") == 1, done.stderr
    monkeypatch.setattr(sample_checks, "MIN_FAMILIARITY", 1.1)
    done = invoke("annotate", source, "-r", reader, "--calls", tmp_path / "calls.csv")
    assert done.stderr.count("warning:") == 1 and "is this the right reader?" in done.stderr


def test_numbers_of_rows_are_no_genes(reader: Path, tmp_path: Path) -> None:
    adata = anndata.read_h5ad(write_expression(tmp_path / "new.h5ad"))
    adata.var_names = [str(number) for number in range(GENES)]
    adata.write_h5ad(tmp_path / "numbers.h5ad")
    done = invoke("annotate", tmp_path / "numbers.h5ad", "-r", reader, "-o", tmp_path / "o.h5ad")
    assert done.exit_code == 1 and "They are numbered (0, 1, 2, …), not named" in done.stderr


def test_samples_of_unfamiliar_cells_are_doubtful(
    reader: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the median cell is less familiar than the limit, here one that no sample reaches."""
    source, output = write_expression(tmp_path / "new.h5ad", cells=60), tmp_path / "o.h5ad"
    done = invoke("annotate", source, "-r", reader, "-o", output)
    assert "doubtful" not in set(anndata.read_h5ad(output).obs["screader_status"]), done.stderr
    monkeypatch.setattr(sample_checks, "MIN_FAMILIARITY", 1.1)
    unfamiliar = invoke("annotate", source, "-r", reader, "-o", output)
    assert unfamiliar.exit_code == 0 and "is this the right reader?" in unfamiliar.stderr
    found = anndata.read_h5ad(output).obs
    assert set(found["screader_status"]) == {"doubtful"} and found["screader_label"].notna().all()


def test_nothing_but_zeros(reader: Path, tmp_path: Path) -> None:
    empty = expression(np.zeros((60, GENES)), np.full(60, "?"))
    empty.layers["counts"] = expression(np.ones((60, GENES)), np.full(60, "?")).X
    empty.write_h5ad(tmp_path / "z.h5ad")
    refused = invoke("annotate", tmp_path / "z.h5ad", "-r", reader, "-o", tmp_path / "o.h5ad")
    assert refused.exit_code == 1 and "all values of the selected cells are 0." in refused.stderr
    assert (
        "Name another matrix with --layer: counts." in refused.stderr
        and not (tmp_path / "o.h5ad").exists()
    )


def test_a_read_only_file_is_not_added_to(reader: Path, tmp_path: Path) -> None:
    source = write_expression(tmp_path / "new.h5ad", cells=60)
    before = source.read_bytes()
    source.chmod(0o444)
    refused = invoke("annotate", source, "-r", reader, "--in-place")
    assert refused.exit_code == 1 and "new.h5ad: is read-only." in refused.stderr
    assert source.read_bytes() == before


def test_nowhere_to_write_is_a_usage_error(reader: Path, tmp_path: Path) -> None:
    source = write_expression(tmp_path / "new.h5ad", cells=60)
    table = invoke("annotate", source, "-r", reader, "-o", tmp_path / "o.csv")
    assert table.exit_code == 2 and f"give --calls {tmp_path / 'o.csv'}." in table.stderr
    assert invoke("annotate", source, "-r", reader).exit_code == 2
    both = invoke("annotate", source, "-r", reader, "--in-place", "-o", tmp_path / "o.h5ad")
    assert both.exit_code == 2


def test_neighbours_count_more_among_unfamiliar_cells() -> None:
    assert consensus.least_of_neighbours(np.full(9, 0.4)) == 0.2
    assert consensus.least_of_neighbours(np.full(9, 0.02)) == 0.8


def test_methods_that_agree_with_the_neighbours_count_more() -> None:
    """Six cells of two types, each a neighbour of the other two of its type."""
    near = Neighbours(np.array([[1, 2], [0, 2], [0, 1], [4, 5], [3, 5], [3, 4]]), np.arange(6))
    right = np.repeat([[0.9, 0.1], [0.1, 0.9]], 3, axis=0).astype(np.float32)
    mixed = right[[0, 3, 1, 4, 2, 5]]
    alike = np.tile(np.float32([[0.9, 0.1]]), (6, 1))
    assert consensus.agreement(right, near) == pytest.approx(1)
    assert consensus.agreement(alike, near) == 0
    assert consensus.agreement(mixed, near) < 0.2
    answers = dict(zip(consensus.METHODS, (mixed, right, alike), strict=True))
    weights = consensus.weights_by_agreement(answers, near, np.full(6, 0.5))
    assert weights.sum() == pytest.approx(1) and weights[1] > 0.99
    assert (consensus.combined(answers, weights).argmax(1) == [0, 0, 0, 1, 1, 1]).all()


def test_neighbours_outvote_an_unsure_cell_and_no_certain_one() -> None:
    """Cells of another call than both of their neighbours."""
    near = Neighbours(np.array([[1, 2]] * 3), np.arange(3))
    for own, expected in ((0.6, 1), (0.8, 1), (0.97, 0), (1.0, 0)):
        probability = np.float32([[own, 1 - own], [0, 1], [0, 1]])
        found = consensus.with_neighbours(probability, near, 0.8)
        assert found.sum(1) == pytest.approx(1)
        assert found[0].argmax() == expected, own
    assert found[0] == pytest.approx([1, 0])  # the last one is certain


def test_a_familiar_cell_goes_by_the_genes_that_there_are() -> None:
    weights = consensus.usual_weights(np.array([0.0, 0.01, 0.2, 1.0]))
    assert weights.sum(1) == pytest.approx(1)
    assert weights[:2] == pytest.approx(np.array([consensus.WEIGHTS_UNFAMILIAR] * 2))
    assert weights[2:] == pytest.approx(np.array([consensus.WEIGHTS_FAMILIAR] * 2))


def test_neighbours_are_cells_of_the_same_type() -> None:
    values, types = counts(3, 90)
    from scipy import sparse

    weights = sparse.csr_matrix(np.log1p(values).astype(np.float32))
    found = nearest(*own_components(lambda rows: weights[rows], 90))
    assert found.shape == (90, 10) and (types[found] == types[:, None]).mean() > 0.99
    assert not (found == np.arange(90)[:, None]).any()
    again = nearest(*own_components(lambda rows: weights[rows], 90))
    assert (found == again).all()
    assert len(TYPES) == 3


def test_a_new_file_keeps_the_names_of_its_genes(reader: Path, tmp_path: Path) -> None:
    """However they were matched: ignoring case, by a column, by orthologs."""
    values, types = counts(9, 60)
    mouse = [name.capitalize() for name in genes()]
    for number in range(2):  # two inputs become a new h5ad
        made = expression(values, types)
        made.var_names = mouse
        made.var["human"] = genes()
        made.write_h5ad(tmp_path / f"{number}.h5ad")
    pairs = "\n".join(f"{own},{other}" for own, other in zip(mouse, genes(), strict=True))
    (tmp_path / "pairs.csv").write_text(f"mouse,human\n{pairs}\n")
    inputs = [tmp_path / "0.h5ad", tmp_path / "1.h5ad", "-r", reader, "-o", tmp_path / "o.h5ad"]
    for more in ([], ["--gene-column", "human"], ["--orthologs", tmp_path / "pairs.csv"]):
        done = invoke("annotate", *inputs, *more)
        assert done.exit_code == 0, done.stderr
        new = anndata.read_h5ad(tmp_path / "o.h5ad")
        assert new.var_names.tolist() == mouse and new.var["human"].tolist() == genes()
        assert (new.obs["screader_label"].astype(str) == np.tile(types, 2)).all()


@pytest.mark.parametrize("in_place", [False, True])
def test_calls_are_not_written_beside_other_cells(
    reader: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_place: bool
) -> None:
    """The file is replaced by one of the same cells in another order, while they are called."""
    source, output = write_expression(tmp_path / "new.h5ad"), tmp_path / "o.h5ad"
    reversed_cells = anndata.read_h5ad(source)[::-1].copy()

    def replaced(*_: object) -> None:
        reversed_cells.write_h5ad(tmp_path / "other.h5ad")
        (tmp_path / "other.h5ad").replace(source)

    monkeypatch.setattr("screader_tools.annotate._write_calls", replaced)
    done = invoke(
        "annotate", source, "-r", reader, *(["--in-place"] if in_place else ["-o", output])
    )
    assert done.exit_code == 1 and "new.h5ad: was changed during the run" in done.stderr
    assert not output.exists()
    assert (anndata.read_h5ad(source).obs_names == reversed_cells.obs_names).all()
