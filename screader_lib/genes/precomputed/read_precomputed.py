"""Embeddings that someone else computed: npz, csv, parquet, h5ad, GenePT's pickle."""

from __future__ import annotations

import csv
import io
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding, safety
from screader_lib.exchange.opening import kind_of
from screader_lib.exchange.table import Table
from screader_lib.genes.gene_lists import read_text
from screader_lib.genes.precomputed.plain_pickle import read_plain

if TYPE_CHECKING:
    import h5py

NAME_KEYS = (
    "genes",
    "names",
    "symbols",
    "gene",
    "symbol",
    "index",
    "id",
    "gene_name",
    "gene_symbol",
    "gene_id",
    "ensembl_id",
    "feature_name",
)
UNREADABLE = (
    ValueError,
    KeyError,
    TypeError,
    AssertionError,
    csv.Error,
    OverflowError,
    MemoryError,
)
VECTOR_KEYS = ("vectors", "embeddings", "embedding", "X")
MOST_PICKLED = 1 << 34


@dataclass(frozen=True)
class Precomputed:
    """``names`` of genes and ``vectors`` float32 (genes, dim); ``model`` where the file says.

    ``origin`` has a row for each of them where the file says what texts the vectors are of.
    """

    names: tuple[str, ...]
    vectors: np.ndarray
    model: str = ""
    origin: Table | None = None


def read_precomputed(path: Path, shown: str | None = None) -> Precomputed:
    """Vectors by gene name, told apart by content; ``shown`` is what messages call the file.

    ScReaderError for another file, vectors of different lengths, values that are not finite, and
    names that occur twice.
    """
    shown = shown or str(path)
    if path.is_dir():
        raise ScReaderError("is a folder, wanted embeddings.", file=shown)
    with path.open("rb") as stream:
        head = stream.read(8)
    if not head:
        raise ScReaderError("is empty, wanted embeddings.", file=shown)
    try:
        return _checked(_reader_of(head)(path, shown), shown)
    except UNREADABLE as error:
        raise ScReaderError(
            f"cannot be read as embeddings ({' '.join(str(error).split())[:120]}).",
            file=shown,
            remedy="Wanted are names of genes and one vector of numbers for each.",
        ) from error


def _reader_of(head: bytes) -> Callable[[Path, str], Precomputed]:
    """What reads a file that begins so."""
    if head == safety.SIGNATURE:
        return _from_h5ad
    if head.startswith(b"PK"):
        return _from_npz
    if head.startswith(b"PAR1"):
        return _from_parquet
    return _from_pickle if head.startswith((b"\x80", b"(d", b"}")) else _from_text


def _checked(found: Precomputed, shown: str) -> Precomputed:
    names = [str(name).strip() for name in found.names]
    vectors = np.ascontiguousarray(found.vectors, np.float32)
    if vectors.ndim != 2 or not vectors.size or len(vectors) != len(names):
        raise ScReaderError(
            f"has {len(names):,} names and vectors of shape {vectors.shape}.", file=shown
        )
    wrong = np.flatnonzero(~np.isfinite(vectors).all(1))
    if len(wrong):
        raise ScReaderError(
            f"the vector of {names[wrong[0]]!r} holds a value that is not finite.", file=shown
        )
    if len(set(names)) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise ScReaderError(
            f"names {twice!r} twice.", file=shown, remedy="Keep one vector for each gene."
        )
    return replace(found, names=tuple(names), vectors=vectors)


def _from_h5ad(path: Path, shown: str) -> Precomputed:
    """X of a file whose obs are genes; dense."""
    import h5py

    with safety.open_checked(path, name=shown, strict=False) as file:
        matrix, frame = file.get("X"), file.get("obs")
        if not isinstance(frame, h5py.Group) or not isinstance(matrix, h5py.Dataset):
            raise ScReaderError(
                "has no dense X with genes in obs.", file=shown, remedy="Give genes × dimensions."
            )
        if kind_of(file) == "gene-embeddings":
            return _from_embeddings(file)
        names = encoding.read_column(frame[str(frame.attrs["_index"])])
        assert isinstance(names, np.ndarray)
        return Precomputed(tuple(names.tolist()), matrix[()])


def _from_embeddings(file: h5py.File) -> Precomputed:
    """scReader's own, without the genes whose vectors were only filled in."""
    genes = encoding.read_table(file["obs"])
    rows = np.flatnonzero(genes.strings("source") != "none")
    genes = genes.take(rows)
    model = encoding.read_text(file["uns"], "model")
    return Precomputed(tuple(genes.index.tolist()), file["X"][()][rows], model, genes)


