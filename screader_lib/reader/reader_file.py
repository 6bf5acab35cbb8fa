"""The ``reader`` file: all that predict needs, never the LLM's weights."""

from __future__ import annotations

import h5py
import numpy as np

from screader_lib.cells.cells_file import CellSequences
from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding
from screader_lib.exchange.opening import ExchangeFile
from screader_lib.exchange.table import strings
from screader_lib.option_values import METHODS
from screader_lib.reader.confidence.familiarity import CalibrationSet
from screader_lib.reader.evaluation import Evaluation
from screader_lib.reader.methods.methods import StoredReader
from screader_lib.reader.settings import TrainingSettings
from screader_lib.reader.task import Labels, Task, TrainedMethod


def write_reader(file: h5py.File, task: Task, trained: TrainedMethod, finding: Evaluation) -> None:
    """Fill a new ``reader`` file."""
    labels = file.create_group("labels")
    encoding.write_strings(labels, "name", strings(task.labels.names))
    encoding.write_strings(labels, "ontology_id", strings(task.labels.ontology_ids))
    encoding.write_array(labels, "count", np.array(task.labels.counts, np.int64))
    genes = file.create_group("genes")
    encoding.write_strings(genes, "id", task.cells.genes.index)
    encoding.write_array(genes, "median", np.asarray(task.cells.genes.columns["median"]))
    encoding.write_array(genes, "embedding", task.cells.embedding)
    tensors = file.create_group("tensors")
    for name, values in sorted(trained.tensors.items()):
        encoding.write_array(tensors, name, values.astype(np.float32))
    _write_history(file, trained)
    encoding.write_text(file, "method", task.settings.method)
    encoding.write_json(file, "configuration", task.settings.to_json())
    encoding.write_json(file, "construction", task.cells.construction)
    encoding.write_json(file, "embedding", task.cells.embedding_identity)
    encoding.write_json(file, "llm", trained.llm)
    encoding.write_json(file, "calibration", finding.calibration)
    _write_finding(file, finding)
    if task.fold is not None:
        encoding.write_json(file, "fold", task.fold.to_json())
        held_out = file.create_group("held_out")
        encoding.write_strings(held_out, "id", task.cells.obs.index[task.held_out])


def _write_finding(file: h5py.File, finding: Evaluation) -> None:
    kept = file.create_group("kept")
    encoding.write_array(kept, "confidence", finding.kept.confidence)
    encoding.write_array(kept, "correct", finding.kept.correct.astype(np.int64))
    encoding.write_array(kept, "evidence", finding.kept.evidence)
    if finding.cross_validation:
        encoding.write_json(file, "cross_validation", finding.cross_validation)


def _write_history(file: h5py.File, trained: TrainedMethod) -> None:
    history, group = trained.history, file.create_group("history")
    encoding.write_array(group, "epoch", np.arange(1, len(history) + 1, dtype=np.int64))
    encoding.write_strings(group, "stage", strings(entry.stage for entry in history))
    for name, values in (
        ("loss", [entry.loss for entry in history]),
        ("validation_accuracy", [entry.accuracy for entry in history]),
        ("validation_macro_f1", [entry.macro_f1 for entry in history]),
    ):
        encoding.write_array(group, name, np.array(values, np.float64))


def read_reader(opened: ExchangeFile) -> StoredReader:
    """A reader from its open file; ScReaderError where its settings are damaged."""
    file = opened.file
    labels = file["labels"]
    calibration = encoding.read_json(file, "calibration")
    temperature = calibration.get("temperature", 1.0)
    if not isinstance(temperature, (int, float)) or not temperature > 0:
        raise ScReaderError("its temperature is not a positive number.", file=opened.name)
    method = encoding.read_text(file, "method")
    if method not in METHODS:
        raise ScReaderError(
            f"was trained by method {method!r}, wanted {', '.join(METHODS)}.", file=opened.name
        )
    return StoredReader(
        method=method,
        settings=TrainingSettings.from_json(encoding.read_json(file, "configuration"), opened.name),
        labels=Labels(
            tuple(encoding.read_strings(labels["name"])),
            tuple(encoding.read_strings(labels["ontology_id"])),
            tuple(int(count) for count in labels["count"][()]),
        ),
        gene_ids=encoding.read_strings(file["genes/id"]),
        gene_embedding=file["genes/embedding"][()],
        tensors={name: dataset[()] for name, dataset in file["tensors"].items()},
        llm=encoding.read_json(file, "llm"),
        embedding=encoding.read_json(file, "embedding"),
        temperature=float(temperature),
        construction=encoding.read_json(file, "construction"),
        kept=CalibrationSet(
            file["kept/confidence"][()],
            file["kept/correct"][()].astype(bool),
            file["kept/evidence"][()],
        ),
        fold=encoding.read_json(file, "fold") if "fold" in file else {},
        held_out=encoding.read_strings(file["held_out/id"]) if "held_out" in file else None,
    )


def check_cells(cells: CellSequences, restored: StoredReader, reader_name: str) -> None:
    """ScReaderError where the cells were made otherwise than those that the reader learnt."""
    found, wanted = cells.embedding_identity, restored.embedding
    for key in ("model", "dim"):
        if found.get(key) != wanted.get(key):
            raise ScReaderError(
                f"its genes were embedded by {found.get('model')} ({found.get('dim')} wide), but "
                f"{reader_name} was trained on {wanted.get('model')} ({wanted.get('dim')} wide).",
                file=cells.opened.name,
                remedy="Embed the genes with the reader's model.",
            )
    found, wanted = cells.construction, restored.construction
    for key in ("rank_by", "weight"):
        if found.get(key) != wanted.get(key):
            raise ScReaderError(
                f"its cells were built with --{key.replace('_', '-')} {found.get(key)}, but "
                f"{reader_name} was trained with {wanted.get(key)}.",
                file=cells.opened.name,
                remedy=f"Build them with --like {reader_name}.",
            )


def held_out_rows(cells: CellSequences, restored: StoredReader, reader_name: str) -> np.ndarray:
    """Rows int64, rising, of the cells that the reader's fold holds out.

    ScReaderError where it holds none out, or the cells are not those.
    """
    if restored.held_out is None:
        raise ScReaderError(
            "holds no cells out.", file=reader_name, remedy="Train it with --folds and --fold."
        )
    rows = np.flatnonzero(np.isin(cells.obs.index.astype(str), restored.held_out.astype(str)))
    if len(rows) != len(restored.held_out):
        raise ScReaderError(
            f"has {len(rows):,} of the {len(restored.held_out):,} cells that {reader_name} "
            "holds out.",
            file=cells.opened.name,
            remedy="Give the cells that it was trained on.",
        )
    return rows
