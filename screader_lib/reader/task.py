"""The cells that a method learns from, and the interface of a trained method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from screader_lib.cells.cells_file import CellSequences
from screader_lib.cells.fold_sequences import of_fold
from screader_lib.cells.folds import FOLD_COLUMN, Fold, assign_folds, group_column, groups_of
from screader_lib.cells.gene_matcher import GeneMapping, GeneMatcher
from screader_lib.cells.gene_texts import common_name
from screader_lib.cells.vocabulary import FEW_GENES
from screader_lib.errors import ScReaderError
from screader_lib.exchange.table import Table
from screader_lib.option_values import UNLABELLED_METHODS
from screader_lib.reader.confidence.calibration import log_sum_exp
from screader_lib.reader.llm.machine import ON_CPU, Machine
from screader_lib.reader.settings import TrainingSettings
from screader_lib.reporting import SILENT, Reporter

ROWS_AT_ONCE = 4096
MIN_CELLS_TO_SPLIT = 10  # a label with fewer cells has no validation cells
MOST_OF_SHARE = 2.0  # validation cells of whole donors, against the share that is wanted


@dataclass(frozen=True)
class Labels:
    """Label names, their Cell Ontology ids ("" unknown) and their numbers of training cells."""

    names: tuple[str, ...]
    ontology_ids: tuple[str, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class LabelTexts:
    """What is written of labels: ``weights(genes, labels)`` of each gene, float64 (labels, genes).

    ``identity`` tells the texts from others.
    """

    weights: Callable[[Table, Labels], np.ndarray]
    identity: str


@dataclass(frozen=True)
class Task:
    """Training cells: ``rows`` with label numbers ``truth``; and validation cells.

    ``held_out`` int64, rising: labelled cells of ``fold``, which are in neither. Where the
    validation cells are all cells of whole groups, ``validation_by`` is the groups' column.
    ``unlabelled`` are cells of other files, of which labels are not read. ``label_texts`` are
    for methods whose weights may start from them.
    """

    cells: CellSequences
    labels: Labels
    rows: np.ndarray
    truth: np.ndarray
    validation_rows: np.ndarray
    validation_truth: np.ndarray
    settings: TrainingSettings
    fold: Fold | None = None
    held_out: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    validation_by: str = ""
    unlabelled: tuple[CellSequences, ...] = ()
    machine: Machine = field(default_factory=Machine)
    reporter: Reporter = field(default=SILENT)
    label_texts: LabelTexts | None = None

    @property
    def unlabelled_rows(self) -> np.ndarray:
        """Rows of the file's own cells that have genes but no label, int64, rising."""
        assert self.cells.labels is not None
        return np.flatnonzero((self.cells.labels.codes < 0) & (self.cells.lengths > 0))

    @property
    def device(self) -> str:
        """Where torch puts tensors."""
        return self.machine.torch_device

    @property
    def genes(self) -> GeneMatcher:
        """The genes that are learnt."""
        return GeneMatcher(self.cells.genes.index, self.cells.embedding, self.cells.texts)

    @cached_property
    def longest(self) -> int:
        """Genes of the longest training or validation cell, at least 1."""
        rows = np.concatenate([self.rows, self.validation_rows])
        return int(self.cells.lengths[rows].max(initial=1))


@dataclass
class Epoch:
    """One epoch of training; scores are NaN where there are no validation cells."""

    stage: str
    loss: float
    accuracy: float = float("nan")
    macro_f1: float = float("nan")


@dataclass(frozen=True)
class OutOfFold:
    """Training cells as a method predicts them that was fitted without them.

    ``rows`` int64 with label numbers ``truth`` int64, ``logits`` float32 (rows, labels) and
    ``evidence`` float32 (rows,).
    """

    rows: np.ndarray
    truth: np.ndarray
    logits: np.ndarray
    evidence: np.ndarray


