"""``annotate --types``: cells called by what is known of the types, without any label."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pandas
import pytest
from map_content import decoded
from scipy import sparse
from small_files import (
    ONE_READER,
    TYPES,
    call,
    counts,
    expression,
    fail,
    succeed,
    write_embeddings,
)

import screader
from screader_lib.annotation.no_labels.gene_sets import _words
from screader_lib.annotation.no_labels.type_evidence import Grouping, group_cells
from screader_lib.annotation.no_labels.type_table import read_types
from screader_lib.errors import ScReaderError
from screader_lib.figures.plots import umap_plot

CELLS = 240
VALUES, KINDS = counts(3, CELLS)
GENES_OF = {kind: [f"GENE{10 * n + i:02}" for i in range(5)] for n, kind in enumerate(TYPES)}
ONE_OF = "give one of --reader, --reference, --examples and --types."
KNOWN = {  # genes whose texts say what cells they are of
    "T cell": ["CD3D", "CD3E", "CD3G", "CD8A", "CD8B", "CD2", "CD5", "TRAT1", "LCK", "CD28"],
    "B cell": ["MS4A1", "CD79A", "CD79B", "CD19", "BLK", "PAX5", "CD22", "BANK1", "FCRL1", "BTK"],
    "mast cell": ["TPSAB1", "TPSB2", "CPA3", "MS4A2", "KIT", "HDC", "CMA1", "FCER1A", "HPGDS",
                  "SLC18A2"],
}  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three types in equal parts, and a column that tells them apart."""
    path = tmp_path_factory.mktemp("types") / "cells.h5ad"
    groups = [f"g{TYPES.index(kind)}" for kind in KINDS]
    expression(VALUES, KINDS, group=groups).write_h5ad(path)
    return path


def table(folder: Path, text: str, name: str = "types.csv") -> Path:
    (folder / name).write_text(text)
    return folder / name


def with_markers(folder: Path, kinds: tuple[str, ...] = TYPES) -> Path:
    rows = [f"{kind},{' '.join(GENES_OF[kind])}" for kind in kinds]
    return table(folder, "type,markers\n" + "\n".join(rows) + "\n")


def annotated(folder: Path, source: Path, *words: object) -> pandas.DataFrame:
    succeed("annotate", source, *words, "-o", folder / "out.h5ad")
    return anndata.read_h5ad(folder / "out.h5ad").obs


def test_a_table_of_markers_names_all_cells(tmp_path: Path, source: Path) -> None:
    types = with_markers(tmp_path)
    evidence, calls = tmp_path / "evidence.tsv", tmp_path / "calls.csv"
    words = ("--types", types, "--cluster-table", evidence, "--calls", calls)
    obs = annotated(tmp_path, source, *words)
    assert (obs["screader_label"].astype(str) == KINDS).all()
    assert (obs["screader_status"] == "assigned").all()
    whole = anndata.read_h5ad(tmp_path / "out.h5ad")
    assert (whole.X.toarray() == VALUES).all()
    rows = pandas.read_csv(evidence, sep="\t", index_col=0)
    assert rows["cells"].sum() == CELLS
    for _, row in rows.iterrows():
        assert set(row["markers"].split(", ")) <= set(GENES_OF[row["label"]])
    assert whole.uns["screader"]["clusters"]["label"].tolist() == rows["label"].tolist()
    labels = pandas.read_csv(calls, index_col=0)["screader_label"]
    assert labels.tolist() == obs["screader_label"].tolist()


def test_cells_of_a_type_that_is_not_named_are_unassigned(tmp_path: Path, source: Path) -> None:
    obs = annotated(tmp_path, source, "--types", with_markers(tmp_path, TYPES[:2]))
    other = KINDS == "delta"
    assert obs["screader_label"][other].isna().all()
    assert (obs["screader_status"][other] == "unassigned").all()
    assert (obs["screader_label"][~other].astype(str) == KINDS[~other]).all()


