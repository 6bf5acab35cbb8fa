"""Predictions with too little confidence backed off to a less specific term of the ontology.

A cell whose best label is less probable than the threshold gets the most specific term above that
label under which the labels' probabilities add up to the threshold. Candidates are terms above at
least two of the labels, but not above all: those would fit any cell.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import h5py
import numpy as np

from screader_lib.exchange import encoding
from screader_lib.exchange.table import Categorical
from screader_lib.reader.confidence.ontology import Ontology
from screader_lib.reader.task import row_blocks
from screader_lib.reporting import SILENT, Reporter

STATUSES = ("assigned", "unassigned", "backed-off")  # the first two as predictions have them
ASSIGNED, UNASSIGNED, BACKED_OFF = range(3)
COLUMNS = ("assigned_label", "assigned_ontology_id")
NONE = -1
ROUNDING = 1e-6  # of a sum of probabilities in float32
MAX_LISTED = 5


@dataclass(frozen=True)
class BackoffTerms:
    """Labels' ``terms`` (None: unknown) and the ``candidates`` above them, most specific first.

    ``covers`` bool (candidates, labels) says which labels are kinds of each.
    """

    terms: tuple[str | None, ...]
    candidates: tuple[str, ...]
    covers: np.ndarray

    @classmethod
    def of(cls, ontology: Ontology, ids: Sequence[str]) -> BackoffTerms:
        """For labels with the Cell Ontology ``ids`` ("" unknown).

        More specific is a term above fewer labels, then with fewer terms below it; then the id
        decides.
        """
        terms = tuple(ontology.find(one) if one else None for one in ids)
        lineages = [ontology.lineage(term) if term else set[str]() for term in terms]
        known = sum(term is not None for term in terms)
        descendants = Counter(t for term in ontology.names for t in ontology.lineage(term))
        ranked = []
        for term in set[str]().union(*lineages):
            covers = [term in lineage for lineage in lineages]
            if 2 <= sum(covers) < known and ontology.parents[term]:
                ranked.append((sum(covers), descendants[term], term, covers))
        ranked.sort()
        table = np.array([one[3] for one in ranked], bool).reshape(len(ranked), len(terms))
        return cls(terms, tuple(one[2] for one in ranked), table)

    def back_off(self, probability: np.ndarray, best: np.ndarray, threshold: float) -> np.ndarray:
        """Candidates' numbers int64 (cells,), −1 where no term reaches the ``threshold``.

        ``probability`` float32 (cells, labels), ``best`` label numbers (cells,).
        """
        if not self.candidates:
            return np.full(len(best), NONE)
        sums = probability.astype(np.float64) @ self.covers.T
        fits = self.covers[:, best].T & (sums >= threshold - ROUNDING)
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

    The status of cells that get a term above their label becomes ``backed-off``. Cells without a
    gene that the reader knows (``has_known_genes`` bool (cells,)), and those less familiar than
    ``min_familiarity``, stay unassigned.
    """
    obs, uns = file["obs"], file["uns"]
    names = tuple(encoding.read_strings(uns["labels"]))
    ids = tuple(encoding.read_strings(uns["label_ontology_ids"]))
    backoff = BackoffTerms.of(ontology, ids)
    unknown = [name for name, term in zip(names, backoff.terms, strict=True) if term is None]
    if unknown:
        more = f" and {len(unknown) - MAX_LISTED} more" if len(unknown) > MAX_LISTED else ""
        reporter.info(
            f"{len(unknown)} of {len(names)} labels have no term in the ontology, so cells cannot "
            f"back off from them: {', '.join(unknown[:MAX_LISTED])}{more}."
        )
    best = obs["predicted_label/codes"][()].astype(np.int64)
    status = obs["status/codes"][()].astype(np.int32)
    unsure = (status == UNASSIGNED) & has_known_genes & (obs["confidence"][()] < min_confidence)
    unsure &= obs["familiarity"][()] >= min_familiarity
    term = np.full(len(best), NONE)
    for rows in row_blocks(np.arange(len(best))):
        if unsure[rows].any():
            probability = file["obsm/probability"][rows[0] : rows[-1] + 1]
            term[rows] = backoff.back_off(probability, best[rows], min_confidence)
    term[~unsure] = NONE
    status[term != NONE] = BACKED_OFF
    candidate_names = tuple(ontology.names[one] for one in backoff.candidates)
    _replace(obs, "status", Categorical(status, STATUSES))
    _replace(obs, COLUMNS[0], _assigned(status, best, term, names, candidate_names))
    _replace(obs, COLUMNS[1], _assigned(status, best, term, ids, backoff.candidates))
    off = int((status == BACKED_OFF).sum())
    left = int((status == UNASSIGNED).sum())
    reporter.info(f"{off:,} cells backed off to a more general term, {left:,} left unassigned.")
    if "metrics" in uns:
        metrics = encoding.read_json(uns, "metrics")
        metrics |= hierarchical_metrics(obs, ontology, backoff, names, best, status, term)
        del uns["metrics"]
        encoding.write_json(uns, "metrics", metrics)
        reporter.info(
            "accuracy with terms above the true one counted as correct: "
            f"{metrics['hierarchical_accuracy']:.3f}."
        )


