"""Cells of any file, called by a reader: each cell's own call, broad types, consensus, clusters.

A cell's own call depends on that cell alone, and on which genes its file has. The consensus and the
clusters also use the other cells. What is computed on the way is in files of a temporary folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from threadpoolctl import threadpool_limits

from screader_lib.annotation.calls import Calls
from screader_lib.annotation.clusters import (
    GENES_COMPARED,
    find_clusters,
    import_igraph,
    tabulate,
)
from screader_lib.annotation.consensus import (
    FittedMethods,
    OtherMethods,
    by_consensus,
    combined,
    gene_weights,
    usual_weights,
)
from screader_lib.annotation.evidence import CalledCells, contributions, tabulate_genes
from screader_lib.annotation.sample import Sample, SampleOptions, obs_column
from screader_lib.cells.cells_file import CellSequences
from screader_lib.cells.formats.expression import Expression
from screader_lib.errors import ScReaderError
from screader_lib.exchange import writing
from screader_lib.exchange.chunks import RowReader
from screader_lib.exchange.opening import ExchangeFile, open_exchange
from screader_lib.exchange.provenance import Provenance
from screader_lib.exchange.table import Categorical, Column, Table
from screader_lib.preparation.marker_tables import CellType
from screader_lib.reader.confidence.levels import Level
from screader_lib.reader.llm.machine import ON_CPU, Machine
from screader_lib.reader.methods import methods
from screader_lib.reader.methods.places import PlacedCells
from screader_lib.reader.prediction.write_predictions import (
    PredictionOptions,
    warn_of_unfamiliar,
    write_predictions,
)
from screader_lib.reader.reader_file import StoredReader, read_reader
from screader_lib.reader.task import Labels, TrainedMethod, row_blocks
from screader_lib.reporting import SILENT, Reporter, WithoutInfo, counted

CELLS, PREDICTIONS = "cells.h5ad", "predictions.h5ad"
MIN_GENES = 20  # of the reader's, below which a sample is refused
MIN_CELLS_TO_JUDGE, MIN_GENES_TO_JUDGE = 20, 50  # whether it is of another tissue
MOST_CELLS_TO_JUDGE, RUN = 2_000, 50  # a sample, in evenly spaced runs
MIN_AGREEMENT = 0.55  # with the training cells' mean expression; see benchmarks/annotate.md
MIN_FAMILIARITY = 0.005  # of the median cell, below which a sample is doubtful
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
    With ``force`` a sample is called that would be
    refused, and marked.
    """

    min_confidence: float = 0.5
    min_familiarity: float = 0.0
    consensus: str = "auto"
    clusters: str | None = None
    known_markers: Sequence[CellType] = ()
    force: bool = False
    sample: SampleOptions = field(default_factory=SampleOptions)
    genes_explained: int = 0


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


class LoadedReader:
    """A reader in memory, which may call any number of samples, one after the other.

    What was loaded or fitted for one serves the next: an LLM, and the other methods as long as
    samples have the same genes. ``llm`` says where the LLM is, if not where it was.
    """

    def __init__(
        self, file: ExchangeFile, machine: Machine = ON_CPU, llm: str | None = None
    ) -> None:
        self.file, self.machine, self.llm = file, machine, llm
        self.stored = read_reader(file)
        self._fitted: tuple[bytes, FittedMethods] | None = None

    @cached_property
    def trained(self) -> TrainedMethod:
        """The method that calls cells."""
        return methods.restore(self.stored, self.machine, self.llm)

    def fitted(self, genes: np.ndarray, in_input: np.ndarray) -> FittedMethods | None:
        """The methods beside it, as :meth:`FittedMethods.fit`; None without profiles."""
        if self.stored.profiles is None:
            return None
        key = " ".join(genes).encode() + in_input.tobytes()
        if self._fitted is None or self._fitted[0] != key:
            self._fitted = key, FittedMethods.fit(self.stored.profiles, genes, in_input)
        return self._fitted[1]


