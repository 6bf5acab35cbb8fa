"""The steps that made files, and the commands to repeat them, from the files' provenance."""

from __future__ import annotations

import shlex
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from screader_lib.exchange.opening import ExchangeFile
from screader_lib.exchange.provenance import Record
from screader_lib.exchange.schema import KINDS, load

# Turns a step's tool, parameters and inputs (role → file name) into words of a command line.
CommandWords = Callable[[str, Mapping[str, Any], Mapping[str, Any]], Sequence[str]]


@dataclass(frozen=True)
class StepInput:
    """A file that a step read: its role, kind (empty for a user's own), SHA-256, and name."""

    role: str
    schema: str
    sha256: str
    name: str


@dataclass(frozen=True)
class Step:
    """One step: what ran, on what, what it wrote, and its command."""

    tool: str
    version: str
    created: str
    output: str
    inputs: tuple[StepInput, ...]
    command: str


def default_words(tool: str, parameters: Mapping[str, Any], inputs: Mapping[str, Any]) -> list[str]:
    """Inputs as arguments and every parameter as the option of its name."""
    words = [name for one in inputs.values() for name in ([one] if isinstance(one, str) else one)]
    for name, value in parameters.items():
        option = f"--{name.replace('_', '-')}"
        if value is None or value is False or value == "":
            continue
        if value is True:
            words.append(option)
            continue
        for one in value if isinstance(value, list | tuple) else [value]:
            words += [option, str(one)]
    return words


class History:
    """The steps that made ``files``, each once, in an order in which they can be repeated."""

    def __init__(self, files: Sequence[ExchangeFile], words: CommandWords = default_words) -> None:
        runs: dict[str, _Run] = {}
        kind_of = {load(kind).written_by: kind for kind in KINDS}
        by_file = [
            [runs.setdefault(repr(r), _Run(r, kind_of.get(r.tool, ""))) for r in file.steps]
            for file in files
        ]
        hashes = [file.sha256 for file in files]
        # Steps do not record the hash of their own output. It is known for the files at hand;
        # the others follow by elimination, first among the steps of each file.
        outputs = {chain[-1]: sha256 for chain, sha256 in zip(by_file, hashes, strict=True)}
        for chain in [*by_file, list(runs.values())]:
            _eliminate(chain, outputs)
        ordered = _in_order(list(runs.values()), outputs)
        kinds = {sha256: chain[-1].kind for chain, sha256 in zip(by_file, hashes, strict=True)}
        self._words = words
        self._names = _file_names(ordered, outputs, kinds)
        self.steps = [self._step(run, outputs) for run in ordered]

    def command(
        self,
        tool: str,
        parameters: Mapping[str, Any],
        inputs: Mapping[str, Sequence[ExchangeFile]],
        output: str,
    ) -> str:
        """A further command on ``inputs``, files at hand by role, with their names in the steps."""
        named = {role: [self._names[file.sha256] for file in some] for role, some in inputs.items()}
        return shlex.join([*tool.split(), *self._words(tool, parameters, named), "-o", output])

    def _step(self, run: _Run, outputs: Mapping[_Run, str]) -> Step:
        record = run.record
        inputs = tuple(
            StepInput(role, entry["schema"], entry["sha256"], self._names[entry["sha256"]])
            for role, entry in record.inputs.items()
        )
        number = zlib.crc32(repr(record).encode()) % 10000
        output = self._names.get(outputs.get(run, ""), f"{run.kind or 'output'}-{number:04}.h5ad")
        named = {one.role: one.name for one in inputs}
        words = self._words(record.tool, record.parameters, named)
        command = shlex.join([record.tool, *words, "-o", output])
        return Step(record.tool, record.version, record.created, output, inputs, command)


@dataclass(eq=False)
class _Run:
    """A recorded step; ``kind`` is that of the file it writes, empty where unknown."""

    record: Record
    kind: str

    @property
    def inputs(self) -> set[str]:
        return {entry["sha256"] for entry in self.record.inputs.values()}


def _in_order(runs: list[_Run], outputs: Mapping[_Run, str]) -> list[_Run]:
    """By the order of the tools, then as recorded; a step that another one needs comes first."""
    rank = {kind: number for number, kind in enumerate(KINDS)}
    waiting = sorted(runs, key=lambda run: rank.get(run.kind, -1))
    done: list[_Run] = []
    while waiting:
        made = {run: outputs[run] for run in waiting if run in outputs}
        ready = (
            run
            for run in waiting
            if not any(sha256 in run.inputs for other, sha256 in made.items() if other is not run)
        )
        done.append(next(ready, waiting[0]))
        waiting.remove(done[-1])
    return done


def _eliminate(runs: Sequence[_Run], outputs: dict[_Run, str]) -> None:
    """Add to ``outputs`` what follows for ``runs``.

    A step's output is of its kind, and nothing that the step is made from is made from it.
    """
    kinds = {
        entry["sha256"]: entry["schema"] for run in runs for entry in run.record.inputs.values()
    }
    for _ in runs:
        for run in runs:
            if run in outputs:
                continue
            taken = {*outputs.values(), *_ancestors(run, outputs)}
            free = [sha for sha, kind in kinds.items() if kind == run.kind and sha not in taken]
            rivals = sum(other not in outputs and other.kind == run.kind for other in runs)
            if free and (len(free) == 1 or rivals == 1):
                outputs[run] = free[0]


def _ancestors(run: _Run, outputs: Mapping[_Run, str]) -> set[str]:
    """SHA-256 of everything that the step was made from, as far as known."""
    result: set[str] = set()
    waiting = list(run.inputs)
    while waiting:
        sha256 = waiting.pop()
        if sha256 not in result:
            result.add(sha256)
            makers = [other for other, output in outputs.items() if output == sha256]
            waiting += [one for maker in makers for one in maker.inputs]
    return result


def _file_names(
    runs: Sequence[_Run], outputs: Mapping[_Run, str], at_hand: Mapping[str, str]
) -> dict[str, str]:
    """SHA-256 → a file name: of the kind, numbered where there are several.

    Users' own files are named by their role and the beginning of their SHA-256. ``at_hand`` is
    SHA-256 → kind of the files at hand.
    """
    kinds: dict[str, str] = {}
    roles: dict[str, str] = {}
    for run in runs:
        for role, entry in run.record.inputs.items():
            kinds[entry["sha256"]] = kinds.get(entry["sha256"]) or entry["schema"]
            roles[entry["sha256"]] = min(role, roles.get(entry["sha256"], role))
        if run in outputs:
            kinds.setdefault(outputs[run], run.kind)
    for sha256, kind in at_hand.items():  # two files of one step: it has one of their hashes
        kinds.setdefault(sha256, kind)
    names = {}
    for sha256, kind in kinds.items():
        if not kind and sha256 in roles:
            names[sha256] = f"{roles[sha256]}-{sha256[:8]}"
            continue
        same = [other for other, its in kinds.items() if its == kind]
        number = "" if len(same) == 1 else f"-{same.index(sha256) + 1}"
        names[sha256] = f"{kind or 'output'}{number}{'.h5' if kind == 'reader' else '.h5ad'}"
    return names
