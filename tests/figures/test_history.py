"""Steps and commands from the provenance."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from screader_lib.exchange.provenance import Record
from screader_lib.figures.report.history import History, default_words


@dataclass
class File:
    """The provenance of an exchange file."""

    sha256: str
    steps: tuple[Record, ...]


def record(tool: str, inputs: dict[str, tuple[str, str]], **parameters: object) -> Record:
    named = {role: {"schema": kind, "sha256": sha} for role, (kind, sha) in inputs.items()}
    return Record(tool, "0.1.0", dict(parameters), named)


DESCRIBE = record("fetch-descriptions", {"genes": ("", "counts")})
EMBED = record("embed-genes", {"descriptions": ("descriptions", "texts")})
TRAIN_CELLS = record(
    "build-cells", {"expression": ("", "train-counts"), "embeddings": ("gene-embeddings", "genes")}
)
NEW_CELLS = record(
    "build-cells",
    {"expression": ("", "new-counts"), "embeddings": ("gene-embeddings", "genes")},
    genes_per_cell=64,
)
TRAIN = record("train-reader", {"cells": ("cells", "cells-a")}, epochs=3, seed=None, amp=True)
PREDICT = record("predict", {"cells": ("cells", "cells-b"), "reader": ("reader", "reader-a")})
ALL = (NEW_CELLS, DESCRIBE, EMBED, TRAIN_CELLS, TRAIN, PREDICT)


CELLS_B = File("cells-b", (DESCRIBE, EMBED, NEW_CELLS))


def history(*files: File) -> History:
    return History(files)  # type: ignore[arg-type]


def test_each_input_was_made_by_a_step_before_it() -> None:
    steps = history(File("calls", ALL), CELLS_B).steps
    made: set[str] = set()
    for step in steps:
        assert {source.name for source in step.inputs if source.schema} <= made
        made.add(step.output)
    assert len(made) == len(steps)


def test_outputs_are_identified_by_the_file_at_hand() -> None:
    steps = history(File("calls", ALL), CELLS_B).steps
    built = [step for step in steps if step.tool == "build-cells"]
    train, predict = steps[-2:]
    new, old = sorted(built, key=lambda step: "--genes-per-cell 64" not in step.command)
    assert predict.inputs[0].name == new.output
    assert train.inputs[0].name == old.output


def test_cells_built_like_the_reader_are_identified_without_their_file() -> None:
    like = record("build-cells", {"like": ("reader", "reader-a")}, new=True)
    steps = history(File("calls", (TRAIN_CELLS, TRAIN, like, PREDICT))).steps
    tools = ["build-cells", "train-reader", "build-cells", "predict"]
    assert [step.tool for step in steps] == tools
    assert steps[1].inputs[0].name == steps[0].output
    assert steps[3].inputs[0].name == steps[2].output


def test_readers_of_several_methods_are_identified_and_the_last_command_names_them() -> None:
    def chain(method: str) -> tuple[Record, ...]:
        train = record("train-reader", {"cells": ("cells", "cells-a")}, method=method)
        inputs = {"cells": ("cells", "cells-b"), "reader": ("reader", f"reader-{method}")}
        return (EMBED, TRAIN_CELLS, NEW_CELLS, train, record("predict", inputs))

    methods = ["one", "two", "three"]
    calls = [File(f"calls-{method}", chain(method)) for method in methods]
    cells = File("cells-b", (EMBED, NEW_CELLS))
    found = history(*calls, cells)
    readers, predicted = {}, []
    for step in found.steps:
        words = step.command.split()
        if step.tool == "train-reader":
            readers[words[words.index("--method") + 1]] = step.output
        if step.tool == "predict":
            predicted.append(step.output)
            source = next(one for one in step.inputs if one.schema == "reader")
            assert readers[source.sha256.removeprefix("reader-")] == source.name
    assert set(readers) == set(methods)
    inputs = {"predictions": calls[:1], "cells": [cells], "compare_with": calls[1:]}
    command = found.command("plot report", {"seed": 0}, inputs, "r.html")  # type: ignore[arg-type]
    words = command.split()
    assert words[:2] == ["plot", "report"] and words[-2:] == ["-o", "r.html"]
    assert {word for word in words if word.startswith("predictions")} == set(predicted)


def test_users_own_files_are_named_by_role_and_content_and_values_are_quoted() -> None:
    [step] = history(File("texts", (DESCRIBE,))).steps
    assert step.command == "fetch-descriptions genes-counts -o descriptions.h5ad"
    [step] = history(File("x", (record("predict", {}, label="a; rm -rf ~"),))).steps
    assert step.command == "predict --label 'a; rm -rf ~' -o predictions.h5ad"


def test_two_files_of_one_step_have_names() -> None:
    one, two = (File(sha256, (DESCRIBE,)) for sha256 in ("texts", "other"))
    found = history(one, two)
    command = found.command("x", {}, {"a": [one], "b": [two]}, "o")  # type: ignore[list-item]
    assert sorted(command.split()[1:3]) == ["descriptions-1.h5ad", "descriptions-2.h5ad"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, []),
        (False, []),
        (True, ["--some-name"]),
        (3, ["--some-name", "3"]),
        (["a", "b"], ["--some-name", "a", "--some-name", "b"]),
    ],
    ids=str,
)
def test_parameters_as_options(value: object, words: list[str]) -> None:
    assert default_words("x", {"some_name": value}, {"in": "file"}) == ["file", *words]
