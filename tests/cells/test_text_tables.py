"""Tables of counts as text: their orientation, what else is in them, and lists of genes apart."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import numpy as np
import pandas
import pytest
from cell_files import IDS, NAMES, TYPES, VALUES
from small_files import SYMBOLS, fail, succeed, write_embeddings

from screader_lib.cells.formats import transpose
from screader_lib.cells.formats.open_expression import open_expression
from screader_lib.cells.gene_lists import read_genes

FRAME = pandas.DataFrame(VALUES.T, SYMBOLS, NAMES)  # genes in rows


def table(
    path: Path, frame: pandas.DataFrame, sep: str, head: str = "", corner: bool = True
) -> Path:
    text = frame.to_csv(sep=sep)
    text = text if corner else text.removeprefix(sep)
    content = (head + text).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def values_of(path: Path) -> tuple[np.ndarray, list[str], pandas.DataFrame]:
    with open_expression(path, "x") as source:
        blocks = [source.read(*span).toarray() for span in source.spans()]
        obs = source.obs.load()
        columns = {key: obs.strings(key) for key in obs.columns}
        frame = pandas.DataFrame(columns, index=obs.index)
        return np.vstack(blocks), source.genes.index.tolist(), frame


@pytest.mark.parametrize("piece", [7, 10**6])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("x.csv.gz", {"sep": ","}),
        ("x.tsv", {"sep": "\t"}),
        ("x.txt", {"sep": " ", "corner": False}),  # as R's write.table
        ("x.csv", {"sep": ";", "head": "# made by hand\n\n"}),
        ("x.tsv", {"sep": "\t", "head": "# made\tby\thand\n#Sample:"}),  # of CEL-Seq's pipeline
    ],
)
def test_genes_in_rows(
    tmp_path: Path, name: str, words: dict, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transpose, "ENTRIES_PER_PIECE", piece)
    path = table(tmp_path / name, FRAME, **words)
    values, genes, obs = values_of(path)
    assert np.array_equal(values, VALUES)
    assert genes == SYMBOLS and obs.index.tolist() == NAMES
    assert list(read_genes(path, name).names) == SYMBOLS


def test_cells_in_rows_with_their_columns(tmp_path: Path) -> None:
    frame = FRAME.T
    frame.insert(0, "cell_type", TYPES)
    frame["nCount_RNA"], frame["percent.mt"] = frame[SYMBOLS].sum(1), 0.5
    path = table(tmp_path / "x.csv", frame, ",")
    values, genes, obs = values_of(path)
    assert np.array_equal(values, VALUES) and genes == SYMBOLS
    assert obs["cell_type"].tolist() == TYPES.tolist()
    assert list(obs) == ["cell_type", "nCount_RNA", "percent.mt"]
    assert list(read_genes(path, "x.csv").names) == SYMBOLS


def test_columns_of_genes(tmp_path: Path) -> None:
    frame = FRAME.copy()
    frame.index = IDS
    frame.insert(0, "gene_name", SYMBOLS)
    path = table(tmp_path / "x.tsv", frame, "\t")
    with open_expression(path, "x") as source:
        assert source.genes.index.tolist() == IDS
        assert source.genes.strings("gene_name").tolist() == SYMBOLS
        assert len(source.obs) == len(NAMES)


def test_numbers_of_genes_are_no_cells(tmp_path: Path) -> None:
    """As in the tables of featureCounts (showteeth/GEfetch2R#9) and biomaRt."""
    frame = FRAME.copy()
    for place, (name, value) in enumerate(
        {"Chr": "1;1", "Start": 5, "End": 9, "Length": 1500, "entrezgene_id": 3630}.items()
    ):
        frame.insert(place, name, value)
    remark = '# Program:featureCounts v2.0.1; Command:"featureCounts"\n'
    names = [*NAMES[:-1], "endothelial_1"]
    frame = frame.rename(columns={NAMES[-1]: names[-1]})
    values, genes, obs = values_of(table(tmp_path / "x.txt", frame, "\t", remark))
    assert np.array_equal(values, VALUES)
    assert genes == SYMBOLS and obs.index.tolist() == names


def test_names_with_more_in_them(tmp_path: Path) -> None:
    """BD Rhapsody's targeted panels, with names of cells that are numbers."""
    names = [f"{gene}|NM_{number:06}.4|Reference_end" for number, gene in enumerate(SYMBOLS)]
    frame = pandas.DataFrame(VALUES, range(1000, 1000 + len(VALUES)), names)
    frame.insert(3, "CD4:SK3|CD4|AHS0032|pAbO", 40)
    path = table(tmp_path / "x.csv", frame, ",", "##Pipeline: BD Rhapsody\n#\n")
    with open_expression(path, "x") as source:
        assert source.summary == (
            "table, cells in rows: 30 cells, 40 genes, named as in human; left out: 1 feature that "
            "is not a gene (1 Antibody Capture)"
        )
    words = ("-e", write_embeddings(tmp_path / "e.h5ad", SYMBOLS), "-o", tmp_path / "c.h5ad")
    assert "40 of 40 genes have an embedding" in succeed("build-cells", path, *words).stderr


def test_barcodes_tell_where_genes_do_not(tmp_path: Path) -> None:
    barcodes = [
        "".join("ACGT"[number >> bits & 3] for bits in range(0, 20, 2)) for number in range(30)
    ]
    frame = pandas.DataFrame(VALUES, barcodes, [f"g{number}x" for number in range(40)])
    assert np.array_equal(values_of(table(tmp_path / "x.csv", frame, ","))[0], VALUES)


def test_a_list_of_genes_with_numbers_is_a_list(tmp_path: Path) -> None:
    frame = pandas.DataFrame({"logFC": [1.5, 2.0], "p": [0.1, 0.2]}, ["INS", "GCG"])
    path = table(tmp_path / "x.csv", frame, ",")
    assert read_genes(path, "x.csv").names == ("INS", "GCG")


def test_what_is_no_table(tmp_path: Path) -> None:
    words = ("-e", write_embeddings(tmp_path / "e.h5ad", SYMBOLS), "-o", tmp_path / "c.h5ad")
    for text in ("INS\nGCG\n", "INS,1\nGCG,2\n", "a,b\nc,d\n", "a,b,c\nd,1\n"):
        (tmp_path / "x.txt").write_text(text)
        message = fail("build-cells", tmp_path / "x.txt", *words)
        assert "x.txt: is text, but not a table of counts. Expected names in the first" in message
    spoilt = FRAME.astype(object)
    spoilt.iloc[30, 5] = "many"
    message = fail("build-cells", table(tmp_path / "x.csv", spoilt, ","), *words)
    assert "x.csv: holds something other than numbers" in message
    spoilt.iloc[30, 5] = ""
    message = fail("build-cells", table(tmp_path / "x.csv", spoilt, ","), *words)
    assert "x.csv: its matrix holds NaN or infinite values" in message


@pytest.mark.parametrize("piece", [7, 10**6])
@pytest.mark.parametrize("by_cells", [False, True])
def test_blank_lines_and_quoted_names_shift_nothing(
    tmp_path: Path, by_cells: bool, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transpose, "ENTRIES_PER_PIECE", piece)
    frame = FRAME.copy()
    frame.index = [*SYMBOLS[:-1], f"{SYMBOLS[-1]},x"]
    if by_cells:
        frame = frame.T
        frame.index = [*NAMES[:-1], "the last,\none"]
        frame.insert(0, "cell_type", TYPES)
    lines = frame.to_csv(quoting=csv.QUOTE_NONNUMERIC).split("\n")
    for place in (2, 24, 27, len(lines) + 2):
        lines.insert(place, "")
    path = tmp_path / "x.csv"
    path.write_text("\n".join(lines))
    values, genes, obs = values_of(path)
    assert np.array_equal(values, VALUES) and genes == [*SYMBOLS[:-1], f"{SYMBOLS[-1]},x"]
    assert obs.index.tolist() == (frame.index.tolist() if by_cells else NAMES)
    assert not by_cells or obs["cell_type"].tolist() == TYPES.tolist()


def test_fields_beyond_the_last_column_shift_nothing(tmp_path: Path) -> None:
    lines = FRAME.to_csv().splitlines()
    lines[30] += ",5,6"
    path = tmp_path / "x.csv"
    path.write_text("\n".join(lines))
    values, genes, obs = values_of(path)
    assert np.array_equal(values, VALUES) and genes == SYMBOLS and obs.index.tolist() == NAMES
