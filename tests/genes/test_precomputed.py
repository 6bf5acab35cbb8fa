"""Embeddings that someone else computed."""

from __future__ import annotations

import pickle  # noqa: TID251 (to write what must and must not be read)
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest

from screader_lib.errors import ScReaderError
from screader_lib.exchange.table import Categorical, Table, strings
from screader_lib.genes.precomputed.match_precomputed import all_genes, described_genes
from screader_lib.genes.precomputed.read_precomputed import Precomputed, read_precomputed

NAMES = ("INS", "HLA-A", "ENSG00000115263.5")
VECTORS = np.arange(12, dtype=np.float32).reshape(3, 4)
MAPPING = {name: vector.tolist() for name, vector in zip(NAMES, VECTORS, strict=True)}


def write_npz(path: Path) -> None:
    with path.open("wb") as stream:
        np.savez(stream, genes=np.array(NAMES), vectors=VECTORS)


def write_npz_by_gene(path: Path) -> None:
    with path.open("wb") as stream:
        np.savez(stream, **dict(zip(NAMES, VECTORS, strict=True)))


def write_csv(path: Path) -> None:
    pd.DataFrame(VECTORS, index=NAMES).to_csv(path)


def write_tsv_without_header(path: Path) -> None:
    pd.DataFrame(VECTORS, index=NAMES).to_csv(path, sep="\t", header=False)


def write_h5ad(path: Path) -> None:
    anndata.AnnData(VECTORS, obs=pd.DataFrame(index=NAMES)).write_h5ad(path)


def write_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(MAPPING))


def write_parquet(path: Path) -> None:
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame(VECTORS, columns=list("abcd"))
    frame.insert(0, "gene", NAMES)
    frame.to_parquet(path, index=False)


