"""Each of many files annotated by itself, in one process: outputs are named after the inputs."""

from __future__ import annotations

import gc
import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from screader_lib.command_line.run import ToolRun
from screader_lib.errors import ScReaderError
from screader_lib.reporting import Reporter, counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from screader_lib.annotation.calls import Calls
    from screader_lib.exchange.provenance import Provenance, Record

NAME = "{name}"
OUTPUTS = ("output", "calls", "cluster_table", "report")
ENDINGS = (".gz", ".bz2", ".xz", ".zst", ".zip", ".tar", ".tgz")
FORMATS = (
    ".h5ad", ".h5mu", ".h5", ".loom", ".zarr", ".mtx", ".csv", ".tsv", ".txt", ".rds", ".rdata",
    ".rda",
)  # fmt: skip

IsDone = Callable[[Callable[[], "Provenance"]], bool]
AnnotateOne = Callable[[ToolRun, IsDone], "Calls | None"]


def are_named_after_inputs(given: Mapping[str, Any]) -> bool:
    """Whether an output's name has ``{name}`` in it."""
    return any(NAME in (given[option] or "") for option in OUTPUTS)


def annotate_each(run: ToolRun, inputs: Sequence[str], annotate: AnnotateOne) -> None:
    """``annotate(run, is_done)`` for each of the inputs, as if the command named it alone.

    ``is_done`` says of the provenance that a function gives whether all outputs are there and were
    made so: then nothing is left to do. A sample that cannot be annotated does not keep the others
    from it; in the end it is named in a ScReaderError.
    """
    runs = _runs_of_samples(run, inputs)
    failed: list[str] = []
    there = 0
    for number, (name, of_sample) in enumerate(runs.items(), 1):
        shown = f"[{number:,} of {len(runs):,}] {name}"
        try:
            calls = annotate(of_sample, partial(_is_done, of_sample))
        except ScReaderError as error:
            failed.append(name)
            run.reporter.warning(f"{shown}: {error}")
            continue
        finally:
            gc.collect()  # what a sample leaves in cycles can be large
        there += calls is None
        run.reporter.info(f"{shown}: {'there already' if calls is None else _summary(calls)}.")
    done = counted(len(runs) - len(failed) - there, "sample") + " annotated"
    if there:
        done += f", {there:,} there already"
    if failed:
        raise ScReaderError(
            f"{done}, {len(failed):,} not: {', '.join(failed)}.",
            remedy="The same command goes on with these; the reasons are above.",
        )
    run.reporter.info(f"{done}.")


def _runs_of_samples(run: ToolRun, inputs: Sequence[str]) -> dict[str, ToolRun]:
    """A run for each input, by its name; a usage error where outputs would not be told apart."""
    given = run.context.params
    lacking = [option for option in OUTPUTS if given[option] and NAME not in given[option]]
    if lacking:
        hint = lacking[0].replace("_", "-")
        raise click.UsageError(f"--{hint} needs {NAME} in its name as well.", run.context)
    if given["in_place"] or not given["reader"] or "-" in inputs:
        raise click.UsageError(
            f"outputs with {NAME} need files and --reader, without --in-place.", run.context
        )
    runs = {}
    for path, name in zip(inputs, sample_names(inputs), strict=True):
        context = click.Context(run.context.command, run.context.parent, run.context.info_name)
        context.params = {**given, "expression": (path,)}
        for option in OUTPUTS:
            if given[option]:
                context.params[option] = given[option].replace(NAME, name)
        runs[name] = ToolRun(run.tool, context, OfSample(run.reporter, name))
    if len(runs) < len(inputs):
        twice = Counter(sample_names(inputs)).most_common(1)[0][0]
        raise click.UsageError(f"several inputs would be named {twice!r}.", run.context)
    return runs


def sample_names(paths: Sequence[str]) -> list[str]:
    """A name for each input: its file's, after that of a folder where files are named alike.

    That is the innermost one by which those can be told apart, as in
    ``sample1/outs/filtered_feature_bc_matrix.h5``.
    """
    parts = [Path(os.path.abspath(path)).parts for path in paths]  # noqa: PTH100
    names = [_stem(each[-1]) for each in parts]
    alike: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        alike.setdefault(name, []).append(number)
    for numbers in alike.values():
        for depth in range(2, min(len(parts[number]) for number in numbers) + 1):
            folders = [parts[number][-depth] for number in numbers]
            if len(set(folders)) == len(numbers) > 1:
                for number, folder in zip(numbers, folders, strict=True):
                    names[number] = f"{folder}-{names[number]}"
                break
    return names


def _stem(name: str) -> str:
    for endings in (ENDINGS, FORMATS):
        for ending in endings:
            if name.lower().endswith(ending) and len(name) > len(ending):
                name = name[: -len(ending)]
                break
    return name


def _is_done(run: ToolRun, made: Callable[[], Provenance]) -> bool:
    import h5py

    from screader_lib.exchange import provenance

    paths = [run.context.params[option] for option in OUTPUTS if run.context.params[option]]
    output = run.context.params["output"]
    if not output or not all(Path(path).exists() for path in paths):
        return False
    try:
        with h5py.File(output, "r", locking=False) as file:
            return _as_stored(provenance.read(file).record) == _as_stored(made().record)
    except Exception:  # another file, which is replaced
        return False


def _as_stored(record: Record) -> str:
    return json.dumps(asdict(record), sort_keys=True)


def _summary(calls: Calls) -> str:
    from screader_lib.annotation.calls import STATUS
    from screader_lib.exchange.table import Categorical

    status = calls.obs[STATUS]
    assert isinstance(status, Categorical)
    counts = Counter(status.codes.tolist())
    listed = ", ".join(f"{counts[code]:,} {status.categories[code]}" for code in sorted(counts))
    return f"{counted(calls.called, 'cell')}: {listed}"


class OfSample(Reporter):
    """Passes on what is said of one of many samples: information only where details are wanted."""

    def __init__(self, reporter: Reporter, name: str) -> None:
        self.reporter, self.name = reporter, name

    def info(self, message: str) -> None:
        self.reporter.detail(f"{self.name}: {message}")

    def detail(self, message: str) -> None:
        self.reporter.detail(f"{self.name}: {message}")

    def warning(self, message: str) -> None:
        own = message.startswith(self.name)
        self.reporter.warning(message if own else f"{self.name}: {message}")

    @contextmanager
    def progress(
        self, description: str, total: int, unit: str = ""
    ) -> Iterator[Callable[[int], None]]:
        with self.reporter.progress(f"{self.name}: {description}", total, unit) as advance:
            yield advance
