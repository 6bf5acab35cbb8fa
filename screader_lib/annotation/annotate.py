"""Cells of any file, called by a reader: each cell's own call, broad types, consensus, clusters.

A cell's own call depends on that cell alone, and on which genes its file has. The consensus and the
clusters also use the other cells. What is computed on the way is in files of a temporary folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from screader_lib.annotation.by_reader.answers import (
    CELLS,
    AnsweredCells,
    LoadedReader,
    answer_from_file,
    answer_in_one_pass,
    write_cells,
)
from screader_lib.annotation.by_reader.consensus import by_consensus, combined, usual_weights
from screader_lib.annotation.by_reader.sample_checks import (
    MeanExpression,
    are_unfamiliar,
    few_genes,
)
from screader_lib.annotation.calls import VECTORS, Calls, Rows
from screader_lib.annotation.clusters import (
    GENES_COMPARED,
    find_clusters,
    import_igraph,
    tabulate,
)
from screader_lib.annotation.evidence import CalledCells, contributions, tabulate_genes
from screader_lib.annotation.sample import Sample, SampleOptions, obs_column
from screader_lib.cells.cells_file import CellSequences
from screader_lib.cells.formats.expression import Expression
from screader_lib.errors import ScReaderError
from screader_lib.exchange.opening import open_exchange
from screader_lib.exchange.provenance import LaterProvenance
from screader_lib.exchange.table import Categorical, Column, Table
from screader_lib.preparation.marker_tables import CellType
from screader_lib.reader.confidence.levels import Level
from screader_lib.reader.prediction.write_predictions import warn_of_unfamiliar
from screader_lib.reader.reader_file import StoredReader
from screader_lib.reader.task import Labels
from screader_lib.reporting import SILENT, Reporter, counted

MIN_CELLS_FOR_CONSENSUS = 50
AUTO = "auto"
CONSENSUS = ("auto", "none")
STATUSES = ("assigned", "broader type", "low confidence", "unfamiliar", "no known gene", "doubtful")
ASSIGNED, BROADER, LOW, UNFAMILIAR, NO_GENE, DOUBTFUL = range(len(STATUSES))


@dataclass(frozen=True)
class AnnotationOptions:
    """Which calls are given.

    A cell whose label is less probable than ``min_confidence`` gets the finest broader type that is
    not, or none; one less familiar than ``min_familiarity`` gets none. ``consensus`` is one of
    ``CONSENSUS``. ``clusters`` is a column of the one input, "auto" to find them, or None; their
    genes are compared with the ``known_markers``. ``genes_explained`` of each label are tabulated.
    With ``force`` a sample is called that would be refused, and marked. Cell vectors are among the
    calls with ``vectors``; with ``keeps_files``, the folder gets the ``cells`` and ``predictions``
    files whether or not they are needed for the calls.
    """

    min_confidence: float = 0.5
    min_familiarity: float = 0.0
    consensus: str = "auto"
    clusters: str | None = None
    known_markers: Sequence[CellType] = ()
    force: bool = False
    sample: SampleOptions = field(default_factory=SampleOptions)
    genes_explained: int = 0
    vectors: bool = True
    keeps_files: bool = False

    @property
    def needs_sequences(self) -> bool:
        """Whether something is asked for that the cells' genes are looked at for again."""
        return self.keeps_files or self.clusters is not None or self.genes_explained > 0


@dataclass(frozen=True)
class Annotation:
    """The ``calls`` for a file, and what they are made of: the called cells, by the ``labels``.

    ``clusters`` has a row for each cluster, ``genes`` for each gene of each label; None where
    they were not asked for.
    """

    calls: Calls
    cells: CalledCells
    labels: Labels
    clusters: Table | None = None
    genes: Table | None = None


