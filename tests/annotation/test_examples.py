"""``annotate --examples``: all cells called from a few that a person has named."""

from __future__ import annotations

import re
from pathlib import Path

import anndata
import numpy as np
import pandas
import pytest
from map_content import decoded
from running import invoke
from small_files import TYPES, call, counts, expression, fail, succeed

import screader
from screader_lib.annotation.few_labels import by_examples
from screader_lib.annotation.few_labels.example_table import learnt_from
from screader_lib.errors import ScReaderError
from screader_lib.reader.methods.label_propagation import LabelPropagation

CELLS = 150
VALUES, KINDS = counts(3, CELLS)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three types in equal parts, and a column that tells them apart."""
    path = tmp_path_factory.mktemp("examples") / "cells.h5ad"
    groups = [f"g{TYPES.index(kind)}" for kind in KINDS]
    expression(VALUES, KINDS, group=groups).write_h5ad(path)
    return path


ONE_OF = "give one of --reader, --reference, --examples and --types."


def table(folder: Path, text: str, name: str = "examples.csv") -> Path:
    (folder / name).write_text(text)
    return folder / name


def annotated(folder: Path, source: Path, examples: Path, *words: object) -> pandas.DataFrame:
    succeed("annotate", source, "--examples", examples, "-o", folder / "out.h5ad", *words)
    return anndata.read_h5ad(folder / "out.h5ad").obs


def test_one_cell_of_each_type_names_all(tmp_path: Path, source: Path) -> None:
    named = "cell,label\ncell000,alpha\ncell001,beta\ncell002,delta\ncell003,unknown\n"
    obs = annotated(tmp_path, source, table(tmp_path, named), "--calls", tmp_path / "calls.tsv")
    assert (obs["screader_label"].astype(str) == KINDS).mean() > 0.98
    assert obs["screader_status"].value_counts()["example"] == 3
    whole = anndata.read_h5ad(tmp_path / "out.h5ad")
    assert (whole.X.toarray() == VALUES).all()
    assert whole.uns["screader"]["examples"] == {"alpha": 1, "beta": 1, "delta": 1}
    assert whole.obsm["X_screader"].shape[0] == CELLS
    calls = pandas.read_csv(tmp_path / "calls.tsv", sep="\t", index_col=0)
    assert calls["screader_label"].tolist() == obs["screader_label"].tolist()


def test_cells_of_a_type_without_example_get_no_label(tmp_path: Path, source: Path) -> None:
    obs = annotated(tmp_path, source, table(tmp_path, "cell\tlabel\ncell000\tA\ncell001\tB\n"))
    without = KINDS == "delta"
    assert obs["screader_label"][without].isna().mean() > 0.9
    assert obs["screader_label"][~without].isna().mean() < 0.1
    assert set(obs["screader_status"][without]) <= {"unfamiliar", "low confidence", "assigned"}


def test_cells_unlike_all_examples_are_counted(tmp_path: Path, source: Path) -> None:
    """As many as the proposed --min-familiarity leaves without a label."""
    first = [number for number in range(CELLS) if KINDS[number] != "delta"][:24]
    rows = "".join(f"cell{number:03},{KINDS[number]}\n" for number in first)
    words = ("annotate", source, "--examples", table(tmp_path, f"cell,label\n{rows}"))
    told = succeed(*words, "-o", tmp_path / "out.h5ad").stderr
    found = re.search(r"([\d,]+) of them \((\d+)%\) are less like any example", told)
    proposed = re.search(r"--min-familiarity (\d\.\d+) leaves", told)
    assert found and proposed
    again = succeed(*words, "-o", tmp_path / "b.h5ad", "--min-familiarity", proposed[1]).stderr
    assert "less like any example" not in again
    status = anndata.read_h5ad(tmp_path / "b.h5ad").obs["screader_status"]
    assert (status == "unfamiliar").sum() == int(found[1])
    assert int(found[2]) == round(100 * int(found[1]) / (CELLS - len(first)))
    assert (status[KINDS == "delta"] == "unfamiliar").all()
    assert (status[KINDS != "delta"] == "unfamiliar").mean() < 0.1


def test_how_alike_examples_are() -> None:
    """Of 25 pairs at known angles, by the labels that have enough; one pair in 25 is farther."""
    angles = np.linspace(0, 100, 50).reshape(25, 2)
    angles[:, 1] = angles[:, 0] + 0.01
    angles[3, 1] = angles[3, 0] + 0.1
    angles = np.vstack([angles, [[200, 203]]])  # a label with two examples does not count
    places = np.stack([np.cos(angles.ravel()), np.sin(angles.ravel())], 1)
    truth = np.repeat([0, 1], [50, 2])
    cosine = places @ places.T - 2 * np.eye(52)
    expected = np.quantile(cosine[:50].max(1), 0.02)
    assert by_examples.usual_cosine(places, truth) == pytest.approx(expected)
    assert by_examples.usual_cosine(places[:19], truth[:19]) is None
    assert by_examples.usual_cosine(places, np.arange(52) // 4) is None


def test_order_of_cells_and_rows_does_not_matter(tmp_path: Path, source: Path) -> None:
    text = "label,cell\nalpha,cell000\nbeta,cell001\ndelta,cell002\n"
    first = annotated(tmp_path, source, table(tmp_path, text))
    mixed = np.random.default_rng(0).permutation(CELLS)
    anndata.read_h5ad(source)[mixed].write_h5ad(tmp_path / "mixed.h5ad")
    lines = text.splitlines()
    backwards = table(tmp_path, "\n".join([lines[0], *lines[:0:-1]]) + "\n", "again.csv")
    second = annotated(tmp_path, tmp_path / "mixed.h5ad", backwards).loc[first.index]
    assert (first["screader_label"].astype(str) == second["screader_label"].astype(str)).all()
    near = second["screader_confidence"].to_numpy()
    assert first["screader_confidence"].to_numpy() == pytest.approx(near, abs=1e-3)


def test_named_clusters(tmp_path: Path, source: Path) -> None:
    text = "cluster,label\ng0,alpha\ng1,beta\ng2,\n"
    obs = annotated(tmp_path, source, table(tmp_path, text), "--clusters", "group")
    assert (obs["screader_label"][KINDS == "beta"] == "beta").all()
    assert obs["screader_status"].value_counts()["example"] == 100
    assert obs["screader_label"][KINDS == "delta"].isna().mean() > 0.9


def test_a_wrong_example_is_told(tmp_path: Path, source: Path) -> None:
    rows = [f"cell{number:03},{KINDS[number]}" for number in range(12)]
    text = "cell,label\n" + "\n".join(rows) + "\ncell012,beta\n"  # it is alpha
    done = succeed(
        "annotate", source, "--examples", table(tmp_path, text), "--calls", tmp_path / "c.csv"
    )
    assert "1 of the 13 examples look more like another label" in done.stderr
    assert "'cell012', named beta and more like alpha: a mistake?" in done.stderr


@pytest.fixture(scope="module")
def told(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that is told of three named cells: h5ad, table of clusters and report."""
    folder = tmp_path_factory.mktemp("told")
    examples = table(folder, "cell,label\ncell000,alpha\ncell001,beta\ncell002,delta\n")
    markers = table(folder, "cell_type,gene\nAlpha cells,gene03\nBeta,gene12\n", "markers.csv")
    succeed(
        "annotate", source, "--examples", examples, "-o", folder / "out.h5ad", "--markers", markers,
        "--cluster-table", folder / "clusters.tsv", "--report", folder / "report.html",
    )  # fmt: skip
    return folder