@pytest.mark.parametrize(
    "write",
    [
        write_npz,
        write_npz_by_gene,
        write_csv,
        write_tsv_without_header,
        write_h5ad,
        write_pickle,
        write_parquet,
    ],
)
def test_formats(tmp_path: Path, write: Any) -> None:
    path = tmp_path / "vectors"
    write(path)
    found = read_precomputed(path)
    assert found.names == NAMES
    assert found.vectors.dtype == np.float32
    assert np.array_equal(found.vectors, VECTORS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(pickle.dumps([1, 2]), "a list instead of a dict", id="list"),
        pytest.param(pickle.dumps({"INS": "text"}), "'INS' is not a list", id="text"),
        pytest.param(pickle.dumps({1: [1.0]}), "entry 1", id="number-as-name"),
        pytest.param(pickle.dumps({"A": [1.0], "B": []}), "different lengths", id="lengths"),
        pytest.param(pickle.dumps({"A": [float("nan")]}), "not finite", id="nan"),
        pytest.param(pickle.dumps(MAPPING)[:-9], "cannot be read|damaged", id="cut-pickle"),
        pytest.param(b"PK\x03\x04 no zip", "not an npz", id="no-zip"),
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b"INS,1,2\nGCG,1\n", "line 2 has 1 numbers; wanted 2", id="short-line"),
        pytest.param(b"INS,1,2\nGCG,1,x\n", "line 2 holds something other", id="text-in-csv"),
        pytest.param(b"INS,1\nINS,2\n", "names 'INS' 2 times", id="twice"),
        pytest.param(b"gene,d0\n", "holds no vectors", id="only-header"),
        pytest.param(b"INS\nGCG\n", "line 1 has no numbers, only 'INS'", id="one-column"),
        pytest.param(b"gene\nINS\n", "line 2 has no numbers, only 'INS'", id="header-and-column"),
        pytest.param(b"\x00\x01\x02\xff", "is not text", id="binary"),
        pytest.param(b"gene,a\nINS," + b"1" * 200_000, "cannot be read", id="long-field"),
        pytest.param(b"\x80\x04K\x01.", "a int instead of a dict", id="number"),
        pytest.param(pickle.dumps({}), "holds no genes", id="empty-dict"),
    ],
)
def test_wrong_files(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "f"
    path.write_bytes(content)
    with pytest.raises(ScReaderError, match=message):
        read_precomputed(path)


def test_npz_of_objects_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.npz"
    np.savez(path, genes=np.array(NAMES, dtype=object), vectors=VECTORS)
    with pytest.raises(ScReaderError, match="not an npz of plain arrays"):
        read_precomputed(path)


def genes() -> Table:
    return Table(
        strings(["HLA.A", "IDDM", "GCG", "XYZ"]),
        {
            "symbol": strings(["HLA-A", "INS", "GCG", "XYZ"]),
            "gene_id": strings(["3105", "3630", "2641", ""]),
            "ensembl_id": strings(["", "", "ENSG00000115263", ""]),
            "aliases": strings(["", "IDDM", "GLP1", ""]),
            "source": Categorical.of(["ncbi"] * 4),
            "text": strings(["a", "b", "c", "d"]),
            "text_sha256": strings(["a", "b", "c", "d"]),
        },
    )


def test_vectors_find_their_genes() -> None:
    made = described_genes(genes(), Precomputed(NAMES, VECTORS), "theirs", "zero")
    assert np.array_equal(made.vectors, np.stack([*VECTORS[[1, 0, 2]], np.zeros(4)]))
    assert made.genes.strings("source").tolist() == ["user", "user", "user", "none"]
    assert (
        made.genes.strings("text_sha256").tolist() == [""] * 4 and "text" not in made.genes.columns
    )
    assert (made.provider, made.model) == ("import", "theirs")
    dropped = described_genes(genes(), Precomputed(NAMES, VECTORS), "theirs", "drop")
    assert dropped.genes.index.tolist() == ["HLA.A", "IDDM", "GCG"]
    with pytest.raises(ScReaderError, match="1 gene without a vector, the first is 'XYZ'"):
        described_genes(genes(), Precomputed(NAMES, VECTORS), "theirs", "error")
    with pytest.raises(ScReaderError, match="none of the genes"):
        described_genes(genes(), Precomputed(("Q1",), VECTORS[:1]), "theirs", "mean")


def test_further_ids_find_their_vectors() -> None:
    asked = genes()
    asked.columns["ensembl_id"] = strings(["", "", "ENSG00000000001", ""])
    asked.columns["other_ids"] = strings(["", "", "MIM:1|ENSG00000115263", ""])
    made = described_genes(asked, Precomputed(NAMES[2:], VECTORS[2:]), "theirs", "drop")
    assert made.genes.index.tolist() == ["GCG"]


def test_texts_that_come_with_the_vectors_are_kept() -> None:
    """Another run's gene embeddings tell what was embedded, these descriptions do not."""
    columns = {"text_sha256": strings("xyz"), "source": Categorical.of(["llm", "ncbi", "user"])}
    told = Precomputed(NAMES, VECTORS, "m", Table(strings(NAMES), columns))
    made = described_genes(genes(), told, "theirs", "zero").genes
    assert made.strings("text_sha256").tolist() == ["y", "x", "z", ""]
    assert made.strings("source").tolist() == ["ncbi", "llm", "user", "none"]
    assert "text" not in made.columns


def test_vectors_all_genes() -> None:
    made = all_genes(Precomputed(NAMES, VECTORS), "theirs")
    assert made.genes.strings("symbol").tolist() == ["INS", "HLA-A", ""]
    assert made.genes.strings("ensembl_id").tolist() == ["", "", "ENSG00000115263"]


def genes_named(*rows: tuple[str, str]) -> Table:
    names = strings(symbol for symbol, _ in rows)
    blank = strings("" for _ in rows)
    columns: dict[str, Any] = {"symbol": names, "gene_id": blank, "ensembl_id": blank}
    columns |= {"aliases": strings(aliases for _, aliases in rows), "text_sha256": blank}
    columns["source"] = Categorical.of(["ncbi"] * len(rows))
    return Table(names, columns)


@pytest.mark.parametrize(
    ("genes", "known"),
    [
        pytest.param([("DAO", ""), ("AOC1", "DAO|ABP1")], ["DAO"], id="another gene's symbol"),
        pytest.param([("AOC1", "ABP1|DAO")], ["AOC1"], id="nobody else's"),
        pytest.param([("A", "DAO"), ("B", "DAO"), ("C", "")], [], id="two claim it"),
    ],
)
def test_aliases_take_no_vector_of_another(genes: list[tuple[str, str]], known: list[str]) -> None:
    found = Precomputed(("DAO", "OTHER"), np.ones((2, 3), np.float32))
    if not known:
        with pytest.raises(ScReaderError, match="none of the genes"):
            described_genes(genes_named(*genes), found, "m", "zero")
        return
    made = described_genes(genes_named(*genes), found, "m", "drop")
    assert made.genes.index.tolist() == known
