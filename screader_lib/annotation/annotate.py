"""Cells of any file, called by a reader: each cell's own call, broad types, and the consensus.

A cell's own call depends on that cell alone, and on which genes its file has. The consensus also
uses the other cells. What is computed on the way is in files of a temporary folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from screader_lib.annotation.calls import Calls
from screader_lib.annotation.consensus import ConsensusWeights, with_neighbours, with_profiles
from screader_lib.annotation.sample import Sample, SampleOptions
from screader_lib.cells.cells_file import CellSequences
from screader_lib.cells.formats.expression import Expression
from screader_lib.errors import ScReaderError
from screader_lib.exchange import writing
from screader_lib.exchange.opening import ExchangeFile, open_exchange
from screader_lib.exchange.provenance import Provenance
from screader_lib.exchange.table import Categorical, Column
from screader_lib.reader.confidence.levels import Level
from screader_lib.reader.llm.machine import ON_CPU, Machine
from screader_lib.reader.methods import methods
from screader_lib.reader.prediction.write_predictions import PredictionOptions, write_predictions
from screader_lib.reader.reader_file import StoredReader, read_reader
from screader_lib.reader.task import row_blocks
from screader_lib.reporting import SILENT, Reporter, WithoutInfo

CELLS, PREDICTIONS = "cells.h5ad", "predictions.h5ad"
MIN_GENES = 20  # of the reader's, below which a sample is refused
MIN_CELLS_TO_JUDGE, MIN_GENES_TO_JUDGE = 20, 50  # whether it is of another tissue
MIN_AGREEMENT = 0.55  # with the training cells' mean expression; see benchmarks/annotate.md
MIN_CELLS_FOR_CONSENSUS = 50
CONSENSUS = ("auto", "none")
STATUSES = ("assigned", "broader type", "low confidence", "unfamiliar", "no known gene", "doubtful")
ASSIGNED, BROADER, LOW, UNFAMILIAR, NO_GENE, DOUBTFUL = range(len(STATUSES))


@dataclass(frozen=True)
class AnnotationOptions:
    """Which calls are given.

    A cell whose label is less probable than ``min_confidence`` gets the finest broader type that is
    not, or none; one less familiar than ``min_familiarity`` gets none. ``consensus`` is one of
    ``CONSENSUS``. With ``force`` a sample is called that would be refused, and marked.
    """

    min_confidence: float = 0.5
    min_familiarity: float = 0.0
    consensus: str = "auto"
    force: bool = False
    sample: SampleOptions = field(default_factory=SampleOptions)


@dataclass(frozen=True)
class Annotation:
    """The ``calls``, and of the called cells the consensus or else own probabilities.

    ``probability`` float32 (called cells, labels), columns in the order of ``labels``.
    """

    calls: Calls
    labels: tuple[str, ...]
    probability: np.ndarray


def annotate(
    sources: Sequence[Expression],
    reader: ExchangeFile,
    made: Provenance,
    folder: Path,
    options: AnnotationOptions = AnnotationOptions(),
    machine: Machine = ON_CPU,
    llm: str | None = None,
    reporter: Reporter = SILENT,
) -> Annotation:
    """Call the cells of the inputs.

    ``folder``, which has to stay until the calls are written, gets the ``cells`` and
    ``predictions`` files. ScReaderError where the sample is refused.
    """
    stored = read_reader(reader)
    sample = Sample(sources, reader, options.sample, reporter)
    doubts = _refuse(_few_genes(sample, stored, reader.name), sample, options, reporter)
    with writing.create("cells", folder / CELLS, made) as file:
        sample.write(file)
    trained = methods.restore(stored, machine, llm, None, reporter)
    with open_exchange(folder / CELLS, "cells", name=sample.builder.name) as opened:
        cells = CellSequences(opened, sequential=True)
        doubts |= _refuse(_other_tissue(cells, stored, reader.name), sample, options, reporter)
        trained.plan_memory(cells, machine, False, reporter)
        with writing.create("predictions", folder / PREDICTIONS, made) as file:
            quiet = WithoutInfo(reporter)
            write_predictions(file, cells, stored, trained, PredictionOptions(), quiet)
            probability, familiarity = file["obsm/probability"][()], file["obs/familiarity"][()]
        known = cells.lengths > 0
        weights = ConsensusWeights.of(sample.share_of_genes, familiarity)
        if stored.profiles is not None:
            probability = with_profiles(cells, probability, stored.profiles, weights.profiles)
        caller = _Caller(stored, options, known, familiarity, doubts)
        columns: dict[str, Column] = caller.own_columns(probability)
        uns: dict[str, Any] = {"reader": reader.name, "labels": list(stored.labels.names)}
        if options.consensus == "auto" and len(cells) >= MIN_CELLS_FOR_CONSENSUS:
            probability, _ = with_neighbours(cells, probability, weights.neighbours)
            columns |= caller.consensus_columns(probability)
            uns["consensus"] = weights.to_json()
    reporter.info(caller.summary)
    rows = None if sample.selected.all() else np.flatnonzero(sample.selected)
    vectors = {"X_screader": _Vectors(folder / PREDICTIONS)}
    calls = Calls(len(sample.selected), columns, vectors, uns, rows)
    return Annotation(calls, stored.labels.names, probability)


def _refuse(reason: str, sample: Sample, options: AnnotationOptions, reporter: Reporter) -> bool:
    """Whether there is a ``reason`` for doubt: ScReaderError, or a warning with ``force``."""
    if not reason:
        return False
    if not options.force:
        raise ScReaderError(
            reason, file=sample.builder.name, remedy="--force calls its cells all the same."
        )
    reporter.warning(f"{sample.builder.name}: {reason} Its calls are marked as doubtful.")
    return True


def _few_genes(sample: Sample, stored: StoredReader, name: str) -> str:
    total = len(stored.genes.ids)
    found = round(sample.share_of_genes * total)
    if found >= min(MIN_GENES, total / 2):
        return ""
    return (
        f"has only {found:,} of the {total:,} genes of {name}: another species (see --orthologs), "
        "or --gene-column is wrong?"
    )


def _other_tissue(cells: CellSequences, stored: StoredReader, name: str) -> str:
    if stored.profiles is None or len(cells) < MIN_CELLS_TO_JUDGE:
        return ""
    columns = stored.profiles.columns_of(cells)
    total = np.zeros(len(stored.genes.ids))
    for rows in row_blocks(np.arange(len(cells))):
        total += stored.profiles.weights(cells, rows, columns).sum(0).A1
    present = stored.profiles.present(cells, columns)
    agreement = stored.profiles.agreement(total / max(1, len(cells)), present)
    if agreement >= MIN_AGREEMENT or present.sum() < MIN_GENES_TO_JUDGE:
        return ""
    return (
        f"its mean expression is unlike that of the cells that {name} was trained on (rank "
        f"correlation {agreement:.2f}, at least {MIN_AGREEMENT:g} is expected): another tissue?"
    )


class _Caller:
    """Makes columns of calls from probabilities."""

    def __init__(
        self,
        stored: StoredReader,
        options: AnnotationOptions,
        known: np.ndarray,
        familiarity: np.ndarray,
        is_doubtful: bool,
    ) -> None:
        own = Level(stored.labels.names, stored.labels.ontology_ids)
        self.levels = (*stored.levels, own)  # broadest first
        self.options, self.familiarity = options, familiarity
        self.is_doubtful = is_doubtful
        self.refused = np.where(known, -1, NO_GENE)
        self.refused[known & (familiarity < options.min_familiarity)] = UNFAMILIAR
        self.summary = ""

    def own_columns(self, probability: np.ndarray) -> dict[str, Column]:
        """Label, ontology id, confidence, status, familiarity and broad types of each cell."""
        label, term, confidence, status = self._assign(probability)
        columns: dict[str, Column] = {
            "screader_label": label,
            "screader_ontology_id": term,
            "screader_confidence": confidence,
            "screader_familiarity": self.familiarity,
            "screader_status": Categorical(status.astype(np.int32), STATUSES),
        }
        for number, level in enumerate(self.levels[:-1], 1):
            sums = level.sums(probability)
            codes = np.where(self._passes(sums.max(1)), sums.argmax(1), -1)
            columns[f"screader_label_{number}"] = Categorical(codes.astype(np.int32), level.groups)
        counts = np.bincount(status, minlength=len(STATUSES))
        listed = ", ".join(f"{n:,} {name}" for n, name in zip(counts, STATUSES, strict=True) if n)
        self.summary = f"{len(status):,} cells: {listed}."
        return columns

    def consensus_columns(self, probability: np.ndarray) -> dict[str, Column]:
        """Label and confidence by the consensus."""
        label, term, confidence, _ = self._assign(probability)
        return {
            "screader_consensus_label": label,
            "screader_consensus_ontology_id": term,
            "screader_consensus_confidence": confidence,
        }

    def _passes(self, confidence: np.ndarray) -> np.ndarray:
        return (self.refused < 0) & (confidence >= self.options.min_confidence)

    def _assign(
        self, probability: np.ndarray
    ) -> tuple[Categorical, Categorical, np.ndarray, np.ndarray]:
        """Label, ontology id, confidence and number of the status: the finest level that passes."""
        cells = len(probability)
        status = np.where(self.refused < 0, LOW, self.refused)
        names, ids = np.full(cells, "", object), np.full(cells, "", object)
        confidence = probability.max(1)
        for number, level in reversed([*enumerate(self.levels)]):
            is_finest = number == len(self.levels) - 1
            sums = probability if is_finest else level.sums(probability)
            groups = level.names if is_finest else level.groups
            id_of = dict(zip(level.names, level.ids, strict=True))
            best = sums.argmax(1)
            new = (status == LOW) & self._passes(sums.max(1))
            names[new] = np.array(groups, object)[best[new]]
            ids[new] = np.array([id_of[name] for name in groups], object)[best[new]]
            confidence[new] = sums.max(1)[new]
            status[new] = ASSIGNED if is_finest else BROADER
        if self.is_doubtful:
            status[status <= BROADER] = DOUBTFUL
        return _categorical(names), _categorical(ids), confidence, status


def _categorical(values: np.ndarray) -> Categorical:
    """Strings as categories, the empty one as missing."""
    names = sorted(set(values) - {""})
    code_of = {name: code for code, name in enumerate(names)} | {"": -1}
    return Categorical(np.array([code_of[one] for one in values], np.int32), tuple(names))


class _Vectors:
    """The cells' latent vectors in a ``predictions`` file, in blocks of rows."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __iter__(self) -> Iterator[np.ndarray]:
        with h5py.File(self.path, "r", locking=False) as file:
            vectors = file["obsm/X_screader"]
            for start in range(0, len(vectors), 4096):
                yield vectors[start : start + 4096]
