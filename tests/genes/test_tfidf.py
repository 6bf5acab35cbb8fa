"""Vectors of the words of texts, without a model."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_files import SYMBOLS, call, fail, succeed

from screader_lib.errors import ScReaderError
from screader_lib.genes.providers.tfidf import Tfidf
from screader_lib.reporting import SILENT

TEXTS = [
    "a hormone of beta cells that lowers glucose",
    "a hormone of alpha cells that raises glucose",
    "an enzyme of acinar cells that cuts proteins",
    "an enzyme of acinar cells that cuts lipids",
]
WORDS = st.lists(st.sampled_from(["islet", "kinase", "membrane", "of", "the", "gene"]), min_size=1)


def test_texts_with_rare_words_in_common_are_near() -> None:
    vectors = Tfidf(4).embed(TEXTS, SILENT)
    assert vectors.shape == (4, 4) and vectors.dtype == np.float32
    cosine = vectors @ vectors.T
    assert np.allclose(np.diag(cosine), 1, atol=1e-6)
    assert cosine[2, 3] > cosine[2, 0] + 0.5 and cosine[0, 1] > cosine[0, 3] + 0.5


@settings(max_examples=25, deadline=None)
@given(st.lists(WORDS.map(" ".join), min_size=4, max_size=12), st.randoms(use_true_random=False))
def test_order_and_repeats_change_no_bit(texts: list[str], order: object) -> None:
    texts = [*texts, *TEXTS]
    first = dict(zip(texts, Tfidf(5).embed(texts, SILENT), strict=True))
    mixed = [*texts, texts[0]]
    order.shuffle(mixed)  # type: ignore[attr-defined]
    for text, vector in zip(mixed, Tfidf(5).embed(mixed, SILENT), strict=True):
        assert vector.tobytes() == first[text].tobytes()


def test_no_word_in_common() -> None:
    with pytest.raises(ScReaderError, match="no word is in 2 of the 2 texts"):
        Tfidf().embed(["insulin", "glucagon"], SILENT)


def embedded(folder: Path, organism: str, names: list[str], *options: object) -> Path:
    """Gene embeddings of these genes, made with the options."""
    (folder / "genes.txt").write_text("\n".join(names) + "\n")
    descriptions, output = folder / f"{organism}.h5ad", folder / f"{organism}-genes.h5ad"
    words = ("--genes", folder / "genes.txt", "--organism", organism, "--source", "packaged")
    succeed("fetch-descriptions", *words, "-o", descriptions)
    succeed("embed-genes", descriptions, *options, "-o", output)
    return output


def test_genes_of_another_species_in_the_same_space(tmp_path: Path) -> None:
    mouse_names = [name.capitalize() for name in SYMBOLS]
    human = embedded(tmp_path, "human", SYMBOLS, "--model", "tfidf", "--dimensions", 30)
    mouse = embedded(tmp_path, "mouse", mouse_names, "--like", human)
    (tmp_path / "some").mkdir()
    again = embedded(tmp_path / "some", "human", SYMBOLS[:9], "--like", human)
    first, other, part = (anndata.read_h5ad(path) for path in (human, mouse, again))
    assert first.uns["model"] == other.uns["model"] and first.uns["provider"] == "tfidf"
    assert part.X.tobytes() == first.X[:9].tobytes()
    name = str(first.uns["model"])
    assert name.startswith("tfidf 30 ") and first.shape[1] == 30

    own = first.X / np.linalg.norm(first.X, axis=1, keepdims=True)
    units = other.X / np.maximum(np.linalg.norm(other.X, axis=1, keepdims=True), 1e-9)
    best = (units @ own.T).argmax(1)
    assert (best == np.arange(len(SYMBOLS))).mean() > 0.5  # by chance: 0.03

    message = fail("embed-genes", tmp_path / "human.h5ad", "--like", mouse, "-o", tmp_path / "x")
    assert "it was itself made --like another file" in message
    succeed("embed-genes", tmp_path / "human.h5ad", "-o", tmp_path / "minilm.h5ad", "--model",
            "tfidf", "--shuffle", 0)  # fmt: skip
    message = fail(
        "embed-genes", tmp_path / "human.h5ad", "--like", tmp_path / "minilm.h5ad", "-o", "x"
    )
    assert "shuffled" in message
    used = call("embed-genes", tmp_path / "human.h5ad", "--like", human, "--dimensions", 3)
    assert used.exit_code == 2 and "--like: the vectors are those of its tfidf" in used.stderr
    assert "--cache does not go with" in fail(
        "embed-genes", tmp_path / "human.h5ad", "--model", "tfidf", "--cache", tmp_path, "-o", "x"
    )
