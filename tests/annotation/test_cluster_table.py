"""Clusters of an annotated sample: found or given, their types, genes and what to check."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import anndata
import numpy as np
import pytest
from map_content import decoded
from scipy import sparse
from small_files import counts, expression, fail, succeed

import screader
from screader_lib.annotation.clusters import find_clusters
from screader_lib.annotation.evidence import gene_names
from screader_lib.cells.cells_file import CellSequences
from screader_lib.exchange.table import Table, strings
from screader_lib.reader.methods import places
from screader_lib.reader.methods.places import Neighbours, own_components

CELLS = 120
MARKERS = "cell_type,gene\nAlpha cells,gene03\nAlpha cells,gene99\nBeta cells,gene12\n"


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


@pytest.fixture(scope="module")
def folder(reader: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sample with two half-and-half clusters in a column, annotated with everything."""
    folder = tmp_path_factory.mktemp("clusters")
    values, types = counts(5, CELLS)
    mixed = np.where(types == "delta", "right <b>", "both & more")
    made = expression(values, types, given=[*mixed[:-1], None])
    made.write_h5ad(folder / "cells.h5ad")
    (folder / "markers.csv").write_text(MARKERS)
    succeed(
        "annotate", folder / "cells.h5ad", "-r", reader, "-o", folder / "out.h5ad",
        "--cluster-table", folder / "clusters.tsv", "--markers", folder / "markers.csv",
        "--report", folder / "report.html",
    )  # fmt: skip
    return folder


def test_clusters_are_found_and_named_by_their_cells(folder: Path) -> None:
    adata = anndata.read_h5ad(folder / "out.h5ad")
    table = adata.uns["screader"]["clusters"]
    assert sorted(table["label"]) == ["alpha", "beta", "delta"]
    assert table["cells"].tolist() == [40, 40, 40] and table["share"].tolist() == [1, 1, 1]
    of_cells = dict(zip(table.index, table["label"], strict=True))
    named = adata.obs["screader_cluster"].map(of_cells)
    assert named.tolist() == adata.obs["cell_type"].tolist()
    for label, genes in zip(table["label"], table["genes"], strict=True):
        start = ["alpha", "beta", "delta"].index(label) * 10
        of_type = {f"GENE{number:02}" for number in range(start, start + 10)}
        assert len(set(genes.split("; ")) & of_type) == 5, (label, genes)
    assert (table["check"] == "").sum() >= 1


def test_known_markers_are_looked_for_among_the_genes(folder: Path) -> None:
    rows = {row["label"]: row for row in rows_of(folder / "clusters.tsv")}
    assert rows["alpha"]["known_markers"] == "GENE03"
    assert rows["beta"]["known_markers"] == "GENE12"
    assert rows["delta"]["known_markers"] == ""  # the table has no such type
    assert not any(row["check"] for row in rows.values())


def test_the_table_says_what_the_file_says(folder: Path) -> None:
    table = anndata.read_h5ad(folder / "out.h5ad").uns["screader"]["clusters"]
    rows = rows_of(folder / "clusters.tsv")
    assert [row["cluster"] for row in rows] == table.index.tolist()
    assert [float(row["confidence"]) for row in rows] == pytest.approx(
        table["confidence"].tolist(), abs=6e-4
    )


def test_a_gene_without_a_symbol_goes_by_its_id() -> None:
    table = Table(strings(["ENSG01", "ENSG02"]), {"symbol": strings(["INS", ""])})
    cells = cast(CellSequences, SimpleNamespace(genes=table))
    assert gene_names(cells) == ["INS", "ENSG02"]


def test_a_column_gives_the_clusters(reader: Path, folder: Path, tmp_path: Path) -> None:
    words = ("--clusters", "given", "--cluster-table", tmp_path / "c.tsv")
    succeed("annotate", folder / "cells.h5ad", "-r", reader, *words, "-o", tmp_path / "o.h5ad")
    both, right = rows_of(tmp_path / "c.tsv")
    assert (both["cluster"], both["cells"]) == ("both & more", "80")
    assert {both["label"], both["second_label"]} == {"alpha", "beta"}
    assert both["check"] == "mixed: alpha and beta"
    assert (right["cluster"], right["cells"], right["label"]) == ("right <b>", "39", "delta")
    assert "screader_cluster" not in anndata.read_h5ad(tmp_path / "o.h5ad").obs


def test_a_column_that_is_not_there(reader: Path, folder: Path, tmp_path: Path) -> None:
    words = ("-r", reader, "--clusters", "givn", "-o", tmp_path / "o.h5ad")
    assert "given" in fail("annotate", folder / "cells.h5ad", *words)
    several = fail("annotate", folder / "cells.h5ad", folder / "out.h5ad", *words)
    assert "--clusters auto" in several
    assert not (tmp_path / "o.h5ad").exists()


