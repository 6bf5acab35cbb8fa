"""Labels of cells as people write them: which say that there is none, and which look like mistakes.

Texts that stand for no label are those of R, pandas and tools that annotate (scmap, SingleR,
CellTypist, scANVI, Garnett, CELLxGENE). Labels that differ only in case and spaces are near twins.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from screader_lib.exchange.table import Column, LazyColumn, as_strings
from screader_lib.reporting import Reporter, counted

UNKNOWN_LABELS = {
    "", "-", "?", "na", "n/a", "n.a.", "<na>", "#n/a", "nan", "nat", "none", "null", "missing",
    "unknown", "ambiguous", "unassigned", "not assigned", "unlabelled", "unlabeled",
    "unclassified", "undetermined", "not available", "not applicable",
}  # fmt: skip
MISSING_VALUES = ("nan", "NaN", "NA", "<NA>")  # as texts, in a column of numbers or names
SPACES = re.compile(r"[\s_]+|(?<=[^\W\d_])-(?=[^\W\d_])")  # a hyphen between letters, not of CD4-
NUMBER = re.compile(r"[+-]?\d+(\.\d*)?$")
MAX_LISTED = 5


def is_known(label: str) -> bool:
    """Whether a label is more than "", "NA", "unknown" and the like."""
    return label.strip().lower() not in UNKNOWN_LABELS


def _folded(label: str) -> str:
    """What near twins have in common."""
    return SPACES.sub(" ", unicodedata.normalize("NFKC", label).strip()).casefold()


@dataclass(frozen=True)
class Labels:
    """The texts of a column of labels; ``counts`` has the number of cells of each."""

    counts: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, column: LazyColumn) -> Labels:
        """Those of all cells of a column."""
        counts: Counter[str] = Counter()
        for texts in column.string_blocks():
            counts.update(texts.tolist())
        return cls(counts)

    @property
    def known(self) -> list[str]:
        """Those that say something, sorted."""
        return sorted(filter(is_known, self.counts))

    @property
    def twins(self) -> list[list[str]]:
        """Groups of labels that differ only in case and spaces, the most frequent one first."""
        groups: dict[str, list[str]] = defaultdict(list)
        for label in sorted(self.known, key=lambda label: (-self.counts[label], label)):
            groups[_folded(label)].append(label)
        return [group for group in groups.values() if len(group) > 1]

    @property
    def merged(self) -> dict[str, str]:
        """For each near twin the one label of all of them: the most frequent, without spaces."""
        return {label: group[0].strip() for group in self.twins for label in group}

    @property
    def are_codes(self) -> bool:
        """Whether all are numbers, or True and False."""
        known = self.known
        return bool(known) and (
            all(NUMBER.match(label.strip()) for label in known) or set(known) <= {"True", "False"}
        )

    def report(self, column: str, merge: bool, reporter: Reporter) -> None:
        """Tell what the ``column`` holds, and warn of what looks like a mistake.

        ``merge`` says that near twins are read as one label.
        """
        twins = self.twins
        groups = "; ".join(_listed(group, self.counts) for group in twins[:MAX_LISTED])
        groups += "; …" if len(twins) > MAX_LISTED else ""
        types = len(self.known) - merge * sum(len(group) - 1 for group in twins)
        labelled = sum(self.counts[label] for label in self.known)
        reporter.info(
            f"labels are those of {column}: {counted(types, 'type')}, {counted(labelled, 'cell')}."
        )
        missing = [label for label in self.counts if not is_known(label)]
        if missing:
            missing.sort(key=lambda label: (-self.counts[label], label))
            number = counted(self.counts.total() - labelled, "cell")
            reporter.info(f"{number} without a label: {_listed(missing, self.counts)}.")
        if twins and merge:
            reporter.info(
                f"labels that differ only in upper and lower case, spaces or hyphens were merged: "
                f"{groups}."
            )
        elif twins:
            reporter.warning(
                "labels that differ only in upper and lower case, spaces or hyphens are different "
                f"types: {groups}. --merge-labels makes them one."
            )
        if self.are_codes:
            reporter.warning(
                f"labels are {_listed(self.known, self.counts)}: are these clusters, or codes of "
                "names that were lost? Name the column of cell types with --label."
            )


def _listed(labels: list[str], counts: Counter[str]) -> str:
    named = [(repr(label) if label else "empty", counts[label]) for label in labels[:MAX_LISTED]]
    listed = ", ".join(f"{name} ({count:,})" for name, count in named)
    return f"{listed}, …" if len(labels) > MAX_LISTED else listed


def renamed(column: LazyColumn, names: Mapping[str, str]) -> LazyColumn:
    """The column with other texts in place of some of its own."""
    if not names:
        return column

    def rename(piece: Column) -> np.ndarray:
        return np.array([names.get(text, text) for text in as_strings(piece)], dtype=object)

    return column.map(rename, object)
