"""What was done with what, and the commands to repeat it, from the provenance of files."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from screader_lib.exchange.opening import ExchangeFile
from screader_lib.exchange.provenance import Record
from screader_lib.exchange.schema import KINDS, load

# Turns a step's tool, parameters and inputs (role → file name) into words of a command line.
Spelling = Callable[[str, Mapping[str, Any], Mapping[str, Any]], Sequence[str]]


@dataclass(frozen=True)
class RecordedInput:
    """A file that a step took: its role, kind (empty for a user's own) and SHA-256."""

    role: str
    schema: str
    sha256: str
    name: str


@dataclass(frozen=True)
class Step:
    """One step: what ran, from what, into which file, and as which command."""

    tool: str
    version: str
    created: str
    output: str
    inputs: tuple[RecordedInput, ...]
    command: str


class History:
    """The steps that made ``files``, each once, in an order in which they can be repeated."""

    def __init__(self, files: Sequence[ExchangeFile], spelling: Spelling | None = None) -> None:
        records = _in_order(list(dict.fromkeys(_frozen(files))), files)
        made = _outputs(records, files)
        self._spelling = spelling or plain_spelling
        self._names = _names(records, made, files)
        self.steps = [_step(one, made, self._names, self._spelling) for one in records]

    def command(
        self,
        tool: str,
        parameters: Mapping[str, Any],
        inputs: Mapping[str, Sequence[ExchangeFile]],
        output: str,
    ) -> str:
        """A further command that takes ``inputs`` of the files, by role, as the steps name them."""
        named = {role: [self._names[file.sha256] for file in some] for role, some in inputs.items()}
        words = self._spelling(tool, parameters, named)
        return shlex.join([*tool.split(), *words, "-o", output])


class _Key:
    """A record that can be a dictionary's key."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self._repr = repr(record)

    def __hash__(self) -> int:
        return hash(self._repr)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self._repr == other._repr

    @property
    def inputs(self) -> list[str]:
        return [entry["sha256"] for entry in self.record.inputs.values()]


def _frozen(files: Sequence[ExchangeFile]) -> list[_Key]:
    return [_Key(record) for file in files for record in file.steps]


def _kind(key: _Key) -> str:
    """The kind of file that the step's tool writes, empty where unknown."""
    for kind in KINDS:
        if load(kind).written_by == key.record.tool:
            return kind
    return ""


def _in_order(keys: list[_Key], files: Sequence[ExchangeFile]) -> list[_Key]:
    """Steps by the tools' order, then as found; a step that another one needs comes first."""
    order = {kind: number for number, kind in enumerate(KINDS)}
    made = _outputs(keys, files)
    waiting = sorted(keys, key=lambda key: order.get(_kind(key), -1))
    done: list[_Key] = []
    while waiting:
        ready = [key for key in waiting if not _needs(key, made) & set(waiting)] or waiting
        done.append(ready[0])
        waiting.remove(ready[0])
    return done


def _needs(key: _Key, made: Mapping[_Key, str]) -> set[_Key]:
    return {other for other, sha in made.items() if sha in key.inputs and other != key}


def _outputs(keys: Sequence[_Key], files: Sequence[ExchangeFile]) -> dict[_Key, str]:
    """Step → SHA-256 of its output, which no step records of itself.

    Known for the files at hand; of the others, by elimination, first among the steps of each file.
    """
    made = {_Key(file.steps[-1]): file.sha256 for file in files}
    for file in files:
        made = _eliminated([_Key(record) for record in file.steps], made)
    return _eliminated(keys, made)


def _eliminated(keys: Sequence[_Key], known: Mapping[_Key, str]) -> dict[_Key, str]:
    """``known`` and what follows for ``keys``.

    A step's output is of its kind, and nothing that the step is made from is made from it.
    """
    made = dict(known)
    taken = {
        entry["sha256"]: entry["schema"] for key in keys for entry in key.record.inputs.values()
    }
    for _ in keys:
        for key in keys:
            free = [
                sha
                for sha, kind in taken.items()
                if kind == _kind(key) and sha not in made.values() and sha not in _above(key, made)
            ]
            rivals = [other for other in keys if other not in made and _kind(other) == _kind(key)]
            if key not in made and free and (len(free) == 1 or len(rivals) == 1):
                made[key] = free[0]
    return made


def _above(key: _Key, made: Mapping[_Key, str]) -> set[str]:
    """SHA-256 of everything that the step was made from, as far as known."""
    found: set[str] = set()
    waiting = list(key.inputs)
    while waiting:
        sha = waiting.pop()
        if sha in found:
            continue
        found.add(sha)
        for other, output in made.items():
            if output == sha:
                waiting.extend(other.inputs)
    return found


def _names(
    keys: Sequence[_Key], made: Mapping[_Key, str], files: Sequence[ExchangeFile]
) -> dict[str, str]:
    """SHA-256 → a file name: the kind's, with a number where there are several."""
    hashes: dict[str, str] = {}
    for key in keys:
        for role, entry in key.record.inputs.items():
            known = hashes.get(entry["sha256"], "~")
            hashes[entry["sha256"]] = min(known, entry["schema"] or f"{role}?")
        if key in made:
            hashes.setdefault(made[key], _kind(key))
    for file in files:  # two of the same step have but one of their hashes above
        hashes.setdefault(file.sha256, _kind(_Key(file.steps[-1])))
    names: dict[str, str] = {}
    for sha, kind in hashes.items():
        if kind.endswith("?"):
            names[sha] = f"{kind[:-1]}-{sha[:8]}"
            continue
        same = [other for other, its in hashes.items() if its == kind]
        number = "" if len(same) == 1 else f"-{same.index(sha) + 1}"
        names[sha] = f"{kind}{number}{'.h5' if kind == 'reader' else '.h5ad'}"
    return names


def _step(
    key: _Key, made: Mapping[_Key, str], names: Mapping[str, str], spelling: Spelling
) -> Step:
    record = key.record
    sources = tuple(
        RecordedInput(role, entry["schema"], entry["sha256"], names[entry["sha256"]])
        for role, entry in record.inputs.items()
    )
    fallback = f"{_kind(key) or 'output'}-{abs(hash_of(record)) % 10000:04}.h5ad"
    output = names.get(made.get(key, ""), fallback)
    words = spelling(record.tool, record.parameters, {one.role: one.name for one in sources})
    command = shlex.join([record.tool, *words, "-o", output])
    return Step(record.tool, record.version, record.created, output, sources, command)


def hash_of(record: Record) -> int:
    """A number from a record's content, the same in every process."""
    import zlib

    return zlib.crc32(repr(record).encode())


def plain_spelling(
    tool: str, parameters: Mapping[str, Any], inputs: Mapping[str, Any]
) -> list[str]:
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
