"""The ``reader`` file: all that predict needs, never the LLM's weights."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import h5py
import numpy as np

from screader_lib.cells.cells_file import CellSequences
from screader_lib.cells.fold_sequences import of_fold
from screader_lib.cells.folds import TRAINING_CELLS, Fold
from screader_lib.cells.gene_matcher import GeneMatcher
from screader_lib.cells.gene_names import GENE_NAMES
from screader_lib.cells.gene_texts import GeneTexts
from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding, safety
from screader_lib.exchange.opening import ExchangeFile
from screader_lib.exchange.table import strings
from screader_lib.option_values import ITERATIVE_METHODS, LLM_METHODS, METHODS
from screader_lib.reader.confidence.calibration import CalibrationSet
from screader_lib.reader.confidence.levels import (
    Level,
    levels_from_json,
    levels_to_json,
    packaged_levels,
)
from screader_lib.reader.confidence.missing_genes import TemperatureFactor
from screader_lib.reader.evaluation import Evaluation
from screader_lib.reader.model.label_profiles import LabelProfiles
from screader_lib.reader.model.linear_reader import is_linear
from screader_lib.reader.model.type_distance import TypeDistance
from screader_lib.reader.settings import TrainingSettings
from screader_lib.reader.task import Labels, Task, TrainedMethod


@dataclass
class StoredReader:
    """What a reader file holds.

    ``poolings`` are what the head reads, empty in files that do not say so. ``levels`` are the
    broad types above the labels, broadest first. ``fold`` says which
    cells were held out and why, ``held_out`` their ids, object (cells,).
    """

    method: str
    settings: TrainingSettings
    labels: Labels
    genes: GeneMatcher
    tensors: dict[str, np.ndarray]
    llm: dict
    embedding: dict
    temperature: float
    construction: dict
    calibration_set: CalibrationSet
    type_distance: TypeDistance | None = None
    profiles: LabelProfiles | None = None
    poolings: tuple[str, ...] = ()
    few_genes: TemperatureFactor = field(default_factory=TemperatureFactor)
    levels: tuple[Level, ...] = ()
    fold: dict = field(default_factory=dict)
    held_out: np.ndarray | None = None

    @property
    def needs_llm(self) -> bool:
        """Whether predictions need the LLM; so do those of all readers that do not say so."""
        return self.method in LLM_METHODS and self.llm.get("needed", True)

    @property
    def settings_of_predictions(self) -> TrainingSettings:
        """The settings, with what the head reads in predictions."""
        return replace(self.settings, pooling=self.poolings) if self.poolings else self.settings

    @property
    def is_linear(self) -> bool:
        """Whether it is a LinearReader."""
        settings = self.settings_of_predictions
        return self.method in ITERATIVE_METHODS and is_linear(settings, self.needs_llm)

    @property
    def needs_torch(self) -> bool:
        """Whether predictions need an LLM, a text model or layers of a network."""
        return self.method == "genept-s" or (
            self.method in ITERATIVE_METHODS and not self.is_linear
        )

    def temperatures(self, genes: np.ndarray) -> np.ndarray:
        """Of cells of which it reads so many ``genes``, int (cells,); float64 (cells,)."""
        return self.temperature * self.few_genes.of(genes)

    @classmethod
    def of(cls, task: Task, trained: TrainedMethod, evaluation: Evaluation) -> StoredReader:
        """What reading the reader's file would give, without writing it."""
        return cls(
            method=task.settings.method,
            settings=task.settings,
            labels=task.labels,
            genes=task.genes,
            tensors=trained.tensors,
            llm=trained.llm,
            embedding=task.cells.embedding_identity,
            temperature=float(evaluation.calibration["temperature"]),
            construction=task.cells.construction,
            calibration_set=evaluation.calibration_set,
            type_distance=evaluation.type_distance,
            profiles=evaluation.profiles,
            poolings=trained.latent_parts if task.settings.method in ITERATIVE_METHODS else (),
            few_genes=TemperatureFactor.from_json(evaluation.calibration.get("few_genes")),
            levels=packaged_levels(task.labels.names, task.labels.ontology_ids),
            fold=task.fold.to_json() if task.fold else {},
            held_out=task.cells.obs.index[task.held_out] if task.fold else None,
        )