def test_the_report_has_the_clusters_and_the_final_labels(
    reader: Path, folder: Path, tmp_path: Path
) -> None:
    page = (folder / "report.html").read_text("utf-8")
    assert '<h2 id="clusters">Clusters</h2>' in page and "GENE03" in page
    assert "annotate cells" not in page and "plot report" not in page
    words = ("--clusters", "given", "--report", tmp_path / "r.html")
    succeed("annotate", folder / "cells.h5ad", "-r", reader, *words)
    page = (tmp_path / "r.html").read_text("utf-8")
    assert "right &lt;b&gt;" in page and "<b>" not in page


def test_the_report_has_a_map_of_the_file_s_cells(folder: Path) -> None:
    page = (folder / "report.html").read_text("utf-8")
    _, content = page.split('<script type="text/plain" id="cell-map-content">')
    header, _, names, columns = decoded(content.partition("</script>")[0])
    adata = anndata.read_h5ad(folder / "out.h5ad")
    assert names == adata.obs_names.tolist()
    for title, column in {
        "call": "screader_label", "consensus": "screader_consensus_label",
        "cluster": "screader_cluster", "given": "given", "cell_type": "cell_type",
    }.items():  # fmt: skip
        values = adata.obs[column].astype(object)
        assert columns[title] == values.where(values.notna(), "").tolist(), title
    familiarity = adata.obs["screader_familiarity"]
    np.testing.assert_allclose(columns["familiarity"], familiarity, atol=0.002)
    genes = [one["name"] for one in header["columns"] if one["group"] == "genes"]
    assert {"GENE03", "GENE12"} <= {*genes}  # known markers


def test_cells_that_are_left_out_are_not_on_the_map(
    reader: Path, folder: Path, tmp_path: Path
) -> None:
    adata = anndata.read_h5ad(folder / "cells.h5ad")
    least = int(np.median(np.asarray(adata.X.sum(1)).ravel()))
    called = adata.obs_names[np.asarray(adata.X.sum(1)).ravel() >= least]
    words = ("--min-counts", least, "--report", tmp_path / "r.html", "-r", reader)
    succeed("annotate", folder / "cells.h5ad", folder / "out.h5ad", *words)
    _, content = (tmp_path / "r.html").read_text("utf-8").split('id="cell-map-content">')
    _, _, names, columns = decoded(content.partition("</script>")[0])
    assert len(names) == 2 * len(called) == len({*names}) < 2 * adata.n_obs
    assert [name for name in names if name in {*called}] and "cluster" in columns


def test_from_python(reader: Path, folder: Path) -> None:
    adata = anndata.read_h5ad(folder / "cells.h5ad")
    markers = [folder / "markers.csv"]
    screader.annotate(adata, reader, clusters="auto", markers=markers, verbose=False)
    written = anndata.read_h5ad(folder / "out.h5ad")
    assert adata.uns["screader"]["clusters"].equals(written.uns["screader"]["clusters"])
    assert adata.obs["screader_cluster"].equals(written.obs["screader_cluster"])
    with pytest.raises(TypeError, match="cluster"):
        screader.Reader.load(reader).predict(adata, cluster="auto")


def test_cells_outside_the_sketch_join_their_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    values, types = counts(3, CELLS)
    weights = sparse.csr_matrix(np.log1p(values).astype(np.float32))
    monkeypatch.setattr(places, "SKETCH", 60)
    near = Neighbours.of(*own_components(lambda rows: weights[rows], CELLS))
    assert len(near.sketch) == 60
    found = find_clusters(near)
    again = find_clusters(near)
    assert np.array_equal(found.codes, again.codes)
    assert len(found.categories) == 3
    for code in range(3):
        assert len(set(types[found.codes == code])) == 1


def test_cells_without_a_cluster_are_in_none(reader: Path, folder: Path, tmp_path: Path) -> None:
    adata = anndata.read_h5ad(folder / "cells.h5ad")
    numbers = np.arange(adata.n_obs) % 3
    adata.obs["number"] = np.where(numbers == 2, np.nan, numbers)
    adata.obs["text"] = adata.obs["number"].astype(str)
    adata.write_h5ad(tmp_path / "x.h5ad")
    for column in ("number", "text"):
        words = ("-r", reader, "--clusters", column, "--cluster-table", tmp_path / "c.tsv")
        succeed("annotate", tmp_path / "x.h5ad", *words, "-o", tmp_path / "o.h5ad")
        assert {row["cluster"] for row in rows_of(tmp_path / "c.tsv")} == {"0.0", "1.0"}