def _assigned(
    status: np.ndarray,
    best: np.ndarray,
    term: np.ndarray,
    of_labels: Sequence[str],
    of_terms: Sequence[str],
) -> Categorical:
    """The label or term that each cell is assigned; "" for none."""
    values = np.array([*of_labels, *of_terms, ""], dtype=object)
    index = np.where(status == BACKED_OFF, len(of_labels) + term, best)
    return Categorical.of(values[np.where(status == UNASSIGNED, len(values) - 1, index)])


def _replace(obs: h5py.Group, name: str, column: Categorical) -> None:
    """Replace a column of the cells, or insert it after the status."""
    order = [str(one) for one in obs.attrs["column-order"]]
    if name in obs:
        del obs[name]
    if name not in order:
        order.insert(order.index("status") + 1 + COLUMNS.index(name), name)
        obs.attrs.create("column-order", np.array(order, object), dtype=encoding.STRING)
    encoding.write_column(obs, name, column)


def hierarchical_metrics(
    obs: h5py.Group,
    ontology: Ontology,
    backoff: BackoffTerms,
    names: Sequence[str],
    best: np.ndarray,
    status: np.ndarray,
    term: np.ndarray,
) -> dict[str, float]:
    """Shares over the cells whose label is known.

    ``backed_off``; ``hierarchical_accuracy``: assigned the true label, or the true label's term or
    one above it (unassigned cells count as wrong); ``hierarchical_accuracy_of_assigned``: the
    same over the cells that are not unassigned.
    """
    labels = encoding.read_column(obs["true_label"])
    assert isinstance(labels, Categorical)
    known = labels.codes >= 0
    truth = _true_terms(obs, ontology, backoff, names, labels)
    lineages = {one: ontology.lineage(one) for one in set(truth[known]) if one}
    own = np.array([*backoff.terms, None], dtype=object)
    above = np.array([*backoff.candidates, None], dtype=object)
    assigned = np.where(status == BACKED_OFF, above[term], own[best])
    fits = [
        one in lineages.get(true, ())
        for one, true in zip(assigned[known], truth[known], strict=True)
    ]
    is_label = (np.array(names, dtype=object)[best] == labels.strings()) & (status == ASSIGNED)
    not_unassigned = status[known] != UNASSIGNED
    correct = not_unassigned & (is_label[known] | np.array(fits, bool))
    result = {
        "backed_off": float((status[known] == BACKED_OFF).mean()),
        "hierarchical_accuracy": float(correct.mean()),
    }
    if not_unassigned.any():
        result["hierarchical_accuracy_of_assigned"] = float(correct[not_unassigned].mean())
    return result


def _true_terms(
    obs: h5py.Group,
    ontology: Ontology,
    backoff: BackoffTerms,
    names: Sequence[str],
    labels: Categorical,
) -> np.ndarray:
    """Each cell's true term, "" where unknown: by its own id, else by its label's."""
    by_label = dict(zip(names, backoff.terms, strict=True))
    terms = np.array([*(by_label.get(name) or "" for name in labels.categories), ""], object)
    true = terms[labels.codes]
    column = encoding.read_column(obs["label_ontology_id"]) if "label_ontology_id" in obs else None
    if isinstance(column, Categorical):
        own = np.array([*(ontology.find(one) or "" for one in column.categories), ""], object)
        true = np.where(own[column.codes] != "", own[column.codes], true)
    return true
