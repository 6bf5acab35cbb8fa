"""Small expression files, embeddings and cells with a known answer, and a tiny LLM."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anndata
import numpy as np
import pandas
from click.testing import Result
from running import invoke
from scipy import sparse

from screader_lib.exchange import encoding, provenance
from screader_lib.exchange.provenance import Record
from screader_lib.exchange.table import Categorical, Table, strings
from screader_lib.exchange.writing import create

TYPES = ("alpha", "beta", "delta")
SYMBOLS = [  # of human genes
    "INS", "GCG", "SST", "PPY", "GHRL", "PRSS1", "CPA1", "KRT19", "COL1A1", "CD68", "TTR", "IAPP",
    "PCSK1", "CHGA", "SCG5", "REG1A", "CTRB1", "CELA3A", "SPINK1", "CLPS", "PNLIP", "CPB1",
    "MMP7", "SPP1", "CFTR", "KRT8", "KRT18", "SPARC", "VIM", "COL3A1", "PECAM1", "PLVAP", "CD34",
    "TPSAB1", "CPA3", "KIT", "SOX10", "HLA.A", "HLA-B", "NKX2-2",
]  # fmt: skip
GENES = 40
CELLS = 90
DIM = 24
# Instead of as many readers more as there are folds of donors, which train-reader calibrates on.
ONE_READER = ("--calibrate-on", "cells")


def counts(seed: int = 0, cells: int = CELLS) -> tuple[np.ndarray, np.ndarray]:
    """Counts int64 (cells, GENES) and types (cells,); each type has ten marker genes."""
    random = np.random.default_rng(seed)
    types = np.arange(cells) % len(TYPES)
    rate = np.full((cells, GENES), 0.3)
    for cell, kind in enumerate(types):
        rate[cell, 10 * kind : 10 * kind + 10] = 9.0
    return random.poisson(rate), np.array(TYPES, dtype=object)[types]


def genes() -> list[str]:
    """Gene names."""
    return [f"GENE{number:02}" for number in range(GENES)]


def expression(values: np.ndarray, types: np.ndarray, **obs: object) -> anndata.AnnData:
    """An AnnData of the values, sparse by rows."""
    names = [f"cell{number:03}" for number in range(len(values))]
    table = pandas.DataFrame({"cell_type": list(types), **obs}, index=names)
    var = pandas.DataFrame(index=genes()[: values.shape[1]])
    return anndata.AnnData(sparse.csr_matrix(values.astype(np.float32)), table, var)


def write_expression(path: Path, seed: int = 0, cells: int = CELLS) -> Path:
    """An h5ad with known types."""
    values, types = counts(seed, cells)
    ids = [f"CL:{TYPES.index(kind):07}" for kind in types]
    donor = [f"donor{number % 4}" for number in range(cells)]
    expression(values, types, cell_ontology_id=ids, donor=donor).write_h5ad(path)
    return path


def write_embeddings(
    path: Path,
    names: list[str] | None = None,
    model: str = "test",
    dim: int = DIM,
    steps: tuple[Record, ...] = (),
    **columns: list,
) -> Path:
    """Random embeddings of the genes; ``columns`` replace symbol, aliases and so on.

    With ``steps`` as history, they were made by the packaged model, otherwise imported.
    """
    names = genes() if names is None else names
    blank = strings([""] * len(names))
    obs = Table(strings(names), dict.fromkeys(("gene_id", "ensembl_id", "aliases"), blank))
    obs.columns |= {"symbol": strings(names), "text_sha256": blank, "text": strings(names)}
    source = columns.pop("source", ["user"] * len(names))
    obs.columns |= {key: strings(values) for key, values in columns.items()}
    obs.columns["source"] = Categorical.of(source)
    vectors = np.random.default_rng(1).standard_normal((len(names), dim)).astype(np.float32)
    with create("gene-embeddings", path, provenance.make("test", {}, {}, [steps])) as file:
        encoding.begin_anndata(file, obs, Table(strings(range(dim))))
        encoding.write_array(file, "X", vectors)
        encoding.write_text(file["uns"], "model", model)
        encoding.write_text(file["uns"], "provider", "packaged" if steps else "import")
        encoding.write_number(file["uns"], "dim", dim)
    return path


def call(tool: str, *words: object) -> Result:
    """Run a tool inside this process; its result has exit_code and stderr."""
    return invoke(tool, *words)


def succeed(tool: str, *words: object) -> Result:
    """Run a tool inside this process; it has to succeed."""
    result = call(tool, *words)
    assert result.exit_code == 0, result.stderr
    return result


def fail(tool: str, *words: object) -> str:
    """Run a tool that has to fail with status 1; returns its one line of error."""
    result = call(tool, *words)
    assert result.exit_code == 1, (result.exit_code, result.output)
    lines = [line for line in result.stderr.splitlines() if "error:" in line]
    assert len(lines) == 1 and "Traceback" not in result.stderr, result.stderr
    return lines[0]


def write_cells(folder: Path, *words: object, seed: int = 0, name: str = "cells.h5ad") -> Path:
    """Cells with known types, built by the tool."""
    source = write_expression(folder / f"counts-{seed}.h5ad", seed)
    embeddings = folder / "embeddings.h5ad"
    if not embeddings.exists():
        write_embeddings(embeddings)
    output = folder / name
    label = () if "--label" in words else ("--label", "cell_type")
    succeed("build-cells", source, "-e", embeddings, *label, *words, "-o", output)
    return output


def write_llama(
    folder: Path,
    layers: int = 3,
    hidden: int = 32,
    seed: int = 0,
    words: Sequence[str] = ("Genes", "one", "cell", "type"),
) -> Path:
    """A randomly initialised Llama with a tokenizer of words, as a folder with safetensors."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaModel, PreTrainedTokenizerFast

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.2,
        max_position_embeddings=256,
    )
    LlamaModel(config).save_pretrained(folder)
    vocabulary = {word: number for number, word in enumerate(["?", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="?").save_pretrained(folder)
    return folder
