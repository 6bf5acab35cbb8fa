"""The cells, texts and methods that benchmarks/texts.py crosses."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import anndata
import numpy as np
import torch
from no_labels_reader import QUERY

from screader_lib.annotation.no_labels.gene_sets import SampleGenes, text_weights
from screader_lib.annotation.no_labels.type_evidence import GenesOfTypes
from screader_lib.cells.cells_file import CellSequences, CellsWithoutGenes
from screader_lib.cells.vocabulary import Embeddings
from screader_lib.exchange.opening import ExchangeFile, open_exchange
from screader_lib.genes.describe import compose
from screader_lib.reader.llm import decoder
from screader_lib.reader.llm.frozen_llm import FrozenLLM, load_llm
from screader_lib.reader.methods import methods
from screader_lib.reader.model.logistic_regression import fit_logistic
from screader_lib.reader.model.scaling import fit_scaling, scaled
from screader_lib.reader.model.training import train_neural
from screader_lib.reader.settings import INSTRUCTION, TrainingSettings, settings_for
from screader_lib.reader.task import Labels, Task, split_validation

DATA = {  # column of the labels, species
    "baron_mouse": ("cell_type1", "mouse"),
    "pbmc_chemistries": ("cell_type", "human"),
    "baron_human": ("cell_type1", "human"),
    "pbmc_facs": ("cell_type", "human"),
}
TEXTS = ("true", "names", "shuffled", "TF-IDF")
FIELDS = {"true": "", "names": "symbol,full_name"}
LLMS = ("none", "random", "SmolLM2")
LLM_LAYERS, GENES_PER_CELL = 1, 32
PANEL = 300
HELD_OUT = 500  # cells that are called, at most
LEAST_TRAINING, LEAST_HELD_OUT = 20, 5  # cells of a type
TOLERANCE = 1e-4  # of the regression on outputs
STEPS, LEARNING_RATE = 30, 2e-3  # of the head alone


@dataclass(frozen=True)
class Scenario:
    """Cells that a method learns from, and others that it calls.

    ``by`` splits one data set: its column of obs and the values that are held out; "" stands for
    every other cell. Where ``test`` is another data set, all of its cells are called.
    """

    train: str
    test: str
    by: str = ""
    held_out: frozenset[str] = frozenset()
    panel: bool = False


def _split(name: str, panel: bool = False) -> Scenario:
    by, values = QUERY.get(name, ("", set()))
    return Scenario(name, name, by, frozenset(values), panel)


SCENARIOS = {
    "Baron mouse, other mouse": _split("baron_mouse"),
    "sorted blood": _split("pbmc_facs"),
    "Baron human, other donors": _split("baron_human"),
    "blood, three chemistries": Scenario("pbmc_chemistries", "pbmc_chemistries"),
    "blood, 3′ to 5′": _split("pbmc_chemistries"),
    "sorted blood, 300 genes": _split("pbmc_facs", panel=True),
    "human to mouse": Scenario("baron_human", "baron_mouse"),
    "mouse to human": Scenario("baron_mouse", "baron_human"),
}


def tool(*words: str | Path) -> None:
    """Run a tool, where the file that its last word names is not there yet."""
    if not Path(words[-1]).exists():
        path = Path(sys.executable).with_name(str(words[0]))
        subprocess.run([path, "-q", *map(str, words[1:])], check=True)


def prepare_cells(data: Path, folder: Path) -> None:
    """Make the cells of every data set, where they are not there yet, with TF-IDF vectors."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (label, species) in sorted(DATA.items(), key=lambda item: item[1][1]):
        own = ["--organism", species, "--source", "packaged"]
        counts, like = data / f"{name}.h5ad", folder / "baron_human-tfidf.h5ad"
        every, tfidf = folder / f"{name}-all.h5ad", folder / f"{name}-tfidf.h5ad"
        tool("fetch-descriptions", "--genes", counts, *own, "-o", every)
        model = ["--like", like] if species == "mouse" else ["--model", "tfidf"]
        tool("embed-genes", every, *model, "-o", tfidf)
        tool("build-cells", counts, "-e", tfidf, "--label", label, "-o", cells_of(folder, name))


