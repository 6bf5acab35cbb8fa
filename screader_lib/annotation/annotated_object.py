"""An AnnData object with the calls in it: what reading an h5ad that holds them would give."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from screader_lib.annotation.annotated_file import add_calls
from screader_lib.annotation.calls import Calls, EarlierRun
from screader_lib.exchange import encoding, writing
from screader_lib.exchange.provenance import GROUP, Provenance
from screader_lib.exchange.table import Table, strings
from screader_lib.reporting import SILENT, Reporter

if TYPE_CHECKING:
    import pandas
    from anndata import AnnData

FILE = "calls.h5ad"


@dataclass(frozen=True)
class Parts:
    """Calls as anndata reads them: columns of ``obs``, arrays of ``obsm``, ``uns["screader"]``.

    The index of ``obs`` is without meaning; its rows are the cells of the file or object.
    """

    obs: pandas.DataFrame
    obsm: dict[str, np.ndarray]
    uns: dict[str, Any]


def parts_of(calls: Calls, provenance: Provenance, folder: Path) -> Parts:
    """The calls as in a file: through one that holds nothing else, in the temporary ``folder``."""
    from anndata.io import read_elem

    with writing.new_file(folder / FILE) as file:
        encoding.begin_anndata(file, Table(strings(range(calls.cells))), Table(strings([])))
        add_calls(file, calls, provenance)
    with h5py.File(folder / FILE, "r", locking=False) as file:
        obsm = {name: file["obsm"][name][()] for name in calls.obsm}
        return Parts(read_elem(file["obs"]), obsm, read_elem(file["uns"][GROUP]))


def add_to(adata: AnnData, parts: Parts, reporter: Reporter = SILENT) -> None:
    """Add the calls to ``adata``, whose X and all else stay as they are.

    What an earlier run added is kept under other names. A view becomes a copy first, as whenever
    a view is changed.
    """
    earlier = EarlierRun.of([*adata.obs], adata.obsm, adata.uns, [*parts.obs], [*parts.obsm])
    columns = {name: name + earlier.suffix for name in earlier.columns}
    obs = adata.obs.rename(columns=columns)
    for name in parts.obs:
        obs[name] = parts.obs[name].array
    adata.obs = obs  # of a view, this makes the copy
    for name in earlier.vectors:
        adata.obsm[name + earlier.suffix] = adata.obsm.pop(name)
    for name, values in parts.obsm.items():
        adata.obsm[name] = values
    colours = {f"{name}_colors": f"{new}_colors" for name, new in columns.items()}
    for name, new in {**colours, **{name: name + earlier.suffix for name in earlier.uns}}.items():
        if name in adata.uns:
            adata.uns[new] = adata.uns.pop(name)
    adata.uns[GROUP] = parts.uns
    earlier.report(reporter)
