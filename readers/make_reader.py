"""Make a packaged reader from labelled cells: trained, measured, with its card.

    python readers/make_reader.py readers/human-pancreas.yaml --data FOLDER --work FOLDER

The YAML file says which cells, which of their columns, and what to say of the reader, as
docs/readers.md explains. ``WORK/NAME`` keeps every intermediate file. One that is there is not made
again; with ``--again``, all are but the gene embeddings. The reader is ``WORK/NAME/NAME.h5``; with
``--package`` it is put into the suite, where its size is limited.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding
from screader_lib.exchange.opening import open_exchange
from screader_lib.exchange.provenance import sha256_of
from screader_lib.exchange.writing import new_file, replacing
from screader_lib.reader.confidence.ontology import locate_ontology, read_ontology
from screader_lib.readers.card import ELEMENT, card_lines, checked, read_mapping
from screader_lib.readers.registry import FILE, KEYS, Entry, known_readers
from screader_lib.readers.registry import PACKAGED as IN_SUITE

PACKAGED = Path(__file__).parents[1] / "screader_lib" / "readers" / "packaged"
MAX_BYTES = 5_000_000  # of a packaged reader
GENES = ("descriptions.h5ad", "gene-embeddings.h5ad")
TERMS = "cell_ontology_id"
FIELDS = "symbol,full_name,gene_type"  # which other species have too; summaries few have
EMBEDDING, BITS = "genes/embedding", 8  # significant bits that are kept


def run(*words: object) -> None:
    """One command of the suite."""
    print("$", *words, flush=True)
    executable = Path(sys.executable).with_name(str(words[0]))
    done = subprocess.run([executable, *map(str, words[1:])], check=False)
    if done.returncode:
        raise ScReaderError(f"{words[0]} failed.")


def with_terms(source: Path, target: Path, label: str, terms: dict[str, str]) -> Path:
    """A copy of the cells with a column of Cell Ontology ids, by ``terms`` of the labels.

    ScReaderError where an id is none of the ontology's.
    """
    if not terms:
        return source
    import anndata

    ontology = read_ontology(Path(locate_ontology("packaged")))
    for name, term in terms.items():
        if term not in ontology.names:
            raise ScReaderError(f"{name}: {term} is not a term of the Cell Ontology.")
    adata = anndata.read_h5ad(source)
    adata.obs[TERMS] = adata.obs[label].astype(str).map(terms).fillna("").astype("category")
    unfinished = target.with_suffix(".unfinished")
    adata.write_h5ad(unfinished)
    return unfinished.replace(target)


class Making:
    """The steps of one reader, in its own folder."""

    def __init__(self, recipe: dict[str, Any], data: Path, work: Path) -> None:
        self.card = checked(recipe["card"], f"{recipe['card'].get('name')}: card")
        self.recipe, self.data = recipe, data
        self.elsewhere = recipe.get("elsewhere", [])
        self.folder = work / self.card["name"]
        self.folder.mkdir(parents=True, exist_ok=True)

    def made(self, name: str, *words: object) -> Path:
        """The file of this name in the folder, made by the command where it is not there."""
        path = self.folder / name
        if not path.exists():
            run(*words, "-o", path)
        return path

    def clear(self) -> None:
        """Remove all files but those of the genes."""
        for path in self.folder.glob("*.h5*"):
            if path.name not in GENES:
                path.unlink()

    def embeddings(self, given: Path | None) -> Path:
        """Embeddings of the genes of all cells, by the packaged model."""
        if given is not None:
            return given
        cells = self.data / self.recipe["cells"]
        organism = self.recipe.get("organism", "human")
        options = self.recipe.get("descriptions", ["--source", "packaged"])
        words = ("fetch-descriptions", "--genes", cells, "--organism", organism, "--fields", FIELDS)
        texts = self.made("descriptions.h5ad", *words, *self._with_data(options))
        return self.made("gene-embeddings.h5ad", "embed-genes", texts)

    def train(self, embeddings: Path) -> Path:
        """The reader, trained on all cells, with figures on the cells of held-out folds."""
        recipe, label = self.recipe, self.recipe["label"]
        terms = recipe.get("terms", {})
        source = self.data / recipe["cells"]
        source = with_terms(source, self.folder / "labelled.h5ad", label, terms)
        donor = recipe.get("donor")
        donors = ("--donor", donor) if donor else ()
        folds = ("--group-by", donor) if donor else ("--folds", recipe.get("folds", 5))
        words = ("build-cells", source, "-e", embeddings, "--label", label, *donors, *folds)
        cells = self.made("cells.h5ad", *words, *recipe.get("options", []))
        return self.made("trained.h5", "train-reader", cells, "--method", "pooled", *folds)

    def calls(self, reader: Path, name: str) -> Path:
        """What a reader calls the cells that it was trained on."""
        return self.made(f"{name}-calls.h5ad", "predict", self.folder / "cells.h5ad", "-r", reader)

    def figures(self, reader: Path, embeddings: Path) -> list[dict[str, Any]]:
        """Figures on the cells of others: an entry of the card for each."""
        return [
            self._figure(f"elsewhere-{number}", one, reader, embeddings)
            for number, one in enumerate(self.elsewhere, 1)
        ]

    def _figure(
        self, name: str, one: dict[str, Any], reader: Path, embeddings: Path
    ) -> dict[str, Any]:
        source = self.data / one["cells"]
        source = with_terms(
            source, self.folder / f"{name}-labelled.h5ad", one["label"], one.get("terms", {})
        )
        drop = (word for label in one.get("drop", []) for word in ("--drop-labels", label))
        orthologs = ("--orthologs", self.data / one["orthologs"]) if "orthologs" in one else ()
        words = ("build-cells", source, "-e", embeddings, "--like", reader, "--label", one["label"])
        cells = self.made(f"{name}.h5ad", *words, *drop, *orthologs, *one.get("options", []))
        words = ("predict", cells, "-r", reader, "--ontology", "packaged")
        calls = self.made(f"{name}-calls.h5ad", *words)
        return {"cells": one["what"], "laboratory": one["laboratory"], **agreement(calls)}

    def _with_data(self, options: list[str]) -> list[str]:
        return [option.replace("{data}", str(self.data)) for option in options]


def compact(source: Path, target: Path, card: dict[str, Any]) -> None:
    """A copy of a reader with its card, whose gene embeddings compress to less.

    They are rounded to ``BITS`` significant bits; genes are read by what was learnt of them, so
    calls stay the same (``same_calls`` measures it).
    """
    with (
        h5py.File(source, "r") as old,
        replacing(target) as temporary,
        new_file(temporary) as new,
    ):
        new.attrs.update(old.attrs)
        names = [*old, *(f"genes/{part}" for part in old["genes"])]
        for name in sorted({*names} - {"genes", EMBEDDING}):
            old.copy(name, new, name=name)
        mantissa, exponent = np.frexp(old[EMBEDDING][()])
        rounded = np.ldexp(np.round(mantissa * 2**BITS) / 2**BITS, exponent)
        encoding.write_array(new["genes"], "embedding", rounded.astype(np.float32))
        encoding.write_json(new, ELEMENT, card)


def same_calls(one: Path, other: Path) -> str:
    """In words, how two readers' calls of the same cells differ."""
    labels, confidence = [], []
    for path in (one, other):
        with open_exchange(path, "predictions") as opened:
            labels.append(encoding.read_column(opened.file["obs/predicted_label"]).strings())
            confidence.append(opened.file["obs/confidence"][()])
    same = int((labels[0] == labels[1]).sum())
    most = float(np.abs(confidence[0] - confidence[1]).max())
    return f"{same:,} of {len(labels[0]):,} calls are the same, confidence within {most:.1e}"


