"""Embeddings that someone else computed, in the layouts of tables and of other models.

They become the gene embeddings of described genes, or of all genes of the file.
"""

from __future__ import annotations

import csv
import math
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding, safety
from screader_lib.exchange.opening import kind_of, open_exchange
from screader_lib.exchange.table import Categorical, Table, strings
from screader_lib.genes.catalog import Catalog
from screader_lib.genes.embeddings import GeneEmbeddings, check_missing, with_missing
from screader_lib.genes.model_vectors import (
    NAME_KEYS,
    NUMPY,
    is_safetensors,
    model_files,
    read_model,
)
from screader_lib.genes.plain_pickle import DAMAGED, numbers_in, read_plain, vector_of
from screader_lib.genes.records import ENSEMBL, Gene, without_version
from screader_lib.genes.text_files import lines_in, read_text
from screader_lib.genes.torch_archive import TorchArchive, is_torch_archive, tensors_in
from screader_lib.reporting import SILENT, Reporter, counted

KNOWN_FORMATS = "Give npz, csv, parquet, h5ad, a pickled dict from gene to numbers, or a model."
VECTOR_KEYS = ("vectors", "embeddings", "embedding", "X")
MAX_NAME = 10_000  # characters
MOST_COMPRESSED = 50
SLACK = 64 << 20  # bytes
SHARED = "holds one list of numbers for many genes."
UNREADABLE = (
    ValueError, LookupError, TypeError, AttributeError, csv.Error, OverflowError, MemoryError,
)  # fmt: skip


@dataclass(frozen=True)
class Precomputed:
    """``names`` of genes and ``vectors`` float32 (genes, dim); ``model`` if its name is known.

    ``origin`` has a row for each gene if the file says which texts the vectors were made from;
    ``genes_file`` is where the names came from if they were not beside their vectors.
    """

    names: tuple[str, ...]
    vectors: np.ndarray
    model: str = ""
    origin: Table | None = None
    weights_file: Path | None = None
    genes_file: Path | None = None


def read_precomputed(path: Path, display_name: str | None = None) -> Precomputed:
    """Vectors by gene name; the format is recognised by the content, messages use ``display_name``.

    ``path`` may be the folder of a model, or its file of weights: the list of its genes is found
    in the same folder. ScReaderError for another file, vectors of different lengths, values that
    are not finite, and names that occur twice.
    """
    name = display_name or str(path)
    signature = b""
    if not path.is_dir():
        with path.open("rb") as stream:
            signature = stream.read(9)
        if not signature:
            raise ScReaderError("is empty; expected embeddings.", file=name)
    try:
        return _checked(_reader_for(path, signature)(path, name), name)
    except UNREADABLE as error:
        raise ScReaderError(
            f"cannot be read as embeddings ({' '.join(str(error).split())[:120]}).",
            file=name,
            remedy="Give gene names and one vector of numbers for each.",
        ) from error


def _reader_for(path: Path, signature: bytes) -> Callable[[Path, str], Precomputed]:
    if path.is_dir():
        return _from_model
    if signature.startswith(safety.SIGNATURE):
        return _from_h5ad
    if signature.startswith(b"PK"):
        return _from_torch if is_torch_archive(path) else _from_npz
    if signature.startswith(b"PAR1"):
        return _from_parquet
    if signature.startswith(NUMPY) or is_safetensors(signature, path.stat().st_size):
        return _from_model
    return _from_pickle if signature.startswith((b"\x80", b"(d", b"}")) else _from_text


def _checked(precomputed: Precomputed, file: str) -> Precomputed:
    names = [str(name).strip() for name in precomputed.names]
    vectors = np.ascontiguousarray(precomputed.vectors, np.float32)
    if vectors.ndim != 2 or not vectors.size or len(vectors) != len(names):
        raise ScReaderError(
            f"has {len(names):,} names and vectors of shape {vectors.shape}.", file=file
        )
    not_finite = np.flatnonzero(~np.isfinite(vectors).all(1))
    if len(not_finite):
        raise ScReaderError(
            f"the vector of {names[not_finite[0]]!r} has a value that is not finite.", file=file
        )
    unprintable = [name for name in names if not name.isprintable()]
    if unprintable:
        raise ScReaderError(f"{ascii(unprintable[0])[:60]} is not a gene name.", file=file)
    [(name, count)] = Counter(names).most_common(1)
    if count > 1:
        raise ScReaderError(
            f"names {name!r} {count} times.", file=file, remedy="Keep one vector per gene."
        )
    return replace(precomputed, names=tuple(names), vectors=vectors)