class TrainedMethod(ABC):
    """A method after training; ``tensors`` is all that predict needs, float32 by name.

    ``genes`` are those it has learnt; ``by_text`` says whether others are read by their texts.
    ``latent_parts`` names the parts of its cell vectors, all equally wide; none: they are empty.
    ``out_of_fold`` are training cells that serve for calibration beside the validation cells.
    """

    tensors: dict[str, np.ndarray]
    history: list[Epoch]
    llm: dict
    latent_parts: tuple[str, ...] = ()
    genes: GeneMatcher
    out_of_fold: OutOfFold | None = None
    by_text = True
    _matched: tuple[CellSequences, GeneMapping] | None = None

    @abstractmethod
    def outputs(self, cells: CellSequences, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Logits float32 (rows, labels) and cell vectors float32 (rows, hidden)."""

    def logits(self, cells: CellSequences, rows: np.ndarray) -> np.ndarray:
        """The outputs' logits alone, which may take less time."""
        return self.outputs(cells, rows)[0]

    def match(self, cells: CellSequences) -> GeneMapping:
        """Which learnt genes stand for the genes of these cells."""
        if self._matched is None or self._matched[0] is not cells:
            match = self.genes.match(cells.genes.index, cells.embedding, cells.texts, self.by_text)
            self._matched = (cells, match)
        return self._matched[1]

    def coverage(self, cells: CellSequences) -> float:
        """Share of the learnt genes that these cells can have: that were measured in them."""
        return self.match(cells).coverage(cells.genes_in_input)

    def known(self, cells: CellSequences) -> np.ndarray:
        """How well each gene of these cells is known, float32 (genes,); 0: it is not read."""
        return self.match(cells).known

    def known_genes(self, cells: CellSequences, rows: np.ndarray) -> np.ndarray:
        """How many genes of each cell are read, int64 (rows,)."""
        read = self.known(cells) > 0
        if read.all():
            return cells.lengths[rows]
        weights = cells.weights(rows)
        return np.diff(np.concatenate([[0], np.cumsum(read[weights.indices])])[weights.indptr])

    def evidence(self, cells: CellSequences, rows: np.ndarray, logits: np.ndarray) -> np.ndarray:
        """Evidence for any label, float32 (rows,), high for cells like those of the training.

        The logarithm of the sum of the exponentials of the ``logits``, which are the outputs' own
        ("energy" in Liu et al. 2020). The same for all cells where logits are log-probabilities.
        """
        return log_sum_exp(logits)

    def check_genes(self, cells: CellSequences, reporter: Reporter) -> None:
        """Report how many learnt genes the sample has, and how its own genes are known.

        ScReaderError where no gene is known, or where genes of another species have texts that
        cannot be compared.
        """
        match, known, name = self.match(cells), self.known(cells) > 0, cells.opened.name
        differ = match.texts_differ if self.by_text else ""
        if differ and match.other_species:
            species = [common_name(number) for number in sorted(cells.texts.species)]
            commands = self.genes.texts.commands(species[0] if species else "NAME", "FILE", "OUT")
            raise ScReaderError(
                f"its genes were {differ}; genes of another species are matched by their texts.",
                file=name,
                remedy=f"Make the embeddings as those of the reader: {commands}",
            )
        if not known.any():
            how = ", neither by name nor by text" if self.by_text and not differ else " by name"
            raise ScReaderError(
                f"the reader knows none of its genes{how}.",
                file=name,
                remedy="Were the cells built with --like and the reader?",
            )
        present = match.reached(cells.genes_in_input)
        text = f"{present:,} of the reader's {match.learnt:,} genes are in this sample"
        if "share_of_counts" in cells.genes.columns:
            share = float(np.asarray(cells.genes.columns["share_of_counts"])[known].sum())
            text += f", {share:.1%} of its counts"
        few = present < FEW_GENES * match.learnt
        (reporter.warning if few else reporter.info)(f"{text}.")
        ignored, note = int((~known).sum()), self.gene_note(cells)
        if not ignored and not note and match.by_name == len(known):
            return
        by_text = int((known & ~match.named).sum())
        message = (
            f"of {len(known):,} genes, the reader knows {match.by_name:,} by name and {by_text:,} "
            f"by text; {ignored:,} are ignored.{note}"
        )
        if differ:
            message += f" Genes are not matched by text, as they were {differ}."
        (reporter.warning if ignored > len(known) / 2 or differ else reporter.info)(message)

    def gene_note(self, cells: CellSequences) -> str:
        """What few or unknown genes mean for this method, in words after a space; "" if nothing."""
        return ""

    def plan_memory(  # noqa: B027
        self, cells: CellSequences, machine: Machine, backward: bool, reporter: Reporter
    ) -> None:
        """Report what reading ``cells`` needs, and choose how much is read at once.

        ``backward``: gradients are needed. ScReaderError where there is not enough memory.
        """

    def explain(
        self, cells: CellSequences, rows: np.ndarray, calls: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Genes int (rows, width), −1 for none, their attributions float32 (rows, width), and how
        far these are from adding up, float32 (rows,); see model.attribution.

        ``calls`` are the predicted label numbers (rows,). See confidence.explanation.
        ScReaderError where the method cannot be explained.
        """
        raise ScReaderError(
            "this reader's method cannot say which genes led to its predictions.",
            remedy="Leave --explain out.",
        )


def labels_of(
    cells: CellSequences, without: np.ndarray | None = None
) -> tuple[Labels, np.ndarray, np.ndarray]:
    """The labels, the rows of the labelled cells and their label numbers.

    Cells without a label or without a known gene are left out, and the rows ``without``.
    ScReaderError where fewer than two labels remain.
    """
    column = cells.labels
    name = cells.opened.name
    if column is None:
        raise ScReaderError(
            "its cells have no labels.", file=name, remedy="Build them with build-cells --label."
        )
    usable = (column.codes >= 0) & (cells.lengths > 0)
    if without is not None:
        usable[without] = False
    rows = np.flatnonzero(usable)
    used, truth = np.unique(column.codes[rows], return_inverse=True)
    if len(used) < 2:
        raise ScReaderError(f"has {len(used)} labels, but at least 2 are needed.", file=name)
    names = tuple(column.categories[code] for code in used)
    ontology = _ontology_ids(cells, rows, truth, len(names))
    counts = tuple(int(count) for count in np.bincount(truth))
    return Labels(names, ontology, counts), rows, truth.astype(np.int64)


def _ontology_ids(
    cells: CellSequences, rows: np.ndarray, truth: np.ndarray, labels: int
) -> tuple[str, ...]:
    if "label_ontology_id" not in cells.obs.columns:
        return ("",) * labels
    ids = cells.obs.strings("label_ontology_id")[rows]
    most_frequent = []
    for label in range(labels):
        values, counts = np.unique(ids[truth == label].astype(str), return_counts=True)
        most_frequent.append(str(values[counts.argmax()]))
    return tuple(most_frequent)


def at_most_per_label(
    truth: np.ndarray, count: int, groups: np.ndarray | None = None, seed: int = 0
) -> np.ndarray:
    """Which cells to use where each label has ``count`` at most: numbers int64, rising.

    They are drawn at random, and as evenly as may be from the ``groups``, such as donors, str
    (cells,). All cells for a ``count`` of 0.
    """
    order = np.random.default_rng([seed, 2]).permutation(len(truth))
    if not count:
        return np.sort(order)
    strata = np.zeros_like(truth) if groups is None else np.unique(groups, return_inverse=True)[1]
    by_stratum = order[np.lexsort((strata[order], truth[order]))]
    turn = _number_in_run(truth[by_stratum] * (strata.max(initial=0) + 1) + strata[by_stratum])
    by_turn = by_stratum[np.lexsort((turn, truth[by_stratum]))]
    return np.sort(by_turn[_number_in_run(truth[by_turn]) < count])


def _number_in_run(values: np.ndarray) -> np.ndarray:
    """How many equal values are directly before each, int64."""
    position = np.arange(len(values))
    is_first = np.diff(values, prepend=values[:1] - 1) != 0
    return position - np.maximum.accumulate(np.where(is_first, position, 0))


def split_validation(
    rows: np.ndarray, truth: np.ndarray, share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Boolean masks (rows,) of training and validation cells, stratified by label.

    Labels with fewer than ``MIN_CELLS_TO_SPLIT`` cells have no validation cells.
    """
    random = np.random.default_rng([seed, 1])
    validation = np.zeros(len(rows), bool)
    for label in np.unique(truth):
        members = np.flatnonzero(truth == label)
        if len(members) >= MIN_CELLS_TO_SPLIT:
            validation[random.permutation(members)[: round(share * len(members))]] = True
    return ~validation, validation


def split_groups(
    groups: np.ndarray, truth: np.ndarray, share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The same, but the validation cells are all cells of whole ``groups``, str (rows,).

    Groups are drawn until they have the ``share`` of the cells; not those that would make it more
    than ``MOST_OF_SHARE`` times that, so there may be none. Labels stay in training that would
    keep fewer than ``MIN_CELLS_TO_SPLIT`` cells there.
    """
    names, index, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    drawn, cells, wanted = np.zeros(len(names), bool), 0, share * len(groups)
    for name in np.random.default_rng([seed, 1]).permutation(len(names)):
        if cells < wanted and cells + sizes[name] <= MOST_OF_SHARE * wanted:
            drawn[name] = True
            cells += sizes[name]
    left = np.bincount(truth[~drawn[index]], minlength=int(truth.max(initial=0)) + 1)
    validation = drawn[index] & (left[truth] >= MIN_CELLS_TO_SPLIT)
    return ~validation, validation


def make_task(
    cells: CellSequences,
    settings: TrainingSettings,
    machine: Machine = ON_CPU,
    reporter: Reporter = SILENT,
    fold: Fold | None = None,
    whole_donors: bool = False,
    unlabelled: Sequence[CellSequences] = (),
) -> Task:
    """The task of learning all labels of ``cells``; see :func:`labels_of` for errors.

    With a ``fold``, its cells are held out, and labels that only they have are unknown; the task's
    cells have the genes of the fold's training cells, where the file has these.
    ``whole_donors``: validation cells are all cells of some donors, where those are known and few
    cells enough. ``unlabelled`` are other files' cells, which methods that use them join in.
    """
    held_out = np.zeros(0, np.int64)
    labels, rows, truth = labels_of(cells)
    labelled = len(rows)
    if fold is not None:
        without = _cells_of(fold, cells, rows, truth)
        held_out = rows[np.isin(rows, without)]
        cells = of_fold(cells, fold)
        labels, rows, truth = labels_of(cells, without)
    all_labelled = len(rows)
    if settings.cells_per_label:
        labels, rows, truth = _thinned(labels, rows, truth, cells, settings)
    by = group_column(cells.obs, rows) if whole_donors else ""
    if by:
        groups = groups_of(cells.obs, rows, by, cells.opened.name)
        training, validation = split_groups(groups, truth, settings.validation, settings.seed)
    if not by or not validation.any():
        by = ""
        training, validation = split_validation(rows, truth, settings.validation, settings.seed)
    left_out = len(cells) - labelled
    text = (
        f"{int(training.sum()):,} training and {int(validation.sum()):,} validation cells of "
        f"{f'whole {by}s, ' if by else ''}{len(labels.names)} labels"
    )
    if len(rows) < all_labelled:
        text += f", at most {settings.cells_per_label:,} of each"
    if fold is not None:
        text = f"fold {fold.number} of {fold.count}: {text}, {len(held_out):,} held out"
    task = Task(
        cells, labels, rows[training], truth[training], rows[validation], truth[validation],
        settings, fold, held_out, by, tuple(unlabelled), machine, reporter,
    )  # fmt: skip
    if settings.method in UNLABELLED_METHODS:
        joining = len(task.unlabelled_rows) + sum(map(len, unlabelled))
        text += f"; {joining:,} without a label join in"
    elif left_out:
        text += f"; {left_out:,} without label or genes skipped"
    reporter.info(f"{text}.")
    return task


def _thinned(
    labels: Labels, rows: np.ndarray, truth: np.ndarray, cells: CellSequences,
    settings: TrainingSettings,
) -> tuple[Labels, np.ndarray, np.ndarray]:  # fmt: skip
    """The same without the cells that ``cells_per_label`` leaves out."""
    by = group_column(cells.obs, rows)
    groups = groups_of(cells.obs, rows, by, cells.opened.name) if by else None
    used = at_most_per_label(truth, settings.cells_per_label, groups, settings.seed)
    counts = np.bincount(truth[used], minlength=len(labels.names))
    return replace(labels, counts=tuple(counts.tolist())), rows[used], truth[used]


def _cells_of(fold: Fold, cells: CellSequences, rows: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Rows of the cells of a fold: as in the file, or of the labelled cells ``rows``."""
    if cells.fold_plan and cells.fold_plan.has(fold):
        return np.flatnonzero(np.asarray(cells.obs.columns[FOLD_COLUMN]) == fold.number)
    obs, name = cells.obs, cells.opened.name
    folds = assign_folds(obs, rows, truth, fold.count, fold.group_by, fold.seed, name)
    return rows[folds == fold.number]


def row_blocks(rows: np.ndarray) -> Iterator[np.ndarray]:
    """``rows``, ``ROWS_AT_ONCE`` at a time."""
    for start in range(0, len(rows), ROWS_AT_ONCE):
        yield rows[start : start + ROWS_AT_ONCE]


def class_weights(task: Task) -> np.ndarray:
    """Weight of each label in the loss, float32 (labels,): 1, or its inverse (root) frequency."""
    counts = np.maximum(np.bincount(task.truth, minlength=len(task.labels.names)), 1)
    power = {"none": 0.0, "root": 0.5, "balanced": 1.0}[task.settings.class_weights]
    weights = (counts.mean() / counts) ** power
    return np.minimum(weights, 10.0).astype(np.float32)
