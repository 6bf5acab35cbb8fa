"""Cross-validations of small cells, as their users make them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
from small_files import counts, expression, succeed, write_embeddings

from screader_lib.exchange import encoding
from screader_lib.exchange.table import Table


def read(path: Path) -> tuple[Table, np.ndarray, list[str], dict]:
    """The cells' table, probabilities, labels and metrics of predictions."""
    with h5py.File(path) as file:
        return (
            encoding.read_table(file["obs"]),
            file["obsm/probability"][()],
            list(encoding.read_strings(file["uns/labels"])),
            encoding.read_json(file["uns"], "metrics"),
        )


def scatter(cells: Path, folder: Path, folds: int, *words: object) -> list[Path]:
    """Train and predict fold by fold."""
    files = []
    for number in range(1, folds + 1):
        reader, calls = folder / f"r{number}.h5", folder / f"p{number}.h5ad"
        succeed("train-reader", cells, *words, "--fold", number, "-o", reader)
        succeed("predict", cells, "-r", reader, "--held-out", "-o", calls)
        files.append(calls)
    return files


def built(folder: Path, types: Sequence[str], **obs: list[str]) -> Path:
    """Cells of given types, with further columns such as ``donor``."""
    values, _ = counts()
    expression(values, np.array(types, object), **obs).write_h5ad(folder / "x.h5ad")
    write_embeddings(folder / "e.h5ad")
    words = ["-e", folder / "e.h5ad", "--label", "cell_type", "-o", folder / "c.h5ad"]
    succeed("build-cells", folder / "x.h5ad", *words)
    return folder / "c.h5ad"


def gathered(folder: Path, files: list[Path], name: str = "g.h5ad") -> Path:
    """The files in one."""
    succeed("screader", "gather", *files, "-o", folder / name)
    return folder / name


def write_obo(path: Path) -> Path:
    """An ontology in which alpha and beta cells are of one kind, delta cells of another."""
    parents = {"CL:0000066": "", "CL:0000163": "CL:0000066", "CL:0000000": "CL:0000163"}
    parents |= {"CL:0000001": "CL:0000163", "CL:0000002": "CL:0000066"}
    terms = (f"[Term]\nid: {t}\nname: {t}\n{p and f'is_a: {p}'}\n" for t, p in parents.items())
    path.write_text("format-version: 1.4\n\n" + "\n".join(terms))
    return path
