"""Gene vectors in the layouts of other models, with known answers."""

from __future__ import annotations

import json
import pickle  # noqa: TID251 (to write what must and must not be read)
import resource
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from screader_lib.errors import ScReaderError
from screader_lib.genes.precomputed import all_genes, read_precomputed

GENES = ("INS", "GCG", "HLA-A", "SST")
ENSEMBL = ("ENSG00000254647", "ENSG00000115263", "ENSMUSG00000000001", "ENSG00000157005")
VECTORS = torch.arange(12, dtype=torch.float32).reshape(4, 3).square()
SPECIAL = ("<pad>", "<cls>", "<mask>")
PADDING = torch.full((3, 3), -1.0)
TOUCHED = Path("/tmp/never-made-by-a-model")


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (TOUCHED,))


def scgpt(folder: Path) -> None:
    """Tokens after the genes, rows in another order than names, and a layer norm above them."""
    rows = {gene: 3 - number for number, gene in enumerate(GENES)}
    rows |= {token: 4 + number for number, token in enumerate(SPECIAL)}
    (folder / "vocab.json").write_text(json.dumps(rows))
    (folder / "args.json").write_text('{"embsize": 3}')
    model = torch.nn.Module()
    model.encoder = torch.nn.Module()
    model.encoder.embedding = torch.nn.Embedding.from_pretrained(
        torch.cat([VECTORS.flip(0), PADDING])
    )
    model.encoder.enc_norm = torch.nn.LayerNorm(3)
    model.encoder.enc_norm.load_state_dict({"weight": torch.tensor([1.0, 2, 3]),
                                            "bias": torch.tensor([4.0, 5, 6])})  # fmt: skip
    torch.save(model.state_dict(), folder / "best_model.pt")


def after_norm() -> torch.Tensor:
    """What scGPT's encoder gives for its genes."""
    return torch.nn.functional.layer_norm(
        VECTORS, (3,), torch.tensor([1.0, 2, 3]), torch.tensor([4.0, 5, 6])
    )


def bert(folder: Path, tokens: str) -> dict[str, torch.Tensor]:
    """The word embeddings of Geneformer and GeneCompass, and the pickle of their tokens."""
    rows = {name: number for number, name in enumerate((*SPECIAL, *ENSEMBL))}
    (folder / tokens).write_bytes(pickle.dumps(rows))
    (folder / "gene_median_dictionary.pkl").write_bytes(pickle.dumps(dict.fromkeys(ENSEMBL, 0.5)))
    (folder / "config.json").write_text("{}")
    return {
        "bert.embeddings.word_embeddings.weight": torch.cat([PADDING, VECTORS]),
        "bert.embeddings.position_embeddings.weight": torch.zeros(9, 3),
    }


def geneformer(folder: Path) -> None:
    save_file(bert(folder, "token_dictionary_gc104M.pkl"), folder / "model.safetensors")


def older_geneformer(folder: Path) -> None:
    torch.save(bert(folder, "token_dictionary.pkl"), folder / "pytorch_model.bin")


def genecompass(folder: Path) -> None:
    half = {
        name: value.bfloat16() for name, value in bert(folder, "human_mouse_tokens.pickle").items()
    }
    torch.save(half, folder / "pytorch_model.bin")


def scfoundation(folder: Path) -> None:
    """Three models in one file, of which one is for genes; its last rows are no genes."""
    lines = [f"{gene}\t{number}" for number, gene in enumerate(GENES)]
    table = "\n".join(["gene_name\tindex", *lines])
    (folder / "OS_scRNA_gene_index.19264.tsv").write_text(table)
    config = {"model": "mae_autobin", "lr": 0.1, "sizes": (1, 2), "pad": None, "deep": {"a": [1]}}
    content = {
        name: {"config": config, "state_dict": {"model.pos_emb.weight": matrix}}
        for name, matrix in (
            ("cell", PADDING), ("gene", torch.cat([VECTORS, PADDING])), ("rde", PADDING)
        )
    }  # fmt: skip
    torch.save(content, folder / "models.ckpt")


def array(folder: Path) -> None:
    np.save(folder / "embeddings.npy", VECTORS.double().numpy())
    (folder / "genes.txt").write_text("\n".join(GENES) + "\n")


def fortran_array(folder: Path) -> None:
    np.save(folder / "gene2vec_16906.npy", np.asfortranarray(VECTORS.numpy()))
    (folder / "gene2vec_16906.tsv").write_text("n\tgene\n" + "\n".join(f"0\t{g}" for g in GENES))


