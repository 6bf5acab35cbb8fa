"""From options to the inputs of ``build-cells``: which files, which of their cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from screader_lib.cells.annotation import Columns, by_category, is_known, joined
from screader_lib.cells.expression import Expression
from screader_lib.cells.query import cells_where
from screader_lib.errors import ScReaderError
from screader_lib.exchange.long_table import LongColumn, LongTable
from screader_lib.exchange.table import Categorical
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


def _listed(names: LongColumn, choice: Choice, file: str) -> np.ndarray:
    listed = set(choice.listed or ())
    if not listed:
        raise ScReaderError("names no cell.", file=choice.list_name, remedy="One name per line.")
    missing = set(listed)
    found = []
    for some in names.texts():
        missing.difference_update(some)
        found.append(np.fromiter((name in listed for name in some), bool, len(some)))
    if missing:
        raise ScReaderError(
            f"{len(missing):,} of {len(listed):,} listed cells are not in {file}, "
            f"such as {min(missing)!r}.",
            file=choice.list_name,
        )
    return np.concatenate(found)


def _by_label(
    obs: LongTable, columns: Columns, choice: Choice, wanted: np.ndarray, reporter: Reporter
) -> np.ndarray:
    """Cells whose label is neither dropped nor rare; cells without one stay."""
    if columns.label is None:
        raise ScReaderError(
            "--drop-labels and --min-cells-per-label need labels.", remedy="Give --label COLUMN."
        )
    labels = by_category(obs.column(columns.label)).whole()
    assert isinstance(labels, Categorical)
    names = labels.categories
    unknown = sorted(set(choice.dropped) - set(names))
    if unknown:
        known = ", ".join([name for name in names if is_known(name)][:12])
        raise ScReaderError(
            f"--drop-labels: no cell is labelled {unknown[0]!r}.", remedy=f"Labels: {known}."
        )
    counts = np.bincount(labels.codes[wanted], minlength=len(names))
    rare = {name: int(count) for name, count in zip(names, counts, strict=True)
            if is_known(name) and name not in choice.dropped
            and 0 < count < choice.fewest}  # fmt: skip
    if rare:
        told = ", ".join(f"{name} ({count})" for name, count in rare.items())
        reporter.say(f"labels with fewer than {choice.fewest:,} cells are left out: {told}.")
    stays = np.array([name not in choice.dropped and name not in rare for name in names], bool)
    return stays[labels.codes]
