"""Calls that are too unsure backed off to a term of the ontology that says less.

A cell whose best label is less probable than wanted gets the most specific term above that label
under which the labels' probabilities add up to what is wanted. A term is open to that where it
stands above two labels at least, and not above all: that would be said of any cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import h5py
import numpy as np

from screader_lib.exchange import encoding
from screader_lib.exchange.table import Categorical, Column
from screader_lib.reader.confidence.ontology import Ontology, count_below
from screader_lib.reader.task import row_blocks
from screader_lib.reporting import SILENT, Reporter

STATUSES = ("assigned", "unassigned", "backed-off")
ASSIGNED, UNASSIGNED, BACKED_OFF = range(3)
COLUMNS = ("assigned_label", "assigned_ontology_id")
NONE = -1
ROUNDING = 1e-6  # of a sum of probabilities in float32
MOST_NAMED = 5


@dataclass(frozen=True)
class Lattice:
    """Labels' ``terms`` (None: unknown) and the ``open`` terms above them, most specific first.

    ``covers`` bool (open terms, labels) says which labels are of a kind of each.
    """

    terms: tuple[str | None, ...]
    open: tuple[str, ...]
    covers: np.ndarray

    @classmethod
    def of(cls, ontology: Ontology, ids: Sequence[str]) -> Lattice:
        """For labels with the Cell Ontology ``ids`` ("" unknown).

        More specific is a term above fewer labels, then with fewer terms below it; then the id
        decides.
        """
        terms = tuple(ontology.find(one) if one else None for one in ids)
        lineages = [ontology.lineage(term) if term else set[str]() for term in terms]
        known = sum(term is not None for term in terms)
        kinds = ontology.kinds()
        ranked = []
        for term in set[str]().union(*lineages):
            covers = [term in lineage for lineage in lineages]
            if 2 <= sum(covers) < known and ontology.parents[term]:
                ranked.append((sum(covers), count_below(term, kinds), term, covers))
        ranked.sort()
        table = np.array([one[3] for one in ranked], bool).reshape(len(ranked), len(terms))
        return cls(terms, tuple(one[2] for one in ranked), table)

    def back_off(self, probability: np.ndarray, best: np.ndarray, least: float) -> np.ndarray:
        """Numbers of open terms int64 (cells,), −1 where no term reaches ``least``.

        ``probability`` float32 (cells, labels), ``best`` label numbers (cells,).
        """
        if not self.open:
            return np.full(len(best), NONE)
        sums = probability.astype(np.float64) @ self.covers.T
        fits = self.covers[:, best].T & (sums >= least - ROUNDING)
        return np.where(fits.any(1), fits.argmax(1), NONE)


def write_assigned(
    file: h5py.File,
    ontology: Ontology,
    min_confidence: float,
    has_known_genes: np.ndarray,
    *,
    min_familiarity: float = 0.0,
    reporter: Reporter = SILENT,
) -> None:
    """Add ``assigned_label`` and ``assigned_ontology_id`` to predictions that are being written.

    Their status becomes ``backed-off`` where the term is none of the reader's labels' own calls.
    Cells that are not ``readable``, bool (cells,), for want of a gene that the reader knows, and
    those less familiar than ``min_familiarity``, stay unassigned.
    """
    obs, uns = file["obs"], file["uns"]
    names = tuple(encoding.read_strings(uns["labels"]))
    ids = tuple(encoding.read_strings(uns["label_ontology_ids"]))
    lattice = Lattice.of(ontology, ids)
    _tell_unknown(names, lattice, reporter)
    best = obs["predicted_label/codes"][()].astype(np.int64)
    status = _codes(encoding.read_column(obs["status"]))
    unsure = (status == UNASSIGNED) & has_known_genes
    unsure &= _may_back_off(obs, min_confidence, min_familiarity)
    term = np.full(len(best), NONE)
    for rows in row_blocks(np.arange(len(best))):
        if unsure[rows].any():
            probability = file["obsm/probability"][rows[0] : rows[-1] + 1]
            term[rows] = lattice.back_off(probability, best[rows], min_confidence)
    term[~unsure] = NONE
    status[term != NONE] = BACKED_OFF
    open_names = tuple(ontology.names[one] for one in lattice.open)
    _replace(obs, "status", Categorical(status, STATUSES))
    _replace(obs, COLUMNS[0], _assigned(status, best, term, names, open_names))
    _replace(obs, COLUMNS[1], _assigned(status, best, term, ids, lattice.open))
    off = int((status == BACKED_OFF).sum())
    reporter.info(f"{off:,} cells backed off to a term above, {_count(status)} stay unassigned.")
    if "metrics" in uns:
        found = hierarchical_metrics(obs, ontology, lattice, names, best, status, term)
        _add_metrics(uns, found, reporter)


def _add_metrics(uns: h5py.Group, found: dict[str, float], reporter: Reporter) -> None:
    metrics = encoding.read_json(uns, "metrics") | found
    del uns["metrics"]
    encoding.write_json(uns, "metrics", metrics)
    reporter.info(
        "accuracy with terms above the true one counted as right: "
        f"{metrics['hierarchical_accuracy']:.3f}."
    )


def _count(status: np.ndarray) -> str:
    return f"{int((status == UNASSIGNED).sum()):,}"


def _codes(column: Column) -> np.ndarray:
    assert isinstance(column, Categorical)
    return np.where(column.strings() == STATUSES[ASSIGNED], ASSIGNED, UNASSIGNED).astype(np.int32)


def _may_back_off(obs: h5py.Group, confidence: float, familiarity: float) -> np.ndarray:
    """Bool (cells,): unsure by their confidence alone."""
    open_to = obs["confidence"][()] < confidence
    if "familiarity" in obs:
        open_to &= obs["familiarity"][()] >= familiarity
    return open_to


def _assigned(
    status: np.ndarray,
    best: np.ndarray,
    term: np.ndarray,
    of_labels: Sequence[str],
    of_terms: Sequence[str],
) -> Categorical:
    """What each cell is called at last; "" where nothing."""
    values = np.array([*of_labels, *of_terms, ""], dtype=object)
    place = np.where(status == BACKED_OFF, len(of_labels) + term, best)
    return Categorical.of(values[np.where(status == UNASSIGNED, len(values) - 1, place)])


def _replace(obs: h5py.Group, name: str, column: Categorical) -> None:
    """Put a column of the cells in the place of one of that name, or after the status."""
    order = [str(one) for one in obs.attrs["column-order"]]
    if name in obs:
        del obs[name]
    if name not in order:
        order.insert(order.index("status") + 1 + COLUMNS.index(name), name)
        obs.attrs.create("column-order", np.array(order, object), dtype=encoding.STRING)
    encoding.write_column(obs, name, column)


def _tell_unknown(names: Sequence[str], lattice: Lattice, reporter: Reporter) -> None:
    unknown = [name for name, term in zip(names, lattice.terms, strict=True) if term is None]
    if unknown:
        more = len(unknown) - MOST_NAMED
        reporter.info(
            f"{len(unknown)} of {len(names)} labels have no term in the ontology and cannot back "
            f"off: {', '.join(unknown[:MOST_NAMED])}{f' and {more} more' if more > 0 else ''}."
        )


def hierarchical_metrics(
    obs: h5py.Group,
    ontology: Ontology,
    lattice: Lattice,
    names: Sequence[str],
    best: np.ndarray,
    status: np.ndarray,
    term: np.ndarray,
) -> dict[str, float]:
    """Shares over the cells whose label is known.

    ``backed_off``; ``hierarchical_accuracy``: called by the true label, or by the truth's term or
    one above it (unassigned cells count as wrong); ``hierarchical_accuracy_of_assigned``: the
    same over the cells that were called anything.
    """
    labels = encoding.read_column(obs["true_label"])
    assert isinstance(labels, Categorical)
    known = labels.codes >= 0
    truth = _true_terms(obs, ontology, lattice, names, labels)
    lineages = {one: ontology.lineage(one) for one in set(truth[known]) if one}
    own = np.array([*lattice.terms, None], dtype=object)
    above = np.array([*lattice.open, None], dtype=object)
    called = np.where(status == BACKED_OFF, above[term], own[best])
    true = labels.strings()
    right = np.array(names, dtype=object)[best] == true
    right = np.where(status == ASSIGNED, right, False)
    for row in np.flatnonzero(known & ~right & (status != UNASSIGNED)):
        right[row] = called[row] is not None and called[row] in lineages.get(truth[row], ())
    result = {
        "backed_off": float((status[known] == BACKED_OFF).mean()),
        "hierarchical_accuracy": float(right[known].mean()),
    }
    some = known & (status != UNASSIGNED)
    if some.any():
        result["hierarchical_accuracy_of_assigned"] = float(right[some].mean())
    return result


def _true_terms(
    obs: h5py.Group,
    ontology: Ontology,
    lattice: Lattice,
    names: Sequence[str],
    labels: Categorical,
) -> np.ndarray:
    """Each cell's true term, "" where unknown: by its own id, else by its label's."""
    by_label = dict(zip(names, lattice.terms, strict=True))
    terms = np.array([*(by_label.get(name) or "" for name in labels.categories), ""], object)
    found = terms[labels.codes]
    column = encoding.read_column(obs["label_ontology_id"]) if "label_ontology_id" in obs else None
    if isinstance(column, Categorical):
        own = np.array([*(ontology.find(one) or "" for one in column.categories), ""], object)
        found = np.where(own[column.codes] != "", own[column.codes], found)
    return found