def write_reader(
    file: h5py.File,
    task: Task,
    trained: TrainedMethod,
    evaluation: Evaluation,
    card: dict | None = None,
) -> None:
    """Fill a new ``reader`` file; ``card`` is what its author says of it."""
    _write_labels(file, task)
    _write_genes(file.create_group("genes"), task)
    tensors = file.create_group("tensors")
    for name, values in sorted(trained.tensors.items()):
        encoding.write_array(tensors, name, values.astype(np.float32))
    history, group = trained.history, file.create_group("history")
    encoding.write_array(group, "epoch", np.arange(1, len(history) + 1, dtype=np.int64))
    encoding.write_strings(group, "stage", strings(entry.stage for entry in history))
    for name in ("loss", "accuracy", "macro_f1"):
        values = np.array([getattr(entry, name) for entry in history], np.float64)
        encoding.write_array(group, name if name == "loss" else f"validation_{name}", values)
    encoding.write_text(file, "method", task.settings.method)
    encoding.write_json(file, "configuration", task.settings.to_json())
    encoding.write_json(file, "construction", task.cells.construction)
    encoding.write_json(file, "embedding", task.cells.embedding_identity)
    encoding.write_json(file, "llm", trained.llm)
    if task.settings.method in ITERATIVE_METHODS:
        encoding.write_text(file, "poolings", ",".join(trained.latent_parts))
    _write_evaluation(file, evaluation)
    if card:
        encoding.write_json(file, "card", card)
    if task.fold is not None:
        encoding.write_json(file, "fold", task.fold.to_json())
        held_out = file.create_group("held_out")
        encoding.write_padded_strings(held_out, "id", task.cells.obs.index[task.held_out])


def _write_labels(file: h5py.File, task: Task) -> None:
    labels = file.create_group("labels")
    encoding.write_strings(labels, "name", strings(task.labels.names))
    encoding.write_strings(labels, "ontology_id", strings(task.labels.ontology_ids))
    encoding.write_array(labels, "count", np.array(task.labels.counts, np.int64))
    levels = packaged_levels(task.labels.names, task.labels.ontology_ids)
    encoding.write_json(file, "levels", levels_to_json(levels))


def _write_genes(group: h5py.Group, task: Task) -> None:
    genes = task.cells.genes
    encoding.write_padded_strings(group, "id", genes.index)
    for name in GENE_NAMES:
        if name in genes.columns:
            encoding.write_padded_strings(group, name, genes.strings(name))
    encoding.write_array(group, "median", np.asarray(genes.columns["median"]))
    if "mean" in genes.columns:
        encoding.write_array(group, "mean", np.asarray(genes.columns["mean"]))
    encoding.write_array(group, "embedding", task.cells.embedding)


def _write_evaluation(file: h5py.File, evaluation: Evaluation) -> None:
    encoding.write_json(file, "calibration", evaluation.calibration)
    known, group = evaluation.calibration_set, file.create_group("kept")
    encoding.write_array(group, "confidence", known.confidence)
    encoding.write_array(group, "correct", known.correct.astype(np.int64))
    encoding.write_array(group, "evidence", known.evidence)
    if known.distance is not None:
        encoding.write_array(group, "distance", known.distance)
    if known.group is not None:
        encoding.write_padded_strings(group, "group", strings(known.group))
        encoding.write_text(group, "group_by", known.group_by)
    if evaluation.type_distance is not None:
        types = file.create_group("types")
        encoding.write_array(types, "projection", evaluation.type_distance.projection)
        encoding.write_array(types, "means", evaluation.type_distance.means)
    if evaluation.profiles is not None:
        profiles = file.create_group("profiles")
        encoding.write_array(profiles, "values", evaluation.profiles.values.astype(np.float16))
        encoding.write_array(profiles, "label", evaluation.profiles.labels)
    if evaluation.cross_validation:
        encoding.write_json(file, "cross_validation", evaluation.cross_validation)


def read_reader(opened: ExchangeFile) -> StoredReader:
    """A reader from its open file; ScReaderError where it is damaged or its method not known."""
    with safety.checking(opened.name):
        return _read_reader(opened)