def test_texts_alone_tell_types_and_name_their_genes(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    kinds = np.array([*KNOWN])[np.arange(150) % 3]
    genes = [gene for listed in KNOWN.values() for gene in listed]
    rate = np.where(np.equal.outer(kinds, np.repeat([*KNOWN], 10)), 5.0, 0.3)
    cells = expression(np.zeros((150, 30)), kinds)
    cells.X = sparse.csr_matrix(random.poisson(rate).astype(np.float32))
    cells.var_names = genes
    cells.write_h5ad(tmp_path / "cells.h5ad")
    words = ["--types", "cl:0000084", "--types", "cl:B cell", "--types", "cl:mast cell"]
    words += ["--clusters", "cell_type"]
    obs = annotated(tmp_path, tmp_path / "cells.h5ad", *words)
    assert (obs["screader_label"].astype(str) == kinds).all()
    ids = {"T cell": "CL:0000084", "B cell": "CL:0000236", "mast cell": "CL:0000097"}
    assert obs["screader_ontology_id"].tolist() == [ids[kind] for kind in kinds]
    rows = anndata.read_h5ad(tmp_path / "out.h5ad").uns["screader"]["clusters"]
    assert rows.index.tolist() == sorted(KNOWN)
    for kind, row in rows.iterrows():
        assert set(row["genes_by_text"].split(", ")) <= set(KNOWN[str(kind)])
        assert "by its text alone" in row["check"]


def test_negative_markers_keep_out_what_shares_the_positive_ones(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    kinds = np.array(["single", "double", "other"])[np.arange(150) % 3]
    rate = np.full((150, 40), 0.3)
    rate[kinds != "other", :10] = 6.0
    rate[kinds == "double", 10:20] = 6.0
    rate[kinds == "other", 20:30] = 6.0
    expression(random.poisson(rate), kinds).write_h5ad(tmp_path / "cells.h5ad")
    first, second, third = (" ".join(f"GENE{n + i:02}" for i in range(10)) for n in (0, 10, 20))
    for negative in (second, ""):
        text = f"type,markers,negative_markers\nsingle,{first},{negative}\nother,{third},\n"
        obs = annotated(tmp_path, tmp_path / "cells.h5ad", "--types", table(tmp_path, text))
        called = obs["screader_label"].astype(str)
        assert (called[kinds != "double"] == kinds[kinds != "double"]).all()
        assert (called[kinds == "double"] == ("nan" if negative else "single")).all()


def test_marker_tables_are_matched_by_name_id_and_synonym(tmp_path: Path, source: Path) -> None:
    text = "type,ontology_id\nalpha cells,\nBETA,\npancreatic D cell,CL:0000173\n"
    names = {"alpha": "Alpha cell", "beta": "beta cells (islet)", "delta": "whatever"}
    rows = [
        f"{names[kind]},{gene},{'CL:0000173' if kind == 'delta' else ''}"
        for kind in TYPES
        for gene in GENES_OF[kind]
    ]
    markers = table(tmp_path, "cell_type,gene,ontology_id\n" + "\n".join(rows) + "\n", "m.csv")
    words = ("--types", table(tmp_path, text), "--markers", markers)
    obs = annotated(tmp_path, source, *words)
    names = dict(zip(TYPES, ("alpha cells", "BETA", "pancreatic D cell"), strict=True))
    assert obs["screader_label"].tolist() == [names[kind] for kind in KINDS]


def test_orders_of_cells_genes_and_types_do_not_matter(tmp_path: Path, source: Path) -> None:
    first = annotated(tmp_path, source, "--types", with_markers(tmp_path))
    mixed = np.random.default_rng(0).permutation(CELLS)
    anndata.read_h5ad(source)[mixed].copy()[:, ::-1].write_h5ad(tmp_path / "mixed.h5ad")
    words = ("--types", with_markers(tmp_path, TYPES[::-1]))
    second = annotated(tmp_path, tmp_path / "mixed.h5ad", *words).loc[first.index]
    assert (first["screader_label"].astype(str) == second["screader_label"].astype(str)).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,markers\na,GENE00\nb,GENE10\n", "has no column 'type'"),
        ("type,markers\na,GENE00\n", "1 types are named"),
        ("type,markers\n", "names no type"),
        ("type,markers\na,GENE00\na,GENE10\n", "type 'a' is named twice"),
        ("type,markers\na,GENE00,GENE01\nb,GENE10\n", "line 2 has more columns than the header"),
        ("type,markers\n,GENE00\nb,GENE10\n", "line 2 has no type"),
        ("type,ontology_id\na,CL:12\nb,\n", "line 2: 'CL:12' is not an id of the Cell Ontology"),
        ("type,ontology_id\na,CL:9999999\nb,\n", "no term of the Cell Ontology is 'CL:9999999'"),
        ("type,markers\nqqq,GENE00\nzzz,NOGENE\n", "type 'zzz' has no marker among the genes of"),
        ("type,markers,negative_markers\na,GENE00,gene00\nb,GENE10,\n", "GENE00 is both a marker"),
        ("type,markers\na,\0\n", "is not text"),
        ("", "is empty"),
    ],
)
def test_wrong_tables(tmp_path: Path, source: Path, text: str, message: str) -> None:
    output = tmp_path / "out.h5ad"
    words = ("--types", table(tmp_path, text), "-o", output)
    assert message in fail("annotate", source, *words)
    assert not output.exists()


