"""Predictions with too little confidence backed off to a less specific term of the ontology.

A cell whose best label is less probable than the threshold gets the most specific term above that
label under which the labels' probabilities add up to the threshold. Candidates are terms above at
least two of the labels, but not above all: those would fit any cell.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
    reporter.info(f"{off:,} cells given a broader type, {left:,} left unassigned.")
    if "metrics" in uns:
        metrics = encoding.read_json(uns, "metrics")
        counts = ontology_counts(obs, ontology, backoff, names, best, status, term)
        metrics |= shares_of(counts)
        del uns["metrics"]
        encoding.write_json(uns, "metrics", metrics)
        if found := ontology_summary(metrics):
            reporter.info(found)


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


def ontology_counts(
    obs: h5py.Group,
    ontology: Ontology,
    backoff: BackoffTerms,
    names: Sequence[str],
    best: np.ndarray,
    status: np.ndarray,
    term: np.ndarray,
) -> dict[str, int]:
    """Numbers of cells that the ontology lets compare with their true labels.

    ``assignable``: their true label is one of the reader's or has a term. Of these, ``assigned``
    and ``backed_off``; ``right``: assigned the true label, or the true label's term or one above
    it. ``compared``: the true and the predicted label, assigned or not, have terms. Of these, the
    predicted label is the ``same`` term as the true one, a kind of it (``narrower``), or one that
    it is a kind of (``broader``).
    """
    labels = encoding.read_column(obs["true_label"])
    assert isinstance(labels, Categorical)
    true = labels.strings()
    truth = _true_terms(obs, ontology, backoff, names, labels)
    use = (labels.codes >= 0) & (np.isin(true, names) | (truth != ""))
    lineages = {one: ontology.lineage(one) for one in {*truth[use], *backoff.terms} if one}
    own = np.array([*backoff.terms, None], dtype=object)
    above = np.array([*backoff.candidates, None], dtype=object)

    def within(ones: np.ndarray, lineages_of: np.ndarray) -> np.ndarray:
        """Which of ``ones`` are in the lineages of the others."""
        pairs = zip(ones, lineages_of, strict=True)
        return np.array([one in lineages.get(other, ()) for one, other in pairs], bool)

    assigned = np.where(status == BACKED_OFF, above[term], own[best])
    is_label = (np.array(names, dtype=object)[best] == true) & (status == ASSIGNED)
    not_unassigned = use & (status != UNASSIGNED)
    right = not_unassigned & (is_label | within(assigned, truth))
    called = own[best]
    compared = use & (truth != "") & np.array([one is not None for one in called], bool)
    same = compared & (called == truth)
    counts = {
        "assignable": use,
        "assigned": not_unassigned,
        "backed_off": use & (status == BACKED_OFF),
        "right": right,
        "compared": compared,
        "same": same,
        "narrower": compared & ~same & within(truth, called),
        "broader": compared & ~same & within(called, truth),
    }
    return {name: int(cells.sum()) for name, cells in counts.items()}


def shares_of(counts: dict[str, int]) -> dict[str, Any]:
    """Metrics of :func:`ontology_counts`, which are ``ontology`` among them.

    ``backed_off``, ``hierarchical_accuracy`` (unassigned cells count as wrong) and
    ``hierarchical_accuracy_of_assigned`` are shares of cells that can be assigned rightly;
    ``ontology_accuracy`` is the share of the compared whose predicted label is the true one, a kind
    of it or one that it is a kind of. Each is left out where there are no such cells.
    """
    metrics: dict[str, Any] = {"ontology": counts}
    if counts["assignable"]:
        metrics["backed_off"] = counts["backed_off"] / counts["assignable"]
        metrics["hierarchical_accuracy"] = counts["right"] / counts["assignable"]
    if counts["assigned"]:
        metrics["hierarchical_accuracy_of_assigned"] = counts["right"] / counts["assigned"]
    if counts["compared"]:
        agreeing = counts["same"] + counts["narrower"] + counts["broader"]
        metrics["ontology_accuracy"] = agreeing / counts["compared"]
    return metrics


def ontology_summary(metrics: dict[str, Any]) -> str:
    """The metrics by the ontology in words; empty where there are none."""
    counts, parts = metrics.get("ontology", {}), []
    if "hierarchical_accuracy" in metrics:
        parts.append(
            "accuracy with terms above the true one counted as correct: "
            f"{metrics['hierarchical_accuracy']:.3f}."
        )
    if "ontology_accuracy" in metrics:
        same, narrower, broader = (
            counts[name] / counts["compared"] for name in ("same", "narrower", "broader")
        )
        parts.append(
            f"Of {counts['compared']:,} cells whose true and predicted labels have terms, "
            f"{same:.1%} are called the same type, {narrower:.1%} a kind of it, "
            f"{broader:.1%} a broader type."
        )
    return " ".join(parts)


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
