"""Tile an h5ad's counts to many cells, block by block, for benchmarks.

    python benchmarks/tile_cells.py baron_human.h5ad 100000 tiled.h5ad [--compression gzip]

CSR, int32, with the columns ``cell_type1`` and ``donor``; each copy of a cell is another name.
``--pooled 6`` adds six neighbouring cells up to one, for cells of 5,000 genes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import anndata
import h5py
import numpy as np
from anndata.io import write_elem

COLUMNS = ["cell_type1", "donor"]


def tile(
    source: Path, cells: int, target: Path, compression: str | None = None, pooled: int = 1
) -> None:
    """Write ``cells`` cells, those of ``source`` again and again, ``pooled`` at a time as one."""
    data = anndata.read_h5ad(source)
    single = data.X.tocsr()
    order = np.arange(data.n_obs)
    matrix = sum((single[np.roll(order, -shift)] for shift in range(1, pooled)), single)
    whole, rest = divmod(cells, data.n_obs)
    sizes = [data.n_obs] * whole + [rest] * bool(rest)
    lengths = np.diff(matrix.indptr)
    ends = np.cumsum(np.concatenate([[0], *(lengths[:size] for size in sizes)]))
    numbers = np.concatenate([np.arange(size) for size in sizes])
    obs = data.obs.iloc[numbers][COLUMNS].copy()
    obs.index = [f"cell-{number:07}" for number in range(cells)]
    with h5py.File(target, "w") as file:
        write_elem(file, "/", anndata.AnnData(obs=obs, var=data.var[[]]))
        group = file.create_group("X")
        group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0"})
        group.attrs["shape"] = np.array([cells, data.n_vars])
        group["indptr"] = ends
        for part in ("data", "indices"):
            values = getattr(matrix, part).astype(np.int32)
            stored = group.create_dataset(
                part, (ends[-1],), np.int32, chunks=(65_536,), compression=compression
            )
            place = 0
            for size in sizes:
                count = int(matrix.indptr[size])
                stored[place : place + count] = values[:count]
                place += count


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("cells", type=int)
    parser.add_argument("target", type=Path)
    parser.add_argument("--compression", choices=["gzip", "lzf"])
    parser.add_argument("--pooled", type=int, default=1)
    options = parser.parse_args()
    tile(options.source, options.cells, options.target, options.compression, options.pooled)


if __name__ == "__main__":
    main()
