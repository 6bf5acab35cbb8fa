"""Inputs of other formats, and several at once, become one h5ad with their values and the calls."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas
import pytest
import zarr
from recording_reporter import RecordingReporter
from scipy import io, sparse

from screader_lib.annotation import new_h5ad
from screader_lib.annotation.calls import Calls
from screader_lib.annotation.new_h5ad import cells_of, write_new
from screader_lib.cells.formats import expression
from screader_lib.cells.formats.open_expression import open_expression
from screader_lib.errors import ScReaderError
from screader_lib.exchange import provenance
from screader_lib.exchange.table import Categorical
from screader_lib.reporting import SILENT, Reporter

PROVENANCE = provenance.make("annotate", {}, {}, [])
COUNTS = np.random.default_rng(0).poisson(0.6, (30, 9))
GENES = ["A", "B", "A", "D", "E", "F", "G", "H", "HLA-A"]  # two of one name
IDS = [f"ENSG{number:011}" for number in range(9)]
CELLS = [f"cell{number}" for number in range(30)]


def write_tenx(path: Path, counts: np.ndarray = COUNTS, ids: list[str] = IDS) -> Path:
    """A 10x h5 of version 3, with genes in falling order in each cell."""
    rows = sparse.csr_matrix(counts.astype(np.int32))
    for start, stop in zip(rows.indptr[:-1], rows.indptr[1:], strict=True):
        rows.data[start:stop] = rows.data[start:stop][::-1].copy()
        rows.indices[start:stop] = rows.indices[start:stop][::-1].copy()
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        group["barcodes"] = np.array(CELLS, "S")
        group["data"], group["indices"], group["indptr"] = rows.data, rows.indices, rows.indptr
        group["shape"] = counts.shape[::-1]
        names = [GENES[IDS.index(one)] for one in ids]
        kinds = ["Gene Expression"] * len(ids)
        for name, values in (("id", ids), ("name", names), ("feature_type", kinds)):
            group[f"features/{name}"] = np.array(values, "S")
    return path


def write_mtx(path: Path) -> Path:
    path.mkdir()
    io.mmwrite(path / "matrix.mtx", sparse.coo_matrix(COUNTS.T))
    (path / "barcodes.tsv").write_text("\n".join(CELLS))
    (path / "genes.tsv").write_text("\n".join(f"{i}\t{n}" for i, n in zip(IDS, GENES, strict=True)))
    return path


def write_loom(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file["matrix"] = COUNTS.T.astype(np.float32)
        file["col_attrs/CellID"], file["row_attrs/Gene"] = (
            np.array(CELLS, "S"),
            np.array(GENES, "S"),
        )
        file["col_attrs/_index"] = np.arange(30)
        file["row_attrs/Accession"] = np.array(IDS, "S")
    return path


def write_zarr(path: Path) -> Path:
    obs = pandas.DataFrame({"type": pandas.Categorical(["a", None, "b"] * 10)}, CELLS)
    var = pandas.DataFrame({"gene_ids": IDS}, GENES)
    anndata.AnnData(sparse.csc_matrix(COUNTS.astype(np.float64)), obs, var).write_zarr(path)
    return path


def written(
    sources: list[Path], output: Path, rows: np.ndarray | None = None, reporter: Reporter = SILENT
) -> anndata.AnnData:
    """The h5ad that is made of the sources, read again."""
    with ExitStack() as stack:
        opened = [stack.enter_context(open_expression(path, path.name)) for path in sources]
        cells = len(cells_of(opened))
        count = cells if rows is None else len(rows)
        obs = {"screader_label": Categorical.of(["x", "y"] * (count // 2))}
        calls = Calls(cells, obs, {"X_screader": np.ones((count, 2), np.float32)}, {}, rows)
        write_new(opened, output, calls, PROVENANCE, reporter=reporter)
    return anndata.read_h5ad(output)


@pytest.mark.parametrize("make", [write_tenx, write_mtx, write_loom, write_zarr])
@pytest.mark.filterwarnings("ignore:Variable names are not unique")
def test_values_genes_and_cells(
    make: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(new_h5ad, "VALUES_PER_CHUNK", 5)
    monkeypatch.setattr(expression, "VALUES_PER_BLOCK", 23)
    source = make(tmp_path / "input")  # type: ignore[operator]
    data = written([source], tmp_path / "out.h5ad")
    assert isinstance(data.X, sparse.csr_matrix) and data.X.has_sorted_indices
    np.testing.assert_array_equal(data.X.toarray(), COUNTS)
    assert data.X.nnz == np.count_nonzero(COUNTS)
    assert list(data.var_names) == GENES and list(data.obs_names) == CELLS
    assert list(data.var["Accession" if make is write_loom else "gene_ids"]) == IDS
    assert list(data.obs["screader_label"]) == ["x", "y"] * 15
    assert data.obsm["X_screader"].shape == (30, 2) and data.uns["screader"]["tool"] == "annotate"
    if make is write_zarr:
        assert data.obs["type"].isna().sum() == 10 and data.X.dtype == np.float64
    if make is write_tenx:
        assert data.X.dtype == np.int32
    backed = anndata.read_h5ad(tmp_path / "out.h5ad", backed="r")
    np.testing.assert_array_equal(backed[3:7].X.toarray(), COUNTS[3:7])


def test_inputs_with_other_genes(tmp_path: Path) -> None:
    """Genes are the same where their ids are; cells of one name get a suffix."""
    first = write_tenx(tmp_path / "one.h5", COUNTS[:, :5], IDS[:5])
    second = write_tenx(tmp_path / "two.h5", COUNTS[:, [8, 4, 0]], [IDS[8], IDS[4], IDS[0]])
    reporter = RecordingReporter()
    data = written([first, second], tmp_path / "out.h5ad", np.arange(2, 40), reporter)
    assert reporter.messages == [
        "the inputs have 6 genes together; those that an input lacks are 0 in its cells."
    ]
    assert list(data.var["gene_ids"]) == [*IDS[:5], IDS[8]]
    assert list(data.var_names) == [*GENES[:5], GENES[8]]
    expected = np.zeros((60, 6), int)
    expected[:30, :5], expected[30:, [5, 4, 0]] = COUNTS[:, :5], COUNTS[:, [8, 4, 0]]
    np.testing.assert_array_equal(data.X.toarray(), expected)
    assert list(data.obs_names) == CELLS + [f"{name}-1" for name in CELLS]
    assert list(data.obs["batch"]) == ["one"] * 30 + ["two"] * 30
    assert data.obs["screader_label"].isna().sum() == 22


def test_what_is_not_taken_over_is_told(tmp_path: Path) -> None:
    write_tenx(tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5", "r+") as file:
        kinds = file["matrix/features/feature_type"][()].astype("S20")
        del file["matrix/features/feature_type"]
        kinds[[0, 5]] = b"Antibody Capture"
        file["matrix/features/feature_type"] = kinds
    write_loom(tmp_path / "x.loom")
    with h5py.File(tmp_path / "x.loom", "r+") as file:
        file["layers/spliced"], file["col_graphs/KNN/a"] = file["matrix"][()], np.arange(3)
    write_zarr(tmp_path / "x.zarr")
    zarr.open_group(tmp_path / "x.zarr/obsm").create_array("X_pca", data=np.ones((30, 2)))
    zarr.consolidate_metadata(tmp_path / "x.zarr")
    reporter, names = RecordingReporter(), ["x.h5", "x.loom", "x.zarr"]
    for name in names:
        written([tmp_path / name], tmp_path / "out.h5ad", reporter=reporter)
    others = [
        "2 features that are not genes (2 Antibody Capture)",
        "layers/spliced, col_graphs",
        "obsm",
    ]
    assert reporter.messages == [
        f"{name}: the new h5ad does not have its {other}."
        for name, other in zip(names, others, strict=True)
    ]


def test_another_number_of_cells(tmp_path: Path) -> None:
    with open_expression(write_tenx(tmp_path / "x.h5"), "x.h5") as source:
        calls = Calls(29, {"screader_label": Categorical.of(["x"] * 29)})
        with pytest.raises(ScReaderError, match=r"x\.h5: has 30 cells, but there are calls of 29"):
            write_new([source], tmp_path / "out.h5ad", calls, PROVENANCE)
    assert not (tmp_path / "out.h5ad").exists()


def test_genes_without_an_id_are_known_by_their_names(tmp_path: Path) -> None:
    values = sparse.csr_matrix(np.array([[1.0, 2.0]] * 4))
    for name, genes, ids in (("a", ["INS", "ONE"], ["E1", ""]), ("b", ["TWO", "INS"], ["", "E1"])):
        var = pandas.DataFrame({"gene_ids": ids}, genes)
        obs = pandas.DataFrame(index=[f"{name}{number}" for number in range(4)])
        anndata.AnnData(values, obs, var).write_h5ad(tmp_path / f"{name}.h5ad")
    data = written([tmp_path / "a.h5ad", tmp_path / "b.h5ad"], tmp_path / "out.h5ad")
    assert data.var_names.tolist() == ["INS", "ONE", "TWO"]
    assert data.X.toarray()[[0, 4]].tolist() == [[1, 2, 0], [2, 0, 1]]