def tensor_alone(folder: Path) -> None:
    torch.save(VECTORS.T.contiguous().T, folder / "e.pt")
    (folder / "vocab.json").write_text(json.dumps(GENES))


LAYOUTS: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "scGPT": (scgpt, GENES),
    "Geneformer": (geneformer, ENSEMBL),
    "Geneformer of 2023": (older_geneformer, ENSEMBL),
    "GeneCompass": (genecompass, ENSEMBL),
    "scFoundation": (scfoundation, GENES),
    "array": (array, GENES),
    "array in Fortran's order": (fortran_array, GENES),
    "tensor": (tensor_alone, GENES),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_of_models(tmp_path: Path, layout: str) -> None:
    """By the folder and by the file of weights; named after the folder."""
    write, names = LAYOUTS[layout]
    folder = tmp_path / "whole-human"
    folder.mkdir()
    write(folder)
    read = read_precomputed(folder)
    assert read.names == names
    assert read.vectors.dtype == np.float32
    wanted = after_norm() if layout == "scGPT" else VECTORS
    assert np.allclose(read.vectors, wanted.numpy(), atol=1e-4)
    assert read.model == "whole-human"
    assert read.weights_file is not None and read.genes_file is not None
    again = read_precomputed(read.weights_file)
    assert again.names == names and np.array_equal(again.vectors, read.vectors)


@pytest.mark.parametrize(
    "content",
    [
        "4 3\nINS 0 1 4 \nGCG 9 16 25 \nHLA-A 36 49 64 \nSST 81 100 121 \n",
        "INS\t0 1 4 \nGCG\t9 16 25 \nHLA-A\t36 49 64 \nSST\t81 100 121 \n",
        "INS 0 1 4\nGCG 9 16 25\nHLA-A 36 49 64\nSST 81 100 121",
        "symbol\t0\t1\t2\nINS\t0\t1\t4\nGCG\t9\t16\t25\nHLA-A\t36\t49\t64\nSST\t81\t100\t121\n",
    ],
    ids=["word2vec", "name-tab-numbers", "spaces", "table"],
)
def test_layouts_of_texts(tmp_path: Path, content: str) -> None:
    (tmp_path / "gene2vec.txt").write_text(content)
    read = read_precomputed(tmp_path / "gene2vec.txt")
    assert read.names == GENES and np.array_equal(read.vectors, VECTORS.numpy())


@pytest.mark.parametrize("as_tensors", [False, True], ids=["pickle", "torch"])
def test_dicts_of_arrays(tmp_path: Path, as_tensors: bool) -> None:
    """The pickles of scELMo, and proteins' vectors as torch.save writes them: views of one."""
    path = tmp_path / "dict.pt"
    if as_tensors:
        torch.save(dict(zip(GENES, VECTORS, strict=True)), path)
    else:
        path.write_bytes(pickle.dumps(dict(zip(GENES, VECTORS.numpy()[:, None], strict=True))))
    read = read_precomputed(path)
    assert read.names == GENES and np.array_equal(read.vectors, VECTORS.numpy())