def annotate(
    sources: Sequence[Expression],
    reader: LoadedReader,
    made: Provenance,
    folder: Path,
    options: AnnotationOptions = AnnotationOptions(),
    reporter: Reporter = SILENT,
) -> Annotation:
    """Call the cells of the inputs.

    ``folder``, which has to stay until the calls are written, gets the ``cells`` and
    ``predictions`` files. ScReaderError where the sample is refused.
    """
    stored, name = reader.stored, reader.file.name
    sample = Sample(sources, reader.file, options.sample, reporter)
    found = None  # clusters
    if options.clusters == AUTO:
        import_igraph()  # so that what is missing is told before the work
    elif options.clusters is not None:
        found = obs_column(sources, sample.selected, options.clusters)
    doubts = _refuse(_few_genes(sample, stored, name), sample, options, reporter)
    others, trained = _write_cells(sample, reader, made, folder), reader.trained
    with open_exchange(folder / CELLS, "cells", name=sample.builder.name) as opened:
        cells = CellSequences(opened, sequential=True)
        doubts |= _refuse(_other_tissue(cells, stored, name), sample, options, reporter)
        trained.plan_memory(cells, reader.machine, False, reporter)
        wants_consensus = options.consensus == "auto" and len(cells) >= MIN_CELLS_FOR_CONSENSUS
        placed = None
        if wants_consensus or options.clusters == AUTO:
            placed = PlacedCells(gene_weights(cells), len(cells))
        with writing.create("predictions", folder / PREDICTIONS, made) as file:
            write_predictions(
                file, cells, stored, trained, PredictionOptions(warns_of_unfamiliar=False),
                WithoutInfo(reporter),
                beside=partial(_answer_and_place, cells, others, placed),
            )  # fmt: skip
            probability, familiarity = file["obsm/probability"][()], file["obs/familiarity"][()]
        known = cells.lengths > 0
        answers = {"reader": probability, **others.answers}
        probability = combined(answers, usual_weights(familiarity))
        unfamiliar = _are_unfamiliar(familiarity[known], sample.builder.name, reporter)
        if not unfamiliar:
            labelled = known & (familiarity >= options.min_familiarity)
            best = np.where(labelled, probability.argmax(1), -1)
            warn_of_unfamiliar(familiarity, best, stored.labels.names, reporter)
        caller = _Caller(stored, options, known, familiarity, doubts or unfamiliar)
        columns: dict[str, Column] = caller.own_columns(probability)
        uns: dict[str, Any] = {"reader": name, "labels": list(stored.labels.names)}
        neighbours = None if placed is None else placed.neighbours()
        clusters = genes = None
        if wants_consensus and neighbours is not None:
            probability, uns["consensus"] = by_consensus(answers, neighbours, familiarity)
            columns |= caller.consensus_columns(probability)
        called = CalledCells.of(columns, probability)
        if options.clusters == AUTO and neighbours is not None:
            found = columns["screader_cluster"] = find_clusters(neighbours)
        if found is not None:
            clusters = tabulate(
                found, called, stored.labels.names, cells,
                lambda members, label: contributions(
                    members, label, called, cells, trained, GENES_COMPARED
                )[0],
                options.known_markers,
            )  # fmt: skip
            uns["clusters"] = clusters
        if options.genes_explained:
            count = options.genes_explained
            genes = tabulate_genes(called, stored.labels.names, cells, trained, count)
    reporter.info(caller.summary)
    rows = None if sample.selected.all() else np.flatnonzero(sample.selected)
    vectors = {"X_screader": _Vectors(folder / PREDICTIONS)}
    calls = Calls(len(sample.selected), columns, vectors, uns, rows)
    return Annotation(calls, called, stored.labels, clusters, genes)


def _answer_and_place(
    cells: CellSequences, others: OtherMethods, placed: PlacedCells | None, rows: np.ndarray
) -> None:
    others.answer(cells, rows)
    if placed is not None:
        placed.fill(rows)


def _write_cells(
    sample: Sample, reader: LoadedReader, made: Provenance, folder: Path
) -> OtherMethods:
    """Write the ``cells`` file, and meanwhile fit the other methods, which need no cell."""
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(1) as pool:
        fitted = pool.submit(reader.fitted, *sample.named_genes())
        with writing.create("cells", folder / CELLS, made) as file:
            sample.write(file)
    labels = len(reader.stored.labels.names)
    return OtherMethods(fitted.result(), int(sample.selected.sum()), labels)


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
    columns = stored.profiles.columns_of(cells.genes.index)
    runs = np.linspace(0, max(0, len(cells) - RUN), MOST_CELLS_TO_JUDGE // RUN).astype(np.int64)
    rows = np.unique((runs[:, None] + np.arange(RUN)).clip(max=len(cells) - 1))
    total = np.zeros(len(stored.genes.ids))
    for part in row_blocks(rows):
        total += stored.profiles.weights(cells, part, columns).sum(0).A1
    present = stored.profiles.present(columns, cells.genes_in_input)
    agreement = stored.profiles.agreement(total / len(rows), present)
    if agreement >= MIN_AGREEMENT or present.sum() < MIN_GENES_TO_JUDGE:
        return ""
    return (
        f"its mean expression differs from that of the cells that {name} was trained on (rank "
        f"correlation {agreement:.2f}, at least {MIN_AGREEMENT:g} is expected): another tissue?"
    )


def _are_unfamiliar(familiarity: np.ndarray, name: str, reporter: Reporter) -> bool:
    """Whether these cells are too unfamiliar as a whole for their labels to be trusted."""
    if len(familiarity) < MIN_CELLS_TO_JUDGE or np.median(familiarity) >= MIN_FAMILIARITY:
        return False
    reporter.warning(
        f"{name}: half of its cells are less familiar to the reader than "
        f"{1 - MIN_FAMILIARITY:.1%} of its calibration cells; is this the right reader? Its "
        "labels are marked as doubtful."
    )
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


class _Vectors:
    """The cells' latent vectors in a ``predictions`` file, in blocks of rows."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def copy_to(self, group: h5py.Group, name: str) -> None:
        """All rows as a new array of ``group``, the chunks as they are."""
        with h5py.File(self.path, "r", locking=False) as file:
            file.copy("obsm/X_screader", group, name)

    def __iter__(self) -> Iterator[np.ndarray]:
        with h5py.File(self.path, "r", locking=False) as file:
            vectors = file["obsm/X_screader"]
            reader, width = RowReader(vectors), vectors.shape[1]
            for start in range(0, len(vectors), 4096):
                yield reader.read(start, min(len(vectors), start + 4096), width)
