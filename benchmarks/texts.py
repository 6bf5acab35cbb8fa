"""LLM or none, true texts or others, few labels or many: one grid (benchmarks/texts.md).

    python benchmarks/texts.py DATA --work FOLDER --results FILE [--vectors NAME=FILE ...] \
        [--only FIELD=VALUE ...]

DATA holds the h5ad files of ``text_columns.DATA`` and the marker tables. Cells and gene embeddings
are made in FOLDER once. Finished runs are kept in FILE, one JSON a line, and not run again, so the
command may be killed at any time. The most telling cells of the grid come first. ``--vectors``
adds a column with the gene embeddings of another model (`embed-genes --import`). ``--tables``
prints what is there and runs nothing. ``--only`` runs a part of the grid, such as
``reading=head half=False seed=0 seed=1``; parts may run beside each other, into one FILE.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from few_labels import macro_f1
from text_columns import (
    DATA,
    LLMS,
    SCENARIOS,
    TEXTS,
    crossings,
    prepare_cells,
    prepare_texts,
)

LABELS = (1, 5, 20, 0)  # a type; 0: all
SEEDS, DEALS = 5, 2
NOT_RUN = "–"
T_95 = {3: 4.303, 4: 3.182, 5: 2.776}  # of Student's distribution, by the number of seeds
TITLES = {
    "outputs": "Nothing trained but a logistic regression on the outputs",
    "head": "The head alone, trained through the LLM",
    "reader": "The whole reader",
}


@dataclass(frozen=True)
class Run:
    """A cell of the grid, once; ``labels`` a type, 0 for all; ``half`` of the types."""

    scenario: str
    reading: str
    llm: str
    texts: str
    labels: int
    half: bool
    seed: int

    @property
    def deal(self) -> int:
        """Number of the shuffled texts, the random tokens and the random LLM.

        Where all cells of all types have labels, nothing else differs between seeds.
        """
        return self.seed if self.labels == 0 and not self.half else self.seed % DEALS


def plan(texts: Iterable[str]) -> Iterator[Run]:
    """All runs, the most telling first; some come again later."""
    several = tuple(texts)

    def some(
        reading: str, llms: Iterable[str], texts: Iterable[str], labels: Iterable[int],
        halves: Iterable[bool] = (False,), seeds: Iterable[int] = range(SEEDS),
    ) -> Iterator[Run]:  # fmt: skip
        for one in product(seeds, SCENARIOS, texts, labels, halves, llms):
            seed, scenario, text, count, half, llm = one
            yield Run(scenario, reading, llm, text, count, half, seed)

    for reading in ("genes", "components"):
        yield from some(reading, ("",), ("",), LABELS, (False, True))
    for scenario, deal, text, llm in product(SCENARIOS, range(SEEDS), several, LLMS):
        for run in some("outputs", (llm,), (text,), LABELS, (False, True)):
            if run.scenario == scenario and run.deal == deal:
                yield run
    few, first = (1, 5), (0, 1)
    yield from some("head", LLMS, ("true",), few)
    yield from some("reader", ("none",), several, few)
    yield from some("head", LLMS, ("shuffled",), few)
    yield from some("reader", LLMS[1:], ("true",), few, seeds=first)
    yield from some("head", LLMS, ("true", "shuffled"), (20, 0), seeds=first)
    yield from some("reader", ("none",), several, (20, 0))
    yield from some("reader", LLMS[1:], ("true",), (20, 0), seeds=first)
    yield from some("head", LLMS, several, few)
    for reading in ("head", "reader"):
        yield from some(reading, LLMS, several, LABELS, (False, True))


def finished(results: Path) -> dict[Run, dict[str, Any]]:
    """What is in the file; a line that was cut off by a kill is taken away."""
    if not results.exists():
        return {}
    lines = results.read_bytes().splitlines(keepends=True)
    if lines and not lines[-1].endswith(b"\n"):
        os.truncate(results, sum(map(len, lines[:-1])))
        lines.pop()
    found = {}
    for line in lines:
        content = json.loads(line)
        found[Run(**content.pop("run"))] = content
    return found


def add(results: Path, run: Run, content: dict[str, Any]) -> None:
    """Append a run to the file, in one write."""
    line = json.dumps({"run": run.__dict__, **content}) + "\n"
    sink = os.open(results, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(sink, line.encode())
    os.close(sink)


def is_wanted(run: Run, only: dict[str, list[str]]) -> bool:
    """Whether each of the fields has one of the values."""
    return all(str(getattr(run, field)) in values for field, values in only.items())


def run_all(
    folder: Path, results: Path, vectors: dict[str, Path], only: dict[str, list[str]]
) -> None:
    """Run what is not done yet, of what is wanted."""
    done = finished(results)
    with crossings(folder, vectors) as every:
        last = None
        for run in plan([*TEXTS, *vectors]):
            if run in done or not is_wanted(run, only):
                continue
            key = run.scenario, run.texts, run.llm, run.deal
            if key != last:
                every[run.scenario].forget()
                last = key
            crossing, start = every[run.scenario], time.monotonic()
            draw = crossing.draw(run.labels, run.half, run.seed)
            called = crossing.called(run.reading, run.llm, run.texts, draw, run.seed, run.deal)
            content = {
                "accuracy": float((called == draw.test_truth).mean()),
                "macro_f1": macro_f1(draw.test_truth, called),
                "types": len(draw.names),
                "cells": len(draw.test_rows),
                "seconds": round(time.monotonic() - start, 2),
            }
            add(results, run, content)
            done[run] = content


def run_types(data: Path, results: Path) -> None:
    """No labels: `annotate --types` by texts alone, on every data set."""
    from no_labels import SETS
    from no_labels import Cells as TypedCells
    from text_columns import types_by_text

    done = finished(results)
    wanted = [
        Run(name, "types", "", text, -1, half, seed)
        for name, half, text, seed in product(
            SETS, (False, True), ("true", "names", "shuffled"), range(SEEDS)
        )
    ]
    for name in SETS:
        left = [run for run in wanted if run.scenario == name and run not in done]
        if not left:
            continue
        cells = TypedCells.load(data, name, False)
        for run in left:
            random, kinds = np.random.default_rng([run.seed, 1]), np.arange(len(cells.names))
            if run.half:
                kinds = np.sort(random.permutation(kinds)[: -(-len(kinds) // 2)])
            of = types_by_text(cells.by["both"], run.texts, kinds, run.seed)
            called = kinds[of.evidence(cells.groupings).probability.argmax(1)]
            accuracy, f1 = replace(
                cells, truth=np.where(np.isin(cells.truth, kinds), cells.truth, -1)
            ).measured(called)
            add(results, run, {"accuracy": accuracy, "macro_f1": f1, "types": len(kinds)})


def shown(values: list[float], signed: bool = False) -> str:
    """Mean and half the width of its 95 % interval; with few seeds their number instead."""
    if not values:
        return NOT_RUN
    mean = f"{np.mean(values):+.3f}" if signed else f"{np.mean(values):.3f}"
    if len(values) not in T_95:
        return f"{mean} ({len(values)})"
    return f"{mean} ± {half_width(values):.3f}"


def half_width(values: list[float]) -> float:
    """Of the mean's 95 % interval over seeds."""
    return T_95[len(values)] * float(np.std(values, ddof=1)) / len(values) ** 0.5