def test_ids_are_told_from_symbols(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("INS,1\nENSG00000254647.8,2\n3630,3\n")
    genes = all_genes(read_precomputed(tmp_path / "e.csv"), "m").genes
    assert genes.strings("symbol").tolist() == ["INS", "", ""]
    assert genes.strings("ensembl_id").tolist() == ["", "ENSG00000254647", ""]
    assert genes.strings("gene_id").tolist() == ["", "", "3630"]


def refused(path: Path, message: str) -> None:
    """One line that says ``message``, and little memory used for it."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ScReaderError, match=message) as caught:
        read_precomputed(path)
    assert "\n" not in str(caught.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB
    assert not TOUCHED.exists()


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("vocab.json", '{"INS": 7}', "gives 'INS' row 7; best_model.pt has 7 rows"),
        ("vocab.json", '{"INS": -1}', "does not give each gene"),
        ("vocab.json", '{"INS": true}', "does not give each gene"),
        ("vocab.json", '["INS"]', "has 1 genes; best_model.pt has 7 rows"),
        ("vocab.json", "[" * 100_000, "is not JSON"),
        ("vocab.json", '{"INS"', "is not JSON"),
        ("vocab.json", None, "has no gene list next to it"),
        ("genes.txt", "INS", "was found next to 2 lists of genes: genes.txt, vocab.json"),
        ("best_model.pt", None, "is a folder without weights"),
        ("best_model.pt", "weights", "is not a known kind of weights"),
        ("second_model.npy", "", None),
        ("best_model.txt", "INS\t1,2\n\t\n", "has 2 genes"),
    ],
)
def test_lists_that_do_not_fit(
    tmp_path: Path, file: str, content: str | None, message: str | None
) -> None:
    scgpt(tmp_path)
    if content is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_text(content)
    if message is None:  # what a model does not need may lie there
        assert read_precomputed(tmp_path).names == GENES
    else:
        refused(tmp_path, message)


@pytest.mark.parametrize(
    "content",
    [
        {"encoder.embedding.weight": VECTORS, "epoch": Evil()},
        {"encoder.embedding.weight": VECTORS, "dtype": torch.float32},
        {"encoder.embedding.weight": VECTORS, "set": {1}},
        torch.nn.Linear(2, 2),
    ],
    ids=["call", "type", "set", "module"],
)
def test_models_that_name_anything_else_are_refused(tmp_path: Path, content: Any) -> None:
    scgpt(tmp_path)
    torch.save(content, tmp_path / "best_model.pt")
    refused(tmp_path, "might run code")


def test_a_list_of_genes_that_would_run_code_is_refused(tmp_path: Path) -> None:
    geneformer(tmp_path)
    (tmp_path / "token_dictionary_gc104M.pkl").write_bytes(pickle.dumps({"INS": Evil()}))
    refused(tmp_path, "might run code")


def test_files_of_older_pytorch_are_refused(tmp_path: Path) -> None:
    scgpt(tmp_path)
    weights = {"encoder.embedding.weight": VECTORS}
    torch.save(weights, tmp_path / "best_model.pt", _use_new_zipfile_serialization=False)
    refused(tmp_path, "not a known kind of weights.*torch.save")


def rewritten(path: Path, changes: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> None:
    """A zip archive with other contents of some of its files."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()} | changes
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def test_archives_that_unpack_to_more_are_refused(tmp_path: Path) -> None:
    scgpt(tmp_path)
    path = tmp_path / "best_model.pt"
    rewritten(path, {"best_model/data/0": bytes(10_000_000)}, zipfile.ZIP_DEFLATED)
    refused(path, "damaged file of PyTorch")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ((4, 3), (1 << 40, 3)),
        ((4, 3), (4, 300)),
        ((3, 1), (1 << 40, 1)),
        ((3, 1), (-3, 1)),
        ((3, 1), (4, 1)),
    ],
)
def test_tensors_beyond_their_file_are_refused(
    tmp_path: Path, old: tuple[int, int], new: tuple[int, int]
) -> None:
    """Shapes and strides of a tensor that would be read from elsewhere, or need terabytes."""
    scgpt(tmp_path)
    path = tmp_path / "best_model.pt"
    torch.save({"encoder.embedding.weight": VECTORS}, path)
    with zipfile.ZipFile(path) as archive:
        content = archive.read("best_model/data.pkl")

    def written(sizes: tuple[int, int]) -> bytes:
        return pickle.dumps(sizes, protocol=2)[2:-3]

    assert content.count(written(old)) == 1
    rewritten(path, {"best_model/data.pkl": content.replace(written(old), written(new))})
    refused(tmp_path, "damaged file of PyTorch")


def test_no_vectors_many_vectors(tmp_path: Path) -> None:
    scgpt(tmp_path)
    torch.save({"fc.weight": VECTORS}, tmp_path / "best_model.pt")
    refused(tmp_path, "no matrix of gene vectors that is known.*encoder.embedding.weight")
    twice = {f"{name}.pos_emb.weight": VECTORS for name in "ab"}
    torch.save(twice, tmp_path / "best_model.pt")
    refused(tmp_path, "holds 2 matrices of genes: a.pos_emb.weight, b.pos_emb.weight")
    np.save(tmp_path / "best_model.pt", np.array([Evil()], object))
    (tmp_path / "best_model.pt.npy").replace(tmp_path / "best_model.pt")
    refused(tmp_path, "best_model.pt|cannot be read as embeddings")


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["best_model.pt", "vocab.json"]),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4),
    st.booleans(),
)
def test_damaged_models_are_one_line(
    file: str, changes: list[tuple[int, int]], is_cut: bool
) -> None:
    with TemporaryDirectory() as folder:
        scgpt(Path(folder))
        content = bytearray((Path(folder) / file).read_bytes())
        for position, value in changes:
            content[position % len(content)] = value
        if is_cut:
            del content[changes[0][0] % len(content) :]
        (Path(folder) / file).write_bytes(content)
        with suppress(ScReaderError):
            assert len(read_precomputed(Path(folder)).names) <= 8