def prepare_texts(folder: Path) -> None:
    """Embed the texts of the cells' genes, where that is not done yet."""
    for name, (_, species) in DATA.items():
        own = ["--organism", species, "--source", "packaged"]
        genes = folder / f"{name}-genes.txt"
        if not genes.exists():
            names = anndata.read_h5ad(cells_of(folder, name), backed="r").var_names
            genes.write_text("\n".join(names) + "\n")
        for texts, fields in FIELDS.items():
            described = folder / f"{name}-{texts}texts.h5ad"
            some = ["--fields", fields] if fields else []
            tool("fetch-descriptions", "--genes", genes, *own, *some, "-o", described)
            tool("embed-genes", described, "-o", folder / f"{name}-{texts}.h5ad")


def cells_of(folder: Path, name: str) -> Path:
    """The file of a data set's cells."""
    return folder / f"{name}-cells.h5ad"


@contextmanager
def crossings(folder: Path, vectors: dict[str, Path]) -> Iterator[dict[str, Crossing]]:
    """Every scenario, by its name."""
    with ExitStack() as stack:
        cells = {
            name: Cells(
                stack.enter_context(open_exchange(cells_of(folder, name), "cells")), folder, name
            )
            for name in DATA
        }
        yield {name: Crossing(one, cells, vectors) for name, one in SCENARIOS.items()}


class Cells:
    """A data set's cells, with the vectors of their genes by each kind of text."""

    def __init__(self, opened: ExchangeFile, folder: Path, name: str) -> None:
        self.sequences, self.folder, self.name = CellSequences(opened), folder, name
        assert self.sequences.labels is not None
        self.labels = self.sequences.labels.strings().astype(str)
        self._views: dict[tuple[str, int], CellSequences] = {}

    def vectors(self, texts: str, vectors: dict[str, Path]) -> np.ndarray:
        """float32 (genes, dim), unshuffled; genes that another model lacks have the mean."""
        if texts == "TF-IDF":
            return self.sequences.embedding
        path = vectors.get(texts, self.folder / f"{self.name}-{texts}.h5ad")
        with open_exchange(path, "gene-embeddings") as opened:
            known = Embeddings.of(opened)
            rows = np.asarray(known.vectors[:])
        if texts not in vectors:
            index = {str(gene): row for row, gene in enumerate(known.genes.index)}
            return rows[[index[str(gene)] for gene in self.sequences.genes.index]]
        index = {str(one).upper(): row for row, one in enumerate(known.genes.strings("symbol"))}
        places = [index.get(str(one).upper()) for one in self.sequences.genes.strings("symbol")]
        return np.stack([rows.mean(0) if place is None else rows[place] for place in places])

    def view(self, texts: str, deal: int, vectors: dict[str, Path]) -> CellSequences:
        """The sequences with the genes' vectors by ``texts``; ``deal`` shuffles them."""
        key = texts, deal if texts == "shuffled" else 0
        if key not in self._views:
            shown = copy(self.sequences)
            found = self.vectors("true" if texts == "shuffled" else texts, vectors)
            if texts == "shuffled":
                found = found[np.random.default_rng([deal, 7]).permutation(len(found))]
            shown.__dict__["embedding"] = np.ascontiguousarray(found, np.float32)
            self._views[key] = shown
        return self._views[key]


@dataclass
class Draw:
    """Cells with a label, and those that are called: rows, and numbers of their types."""

    names: list[str]
    rows: np.ndarray
    truth: np.ndarray
    test_rows: np.ndarray
    test_truth: np.ndarray