def test_clusters_are_told_by_the_genes_that_set_them_apart(told: Path) -> None:
    rows = pandas.read_csv(told / "clusters.tsv", sep="\t", keep_default_na=False)
    assert rows["cells"].tolist() == [50, 50, 50] and rows["examples"].tolist() == [1, 1, 1]
    assert sorted(rows["label"]) == [*TYPES] and (rows["share"] > 0.9).all()
    of_type = rows.set_index("label")
    for number, label in enumerate(TYPES):
        genes = of_type.loc[label, "genes"].split("; ")
        assert {*genes} <= {f"GENE{10 * number + one:02}" for one in range(10)}, (label, genes)
    assert of_type["known_markers"].to_dict() == {"alpha": "GENE03", "beta": "GENE12", "delta": ""}
    assert not rows["check"].any()
    adata = anndata.read_h5ad(told / "out.h5ad")
    written = adata.uns["screader"]["clusters"]
    assert written["genes"].tolist() == rows["genes"].tolist()
    sizes = adata.obs["screader_cluster"].value_counts()
    assert {name: sizes[name] for name in written.index} == written["cells"].to_dict()


def test_the_report_says_what_was_called(told: Path) -> None:
    page = (told / "report.html").read_text("utf-8")
    _, content = page.split('id="cell-map-content">')
    header, _, names, columns = decoded(content.partition("</script>")[0])
    adata = anndata.read_h5ad(told / "out.h5ad")
    assert names == adata.obs_names.tolist()
    for title, column in {
        "call": "screader_label", "status": "screader_status", "cluster": "screader_cluster",
        "group": "group",
    }.items():  # fmt: skip
        values = adata.obs[column].astype(object)
        assert columns[title] == values.where(values.notna(), "").tolist(), title
    for title in ("confidence", "familiarity"):
        np.testing.assert_allclose(columns[title], adata.obs[f"screader_{title}"], atol=0.003)
    genes = [one["name"] for one in header["columns"] if one["group"] == "genes"]
    assert {"GENE03", "GENE12"} <= {*genes}
    labelled = adata.obs["screader_label"].notna().sum()
    assert "cells.h5ad: 150 cells labelled by 3 named cells" in page
    assert f"{labelled} of 150 cells have a label, 3 of them as examples: " in page
    assert "<td>GENE03" in page and "reader" not in page.partition("</main>")[0].split("<main>")[1]