def annotate(
    sources: Sequence[Expression],
    reader: LoadedReader,
    made: LaterProvenance,
    folder: Path,
    options: AnnotationOptions = AnnotationOptions(),
    reporter: Reporter = SILENT,
) -> Annotation:
    """Call the cells of the inputs.

    ``folder`` has to stay until the calls are written. ScReaderError where the sample is refused.
    """
    stored, name = reader.stored, reader.file.name
    sample = Sample(sources, reader.file, options.sample, reporter)
    found = None  # clusters
    if options.clusters == AUTO:
        import_igraph()  # so that what is missing is told before the work
    elif options.clusters is not None:
        found = obs_column(sources, sample.selected, options.clusters)
    doubts = _refuse(few_genes(sample.share_of_genes, stored, name), sample, options, reporter)
    count = int(sample.selected.sum())
    wants_consensus = options.consensus == "auto" and count >= MIN_CELLS_FOR_CONSENSUS
    wants_neighbours = wants_consensus or options.clusters == AUTO

    with ExitStack() as stack:
        cells, answered, of_other_tissue = _answer(
            stack, sample, reader, made, folder, options, wants_neighbours, reporter
        )
        doubts |= of_other_tissue
        answers, familiarity, known = answered.answers, answered.familiarity, answered.known
        probability = combined(answers, usual_weights(familiarity))
        unfamiliar = are_unfamiliar(familiarity[known], sample.builder.name, reporter)
        if not unfamiliar:
            labelled = known & (familiarity >= options.min_familiarity)
            best = np.where(labelled, probability.argmax(1), -1)
            warn_of_unfamiliar(familiarity, best, stored.labels.names, reporter)
        caller = _Caller(stored, options, known, familiarity, doubts or unfamiliar)
        columns: dict[str, Column] = caller.own_columns(probability)
        uns: dict[str, Any] = {"reader": name, "labels": list(stored.labels.names)}
        neighbours = answered.neighbours
        clusters = genes = None
        if wants_consensus and neighbours is not None:
            probability, uns["consensus"] = by_consensus(answers, neighbours, familiarity)
            columns |= caller.consensus_columns(probability)
        called = CalledCells.of(columns, probability)
        if options.clusters == AUTO and neighbours is not None:
            found = columns["screader_cluster"] = find_clusters(neighbours)
        if found is not None and cells is not None:
            clusters = tabulate(
                found, called, stored.labels.names, cells,
                lambda members, label: contributions(
                    members, label, called, cells, reader.trained, GENES_COMPARED
                )[0],
                options.known_markers,
            )  # fmt: skip
            uns["clusters"] = clusters
        if options.genes_explained and cells is not None:
            count = options.genes_explained
            genes = tabulate_genes(called, stored.labels.names, cells, reader.trained, count)
    reporter.info(caller.summary)
    rows = None if sample.selected.all() else np.flatnonzero(sample.selected)
    vectors: dict[str, Rows] = {}
    if options.vectors and answered.vectors is not None:
        vectors[VECTORS] = answered.vectors
    calls = Calls(len(sample.selected), columns, vectors, uns, rows)
    return Annotation(calls, called, stored.labels, clusters, genes)


def _answer(
    stack: ExitStack,
    sample: Sample,
    reader: LoadedReader,
    made: LaterProvenance,
    folder: Path,
    options: AnnotationOptions,
    with_neighbours: bool,
    reporter: Reporter,
) -> tuple[CellSequences | None, AnsweredCells, bool]:
    """The cells' sequences until ``stack`` ends, None where there are none; what is answered of
    them; and whether they are of another tissue."""
    is_other = False

    def check(mean: MeanExpression) -> None:
        nonlocal is_other
        is_other = _refuse(mean.other_tissue(reader.file.name), sample, options, reporter)

    if reader.stored.is_linear and not options.needs_sequences:
        answered = answer_in_one_pass(sample, reader, folder, with_neighbours, options.vectors)
        check(answered.mean)
        return None, answered, is_other
    others = write_cells(sample, reader, made, folder)
    opened = open_exchange(folder / CELLS, "cells", name=sample.builder.name)
    cells = CellSequences(stack.enter_context(opened), sequential=True)
    answered = answer_from_file(
        cells, reader, others, check, made, folder, with_neighbours, reporter
    )
    return cells, answered, is_other


def _refuse(reason: str, sample: Sample, options: AnnotationOptions, reporter: Reporter) -> bool:
    """Whether there is a ``reason`` for doubt: ScReaderError, or a warning with ``force``."""
    if not reason:
        return False
    if not options.force:
        raise ScReaderError(
            reason, file=sample.builder.name, remedy="Use --force to annotate it anyway."
        )
    reporter.warning(f"{sample.builder.name}: {reason} Its labels are marked as doubtful.")
    return True


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
        self.summary = f"{counted(len(status), 'cell')}: {listed}."
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
        return Categorical.with_missing(names), Categorical.with_missing(ids), confidence, status
