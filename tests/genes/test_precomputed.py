"""Embeddings that someone else computed."""

from __future__ import annotations

import pickle  # noqa: TID251 (to write what must and must not be read)
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

import anndata
import numpy as np
import pandas as pd
import pytest

from screader_lib.errors import ScReaderError
from screader_lib.exchange.table import Categorical, Table, strings
from screader_lib.genes.precomputed import Precomputed, all_genes, described_genes, read_precomputed

NAMES = ("INS", "HLA-A", "ENSG00000115263.5")
VECTORS = np.arange(12, dtype=np.float32).reshape(3, 4)
FACTS = ("gene_id", "ensembl_id", "aliases", "text_sha256")
MAPPING = {name: vector.tolist() for name, vector in zip(NAMES, VECTORS, strict=True)}


FRAME = pd.DataFrame(VECTORS, index=NAMES)
BY_GENE = dict(zip(NAMES, VECTORS, strict=True))


@pytest.mark.parametrize(
    "write",
    [
        lambda to: np.savez(to, genes=np.array(NAMES), vectors=VECTORS),
        lambda to: np.savez(to, **BY_GENE),
        FRAME.to_csv,
        lambda to: FRAME.to_csv(to, sep="\t", header=False),
        lambda to: anndata.AnnData(VECTORS, FRAME[[]]).write_h5ad(Path(to.name)),
        lambda to: pickle.dump(MAPPING, to),
        lambda to: FRAME.rename(columns=str).to_parquet(to),
    ],
    ids=["npz", "npz-by-gene", "csv", "tsv-without-header", "h5ad", "pickle", "parquet"],
)
def test_formats(tmp_path: Path, write: Callable[[BinaryIO], None]) -> None:
    path = tmp_path / "vectors"
    with path.open("wb") as stream:
        try:
            write(stream)
        except ImportError as error:
            pytest.skip(str(error))
    read = read_precomputed(path)
    assert read.names == NAMES
    assert read.vectors.dtype == np.float32
    assert np.array_equal(read.vectors, VECTORS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps([1, 2]), "a list instead of a dict"),
        (pickle.dumps({1: [1.0]}), "entry 1"),
        (pickle.dumps({"A": [1.0], "B": []}), "different lengths"),
        (pickle.dumps({"A": [float("nan")]}), "not finite"),
        (pickle.dumps(MAPPING)[:-9], "cannot be read|damaged"),
        (b"", "is empty"),
        (b"INS,1,2\nGCG,1\n", "line 2 has 1 numbers; expected 2"),
        (b"INS,1,2\nGCG,1,x\n", "line 2 holds something other"),
        (b"INS,1\nINS,2\n", "names 'INS' 2 times"),
        (pickle.dumps({"A\0": [1.0]}), r"'A.x00' is not a gene name"),
        (pickle.dumps({"A\ud800": [1.0]}), "is not a gene name"),
        (b"INS\nGCG\n", "line 1 has no numbers, only 'INS'"),
        (b"\x00\x01\x02\xff", "is not text"),
        (b"gene,a\nINS," + b"1" * 200_000, "cannot be read"),
        (pickle.dumps({}), "holds no genes"),
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


def genes_named(names: Iterable[str], **columns: Iterable[str]) -> Table:
    """obs of descriptions."""
    names = strings(names)
    empty = strings("" for _ in names)
    table: dict[str, Any] = {"symbol": names, **dict.fromkeys(FACTS, empty)}
    table |= {name: strings(values) for name, values in columns.items()}
    table["source"] = Categorical.of(["ncbi"] * len(names))
    return Table(names, table)


GENES = genes_named(
    ["HLA.A", "IDDM", "GCG", "XYZ"],
    symbol=["HLA-A", "INS", "GCG", "XYZ"],
    gene_id=["3105", "3630", "2641", ""],
    ensembl_id=["", "", "ENSG00000115263", ""],
    aliases=["", "IDDM", "GLP1", ""],
    text="abcd",
    text_sha256="abcd",
)
PRECOMPUTED = Precomputed(NAMES, VECTORS)


def test_vectors_are_matched_to_genes() -> None:
    made = described_genes(GENES, PRECOMPUTED, "theirs", "zero")
    assert np.array_equal(made.vectors, np.stack([*VECTORS[[1, 0, 2]], np.zeros(4)]))
    assert made.genes.strings("source").tolist() == ["user", "user", "user", "none"]
    assert made.genes.strings("text_sha256").tolist() == [""] * 4
    assert "text" not in made.genes.columns
    assert (made.provider, made.model) == ("import", "theirs")
    dropped = described_genes(GENES, PRECOMPUTED, "theirs", "drop")
    assert dropped.genes.index.tolist() == ["HLA.A", "IDDM", "GCG"]
    with pytest.raises(ScReaderError, match="1 gene without a vector, the first is 'XYZ'"):
        described_genes(GENES, PRECOMPUTED, "theirs", "error")


@pytest.mark.parametrize(
    ("genes", "names", "matched"),
    [
        (genes_named(["GCG"], other_ids=["MIM:1|ENSG00000115263"]), NAMES[2:], ["GCG"]),
        (genes_named(["DAO", "AOC1"], aliases=["", "DAO|ABP1"]), ("DAO",), ["DAO"]),
        (genes_named(["AOC1"], aliases=["ABP1|DAO"]), ("DAO",), ["AOC1"]),
        (genes_named("ABC", aliases=["DAO", "DAO", ""]), ("DAO",), []),
    ],
    ids=["further-id", "alias-is-a-symbol", "own-alias", "alias-of-two"],
)
def test_further_names(genes: Table, names: tuple[str, ...], matched: list[str]) -> None:
    precomputed = Precomputed(names, VECTORS[: len(names)])
    if matched:
        made = described_genes(genes, precomputed, "m", "drop")
        assert made.genes.index.tolist() == matched
    else:
        with pytest.raises(ScReaderError, match="none of the genes"):
            described_genes(genes, precomputed, "m", "drop")


def test_texts_that_come_with_the_vectors_are_kept() -> None:
    """Another run's gene embeddings say what was embedded, these descriptions do not."""
    columns = {"text_sha256": strings("xyz"), "source": Categorical.of(["llm", "ncbi", "user"])}
    precomputed = Precomputed(NAMES, VECTORS, "m", Table(strings(NAMES), columns))
    made = described_genes(GENES, precomputed, "theirs", "zero").genes
    assert made.strings("text_sha256").tolist() == ["y", "x", "z", ""]
    assert made.strings("source").tolist() == ["ncbi", "llm", "user", "none"]
    assert "text" not in made.columns


def test_vectors_without_descriptions() -> None:
    made = all_genes(PRECOMPUTED, "theirs")
    assert made.genes.strings("symbol").tolist() == ["INS", "HLA-A", ""]
    assert made.genes.strings("ensembl_id").tolist() == ["", "", "ENSG00000115263"]