def _from_npz(path: Path, shown: str) -> Precomputed:
    """An array of names and one of vectors, or one array for each gene."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise ScReaderError(
            f"is no npz of plain arrays ({error}).",
            file=shown,
            remedy="Save names as a text array, not as objects.",
        ) from None
    names = next((arrays[key] for key in NAME_KEYS if key in arrays), None)
    vectors = next((arrays[key] for key in VECTOR_KEYS if key in arrays), None)
    if names is not None and vectors is not None:
        return Precomputed(tuple(names.astype(str).tolist()), vectors)
    return _from_mapping(arrays, shown)


def _from_mapping(content: Mapping[Any, Any], shown: str) -> Precomputed:
    names, vectors = [], []
    if not content:
        raise ScReaderError("holds no gene, wanted one vector for each.", file=shown)
    for name, vector in content.items():
        try:
            row = np.asarray(vector, np.float32)
        except (TypeError, ValueError):
            row = np.zeros((0, 0), np.float32)
        if not isinstance(name, str) or row.ndim != 1:
            raise ScReaderError(
                f"entry {name!r} is not a list of numbers.",
                file=shown,
                remedy="Wanted is one vector for each gene.",
            )
        names.append(name)
        vectors.append(row)
    lengths = sorted({len(row) for row in vectors})
    if len(lengths) != 1:
        raise ScReaderError(
            f"holds vectors of {len(lengths)} different lengths, wanted one.", file=shown
        )
    return Precomputed(tuple(names), np.stack(vectors))


def _from_pickle(path: Path, shown: str) -> Precomputed:
    if path.stat().st_size > MOST_PICKLED:
        raise ScReaderError("is too large for a pickle of embeddings.", file=shown)
    return _from_mapping(read_plain(path, shown), shown)


def _from_parquet(path: Path, shown: str) -> Precomputed:
    """A column of names, and a column of lists or one for each dimension."""
    try:
        from pyarrow import ArrowException, parquet, types
    except ModuleNotFoundError:
        raise ScReaderError(
            "is parquet, which needs pyarrow.", file=shown, remedy="pip install pyarrow"
        ) from None
    try:
        table = parquet.read_table(path)
    except (ArrowException, OSError) as error:
        raise ScReaderError(f"is no sound parquet file ({error}).", file=shown) from None
    kinds = {field.name: field.type for field in table.schema}
    texts = [name for name, kind in kinds.items() if types.is_string(kind) or
             types.is_large_string(kind)]  # fmt: skip
    if not texts:
        raise ScReaderError("has no column of gene names.", file=shown)
    key = next((name for name in texts if name in NAME_KEYS), texts[0])
    names = tuple(table[key].to_pylist())
    lists = [name for name, kind in kinds.items() if types.is_list(kind)]
    if lists:
        return _from_mapping(dict(zip(names, table[lists[0]].to_pylist(), strict=True)), shown)
    numbers = [
        name for name, kind in kinds.items() if types.is_floating(kind) or types.is_integer(kind)
    ]
    columns = [table[name].to_numpy() for name in numbers]
    return Precomputed(names, np.stack(columns, 1) if columns else np.zeros((len(names), 0)))


def _from_text(path: Path, shown: str) -> Precomputed:
    """Comma- or tab-separated: a name, then numbers; with or without a header."""
    text = _text_of(path, shown)
    first = text.split("\n", 1)[0]
    rows = csv.reader(io.StringIO(text), delimiter="\t" if "\t" in first else ",")
    names, vectors = [], []
    for number, row in enumerate(rows, start=1):
        if not row or (number == 1 and row[0].strip().lower() in ("", *NAME_KEYS)):
            continue
        try:
            vectors.append(np.array(row[1:], np.float32))
        except ValueError:
            if number == 1:
                continue
            raise ScReaderError(
                f"line {number} holds something other than a name and numbers.", file=shown
            ) from None
        if len(row) < 2:
            raise ScReaderError(
                f"line {number} has no numbers, only {row[0][:50]!r}.",
                file=shown,
                remedy="Wanted are a name and numbers, separated by commas or tabs.",
            )
        names.append(row[0])
        if len(vectors[-1]) != len(vectors[0]):
            raise ScReaderError(
                f"line {number} has {len(row) - 1} numbers, wanted {len(vectors[0])}.", file=shown
            )
    if not vectors:
        raise ScReaderError("holds no vectors.", file=shown)
    return Precomputed(tuple(names), np.stack(vectors))


def _text_of(path: Path, shown: str) -> str:
    try:
        return read_text(path, shown)
    except ScReaderError as error:
        if "neither text nor HDF5" not in str(error):
            raise
        raise ScReaderError(
            "is of no known kind of embeddings.",
            file=shown,
            remedy="Give npz, csv, parquet, h5ad, or a pickled dict from gene to list of numbers.",
        ) from None