def _from_h5ad(path: Path, name: str) -> Precomputed:
    """X of a file whose obs are genes; dense. scReader's own without the filled-in vectors."""
    import h5py

    with safety.open_checked(path, name=name, strict=False) as file:
        matrix, frame = file.get("X"), file.get("obs")
        if not isinstance(frame, h5py.Group) or not isinstance(matrix, h5py.Dataset):
            raise ScReaderError(
                "has no dense X with genes in obs.", file=name, remedy="Give genes × dimensions."
            )
        if kind_of(file) == "gene-embeddings":
            return _from_own(path, name)
        if matrix.ndim != 2 or matrix.dtype.kind not in "biuf":
            raise ScReaderError("X is not a matrix of numbers.", file=name)
        names = encoding.read_strings(frame[str(frame.attrs["_index"])])
        return Precomputed(tuple(names.tolist()), matrix[()])


def _from_own(path: Path, name: str) -> Precomputed:
    with open_exchange(path, "gene-embeddings", name=name) as opened:
        genes = encoding.read_table(opened.file["obs"])
        rows = np.flatnonzero(genes.strings("source") != "none")
        genes, vectors = genes.take(rows), opened.file["X"][()][rows]
        model = encoding.read_text(opened.file["uns"], "model")
        return Precomputed(tuple(genes.index.tolist()), vectors, model, genes)


def _from_npz(path: Path, name: str) -> Precomputed:
    """An array of names and one of vectors, or one array for each gene."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
        unpacked = sum(member.file_size for member in members)
        _check_unpacked(unpacked, sum(member.compress_size for member in members), name)
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except (*DAMAGED, OSError, zipfile.BadZipFile) as error:
        raise ScReaderError(
            f"is not an npz of plain arrays ({error}).",
            file=name,
            remedy="Save names as a text array, not as objects.",
        ) from None
    names = next((arrays[key] for key in NAME_KEYS if key in arrays), None)
    vectors = next((arrays[key] for key in VECTOR_KEYS if key in arrays), None)
    if names is not None and vectors is not None:
        return Precomputed(tuple(names.astype(str).tolist()), vectors)
    return _from_pairs(arrays.items(), name)


def _from_pickle(path: Path, name: str) -> Precomputed:
    content = read_plain(path, name)
    if sum(map(numbers_in, content.values())) > path.stat().st_size:
        raise ScReaderError(SHARED, file=name)
    return _from_pairs(content.items(), name)


def _from_torch(path: Path, name: str) -> Precomputed:
    """A dict from gene to tensor, or a model."""
    archive = TorchArchive(path, name)
    tensors = tensors_in(archive.content)
    if not tensors or any(len(one) > 1 or len(tensors[one].shape) > 1 for one in tensors):
        return _from_model(path, name)
    if sum(math.prod(tensor.shape) for tensor in tensors.values()) > path.stat().st_size:
        raise ScReaderError(SHARED, file=name)
    return _from_pairs(((gene, archive.values(tensors[gene,])) for (gene,) in tensors), name)


def _from_model(path: Path, name: str) -> Precomputed:
    """A model's matrix, and the genes of its rows beside it; its folder names it."""
    files = model_files(path, name)
    names, vectors = read_model(files)
    model = files.weights.resolve().parent.name
    return Precomputed(tuple(names), vectors, model, None, files.weights, files.genes)


def _from_pairs(pairs: Iterable[tuple[Any, Any]], file: str) -> Precomputed:
    """From genes, each with its list or array of numbers."""
    names, vectors = [], []
    for name, values in pairs:
        try:
            if not isinstance(name, str):
                raise TypeError("no name")
            vectors.append(vector_of(values))
        except (TypeError, OverflowError):
            raise ScReaderError(
                f"entry {repr(name)[:50]} is not a list of numbers.",
                file=file,
                remedy="Give one vector for each gene.",
            ) from None
        names.append(name)
    lengths = {len(vector) for vector in vectors}
    if len(lengths) != 1:
        problem = f"vectors of {len(lengths)} different lengths" if lengths else "no genes"
        raise ScReaderError(f"holds {problem}; expected one vector per gene.", file=file)
    return Precomputed(tuple(names), np.stack(vectors))