def print_table(titles: list[str], rows: list[list[str]], fixed: int) -> None:
    """As Markdown, without rows and columns after the first ``fixed`` in which nothing was run."""
    rows = [row for row in rows if set(row[fixed:]) != {NOT_RUN}]
    kept = [
        number
        for number in range(len(titles))
        if number < fixed or any(row[number] != NOT_RUN for row in rows)
    ]
    if rows:
        print(f"\n| {' | '.join(titles[one] for one in kept)} |\n|{'---|' * len(kept)}")
    for row in rows:
        print(f"| {' | '.join(row[one] for one in kept)} |")


class Table:
    """Prints finished runs as Markdown; all figures are macro F1."""

    def __init__(self, done: dict[Run, dict[str, Any]], texts: list[str]) -> None:
        self.done, self.texts = done, texts

    def values(self, run: Run) -> dict[int, float]:
        """Macro F1 by seed."""
        found = ((seed, self.done.get(replace(run, seed=seed))) for seed in range(SEEDS))
        return {seed: one["macro_f1"] for seed, one in found if one}

    def differences(self, run: Run, other: Run) -> list[float]:
        """Of the seeds that both have."""
        own, others = self.values(run), self.values(other)
        return [own[seed] - others[seed] for seed in own.keys() & others.keys()]

    def types(self) -> None:
        """No labels."""
        texts, rows = ("true", "names", "shuffled"), []
        for name, half in product(DATA, (False, True)):
            runs = [Run(name, "types", "", text, -1, half, 0) for text in texts]
            rows.append([name, "half" if half else "all", *map(self.entry, runs)])
        print_table(["no labels", "types", *texts], rows, 2)

    def entry(self, run: Run) -> str:
        """Macro F1 over the seeds."""
        return shown([*self.values(run).values()])

    def reading(self, reading: str, half: bool) -> None:
        """A row for each scenario and number of labels."""
        titles = ["genes", "components", *(f"{llm}, {text}" for text in self.texts for llm in LLMS)]
        rows = []
        for name, labels in product(SCENARIOS, LABELS):
            runs = [Run(name, one, "", "", labels, half, 0) for one in ("genes", "components")]
            for text, llm in product(self.texts, LLMS):
                runs.append(Run(name, reading, llm, text, labels, half, 0))
            rows.append([name, str(labels or "all"), *map(self.entry, runs)])
        print_table([TITLES[reading], "labels", *titles], rows, 4)

    def compared(self, title: str, change: dict[str, str], half: bool) -> None:
        """What is lost by ``change``, for each reading and kind of text."""
        pairs = self._pairs(change)
        rows, above, below, compared = [], 0, 0, 0
        for name, labels in product(SCENARIOS, LABELS):
            row = [name, str(labels or "all")]
            for reading, text in pairs:
                llm = "SmolLM2" if "llm" in change else text
                run = Run(name, reading, llm, text if "llm" in change else "true", labels, half, 0)
                values = self.differences(run, replace(run, **change))
                entry = shown(values, signed=True)
                if len(values) in T_95:
                    compared += 1
                    if abs(np.mean(values)) > half_width(values):
                        entry = f"**{entry}**"
                        above, below = above + (np.mean(values) > 0), below + (np.mean(values) < 0)
                row.append(entry)
            rows.append(row)
        print_table([title, "labels", *(f"{reading}, {text}" for reading, text in pairs)], rows, 2)
        print(
            f"\nOf {compared} differences with an interval, {above} are above zero and {below} "
            f"below it by more than chance ({0.025 * compared:.0f} each by chance alone)."
        )

    def _pairs(self, change: dict[str, str]) -> list[tuple[str, str]]:
        others = self.texts if "llm" in change else LLMS
        return [(reading, other) for reading in TITLES for other in others]


