"""Whether confidence is that of a reader which knows few of a sample's genes.

    python benchmarks/missing_genes.py EXPRESSION EMBEDDINGS LABEL [--held-out COLUMN=VALUE]

A reader is trained on all cells but those held out: the cells of `--held-out`, or a fifth of each
type. These are split into three parts, each of which loses genes of its own, drawn at random: a
share of all genes of the file, which then has fewer genes (`renormalised`: a cell's values are per
10,000 counts of those left), or the same genes by name only (`kept total`: they stay in the file
under names that mean nothing, as those that a reader has not learnt). The tables are of held-out
cells that have at least one gene that the reader knows. *Before* is the same prediction at the
reader's one temperature.
"""

from __future__ import annotations

import argparse
import tempfile
from importlib import import_module
from pathlib import Path

import anndata
import numpy as np
from click.testing import CliRunner

from screader_lib.exchange.opening import open_exchange
from screader_lib.label_metrics import expected_calibration_error
from screader_lib.reader.reader_file import read_reader

SHARES = (0.0, 0.25, 0.5, 0.75, 0.9, 0.97, 0.99)
METHODS = ("logistic", "pooled")
PARTS = 3


def run(tool: str, *words: object) -> None:
    """Run a tool in this process, quietly."""
    main = import_module(f"screader_tools.{tool.replace('-', '_')}").main
    done = CliRunner().invoke(main, [*map(str, words), "-q"])
    if done.exit_code:
        raise SystemExit(done.output)


def held_out_cells(data: anndata.AnnData, label: str, condition: str) -> np.ndarray:
    """Which cells are held out, bool (cells,)."""
    if condition:
        column, _, value = condition.partition("=")
        return (data.obs[column].astype(str) == value).to_numpy()
    random, held = np.random.default_rng(0), np.zeros(data.n_obs, bool)
    labels = data.obs[label].astype(str).to_numpy()
    for one in sorted(set(labels)):
        members = random.permutation(np.flatnonzero(labels == one))
        held[members[: len(members) // 5]] = True
    return held


def without_genes(
    data: anndata.AnnData, share: float, renamed: bool, folder: Path, seed: int
) -> list[Path]:
    """The cells in three files that each lack another ``share`` of the genes."""
    random, paths = np.random.default_rng([seed, int(1000 * share)]), []
    for part in range(PARTS):
        cells = data[part::PARTS].copy()
        missing = random.random(data.n_vars) < share
        if renamed:
            names = np.where(missing, [f"none-{n}" for n in range(data.n_vars)], cells.var_names)
            cells = anndata.AnnData(cells.X, cells.obs, var=None)
            cells.var_names = names
        else:
            cells = cells[:, ~missing].copy()
        paths.append(folder / f"part-{part}.h5ad")
        cells.write_h5ad(paths[-1])
    return paths


def measure(made: anndata.AnnData, factor: np.ndarray) -> list[float]:
    """Cells, accuracy, and confidence, error and share above 0.9 before and after."""
    read = (made.obs["genes_in_sequence"] > 0).to_numpy()
    obs, factor = made.obs[read], factor[read]
    right = (obs["predicted_label"].astype(str) == obs["true_label"].astype(str)).to_numpy()
    after = made.obsm["probability"][read].astype(np.float64)
    logs = np.log(np.maximum(after, 1e-38)) * factor[:, None]
    before = np.exp(logs - logs.max(1, keepdims=True))
    before /= before.sum(1, keepdims=True)
    row = [float(np.median(obs["genes_in_sequence"])), float(right.mean())]
    for sure in (before.max(1), after.max(1)):
        error = expected_calibration_error(sure, right)
        row += [float(sure.mean()), float(error), float((sure > 0.9).mean())]
    return row


def main() -> None:
    """Print a table for each method."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("expression")
    parser.add_argument("embeddings")
    parser.add_argument("label")
    parser.add_argument("--held-out", default="")
    parser.add_argument("--methods", nargs="+", default=METHODS)
    given = parser.parse_args()
    data = anndata.read_h5ad(given.expression)
    held = held_out_cells(data, given.label, given.held_out)
    with tempfile.TemporaryDirectory() as name:
        folder, cells = Path(name), Path(name) / "cells.h5ad"
        build = ("-e", given.embeddings, "--label", given.label)
        (folder / "train.txt").write_text("\n".join(data.obs_names[~held]) + "\n")
        train = ("--cells", folder / "train.txt", "-o", folder / "train.h5ad")
        run("build-cells", given.expression, *build, *train)
        readers = {}
        for method in given.methods:
            readers[method] = folder / f"{method}.h5"
            run("train-reader", folder / "train.h5ad", "--method", method, "-o", readers[method])
        rows: dict[str, list[str]] = {method: [] for method in readers}
        for renamed in (False, True):
            for share in SHARES:
                if renamed and not share:
                    continue
                parts = without_genes(data[held], share, renamed, folder, int(renamed))
                like = ("--like", readers[given.methods[0]], "--min-mapped", 0)
                run("build-cells", *parts, *build, *like, "-o", cells)
                for method, reader in readers.items():
                    calls = folder / "calls.h5ad"
                    run("predict", cells, "-r", reader, "-o", calls)
                    made = anndata.read_h5ad(calls)
                    with open_exchange(reader, "reader") as opened:
                        stored = read_reader(opened)
                    factor = stored.few_genes.of(made.obs["genes_in_sequence"].to_numpy())
                    how = ("kept total" if renamed else "renormalised") if share else "all"
                    genes, *values = measure(made, factor)
                    shown = " | ".join(f"{value:.3f}" for value in values)
                    rows[method].append(f"| {how} | {share:.0%} | {genes:.0f} | {shown} |")
        for method, lines in rows.items():
            print(f"\nMethod {method}, {int(held.sum()):,} held-out cells\n")
            print("| total | genes missing | genes read a cell | accuracy | confidence before "
                  "| calibration error | above 0.9 | confidence after | calibration error "
                  "| above 0.9 |\n|" + "---|" * 10)  # fmt: skip
            print("\n".join(lines), flush=True)


if __name__ == "__main__":
    main()
