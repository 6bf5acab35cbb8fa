"""No labels: how well the cells of a file are called by the types that they may be of.

    python benchmarks/no_labels.py DATA [NAME ...]

DATA holds the h5ad files of ``SETS`` and the marker tables. Prints the tables of
benchmarks/no_labels.md as Markdown.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import anndata
import numpy as np
from sklearn.metrics import f1_score

from screader_lib.annotation.by_reader.consensus import gene_weights
from screader_lib.annotation.few_labels.own_cells import OwnCells
from screader_lib.annotation.no_labels.by_types import WEAK
from screader_lib.annotation.no_labels.type_evidence import GenesOfTypes, Grouping, group_cells
from screader_lib.annotation.no_labels.type_table import NamedType, read_types
from screader_lib.annotation.sample import SampleOptions
from screader_lib.cells.cells_file import CellSequences
from screader_lib.cells.formats.open_expression import open_expression
from screader_lib.exchange import writing
from screader_lib.exchange.opening import open_exchange
from screader_lib.exchange.provenance import Provenance, Record
from screader_lib.label_metrics import expected_calibration_error
from screader_lib.preparation.marker_tables import plain_name, read_marker_tables
from screader_lib.reader.methods.places import MOST_DEVIATIONS, own_components

PANGLAO = "PanglaoDB_markers_27_Mar_2020.tsv.gz"
CELLMARKER = {"human": "CellMarker2_Human_Aug.csv", "mouse": "CellMarker2_Mouse_Aug.csv"}
ISLETS = {
    "beta": ("beta cell", "CL:0000169"),
    "alpha": ("alpha cell", "CL:0000171"),
    "delta": ("delta cell", "CL:0000173"),
    "gamma": ("gamma cell", "CL:0002275"),
    "ductal": ("ductal cell", "CL:0002079"),
    "endothelial": ("endothelial cell", "CL:0000115"),
    "activated_stellate": ("pancreatic stellate cell", "CL:0002410"),
    "quiescent_stellate": ("pancreatic stellate cell", "CL:0002410"),
}
SETS = {  # species, column, and what a person would name its labels; the first two chose settings
    "baron_mouse": ("mouse", "cell_type1", ISLETS | {"macrophage": ("macrophage", "CL:0000235")}),
    "pbmc_chemistries": (
        "human",
        "lineage",
        {
            "B": ("B cell", "CL:0000236"),
            "T": ("T cell", "CL:0000084"),
            "Mono": ("monocyte", "CL:0000576"),
            "NK": ("NK cell", "CL:0000623"),
            "DC": ("dendritic cell", "CL:0000451"),
            "MK": ("megakaryocyte", "CL:0000556"),
        },
    ),
    "pbmc_facs": (
        "human",
        "lineage",
        {
            "B cell": ("B cell", "CL:0000236"),
            "T cell": ("T cell", "CL:0000084"),
            "CD14+": ("monocyte", "CL:0000576"),
            "NK cell": ("NK cell", "CL:0000623"),
            "CD34+": ("hematopoietic stem cell", "CL:0000037"),
        },
    ),
    "baron_human": ("human", "cell_type1", ISLETS | {"acinar": ("acinar cell", "CL:0002064")}),
}
ABSENT = {  # types that are named too, of which there are no cells
    "pancreas": (("T cell", "CL:0000084"), ("B cell", "CL:0000236"), ("neuron", "CL:0000540"),
                 ("hepatocyte", "CL:0000182"), ("mast cell", "CL:0000097")),
    "blood": (("plasma cell", "CL:0000786"), ("neutrophil", "CL:0000775"),
              ("beta cell", "CL:0000169"), ("fibroblast", "CL:0000057"),
              ("endothelial cell", "CL:0000115")),
}  # fmt: skip
SHUFFLES = 5
MIN_CONFIDENCE = 0.5  # of annotate
CLUSTERS = 25  # of the control


@dataclass
class Cells:
    """A data set: its cells in groups, the numbers of their types, and evidence for each type."""

    name: str
    species: str
    truth: np.ndarray
    names: list[str]
    groupings: list[Grouping]
    values: np.ndarray
    by: dict[str, GenesOfTypes]

    @classmethod
    def load(cls, folder: Path, name: str, absent: bool) -> Cells:
        species, column, terms = SETS[name]
        path = folder / f"{name}.h5ad"
        labels = anndata.read_h5ad(path, backed="r").obs[column].astype(str)
        kinds = list(dict.fromkeys(terms.values()))
        extra = ABSENT["pancreas" if name.startswith("baron") else "blood"] if absent else ()
        truth = np.array([kinds.index(terms[one]) if one in terms else -1 for one in labels])
        with tempfile.TemporaryDirectory() as place, open_expression(path, path.name) as source:
            table = Path(place) / "types.csv"
            rows = "".join(f"{kind},{term}\n" for kind, term in (*kinds, *extra))
            table.write_text(f"type,ontology_id\n{rows}")
            types = read_types({"types": table}, ())
            own = OwnCells([source], SampleOptions())
            made = Provenance(Record("no_labels", "", {}, {}))
            with writing.create("cells", Path(place) / "built.h5ad", made) as file:
                own.write(file)
            with open_exchange(Path(place) / "built.h5ad", "cells") as opened:
                cells = CellSequences(opened)
                read = gene_weights(cells)
                genes = cells.genes.take(np.flatnonzero(cells.genes_in_input))
                places, sketch = own_components(read, len(cells))
                groupings = group_cells(places, sketch, read)
                weights = read(np.arange(len(cells))).toarray()
        tables = {
            "PanglaoDB": [folder / PANGLAO],
            "CellMarker": [folder / CELLMARKER[species]],
        }
        tables["both"] = [path for paths in tables.values() for path in paths]
        by = {
            kind: GenesOfTypes.of(
                genes, types, [read_marker_tables([path], species) for path in paths]
            )
            for kind, paths in tables.items()
        }
        values = (weights - weights.mean(0)) / np.maximum(weights.std(0), 1e-9)
        values = np.clip(values, -MOST_DEVIATIONS, MOST_DEVIATIONS)
        kind_names = [kind for kind, _ in kinds]
        return cls(name, species, truth, kind_names, groupings, values, by)

    def measured(self, called: np.ndarray) -> tuple[float, float]:
        """Accuracy and macro F1 of type numbers, of the cells of named types."""
        there = self.truth >= 0
        truth = self.truth[there]
        f1 = f1_score(truth, called[there], labels=np.unique(truth), average="macro")
        return float((truth == called[there]).mean()), float(f1)


def by_types(of: GenesOfTypes, groupings: Sequence[Grouping]) -> np.ndarray:
    """Type numbers as ``annotate --types`` has them, also where it gives no label."""
    return of.evidence(groupings).probability.argmax(1)


def by_markers_alone(of: GenesOfTypes) -> GenesOfTypes:
    """By markers, and by text a type that has none."""
    return replace(of, by_text=of.by_text * (of.by_markers.sum(1, keepdims=True) == 0))


def by_texts_alone(of: GenesOfTypes) -> GenesOfTypes:
    """By no marker at all."""
    return replace(of, by_markers=np.zeros_like(of.by_text))


def controls(cells: Cells, kind: str) -> Iterator[tuple[str, list[tuple[float, float]]]]:
    """What is compared, and its accuracy and macro F1, several times where chance takes part."""
    of = cells.by[kind]
    scores = cells.values @ of.by_markers.T
    yield "markers, cell by cell", [cells.measured(scores.argmax(1))]
    codes = cells.groupings[0].codes
    means = np.stack([scores[codes == code].mean(0) for code in range(codes.max() + 1)])
    means = (means - means.mean(0)) / np.maximum(means.std(0), 1e-9)
    yield f"markers over {CLUSTERS} clusters", [cells.measured(means.argmax(1)[codes])]
    alone = by_types(by_markers_alone(of), cells.groupings)
    yield "`--types`, markers alone", [cells.measured(alone)]
    yield "`--types`", [cells.measured(by_types(of, cells.groupings))]


def by_texts(cells: Cells) -> Iterator[tuple[str, list[tuple[float, float]]]]:
    """The same by texts alone, true and shuffled among the genes, and the largest type."""
    of = by_texts_alone(cells.by["both"])
    yield "texts alone", [cells.measured(by_types(of, cells.groupings))]
    shuffled = []
    for seed in range(SHUFFLES):
        mixed = np.random.default_rng(seed).permutation(of.by_text.shape[1])
        some = replace(of, by_text=of.by_text[:, mixed])
        shuffled.append(cells.measured(by_types(some, cells.groupings)))
    yield "texts shuffled", shuffled
    largest = np.bincount(cells.truth[cells.truth >= 0]).argmax()
    yield "largest type", [cells.measured(np.full(len(cells.truth), largest))]


def prepared(folder: Path, name: str, cells: Cells) -> str:
    """``prepare-cells`` with both tables, all tissues: a label that names the type is right.

    Of logarithms, which it does not read, a dash.
    """
    if name == "pbmc_chemistries":
        return "–"
    tables = [PANGLAO, CELLMARKER[cells.species]]
    types: list[NamedType] = list(cells.by["both"].types)
    with tempfile.TemporaryDirectory() as place:
        output = Path(place) / "prepared.h5ad"
        words = [word for table in tables for word in ("--markers", str(folder / table))]
        command = [str(Path(sys.executable).with_name("prepare-cells")), "-q"]
        command += [str(folder / f"{name}.h5ad"), *words, "--species", cells.species]
        subprocess.run([*command, "-o", str(output)], check=True)
        made = anndata.read_h5ad(output).obs
    labels = made["label"].astype(str).to_dict()
    names = anndata.read_h5ad(folder / f"{name}.h5ad", backed="r").obs_names
    of_name = {
        plain_name(word).removesuffix(" cell"): number
        for number, one in enumerate(types)
        for word in (one.name, *one.synonyms)
    }
    called = [
        of_name.get(plain_name(labels.get(one, "")).removesuffix(" cell"), -1) for one in names
    ]
    return text_of([cells.measured(np.array(called))])


def confidence(cells: Cells, of: GenesOfTypes) -> str:
    """Columns: assigned, right of these, calibration error, refused of a type that is not named."""
    there = cells.truth >= 0
    best, sure, strength = of.evidence(cells.groupings).best()
    given = (sure >= MIN_CONFIDENCE) & (strength >= WEAK) & there
    right = best == cells.truth
    refused = []
    for out in range(len(cells.names)):
        kept = np.delete(np.arange(len(of.types)), out)
        some = GenesOfTypes(
            [of.types[one] for one in kept],
            of.genes, of.by_markers[kept], of.by_text[kept], of.negative[kept],
        )  # fmt: skip
        _, sure_of, strength_of = some.evidence(cells.groupings).best()
        none = (sure_of < MIN_CONFIDENCE) | (strength_of < WEAK)
        refused.append(none[cells.truth == out].mean())
    error = expected_calibration_error(sure[there], right[there])
    figures = (given.sum() / there.sum(), right[given].mean(), error, np.mean(refused))
    return " | ".join(f"{one:.3f}" for one in figures)


def text_of(found: list[tuple[float, float]]) -> str:
    return " / ".join(f"{one:.3f}" for one in np.mean(found, 0))


HEADS = (
    ("cells", "marker tables", "markers, cell by cell", f"over {CLUSTERS} clusters",
     "`--types`, markers alone", "`--types`", "`--types`, five absent types named too"),
    ("cells", "texts alone", "texts shuffled", "largest type", "`prepare-cells`, both tables"),
    ("cells", "by", "assigned", "of these right", "calibration error", "refused, if not named"),
)  # fmt: skip


def head(number: int) -> None:
    print(f"\n| {' | '.join(HEADS[number])} |\n|{'---|' * len(HEADS[number])}")


def main(folder: str, *names: str) -> None:
    """Print the tables."""
    warnings.simplefilter("ignore")
    place = Path(folder)
    every = {name: Cells.load(place, name, False) for name in names or SETS}
    head(0)
    for name, cells in every.items():
        more = Cells.load(place, name, True)
        for kind, of in cells.by.items():
            columns = [text_of(found) for _, found in controls(cells, kind)]
            columns.append(text_of([more.measured(by_types(more.by[kind], more.groupings))]))
            with_none = zip(of.types, of.by_markers, strict=True)
            without = ", ".join(one.name for one, row in with_none if not row.any())
            note = f" (none for {without})" if without else ""
            print(
                f"| {name}, {len(cells.names)} types | {kind}{note} | {' | '.join(columns)} |",
                flush=True,
            )
    head(1)
    for name, cells in every.items():
        columns = [*(text_of(found) for _, found in by_texts(cells)), prepared(place, name, cells)]
        print(f"| {name} | {' | '.join(columns)} |", flush=True)
    head(2)
    for name, cells in every.items():
        both = cells.by["both"]
        print(f"| {name} | both tables and texts | {confidence(cells, both)} |")
        print(f"| {name} | texts alone | {confidence(cells, by_texts_alone(both))} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
