"""From options to the inputs of ``build-cells``: which files, which of their cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from screader_lib.cells.annotation import Columns, joined, known_labels
from screader_lib.cells.expression import Expression
from screader_lib.cells.query import cells_where
from screader_lib.errors import ScReaderError
from screader_lib.exchange.table import Table
from screader_lib.reporting import SILENT, Reporter


@dataclass(frozen=True)
class Choice:
    """Which cells are wanted; None and empty where an option is not given.

    ``listed`` are names from the file ``list_name``; ``fewest`` is the smallest number of cells
    that a label needs to be kept.
    """

    listed: tuple[str, ...] | None = None
    list_name: str = ""
    query: str | None = None
    dropped: tuple[str, ...] = ()
    fewest: int = 0


def chosen_cells(
    sources: Sequence[Expression],
    choice: Choice,
    columns: Columns,
    reporter: Reporter = SILENT,
) -> list[np.ndarray]:
    """For each source boolean (cells,): the wanted cells.

    ScReaderError where an option names what is not there or no cell is left.
    """
    obs = joined([(source.name, source.obs) for source in sources])
    name = sources[0].name if len(sources) == 1 else "the inputs"
    if not len(obs):
        raise ScReaderError("holds no cells.", file=name)
    columns.found_in(obs, name)
    wanted = np.ones(len(obs), bool)
    if choice.listed is not None:
        wanted &= _listed(obs.index, choice, name)
    if choice.query is not None:
        wanted &= cells_where(choice.query, obs)
    if choice.dropped or choice.fewest > 1:
        wanted &= _by_label(obs, columns, choice, wanted, reporter)
    if not wanted.any():
        raise ScReaderError("no cell is left.", file=name, remedy="Ask for fewer conditions.")
    return np.split(wanted, np.cumsum([len(source.obs) for source in sources])[:-1])


def _listed(names: np.ndarray, choice: Choice, file: str) -> np.ndarray:
    listed = set(choice.listed or ())
    if not listed:
        raise ScReaderError("names no cell.", file=choice.list_name, remedy="One name per line.")
    missing = listed - set(names)
    if missing:
        raise ScReaderError(
            f"{len(missing):,} of {len(listed):,} listed cells are not in {file}, "
            f"such as {min(missing)!r}.",
            file=choice.list_name,
        )
    return np.isin(names.astype(str), np.array(sorted(listed)))


def _by_label(
    obs: Table, columns: Columns, choice: Choice, wanted: np.ndarray, reporter: Reporter
) -> np.ndarray:
    """Cells whose label is neither dropped nor rare; cells without one stay."""
    if columns.label is None:
        raise ScReaderError(
            "--drop-labels and --min-cells-per-label need labels.", remedy="Give --label COLUMN."
        )
    written = obs.strings(columns.label)
    labels = known_labels(written)
    unknown = sorted(set(choice.dropped) - set(written))
    if unknown:
        known = ", ".join(labels.categories[:12])
        raise ScReaderError(
            f"--drop-labels: no cell is labelled {unknown[0]!r}.", remedy=f"Labels: {known}."
        )
    texts = labels.strings()
    counts = Counter(texts[wanted].tolist())
    rare = [label for label in labels.categories
            if label not in choice.dropped and 0 < counts[label] < choice.fewest]  # fmt: skip
    if rare:
        told = ", ".join(f"{label} ({counts[label]})" for label in rare)
        reporter.say(f"labels with fewer than {choice.fewest:,} cells are left out: {told}.")
    return ~np.isin(written.astype(str), np.array([*choice.dropped, *rare], str))