class Crossing:
    """A scenario's cells and what every method makes of them."""

    def __init__(
        self, scenario: Scenario, cells: dict[str, Cells], vectors: dict[str, Path]
    ) -> None:
        self.scenario, self.vectors = scenario, vectors
        self.train, self.test = cells[scenario.train], cells[scenario.test]
        self._outputs: dict[tuple[str, str, int], tuple[np.ndarray, np.ndarray]] = {}

    @cached_property
    def parts(self) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Rows to learn from, rows that may be called, and the types of both."""
        scenario, labels = self.scenario, self.train.labels
        if scenario.train != scenario.test:
            learnt, called = np.arange(len(labels)), np.arange(len(self.test.labels))
        else:
            obs = self.train.sequences.obs
            mask = np.arange(len(labels)) % 2 == 1
            if scenario.by:
                mask = np.isin(obs.strings(scenario.by).astype(str), sorted(scenario.held_out))
            learnt, called = np.flatnonzero(~mask), np.flatnonzero(mask)

        def frequent(names: np.ndarray, least: int) -> set[str]:
            known, counts = np.unique(names, return_counts=True)
            return set(known[counts >= least]) - {""}

        types = frequent(labels[learnt], LEAST_TRAINING)
        types &= frequent(self.test.labels[called], LEAST_HELD_OUT)
        learnt = learnt[np.isin(labels[learnt], sorted(types))]
        called = called[np.isin(self.test.labels[called], sorted(types))]
        return learnt, np.sort(_some(called, HELD_OUT)), sorted(types)

    def draw(self, labels: int, half: bool, seed: int) -> Draw:
        """``labels`` cells of each type, 0 for all; ``half``: of a random half of the types."""
        learnt, called, names = self.parts
        random = np.random.default_rng([seed, 1])
        if half:
            names = sorted(random.permutation(names)[: -(-len(names) // 2)])
        random = np.random.default_rng([seed, 2])
        pools = [random.permutation(learnt[self.train.labels[learnt] == one]) for one in names]
        rows = np.sort(np.concatenate([pool[: labels or None] for pool in pools]))
        test_rows = called[np.isin(self.test.labels[called], names)]
        number = {name: index for index, name in enumerate(names)}
        truth = np.array([number[one] for one in self.train.labels[rows]], np.int64)
        test_truth = np.array([number[one] for one in self.test.labels[test_rows]], np.int64)
        return Draw(names, rows, truth, test_rows, test_truth)

    def views(self, texts: str, deal: int, rows: np.ndarray) -> tuple[CellSequences, CellSequences]:
        """Of cells to learn from; and of the cells ``rows`` that are called, 0, 1, ….

        The latter only have the genes of a panel where the scenario says so.
        """
        train = self.train.view(texts, deal, self.vectors)
        test = self.test.view(texts, deal, self.vectors)
        kept = test.genes_in_input.copy()
        if self.scenario.panel:
            kept[_some(np.flatnonzero(kept), len(kept) - PANEL)] = False
        return train, CellsWithoutGenes(test, rows, kept, self.scenario.panel)

    def called(
        self, reading: str, llm: str, texts: str, draw: Draw, seed: int, deal: int
    ) -> np.ndarray:
        """Type numbers of the cells that are called.

        ``deal`` numbers the shuffled texts, the random tokens and the random LLM.
        """
        if reading == "outputs":
            return self._by_outputs(llm, texts, draw, deal)
        train, test = self.views(texts or "TF-IDF", deal, draw.test_rows)
        task = self.task(train, draw, settings_of(reading, llm, len(draw.rows), seed))
        if reading in ("genes", "components"):
            trained = methods.train(task)
        else:
            trained = train_neural(task, load(llm, deal))
        return trained.outputs(test, np.arange(len(test)))[0].argmax(1)

    def task(self, cells: CellSequences, draw: Draw, settings: TrainingSettings) -> Task:
        """The cells with a label, some of which are for validation where a type has ten."""
        counts = tuple(np.bincount(draw.truth).tolist())
        known = Labels(tuple(draw.names), ("",) * len(counts), counts)
        learn, check = split_validation(draw.rows, draw.truth, settings.validation, settings.seed)
        return Task(
            cells, known, draw.rows[learn], draw.truth[learn], draw.rows[check], draw.truth[check],
            settings,
        )  # fmt: skip

    def _by_outputs(self, llm: str, texts: str, draw: Draw, deal: int) -> np.ndarray:
        """By logistic regression on what the LLM makes of random tokens."""
        learnt, called, _ = self.parts
        key = llm, texts, deal
        if key not in self._outputs:
            train, test = self.views(texts, deal, called)
            tokens = RandomTokens(train.embedding, deal, load(llm, deal) or load("random", deal))
            read = load(llm, deal)
            values = tokens.outputs(train, learnt, read)
            others = tokens.outputs(test, np.arange(len(test)), read)
            mean, spread = values.mean(0), values.std(0) + 1e-6
            self._outputs[key] = (values - mean) / spread, (others - mean) / spread
        values, others = self._outputs[key]
        own = values[np.searchsorted(learnt, draw.rows)]
        weights, biases = fit_logistic(
            lambda: [(own, draw.truth)], len(draw.names), tolerance=TOLERANCE
        )
        found = others[np.searchsorted(called, draw.test_rows)] @ weights + biases
        return found.argmax(1)

    def forget(self) -> None:
        """The outputs, before another kind of text is read."""
        self._outputs.clear()


class RandomTokens:
    """Gene tokens by a random projection of the genes' whitened vectors; nothing is trained."""

    def __init__(self, embedding: np.ndarray, deal: int, llm: FrozenLLM) -> None:
        self.scaling = fit_scaling(embedding, "partial-whiten")
        hidden, generator = llm.instruction.shape[1], torch.Generator().manual_seed(deal)
        features = self.scaling["map"].shape[1]
        self.projection = torch.randn(features, hidden, generator=generator)
        self.cls = torch.randn(hidden, generator=generator) * llm.token_norm / hidden**0.5
        lengths = self._projected(embedding).norm(dim=1)
        self.projection *= llm.token_norm / lengths.mean()

    def _projected(self, embedding: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(scaled(embedding, self.scaling)) @ self.projection

    @torch.inference_mode()
    def outputs(self, cells: CellSequences, rows: np.ndarray, llm: FrozenLLM | None) -> np.ndarray:
        """Output at cls and mean output over the genes, float32 (rows, 2 × hidden).

        Without an LLM, the mean of the tokens alone, (rows, hidden).
        """
        table, found = self._projected(cells.embedding), []
        for start in range(0, len(rows), 64):
            genes, weights = cells.rows(rows[start : start + 64])
            first = torch.from_numpy(genes[:, :GENES_PER_CELL].astype(np.int64))
            weight = torch.from_numpy(weights[:, :GENES_PER_CELL])
            weight = weight / weight.sum(1, keepdim=True) * (weight > 0).sum(1, keepdim=True)
            tokens = table[first.clamp(min=0)] * weight[..., None] * (first >= 0)[..., None]
            lengths = (first >= 0).sum(1)
            if llm is None:
                found.append(tokens.sum(1) / lengths.clamp(min=1)[:, None])
                continue
            read = decoder.read(llm, tokens, lengths, self.cls, "instruction-cell-cls")
            found.append(torch.cat([read["cls"], read["mean"]], 1))
        return torch.cat(found).numpy()


@cache
def load(llm: str, deal: int) -> FrozenLLM | None:
    """The first layers of the packaged LLM, trained or drawn anew; None for ``none``."""
    if llm == "none":
        return None
    drawn = deal if llm == "random" else None
    if llm == "SmolLM2" and deal:
        return load(llm, 0)
    return load_llm("packaged", layers=LLM_LAYERS, instruction=INSTRUCTION, random_seed=drawn)


def settings_of(reading: str, llm: str, cells: int, seed: int) -> TrainingSettings:
    """How a reading is trained on so many ``cells``."""
    if reading in ("genes", "components"):
        method = {"genes": "logistic", "components": "components"}[reading]
        return settings_for(method, "default", {"seed": seed})
    method = {"none": "pooled", "random": "screader-random", "SmolLM2": "screader"}[llm]
    given = {"seed": seed, "genes_per_cell": GENES_PER_CELL, "llm_layers": LLM_LAYERS}
    if reading == "head":
        pooling = ("mean",) if llm == "none" else ("cls", "mean")
        epochs = -(-STEPS // -(-cells // TrainingSettings.batch_size))
        given |= {
            "gene_scores": False, "pooling": pooling, "warm_start_epochs": 0, "epochs": epochs,
            "learning_rate": LEARNING_RATE,
        }  # fmt: skip
    return settings_for(method, "default", given)


def _some(rows: np.ndarray, count: int) -> np.ndarray:
    """``count`` of the rows at most, the same ones each time."""
    return np.random.default_rng(0).permutation(rows)[:count]


class _Names(SampleGenes):
    """Genes of which nothing is known but what they are called."""

    def __init__(self, genes: SampleGenes) -> None:
        self.__dict__.update(genes.__dict__)

    def texts(self) -> list[str]:
        return [compose(one, ("symbol", "full_name")) if one.symbol else "" for one in self.records]


def types_by_text(of: GenesOfTypes, texts: str, kinds: np.ndarray, seed: int) -> GenesOfTypes:
    """The types of numbers ``kinds``, by texts alone, without any marker."""
    types = [of.types[one] for one in kinds]
    by_text = text_weights(types, _Names(of.genes) if texts == "names" else of.genes)
    if texts == "shuffled":
        mixed = np.random.default_rng([seed, 3]).permutation(by_text.shape[1])
        by_text = by_text[:, mixed]
    none = np.zeros_like(by_text)
    return GenesOfTypes(types, of.genes, none, by_text, none)