def _from_parquet(path: Path, name: str) -> Precomputed:
    """A column of names, and a column of lists or one for each dimension."""
    try:
        from pyarrow import ArrowException, parquet, types
    except ModuleNotFoundError:
        raise ScReaderError(
            "is parquet, which needs pyarrow.", file=name, remedy="pip install pyarrow"
        ) from None
    try:
        with parquet.ParquetFile(path) as file:
            _check_unpacked(_parquet_bytes(file.metadata), path.stat().st_size, name)
            schema = file.schema_arrow
            found = {
                kind: [field.name for field in schema if test(field.type)]
                for kind, test in (
                    ("texts", lambda one: types.is_string(one) or types.is_large_string(one)),
                    ("lists", types.is_list),
                    ("numbers", lambda one: types.is_floating(one) or types.is_integer(one)),
                )
            }
        texts, lists, dimensions = found["texts"], found["lists"], found["numbers"]
        if not texts:
            raise ScReaderError("has no column of gene names.", file=name)
        key = next((column for column in texts if column in NAME_KEYS), texts[0])
        wanted = [key, *(lists[:1] or dimensions)]
        table = parquet.read_table(path, columns=wanted, read_dictionary=[key])
    except (ArrowException, OSError) as error:
        raise ScReaderError(f"is a damaged parquet file ({error}).", file=name) from None
    coded = table[key].combine_chunks()
    if coded.null_count:
        raise ScReaderError(f"{key} lacks the name of a gene.", file=name)
    spellings = np.array(coded.dictionary.to_pylist(), object)
    if len(coded) and max(len(str(one)) for one in spellings) > MAX_NAME:
        raise ScReaderError(f"{key} holds no gene names, but long texts.", file=name)
    names = spellings[coded.indices.to_numpy()].tolist()
    if lists:
        return _from_pairs(zip(names, table[lists[0]].to_pylist(), strict=True), name)
    vectors = [table[column].to_numpy() for column in dimensions]
    return Precomputed(tuple(names), np.stack(vectors, 1) if vectors else np.zeros((len(names), 0)))


def _parquet_bytes(metadata: Any) -> int:
    """What the values of a file take in memory, texts apart."""
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    return sum(
        max(8 * group.column(number).num_values, group.column(number).total_uncompressed_size)
        for group in groups
        for number in range(group.num_columns)
    )


def _check_unpacked(unpacked: int, packed: int, name: str) -> None:
    """ScReaderError where a file unpacks to more than vectors can be compressed to."""
    if unpacked > MOST_COMPRESSED * packed + SLACK:
        raise ScReaderError(
            f"unpacks from {packed:,} to {unpacked:,} bytes.",
            file=name,
            remedy="Refused as unsafe: no embeddings can be compressed like that.",
        )


def _from_text(path: Path, name: str) -> Precomputed:
    """A name, then numbers, by commas, tabs or spaces; with or without a header.

    A header of two numbers, as word2vec writes it, says how many genes and dimensions follow.
    """
    text = read_text(path, name, KNOWN_FORMATS)
    names, vectors = [], []
    announced: list[str] = []
    for line, row in enumerate(_rows(text), start=1):
        if not row or (line == 1 and row[0].strip().lower() in ("", *NAME_KEYS)):
            continue
        if line == 1 and len(row) == 2 and all(cell.isdecimal() for cell in row):
            announced = row
            continue
        try:
            vectors.append(np.array(row[1:], np.float32))
        except ValueError:
            if line == 1:
                continue
            raise ScReaderError(
                f"line {line} holds something other than a name and numbers.", file=name
            ) from None
        names.append(row[0])
        if len(row) < 2:
            raise ScReaderError(
                f"line {line} has no numbers, only {row[0][:50]!r}.",
                file=name,
                remedy="Give a name and numbers, separated by commas, tabs or spaces.",
            )
        if len(row) - 1 != len(vectors[0]):
            raise ScReaderError(
                f"line {line} has {len(row) - 1} numbers; expected {len(vectors[0])}.", file=name
            )
    if not vectors:
        raise ScReaderError("holds no vectors.", file=name)
    if announced and list(map(int, announced)) != [len(names), len(vectors[0])]:
        raise ScReaderError(
            f"announces {' × '.join(announced)} values and holds {len(names)} × {len(vectors[0])}.",
            file=name,
            remedy="Copy or fetch it again.",
        )
    return Precomputed(tuple(names), np.stack(vectors))


def _rows(text: str) -> Iterator[list[str]]:
    """The cells of each line; a name may be followed by numbers that spaces separate."""
    first, second, *_ = (*text.split("\n", 2), "")
    line = second.strip() or first.strip()
    numbers = line.partition("\t")[2] or line
    if " " in numbers and "," not in numbers and "\t" not in numbers:
        return (one.split() for one in lines_in(text))
    return csv.reader(lines_in(text), delimiter="\t" if "\t" in first else ",")


PROVIDER = "import"
SOURCES = ("ncbi", "llm", "user", "ortholog", "none")


