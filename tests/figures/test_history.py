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


def test_steps_come_in_an_order_that_can_be_repeated() -> None:
    steps = History([File("calls", ALL)]).steps  # type: ignore[list-item]
    tools = [step.tool for step in steps]
    assert tools[:2] == ["fetch-descriptions", "embed-genes"]
    assert tools[-2:] == ["train-reader", "predict"]
    assert tools.count("build-cells") == 2


def test_each_input_was_made_by_a_step_before_it() -> None:
    files = [File("calls", ALL), File("cells-b", (DESCRIBE, EMBED, NEW_CELLS))]
    steps = History(files).steps  # type: ignore[arg-type]
    made: set[str] = set()
    for step in steps:
        assert {source.name for source in step.inputs if source.schema} <= made
        made.add(step.output)
    assert len(made) == len(steps)


def test_outputs_are_identified_by_the_file_at_hand() -> None:
    files = [File("calls", ALL), File("cells-b", (DESCRIBE, EMBED, NEW_CELLS))]
    steps = {step.command: step for step in History(files).steps}  # type: ignore[arg-type]
    predict = next(step for step in steps.values() if step.tool == "predict")
    train = next(step for step in steps.values() if step.tool == "train-reader")
    new = next(step for step in steps.values() if "--genes-per-cell 64" in step.command)
    old = next(
        step
        for step in steps.values()
        if step.tool == "build-cells" and "--genes-per-cell" not in step.command
    )
    assert predict.inputs[0].name == new.output
    assert train.inputs[0].name == old.output


def test_cells_built_like_the_reader_are_identified_without_their_file() -> None:
    like = record("build-cells", {"like": ("reader", "reader-a")}, new=True)
    chain = (TRAIN_CELLS, TRAIN, like, PREDICT)
    steps = History([File("calls", chain)]).steps  # type: ignore[list-item]
    assert [step.tool for step in steps] == [
        "build-cells",
        "train-reader",
        "build-cells",
        "predict",
    ]
    assert steps[1].inputs[0].name == steps[0].output
    assert steps[3].inputs[0].name == steps[2].output


def test_readers_of_several_methods_are_identified_and_the_last_command_names_them() -> None:
    def chain(method: str) -> tuple[Record, ...]:
        train = record("train-reader", {"cells": ("cells", "cells-a")}, method=method)
        taken = {"cells": ("cells", "cells-b"), "reader": ("reader", f"reader-{method}")}
        return (EMBED, TRAIN_CELLS, NEW_CELLS, train, record("predict", taken))

    methods = ["one", "two", "three"]
    calls = [File(f"calls-{method}", chain(method)) for method in methods]
    cells = File("cells-b", (EMBED, NEW_CELLS))
    history = History([*calls, cells])  # type: ignore[list-item]
    steps = history.steps
    readers = {}
    for step in steps:
        words = step.command.split()
        if step.tool == "train-reader":
            readers[words[words.index("--method") + 1]] = step.output
    assert set(readers) == set(methods)
    predicted = [step.output for step in steps if step.tool == "predict"]
    for step in steps:
        if step.tool == "predict":
            source = next(one for one in step.inputs if one.schema == "reader")
            assert readers[source.sha256.removeprefix("reader-")] == source.name
    taken = {"predictions": calls[:1], "cells": [cells], "beside": calls[1:]}
    words = history.command("plot report", {"seed": 0}, taken, "r.html").split()  # type: ignore[arg-type]
    assert words[:2] == ["plot", "report"] and words[-2:] == ["-o", "r.html"]
    assert {word for word in words if word.startswith("predictions")} == set(predicted)


def test_a_users_own_file_is_named_by_role_and_content() -> None:
    [step] = History([File("texts", (DESCRIBE,))]).steps  # type: ignore[list-item]
    assert step.command == "fetch-descriptions genes-counts -o descriptions.h5ad"


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


def test_words_of_a_hostile_value_are_quoted() -> None:
    [step] = History([File("x", (record("predict", {}, label="a; rm -rf ~"),))]).steps  # type: ignore[list-item]
    assert step.command == "predict --label 'a; rm -rf ~' -o predictions.h5ad"