def test_a_group_without_examples_is_to_be_checked(tmp_path: Path, source: Path) -> None:
    words = ("--clusters", "group", "--cluster-table", tmp_path / "c.tsv")
    annotated(tmp_path, source, table(tmp_path, "cell,label\ncell000,a\ncell001,b\n"), *words)
    rows = pandas.read_csv(tmp_path / "c.tsv", sep="\t", index_col=0, keep_default_na=False)
    assert rows["examples"].to_dict() == {"g0": 1, "g1": 1, "g2": 0}
    assert "similar to no example" in rows.loc["g2", "check"] and not rows.loc["g0", "check"]


def test_an_example_keeps_its_label_in_the_report(tmp_path: Path, source: Path) -> None:
    rows = [f"cell{number:03},{KINDS[number]}" for number in range(12)]
    text = "cell,label\n" + "\n".join(rows) + "\ncell012,beta\n"  # it is alpha
    report = tmp_path / "r.html"
    succeed("annotate", source, "--examples", table(tmp_path, text), "--report", report)
    _, content = report.read_text("utf-8").split('id="cell-map-content">')
    _, _, names, columns = decoded(content.partition("</script>")[0])
    at = names.index("cell012")
    assert (columns["call"][at], columns["second type"][at]) == ("beta", "alpha")
    assert columns["confidence"][at] < 0.5


@pytest.mark.parametrize("as_mapping", [False, True])
def test_the_same_from_python(tmp_path: Path, source: Path, as_mapping: bool) -> None:
    examples = table(tmp_path, "cell,label\ncell000,alpha\ncell001,beta\ncell002,delta\n")
    markers = table(tmp_path, "cell_type,gene\nAlpha cells,gene03\n", "markers.csv")
    words = ("--clusters", "auto", "--min-confidence", 0.7, "--markers", markers)
    annotated(tmp_path, source, examples, *words)
    written, adata = anndata.read_h5ad(tmp_path / "out.h5ad"), anndata.read_h5ad(source)
    labels = pandas.Series([*TYPES, None], [f"cell{number:03}" for number in range(4)])
    screader.annotate(
        adata, examples=labels if as_mapping else examples, clusters="auto", min_confidence=0.7,
        markers=[markers], verbose=False,
    )  # fmt: skip
    pandas.testing.assert_frame_equal(adata.obs, written.obs, check_exact=True)
    np.testing.assert_array_equal(adata.obsm["X_screader"], written.obsm["X_screader"])
    about, same = adata.uns["screader"], written.uns["screader"]
    assert about["clusters"].equals(same["clusters"]) and about["examples"] == same["examples"]
    assert ("examples" in about["inputs"]) is not as_mapping


def test_wrong_examples_from_python(source: Path) -> None:
    adata = anndata.read_h5ad(source)
    with pytest.raises(ScReaderError, match="examples: 1 of its 2 cells are not among those"):
        screader.annotate(adata, examples={"cell000": "a", "cell": "b"}, verbose=False)
    for others in ({"types": ["cl:B cell"]}, {"reader": "human-blood"}):
        with pytest.raises(ScReaderError, match="give a reader, examples or types"):
            screader.annotate(adata, examples={"cell000": "a", "cell001": "b"}, **others)
    assert not [name for name in adata.obs if name.startswith("screader")]


def test_several_inputs_and_orders_of_genes(tmp_path: Path, source: Path) -> None:
    cells = anndata.read_h5ad(source)
    cells[:80].write_h5ad(tmp_path / "one.h5ad")
    cells[80:, ::-1].write_h5ad(tmp_path / "two.h5ad")
    examples = table(tmp_path, "cell,label\ncell000,alpha\ncell001,beta\ncell083,delta\n")
    words = ("--examples", examples, "-o", tmp_path / "both.h5ad")
    succeed("annotate", tmp_path / "one.h5ad", tmp_path / "two.h5ad", *words)
    obs = anndata.read_h5ad(tmp_path / "both.h5ad").obs
    assert (obs["screader_label"].astype(str) == KINDS).mean() > 0.98


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        ("cell,label\nx,alpha\ncell001,beta\n", (), "1 of its 2 cells are not among those of the"),
        ("cell,label\ncell000,alpha\n", (), "has 1 label."),
        ("cell\ncell000\n", (), "Its columns are cell; cell (or cluster) and label are expected"),
        ("name,type\nx,alpha\ncell001,beta\n", (), "Its columns are name, type; cell (or clust"),
        ("cell,label\ncell000,a\ncell000,b\n", (), "gives cell 'cell000' two labels, 'a' and 'b'"),
        ("cluster,label\ng0,a\ng1,b\n", (), "Say which column of obs these are: --clusters COLUMN"),
        (
            "cluster,label\ng0,a\ng1,b\n",
            ("--clusters", "auto"),
            "Say which column of obs these are",
        ),
        ("cluster,label\ng0,a\ng9,b\n", ("--clusters", "group"), "the first is 'g9'"),
        ("cluster,label\ng0,a\ng1,b\n", ("--clusters", "none"), "none"),
    ],
)
def test_wrong_tables(
    tmp_path: Path, source: Path, text: str, words: tuple[str, ...], message: str
) -> None:
    examples = table(tmp_path, text)
    output = tmp_path / "out.h5ad"
    assert message in fail("annotate", source, "--examples", examples, "-o", output, *words)
    assert not output.exists()


