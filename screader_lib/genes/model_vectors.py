"""Gene vectors inside other models' files: a matrix of weights, and the genes of its rows beside.

Layouts, as their makers hand them out (docs/gene-vectors.md names the sources):

- scGPT: ``best_model.pt`` and ``vocab.json``;
- Geneformer: ``model.safetensors`` or ``pytorch_model.bin``, and ``token_dictionary*.pkl``;
- GeneCompass: ``pytorch_model.bin`` and ``human_mouse_tokens.pickle``;
- scFoundation: ``models.ckpt`` and ``OS_scRNA_gene_index.19264.tsv``;
- any other: an array of numpy and a list of genes.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.genes.plain_pickle import Tensor, read_plain
from screader_lib.genes.text_files import lines_in, read_text
from screader_lib.genes.torch_archive import TorchArchive, tensors_in
from screader_lib.weight_files import SUFFIX, safetensors_in

NAME_KEYS = (
    "genes", "names", "symbols", "gene", "symbol", "index", "id", "gene_name", "gene_symbol",
    "gene_id", "ensembl_id", "feature_name",
)  # fmt: skip
WEIGHTS = ("best_model.pt", "pytorch_model.bin", "models.ckpt", "*.npy", "*.pt", "*.bin", "*.ckpt")
GENES = (
    "vocab.json", "*token*.pkl", "*token*.pickle", "*gene_index*.tsv", "genes.txt", "genes.tsv",
    "genes.csv", "gene_names.txt", "names.txt",
)  # fmt: skip
SPECIAL = re.compile(r"<.*>$|\[.*\]$")  # tokens that are no genes, such as <pad>
ROW_KEY = "index"
# The end of the name of a model's matrix of gene vectors, and of the layer that it goes through.
MATRICES = {
    "encoder.embedding.weight": "encoder.enc_norm",  # scGPT
    "embeddings.word_embeddings.weight": "",  # Geneformer, GeneCompass
    "pos_emb.weight": "",  # scFoundation
}
PREFERRED = "gene"  # of scFoundation's three models, the one that its makers take for genes
EPSILON = 1e-5  # of PyTorch's layer norm
NUMPY = b"\x93NUMPY"


@dataclass(frozen=True)
class ModelFiles:
    """A file of ``weights``, and the file ``genes`` that says which gene each of its rows is."""

    weights: Path
    genes: Path


def model_files(path: Path, name: str) -> ModelFiles:
    """The two files of a model: its folder, or its file of weights, is ``path``.

    ScReaderError, naming ``name``, where either is missing, or there is more than one list of
    genes.
    """
    folder = path if path.is_dir() else path.parent
    weights = [path]
    if path.is_dir():
        found = (_matching(folder, [pattern]) for pattern in WEIGHTS)
        weights = safetensors_in(folder, name) or next(filter(None, found), [])
        if not weights:
            raise ScReaderError(
                "is a folder without weights.",
                file=name,
                remedy=f"Wanted: model{SUFFIX}, {', '.join(WEIGHTS[:3])} or an .npy file.",
            )
    own = [weights[0].with_suffix(suffix).name for suffix in (".txt", ".tsv", ".json")]
    genes = _matching(folder, own) or _matching(folder, GENES)
    if not genes:
        raise ScReaderError(
            "has no gene list next to it.",
            file=name,
            remedy="Put the list that says which gene each row is into its folder: vocab.json, "
            "token_dictionary.pkl, or genes.txt with one gene name per line.",
        )
    for files, what in ((genes, "lists of genes"), (weights, "files of weights")):
        if len(files) > 1:
            names = ", ".join(file.name for file in files[:5])
            raise ScReaderError(
                f"was found next to {len(files)} {what}: {names}.",
                file=name,
                remedy="Leave one there.",
            )
    return ModelFiles(weights[0], genes[0])


def _matching(folder: Path, patterns: Iterable[str]) -> list[Path]:
    found = {file for pattern in patterns for file in folder.glob(pattern) if file.is_file()}
    return sorted(found)


def read_model(files: ModelFiles) -> tuple[list[str], np.ndarray]:
    """Names of genes and float32 (genes, dim), without tokens that are no genes.

    ScReaderError where a file is not read, or the rows of the one do not fit the other.
    """
    names, rows = _genes_of(files.genes)
    matrix = _matrix_of(files.weights)
    if matrix.ndim != 2:
        raise ScReaderError(f"holds vectors of shape {matrix.shape}.", file=files.weights)
    if rows is None:
        rows = list(range(len(names)))
        if len(names) != len(matrix):
            raise ScReaderError(
                f"has {len(names):,} genes; {files.weights.name} has {len(matrix):,} rows.",
                file=files.genes,
            )
    genes = [(name, row) for name, row in zip(names, rows, strict=True) if not SPECIAL.match(name)]
    name, last = max(genes, key=itemgetter(1), default=("", 0))
    if last >= len(matrix):
        raise ScReaderError(
            f"gives {name!r} row {last:,}; {files.weights.name} has {len(matrix):,} rows.",
            file=files.genes,
            remedy="Are both of the same model?",
        )
    return [name for name, _ in genes], matrix[[row for _, row in genes]]


def _genes_of(path: Path) -> tuple[list[str], list[int] | None]:
    """Names and their rows, counted from 0; None where they are in the order of the rows."""
    if path.suffix in (".pkl", ".pickle"):
        return _from_dict(read_plain(path, str(path)), path)
    text = read_text(path, str(path), "Give a name of a gene a line.")
    if path.suffix == ".json":
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ScReaderError("is not JSON, or it is damaged.", file=path) from error
        if isinstance(content, list) and all(isinstance(name, str) for name in content):
            return content, None
        return _from_dict(content, path)
    table = csv.reader(lines_in(text), delimiter="\t" if "\t" in text.split("\n", 1)[0] else ",")
    try:
        lines = [[cell.strip() for cell in row] for row in table if row]
    except csv.Error as error:
        raise ScReaderError(f"is not a list of genes ({error}).", file=path) from None
    header = [cell.lower() for cell in lines[0]]
    keys = [key for key in NAME_KEYS if key in header and key != ROW_KEY]
    column = header.index(keys[0]) if keys else None
    if column is None:
        return [row[0] for row in lines], None
    try:
        names = [row[column] for row in lines[1:]]
        if ROW_KEY not in header:
            return names, None
        rows = [int(row[header.index(ROW_KEY)]) for row in lines[1:]]
    except (LookupError, ValueError):
        raise ScReaderError("has a line without a name or its row.", file=path) from None
    return _from_dict(dict(zip(names, rows, strict=True)), path)


def _from_dict(content: Any, path: Path) -> tuple[list[str], list[int]]:
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and type(row) is int and row >= 0 for name, row in content.items()
    ):
        raise ScReaderError(
            "does not give each gene the number of its row.",
            file=path,
            remedy='Wanted: {"INS": 0, "GCG": 1, …}.',
        )
    return list(content), list(content.values())


def is_safetensors(signature: bytes, size: int) -> bool:
    """Whether a file that begins with ``signature`` (9 bytes) is one of safetensors."""
    return signature[8:9] == b"{" and int.from_bytes(signature[:8], "little") <= size - 8


def _matrix_of(path: Path) -> np.ndarray:
    """float32 (rows, dim) of a file of weights."""
    with path.open("rb") as stream:
        signature = stream.read(9)
    if signature.startswith(NUMPY):
        values = np.load(path, mmap_mode="r", allow_pickle=False)
        if values.dtype.kind not in "biuf":
            raise ScReaderError(f"holds {values.dtype}, not numbers.", file=path)
        return np.asarray(values, np.float32)
    if is_safetensors(signature, path.stat().st_size):
        return _from_safetensors(path)
    if not signature.startswith(b"PK"):
        raise ScReaderError(
            "is not a known kind of weights file.",
            file=path,
            remedy="Wanted: safetensors, an .npy array, or a file of torch.save (1.6 or later).",
        )
    archive = TorchArchive(path, str(path))
    if isinstance(archive.content, Tensor):
        return archive.values(archive.content)
    tensors = tensors_in(archive.content)
    return _gene_vectors(tensors, lambda name: archive.values(tensors[name]), path)


def _from_safetensors(path: Path) -> np.ndarray:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:  # that of numpy knows no bfloat16
            names = [(name,) for name in file.keys()]  # noqa: SIM118
            return _gene_vectors(names, lambda name: file.get_tensor(*name).float().numpy(), path)
    except SafetensorError as error:
        raise ScReaderError(f"is a damaged safetensors file ({error}).", file=path) from None


def _gene_vectors(
    names: Collection[tuple[str, ...]],
    values: Callable[[tuple[str, ...]], np.ndarray],
    path: Path,
) -> np.ndarray:
    """The vectors of genes among a model's tensors, as the model's next layers take them."""
    for end, norm in MATRICES.items():
        found = [name for name in names if f".{name[-1]}".endswith(f".{end}")]
        found = [name for name in found if name[0] == PREFERRED] or found
        if len(found) > 1:
            several = ", ".join(".".join(name) for name in found[:3])
            raise ScReaderError(f"holds {len(found)} matrices of genes: {several}.", file=path)
        if not found:
            continue
        vectors = values(found[0])
        before = found[0][-1].removesuffix(end)
        layer = [(*found[0][:-1], f"{before}{norm}.{part}") for part in ("weight", "bias")]
        if norm and all(name in names for name in layer):
            vectors = vectors - vectors.mean(-1, keepdims=True)
            vectors /= np.sqrt(np.square(vectors).mean(-1, keepdims=True) + EPSILON)
            vectors = vectors * values(layer[0]) + values(layer[1])
        return vectors
    raise ScReaderError(
        "holds no matrix of gene vectors that is known.",
        file=path,
        remedy=f"Wanted: {', '.join(MATRICES)}.",
    )