def _read_reader(opened: ExchangeFile) -> StoredReader:
    file = opened.file
    labels = file["labels"]
    calibration = encoding.read_json(file, "calibration")
    method = encoding.read_text(file, "method")
    if method not in METHODS:
        raise ScReaderError(
            f"was trained by the unknown method {method!r}; known are {', '.join(METHODS)}.",
            file=opened.name,
        )
    poolings = encoding.read_text(file, "poolings").split(",") if "poolings" in file else []
    return StoredReader(
        method=method,
        settings=TrainingSettings.from_json(encoding.read_json(file, "configuration")),
        labels=Labels(
            tuple(encoding.read_strings(labels["name"])),
            tuple(encoding.read_strings(labels["ontology_id"])),
            tuple(int(count) for count in labels["count"][()]),
        ),
        genes=GeneMatcher(
            encoding.read_strings(file["genes/id"]),
            file["genes/embedding"][()],
            GeneTexts.of(encoding.read_json(file, "embedding"), opened.steps),
        ),
        tensors={name: dataset[()] for name, dataset in file["tensors"].items()},
        llm=encoding.read_json(file, "llm"),
        embedding=encoding.read_json(file, "embedding"),
        temperature=float(calibration.get("temperature", 1.0)),
        construction=encoding.read_json(file, "construction"),
        calibration_set=CalibrationSet(
            file["kept/confidence"][()],
            file["kept/correct"][()].astype(bool),
            file["kept/evidence"][()],
            encoding.read_strings(file["kept/group"]) if "kept/group" in file else None,
            encoding.read_text(file["kept"], "group_by") if "kept/group_by" in file else "",
            file["kept/distance"][()] if "kept/distance" in file else None,
        ),
        type_distance=_type_distance(file),
        profiles=_profiles(file),
        poolings=tuple(poolings),
        few_genes=TemperatureFactor.from_json(calibration.get("few_genes")),
        levels=levels_from_json(encoding.read_json(file, "levels") if "levels" in file else {}),
        fold=encoding.read_json(file, "fold") if "fold" in file else {},
        held_out=encoding.read_strings(file["held_out/id"]) if "held_out" in file else None,
    )


def _type_distance(file: h5py.File) -> TypeDistance | None:
    if "types/means" not in file:
        return None
    genes = encoding.read_strings(file["genes/id"])
    return TypeDistance(genes, file["types/projection"][()], file["types/means"][()])


def _profiles(file: h5py.File) -> LabelProfiles | None:
    if "profiles/values" not in file:
        return None
    genes, values = encoding.read_strings(file["genes/id"]), file["profiles/values"][()]
    return LabelProfiles(genes, values.astype(np.float32), file["profiles/label"][()])


def check_cells(cells: CellSequences, stored: StoredReader, reader_name: str) -> None:
    """ScReaderError where the cells were not built like those that the reader was trained on."""
    actual, expected = cells.construction, stored.construction
    for key in ("rank_by", "weight"):
        if actual.get(key) != expected.get(key):
            raise ScReaderError(
                f"its cells were built with --{key.replace('_', '-')} {actual.get(key)}, but "
                f"{reader_name} was trained with {expected.get(key)}.",
                file=cells.opened.name,
                remedy=f"Build them with --like {reader_name}.",
            )


def cells_of_fold(
    cells: CellSequences, stored: StoredReader, known: ExchangeFile, held_out: bool
) -> CellSequences:
    """The cells by the genes of a fold's reader ``known``, where they are those of its training.

    ScReaderError where the ``held_out`` ones are to be predicted, but have other genes or medians
    than the fold's training cells.
    """
    if stored.fold.get("genes") != TRAINING_CELLS:
        return cells
    trained_on = known.provenance.record.inputs.get("cells", {}).get("sha256")
    if cells.fold_plan and cells.opened.sha256 == trained_on:
        return of_fold(cells, Fold(**stored.fold))
    medians = known.file["genes/median"][()]
    same = np.array_equal(cells.genes.index, stored.genes.ids)
    if held_out and not (same and (np.asarray(cells.genes.columns["median"]) == medians).all()):
        raise ScReaderError(
            f"its genes are not those that the training cells of {known.name} have.",
            file=cells.opened.name,
            remedy=f"Give the cells file that it was trained on, or build one --like {known.name}.",
        )
    return cells


def held_out_rows(cells: CellSequences, stored: StoredReader, reader_name: str) -> np.ndarray:
    """Rows int64, rising, of the cells that the reader's fold holds out.

    ScReaderError where it holds none out, or the cells are not those.
    """
    if stored.held_out is None:
        raise ScReaderError(
            "has no held-out cells.", file=reader_name, remedy="Train it with --folds and --fold."
        )
    rows = np.flatnonzero(np.isin(cells.obs.index.astype(str), stored.held_out.astype(str)))
    if len(rows) != len(stored.held_out):
        raise ScReaderError(
            f"has {len(rows):,} of the {len(stored.held_out):,} cells that {reader_name} "
            "holds out.",
            file=cells.opened.name,
            remedy="Give the cells that it was trained on.",
        )
    return rows