def test_too_few_cells(tmp_path: Path) -> None:
    expression(VALUES[:12], KINDS[:12]).write_h5ad(tmp_path / "few.h5ad")
    examples = table(tmp_path, "cell,label\ncell000,alpha\ncell001,beta\n")
    words = (tmp_path / "few.h5ad", "--examples", examples, "--calls", tmp_path / "c.csv")
    assert "has 12 cells, fewer than 20" in fail("annotate", *words)


def test_options_that_need_a_reader(tmp_path: Path, source: Path) -> None:
    examples = table(tmp_path, "cell,label\ncell000,alpha\ncell001,beta\n")
    for words, message in (
        ((), ONE_OF),
        (("--examples", examples, "-r", "human-blood"), ONE_OF),
        (("--examples", examples, "--consensus", "none"), "--consensus none needs --reader"),
        (("--examples", examples, "--force"), "--force needs --reader"),
    ):
        done = call("annotate", source, *words, "-o", tmp_path / "o.h5ad")
        assert done.exit_code == 2 and message in done.stderr
    done = invoke("annotate", source, "--examples", examples, "--in-place")
    assert done.exit_code == 0, done.stderr
    assert "screader_label" in anndata.read_h5ad(source).obs


def test_cells_outside_the_sketch_are_called_by_their_neighbours() -> None:
    random = np.random.default_rng(0)
    centres = np.eye(3, 6, dtype=np.float32)[np.arange(300) % 3]
    places = centres + random.normal(0, 0.2, (300, 6)).astype(np.float32)
    places /= np.linalg.norm(places, axis=1, keepdims=True)
    propagation = LabelPropagation(places, np.arange(0, 300, 2))
    rows = np.array([1, 2, 3])  # of both kinds
    called = propagation.probability(rows, rows % 3, 3).argmax(1)
    assert (called == np.arange(300) % 3).mean() > 0.97
    assert np.allclose(propagation.averaged(np.ones((300, 2), np.float32), 0.8), 1, atol=1e-5)


def test_large_groups_of_examples_are_thinned_evenly() -> None:
    kept = learnt_from(np.arange(1000), np.repeat([0, 1], [990, 10]), 100)
    assert (kept[:990].sum(), kept[990:].sum()) == (100, 10)
    assert np.diff(np.flatnonzero(kept[:990])).max() <= 11


def test_a_repeated_name_is_that_of_the_outputs_though_a_cell_is_left_out(tmp_path: Path) -> None:
    """The first of three cells of one name has too few counts: the others keep their suffixes."""
    files, columns = [], []
    for number in range(3):
        rows = np.arange(50 * number, 50 * (number + 1))
        data = expression(VALUES[rows].copy(), KINDS[rows])
        if not number:
            data.X[0] *= 0
        data.obs_names = [f"cell{place:03}" for place in range(50)]
        files.append(tmp_path / f"{number}.h5ad")
        data.write_h5ad(files[-1])
        columns.append(KINDS[rows])
    named = [("cell000-1", columns[1][0]), ("cell000-2", columns[2][0])]
    named += [(f"cell{place:03}", columns[0][place]) for place in range(1, 4)]
    text = "cell,label\n" + "".join(f"{cell},{label}\n" for cell, label in named)
    words = ("--min-counts", 1, "--calls", tmp_path / "calls.csv")
    succeed(
        "annotate", *files, "--examples", table(tmp_path, text), "-o", tmp_path / "out.h5ad", *words
    )
    calls = pandas.read_csv(tmp_path / "calls.csv", index_col=0)
    examples = calls[calls["screader_status"] == "example"]["screader_label"]
    assert sorted(examples.items()) == sorted(named)
    obs = anndata.read_h5ad(tmp_path / "out.h5ad").obs
    assert (obs["screader_status"] == "example").to_numpy().nonzero()[0].tolist() == [
        1, 2, 3, 50, 100,
    ]  # fmt: skip