def agreement(calls: Path) -> dict[str, Any]:
    """Number of cells and accuracy by Cell Ontology: the true term, or a kind of it, is right."""
    with open_exchange(calls, "predictions") as opened:
        counts = encoding.read_json(opened.file["uns"], "metrics")["ontology"]
    share = (counts["same"] + counts["narrower"]) / counts["compared"]
    compared = "a kind of the true type counts as right"
    return {"number": counts["compared"], "accuracy": round(share, 4), "compared": compared}


def package(reader: Path, card: dict[str, Any]) -> None:
    """Put the reader into the suite, and its line into the packaged registry."""
    size = reader.stat().st_size
    if size > MAX_BYTES:
        raise ScReaderError(f"has {size:,} bytes; a packaged reader has at most {MAX_BYTES:,}.")
    name = card["name"]
    with replacing(PACKAGED / f"{name}.h5") as temporary:
        shutil.copyfile(reader, temporary)
    words = {key: card[key] for key in ("version", "summary")}
    entries = {one.name: one for one in known_readers() if one.known_from == IN_SUITE}
    entries[name] = Entry(name, f"{name}.h5", sha256_of(reader), **words)
    with replacing(PACKAGED / FILE) as temporary:
        write_registry(temporary, [entries[key] for key in sorted(entries)])
    print(f"{name}.h5: {size:,} bytes")


def write_registry(path: Path, entries: list[Entry]) -> None:
    """A registry of readers that lie beside it."""
    import yaml

    readers = [
        {key: getattr(entry, key) for key in KEYS} | {"location": Path(entry.location).name}
        for entry in entries
    ]
    content = {"readers": readers}
    path.write_text(yaml.safe_dump(content, sort_keys=False, width=100), "utf-8")


def main() -> None:
    """Make the reader of a YAML file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipe", type=Path, help="the reader's YAML file")
    parser.add_argument("--data", type=Path, default=Path(), help="folder of the cells")
    parser.add_argument("--work", type=Path, required=True, help="folder of intermediate files")
    parser.add_argument("--embeddings", type=Path, help="gene embeddings that are there already")
    parser.add_argument("--again", action="store_true", help="train anew")
    parser.add_argument("--package", action="store_true", help="put the reader into the suite")
    given = parser.parse_args()
    making = Making(read_mapping(given.recipe), given.data, given.work)
    if given.again:
        making.clear()
    embeddings = making.embeddings(given.embeddings)
    trained, card = making.train(embeddings), making.card
    reader = making.folder / f"{card['name']}.h5"
    compact(trained, reader, card)
    exact, rounded = (making.calls(path, path.stem) for path in (trained, reader))
    print(f"with gene embeddings of {BITS} bits, {same_calls(exact, rounded)}")
    card = {**card, "figures": making.figures(reader, embeddings)}
    compact(trained, reader, card)
    with open_exchange(reader, "reader") as opened:
        print("\n".join(card_lines(opened)))
    if given.package:
        package(reader, card)


if __name__ == "__main__":
    try:
        main()
    except ScReaderError as error:
        sys.exit(f"error: {error}")