def described_genes(
    genes: Table, precomputed: Precomputed, model: str, missing: str, reporter: Reporter = SILENT
) -> GeneEmbeddings:
    """The precomputed vectors of ``genes`` (obs of descriptions), with the policy for the rest.

    A gene is looked up by the name it was requested by, symbol, GeneID and other ids, and then by
    aliases that name no vector of another of the genes. The texts of ``genes`` are not those that
    the vectors were made from, so they are dropped; texts of ``precomputed`` are kept.
    ScReaderError where no gene has a vector, or with ``error`` where one has none.
    """
    row_of = {name: row for row, name in enumerate(precomputed.names)}
    rows = _rows_by_name(genes, row_of)
    by_alias = _rows_by_alias(genes, rows, row_of)
    if by_alias:
        number = counted(len(by_alias), "gene")
        reporter.info(f"{number} matched by an alias, such as {genes.index[min(by_alias)]!r}.")
        rows[list(by_alias)] = list(by_alias.values())
    known = rows >= 0
    reporter.info(f"{int(known.sum()):,} of {len(genes):,} genes have a precomputed vector.")
    if not known.any():
        raise ScReaderError(
            f"none of the genes is among the {len(row_of):,} precomputed ones.",
            remedy="Are they of the same species, and named by symbol or Ensembl id?",
        )
    check_missing(genes, known, missing, "vector")
    genes, vectors = with_missing(
        _with_origin(genes, rows, precomputed.origin),
        precomputed.vectors[rows[known]],
        known,
        missing,
        reporter,
    )
    return GeneEmbeddings(genes, vectors, PROVIDER, model)


def _rows_by_name(genes: Table, row_of: Mapping[str, int]) -> np.ndarray:
    """int64 (genes,): the row of a gene's vector, −1 where it has none by its names and ids."""
    catalog = Catalog(map(Gene, row_of))
    unversioned = {
        without_version(name): row for name, row in row_of.items() if ENSEMBL.match(name)
    }
    columns = [genes.strings(name) for name in ("id", "symbol", "gene_id", "ensembl_id")]
    others = genes.strings("other_ids") if "other_ids" in genes.columns else [""] * len(genes)

    def row(*names: str) -> int:
        names = tuple(filter(None, names))
        for name in names:
            match = row_of.get(name, unversioned.get(without_version(name)))
            if match is not None:
                return match
        genes = (catalog.match(name).gene for name in names[:2])
        return next((row_of[gene.symbol] for gene in genes if gene is not None), -1)

    facts = zip(*columns, others, strict=True)
    return np.array([row(*names, *other_ids.split("|")) for *names, other_ids in facts], np.int64)


def _rows_by_alias(genes: Table, rows: np.ndarray, row_of: Mapping[str, int]) -> dict[int, int]:
    """Gene → row, for genes without one whose alias names a vector that no other gene claims."""
    taken = set(rows[rows >= 0].tolist())
    aliases = genes.strings("aliases")
    claims: dict[int, set[int]] = {}
    for gene in np.flatnonzero(rows < 0).tolist():
        for alias in aliases[gene].split("|"):
            if alias in row_of and row_of[alias] not in taken:
                claims.setdefault(row_of[alias], set()).add(gene)
    by_alias: dict[int, int] = {}
    for row, claimants in claims.items():
        if len(claimants) == 1:
            by_alias.setdefault(min(claimants), row)
    return by_alias


def _with_origin(genes: Table, rows: np.ndarray, origin: Table | None) -> Table:
    """The genes with the texts of their vectors, if known, and where these came from."""
    columns = {name: column for name, column in genes.columns.items() if name != "text"}
    known = rows >= 0
    columns["text_sha256"] = strings("" for _ in rows)
    sources = np.where(known, "user", "none")
    if origin is not None:
        for name in ("text", "text_sha256"):
            if name in origin.columns:
                columns[name] = np.where(known, origin.strings(name)[rows], "")
        if "source" in origin.columns:
            sources = np.where(known, origin.strings("source")[rows], "none")
    columns["source"] = Categorical.of(sources, SOURCES)
    return Table(genes.index, columns, genes.index_name)


def all_genes(precomputed: Precomputed, model: str) -> GeneEmbeddings:
    """The precomputed vectors as they are; often only the names of their genes are known."""
    genes = precomputed.origin
    if genes is None:
        names = strings(precomputed.names)
        ensembl = np.array([bool(ENSEMBL.match(name)) for name in names])
        numbers = np.array([name.isdecimal() for name in names])  # NCBI's GeneIDs
        empty = strings("" for _ in names)
        columns: dict[str, Any] = {
            "symbol": np.where(ensembl | numbers, "", names),
            "gene_id": np.where(numbers, names, ""),
            "ensembl_id": np.where(ensembl, strings(map(without_version, names)), ""),
            "aliases": empty,
            "source": Categorical.of(["user"] * len(names), SOURCES),
            "text_sha256": empty,
        }
        genes = Table(names, columns)
    return GeneEmbeddings(genes, precomputed.vectors, PROVIDER, model)
