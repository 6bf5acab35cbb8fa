"""A type left out of a reader's training, and named beside it (benchmarks/no_labels.md).

    python benchmarks/no_labels_reader.py DATA [NAME ...]

DATA holds what benchmarks/no_labels.py reads. Each type is left out of the reference once; a reader
(method ``logistic``) is trained on the others, and reads other cells, with all types named beside
it. Prints a row for each type left out.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path

import anndata
import numpy as np
from no_labels import CELLMARKER, PANGLAO, SETS

from screader_lib.annotation.annotate import AnnotationOptions, annotate
from screader_lib.annotation.by_reader.answers import LoadedReader
from screader_lib.annotation.no_labels.proposed_types import proposed_columns
from screader_lib.annotation.no_labels.type_table import read_types
from screader_lib.annotation.reference import ReferenceOptions, train_on
from screader_lib.cells.formats.open_expression import expression_of
from screader_lib.cells.obs.columns import ObsColumns
from screader_lib.exchange.opening import open_exchange
from screader_lib.exchange.provenance import Provenance, Record
from screader_lib.exchange.table import as_strings
from screader_lib.preparation.marker_tables import read_marker_tables

QUERY = {  # the donors, or chemistry, that are called; of sorted blood, every other cell
    "baron_mouse": ("donor", {"mouse2"}),
    "pbmc_chemistries": ("chemistry", {"5p"}),
    "baron_human": ("donor", {"human2", "human4"}),
}
KIND = "kind"
LEAST = 10  # cells of a type in either part


def left_out(folder: Path, name: str) -> None:
    """A row for each type of a data set, and their mean."""
    species, column, terms = SETS[name]
    whole = anndata.read_h5ad(folder / f"{name}.h5ad")
    kinds = whole.obs[column].astype(str).map(lambda label: terms.get(label, ("",))[0])
    by, query = QUERY.get(name, ("", set()))
    is_query = (
        whole.obs[by].astype(str).isin(query).to_numpy() if by else np.arange(len(whole)) % 2 == 1
    )
    named = (kinds != "").to_numpy()
    whole.obs[KIND] = kinds
    reference, cells = whole[~is_query & named].copy(), whole[is_query & named].copy()
    markers = [folder / PANGLAO, folder / CELLMARKER[species]]
    tables = [read_marker_tables([path], species) for path in markers]
    found = []
    with tempfile.TemporaryDirectory() as place:
        table = Path(place) / "types.csv"
        rows = "".join(f"{kind},{term}\n" for kind, term in dict.fromkeys(terms.values()))
        table.write_text(f"type,ontology_id\n{rows}")
        types = read_types({"types": table}, ())
        truth = cells.obs[KIND].to_numpy().astype(object)
        for out in dict.fromkeys(kind for kind, _ in terms.values()):
            known = reference[(reference.obs[KIND] != out).to_numpy()].copy()
            if min((truth == out).sum(), len(reference) - len(known)) < LEAST:
                continue
            step = Path(tempfile.mkdtemp(dir=place))
            (step / "own").mkdir()
            options = ReferenceOptions(
                ObsColumns(KIND, None, None), "logistic", provider="tfidf",
                organism=species, calibrate_on="cells",
            )  # fmt: skip
            train_on([expression_of(known, "reference")], step / "reader.h5", step, options)
            made = Provenance(Record("no_labels", "", {}, {}))
            source = expression_of(cells, name)
            with open_exchange(step / "reader.h5", "reader") as reader:
                done = annotate([source], LoadedReader(reader), made, step, AnnotationOptions())
            own = done.cells
            assert own.familiarity is not None
            best = np.array(done.labels.names, object)[own.probability.argmax(1)]
            columns = proposed_columns(
                [source], types, tables, done.labels, own.familiarity, made, step / "own",
                AnnotationOptions(),
            )  # fmt: skip
            proposed = as_strings(columns["screader_proposed_type"])
            final = np.where(proposed != "", proposed, best)
            is_out = truth == out
            right, alone = (final == truth), (best == truth)
            figures = [
                alone[~is_out].mean(), right[~is_out].mean(), right[is_out].mean(),
                (proposed != "")[~is_out].mean(), float(np.median(own.familiarity[is_out])),
            ]  # fmt: skip
            figures.insert(3, 2 * figures[1] * figures[2] / max(1e-9, figures[1] + figures[2]))
            found.append(figures)
            listed = " | ".join(f"{one:.3f}" for one in figures)
            print(f"| {name} | {out} | {is_out.sum()} | {listed} |", flush=True)
    listed = " | ".join(f"{one:.3f}" for one in np.mean(found, 0))
    print(f"| {name} | mean | | {listed} |", flush=True)


def main(folder: str, *names: str) -> None:
    """Print the table."""
    warnings.simplefilter("ignore")
    heads = (
        "cells", "left out", "cells of it", "known right, reader alone", "known right",
        "left out right", "harmonic mean", "known, another proposed", "median familiarity",
    )  # fmt: skip
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for name in names or SETS:
        left_out(Path(folder), name)


if __name__ == "__main__":
    main(*sys.argv[1:])
