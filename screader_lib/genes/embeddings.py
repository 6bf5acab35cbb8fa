"""Descriptions to gene embeddings: each distinct text once, a policy for genes without one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding
from screader_lib.exchange.table import Table, strings
from screader_lib.genes.providers.embedder import Embedder
from screader_lib.reporting import SILENT, Reporter, counted

if TYPE_CHECKING:
    import h5py

COPIED = (
    "symbol", "gene_id", "ensembl_id", "aliases", "other_ids", "tax_id", "source", "text",
    "text_sha256",
)  # fmt: skip


@dataclass(frozen=True)
class GeneEmbeddings:
    """``vectors`` float32 (genes, dim) and the ``genes`` they belong to, with who made them."""

    genes: Table
    vectors: np.ndarray
    provider: str
    model: str


def shuffled(made: GeneEmbeddings, seed: int) -> GeneEmbeddings:
    """A control: the same vectors, each given to another gene at random, so texts say nothing.

    The model's name says so, and such embeddings are not taken for those of the model.
    """
    order = np.random.default_rng(seed).permutation(len(made.vectors))
    return replace(made, vectors=made.vectors[order], model=f"{made.model}, shuffled")


def embed(
    genes: Table, embedder: Embedder, missing: str = "mean", reporter: Reporter = SILENT
) -> GeneEmbeddings:
    """Embed the ``text`` of every gene; ``missing`` is the policy for genes without one.

    ``mean`` gives them the mean vector of all other genes, ``zero`` zeros, ``drop`` drops them,
    ``error`` raises ScReaderError. ScReaderError also where no gene has a text.
    """
    texts = genes.strings("text")
    has_text = np.array([bool(text) for text in texts], bool)
    if not len(genes):
        raise ScReaderError("the descriptions contain no genes.")
    if not has_text.any():
        raise ScReaderError(
            f"none of the {len(genes):,} genes has a text.",
            remedy="Check the --organism and --source of fetch-descriptions.",
        )
    check_missing(genes, has_text, missing, "text")
    distinct = distinct_texts(genes)
    row = {text: number for number, text in enumerate(distinct)}
    vectors = embedder.embed(distinct, reporter).astype(np.float32, copy=False)
    vectors = vectors[[row[text] for text in texts[has_text]]]
    genes, vectors = with_missing(genes, vectors, has_text, missing, reporter)
    return GeneEmbeddings(genes, vectors, embedder.provider, embedder.model)


def distinct_texts(genes: Table) -> list[str]:
    """The texts that are embedded, each once."""
    return list(dict.fromkeys(text for text in genes.strings("text") if text))


def check_missing(genes: Table, known: np.ndarray, missing: str, what: str) -> None:
    """ScReaderError for genes without ``what`` where the policy is ``error``."""
    if missing == "error" and not known.all():
        without = np.flatnonzero(~known)
        raise ScReaderError(
            f"{counted(len(without), 'gene')} without a {what}, the first is "
            f"{genes.index[without[0]]!r}.",
            remedy="Choose --missing mean, zero or drop.",
        )


def with_missing(
    genes: Table, vectors: np.ndarray, known: np.ndarray, missing: str, reporter: Reporter
) -> tuple[Table, np.ndarray]:
    """All genes and float32 (genes, dim), from ``vectors`` of the ``known`` ones and the policy."""
    without = int((~known).sum())
    if not without:
        return genes, vectors
    if missing == "drop":
        reporter.info(f"dropped {counted(without, 'gene')} without a vector.")
        return genes.take(np.flatnonzero(known)), vectors
    whole = np.zeros((len(genes), vectors.shape[1]), np.float32)
    whole[known] = vectors
    if missing == "mean":
        whole[~known] = vectors.mean(axis=0, dtype=np.float64)
    what = "the mean vector" if missing == "mean" else "zeros"
    reporter.info(f"used {what} for {counted(without, 'gene')} without a vector.")
    return genes, whole


def write_embeddings(file: h5py.File, embeddings: GeneEmbeddings) -> None:
    """Write embeddings into a new exchange file of their kind."""
    genes, vectors = embeddings.genes, embeddings.vectors
    columns = {name: genes.columns[name] for name in COPIED if name in genes.columns}
    dimensions = strings(f"d{number}" for number in range(vectors.shape[1]))
    encoding.begin_anndata(file, Table(genes.index, columns), Table(dimensions))
    encoding.write_array(file, "X", vectors)
    encoding.write_text(file["uns"], "model", embeddings.model)
    encoding.write_text(file["uns"], "provider", embeddings.provider)
    encoding.write_number(file["uns"], "dim", vectors.shape[1])