def test_wrong_terms(tmp_path: Path, source: Path) -> None:
    words = ("--types", "cl:B cell", "-o", tmp_path / "o.h5ad")
    message = fail("annotate", source, *words, "--types", "cl:no such cell")
    assert "no term of the Cell Ontology is 'cl:no such cell'" in message
    assert "'B cell' is named twice" in fail("annotate", source, *words, "--types", "cl:0000236")
    assert "no such file" in fail("annotate", source, *words, "--types", tmp_path / "none.csv")


def test_what_does_not_go_with_types(tmp_path: Path, source: Path) -> None:
    types = with_markers(tmp_path)
    for words, message in (
        (("--examples", types), ONE_OF),
        (("--min-familiarity", 0.5), "--min-familiarity needs --reader"),
    ):
        done = call("annotate", source, "--types", types, *words, "-o", tmp_path / "o.h5ad")
        assert done.exit_code == 2 and message in done.stderr
    expression(VALUES[:12], KINDS[:12]).write_h5ad(tmp_path / "few.h5ad")
    words = (tmp_path / "few.h5ad", "--types", types, "--calls", tmp_path / "c.csv")
    assert "has 12 cells, fewer than 20" in fail("annotate", *words)


def test_names_that_several_terms_have_are_not_looked_up(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("type\nNK cell\npancreatic islet thing\n")
    types = read_types({"t.csv": tmp_path / "t.csv"}, ())
    assert [one.ontology_id for one in types] == ["CL:0000623", ""]
    assert types[0].name == "NK cell" and "natural killer cell" in types[0].synonyms
    with pytest.raises(ScReaderError, match="named twice"):
        read_types({}, ("cl:NK cell", "cl:natural killer cell"))


def test_a_letter_belongs_to_the_word_after_it() -> None:
    assert _words("T-cell receptor of B cells") == [
        "t cell", "receptor", "b cell", "t cell receptor", "receptor b cell",
    ]  # fmt: skip


def test_groups_hold_means_of_z_scores() -> None:
    random = np.random.default_rng(0)
    values = random.poisson(2, (300, 12)).astype(np.float32)
    matrix = sparse.csr_matrix(values)
    places = random.normal(size=(300, 4)).astype(np.float32)
    for one in group_cells(places, np.arange(300), lambda rows: matrix[rows]):
        z = (values - values.mean(0)) / values.std(0)
        expected = [z[one.codes == code].mean(0) for code in range(len(one.values))]
        assert np.allclose(one.values, expected, atol=1e-5)
        assert np.all(np.diff(np.bincount(one.codes)) <= 0)


def test_weak_markers_do_not_reach_a_full_score() -> None:
    values = np.random.default_rng(0).normal(0, 0.5, (30, 200))
    values[0, :20] += 4
    scores, errors = Grouping(np.arange(30), values).scores(
        np.repeat([[0.05, 0.0], [0.0, 0.05]], [20, 180], axis=1)[:, :200] * [[1], [0.1]]
    )
    assert scores[:, 0].argmax() == 0 and scores[0, 0] == pytest.approx(1)
    assert scores[:, 1].max() < 0.6 and errors[0, 0] > 8


@pytest.fixture(scope="module")
def of_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reader that knows alpha and beta only."""
    folder = tmp_path_factory.mktemp("of-two")
    values, kinds = counts(1, 900)
    known = kinds != "delta"
    expression(values[known], kinds[known]).write_h5ad(folder / "known.h5ad")
    words = [
        folder / "known.h5ad",
        "-e",
        write_embeddings(folder / "e.h5ad"),
        "--label",
        "cell_type",
    ]
    succeed("build-cells", *words, "-o", folder / "cells.h5ad")
    words = [folder / "cells.h5ad", "--method", "logistic", *ONE_READER]
    succeed("train-reader", *words, "-o", folder / "reader.h5")
    return folder / "reader.h5"


@pytest.mark.parametrize("named", [("delta",), TYPES, ("delta", "alpha")])
def test_beside_a_reader_unfamiliar_cells_are_offered_what_it_does_not_know(
    tmp_path: Path, source: Path, of_two: Path, named: tuple[str, ...]
) -> None:
    alone = annotated(tmp_path, source, "--reader", of_two)
    words = ("--reader", of_two, "--types", with_markers(tmp_path, named))
    obs = annotated(tmp_path, source, *words)
    is_new = KINDS == "delta"
    assert (obs["screader_proposed_type"][is_new] == "delta").mean() > 0.95
    assert obs["screader_proposed_type"][~is_new].isna().all()
    assert obs["screader_proposed_confidence"][~is_new].isna().all()
    for name in alone.columns:
        assert alone[name].astype(str).tolist() == obs[name].astype(str).tolist(), name


def test_beside_a_reader_nothing_is_offered_that_has_no_evidence(
    tmp_path: Path, source: Path, of_two: Path
) -> None:
    types = table(tmp_path, "type,markers\nsomething,GENE35 GENE36 GENE37\n")
    obs = annotated(tmp_path, source, "--reader", of_two, "--types", types)
    assert obs["screader_proposed_type"].isna().all()
    assert obs["screader_label"].notna().any()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Maps are drawn at places that take no time to find."""
    places = np.random.default_rng(0).random
    monkeypatch.setattr(
        umap_plot, "project", lambda vectors, *_: places((vectors.rows, 2)).astype(np.float32)
    )


def parts_of(report: Path) -> tuple[str, dict[str, list[str]]]:
    """The page without its map, and the columns of the map."""
    page, _, rest = report.read_text("utf-8").partition('id="cell-map-content">')
    content, _, end = rest.partition("</script>")
    return page.partition("</style>")[2] + end.partition("<script>")[0], decoded(content)[3]


@pytest.mark.usefixtures("at_once")
def test_the_report_of_named_types_says_nothing_of_a_reader(tmp_path: Path, source: Path) -> None:
    words = ("--types", with_markers(tmp_path, TYPES[:2]), "--report", tmp_path / "r.html")
    obs = annotated(tmp_path, source, *words)
    page, on_map = parts_of(tmp_path / "r.html")
    count = int(obs["screader_label"].notna().sum())
    assert "cells.h5ad: 240 cells labelled by what is known of 2 types" in page
    assert f"{count} of 240 cells have a label: " in page
    assert "many cells are similar to none of the types" in page
    assert "reader" not in page.replace("scReader", "") and "amiliarity" not in page
    assert '<th scope="col">markers</th>' in page and "GENE00" in page
    for title, name in (("call", "label"), ("status", "status"), ("cluster", "cluster")):
        values = obs[f"screader_{name}"].astype(object)
        assert on_map[title] == values.where(values.notna(), "").tolist(), title
    np.testing.assert_allclose(on_map["evidence"], obs["screader_evidence"], atol=0.1)
    assert "GENE00" in on_map and "familiarity" not in on_map


@pytest.mark.usefixtures("at_once")
def test_the_report_of_a_reader_has_the_types_that_are_proposed(
    tmp_path: Path, source: Path, of_two: Path
) -> None:
    words = ("--types", with_markers(tmp_path, ("delta",)), "--report", tmp_path / "r.html")
    obs = annotated(tmp_path, source, "--reader", of_two, *words)
    page, on_map = parts_of(tmp_path / "r.html")
    proposed = obs["screader_proposed_type"].astype(object)
    count = int(proposed.notna().sum())
    assert count and f"may be of one that it lacks: delta ({count})." in page
    assert on_map["proposed type"] == proposed.where(proposed.notna(), "").tolist()


def test_the_same_from_python(tmp_path: Path, source: Path, of_two: Path) -> None:
    types = with_markers(tmp_path)
    for words, reader in (((), None), (("--reader", of_two), of_two)):
        obs = annotated(tmp_path, source, "--types", types, *words)
        adata = anndata.read_h5ad(source)
        found = screader.annotate(adata, reader, types=str(types), verbose=False).obs
        columns = [name for name in obs.columns if name.startswith("screader_")]
        assert columns == [name for name in found.columns if name.startswith("screader_")]
        for name in columns:
            assert obs[name].astype(str).tolist() == found[name].astype(str).tolist(), name
    with pytest.raises(ScReaderError, match="give a reader, examples or types"):
        screader.annotate(anndata.read_h5ad(source))