def main() -> None:
    """Run what is not done yet, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--vectors", nargs="*", default=[], metavar="NAME=FILE")
    parser.add_argument("--only", nargs="*", default=[], metavar="FIELD=VALUE")
    parser.add_argument("--tables", action="store_true")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    pairs = (word.partition("=") for word in given.vectors)
    vectors = {name: Path(path) for name, _, path in pairs}
    only: dict[str, list[str]] = {}
    for field, _, value in (word.partition("=") for word in given.only):
        only.setdefault(field, []).append(value)
    if not given.tables:
        prepare_cells(given.data, given.work)
        prepare_texts(given.work)
        if not only:
            run_types(given.data, given.results)
        run_all(given.work, given.results, vectors, only)
    table = Table(finished(given.results), [*TEXTS, *vectors])
    table.types()
    for half, reading in product((False, True), TITLES):
        print(f"\n{'Half' if half else 'All'} of the types:")
        table.reading(reading, half)
    for half in (False, True):
        print(f"\n{'Half' if half else 'All'} of the types:")
        table.compared("SmolLM2 less random LLM", {"llm": "random"}, half)
        table.compared("SmolLM2 less none", {"llm": "none"}, half)
        table.compared("true texts less shuffled", {"texts": "shuffled"}, half)


if __name__ == "__main__":
    main()
