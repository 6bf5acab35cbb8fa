"""Every option of the command line is in its wrapper, or left out for a reason that is told."""

from __future__ import annotations

import re

import click
import pytest
from galaxy.wrappers import COMMANDS, click_options, command, options_used, params, tool

from screader_lib.readers.registry import known_readers

SERVER_DECIDES = "the server's administrators decide where a job computes and what it may ask"
COMPILER = "it needs a compiler where the job runs, and pays off in long runs only"
JOB_ENDS = "Galaxy runs a job that was killed from its start, in a folder of its own"
OMITTED = {
    "fetch_descriptions": {
        "--cache": "a job's folder; administrators set SCREADER_CACHE to share one",
        "--refresh": "a job's cache is empty",
        "--files-url": SERVER_DECIDES,
        "--eutils-url": SERVER_DECIDES,
        "--datasets-url": SERVER_DECIDES,
    },
    "build_cells": {"--check": "a job that builds the cells tells the same faults"},
    "embed_genes": {
        "--cache": "a job's folder; administrators set SCREADER_CACHE to share one",
        "--no-cache": "a job's cache is empty",
        "--device": SERVER_DECIDES,
    },
    "train_reader": {
        "--llm-revision": "the LLMs of the data table are folders, of one revision each",
        "--device": SERVER_DECIDES,
        "--compile": COMPILER,
        "--checkpoint": JOB_ENDS,
        "--checkpoint-minutes": JOB_ENDS,
    },
    "predict": {
        "--device": SERVER_DECIDES,
        "--compile": COMPILER,
        "--checkpoint": JOB_ENDS,
    },
    "annotate": {
        "--in-place": "Galaxy's datasets never change: a job writes new ones",
        "--device": SERVER_DECIDES,
        "--compile": COMPILER,
    },
}
FROM_GALAXY = {"--threads"}  # what the server grants, no parameter
OTHER_DEFAULTS = {"--min-confidence"}  # asked for only where it is wanted
OTHER_VALUES = {"--provider", "--palette"}  # checked below, or free on the command line


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_in_the_wrapper_or_omitted_for_a_reason(name: str) -> None:
    known, omitted = set(click_options(name)), set(OMITTED.get(name, {}))
    used = options_used(name)
    assert known - used - omitted == set(), "neither in the wrapper nor omitted"
    assert used - known - {"--output"} == set(), "not an option of the command line"
    assert omitted & used == set(), "omitted, but used"
    assert omitted <= known, "omitted, but no option"
    assert all(OMITTED.get(name, {}).values())


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_names_every_option(name: str) -> None:
    told = tool(name).findtext("help") or ""
    words = {f"``{word}``" for word in options_used(name) - FROM_GALAXY - {"--output"}}
    words.discard("``--no-gene-scores``")  # the switch's other side
    assert {word for word in words if word not in told} == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_choices_are_those_of_the_command_line(name: str) -> None:
    options = click_options(name)
    for param in params(name):
        option = options.get(param.get("argument", ""))
        if param.get("type") != "select" or option is None or param.get("argument") in OTHER_VALUES:
            continue
        offered = {choice.attrib["value"] for choice in param.findall("option")}
        if isinstance(option.type, click.Choice):
            assert offered == set(option.type.choices), param.attrib


@pytest.mark.parametrize("name", COMMANDS)
def test_no_empty_choice_is_handed_over_as_a_word(name: str) -> None:
    """Galaxy writes a select without a choice as "None", which is true as a string."""
    empty = {
        param.get("name") or param.get("argument", "").lstrip("-").replace("-", "_")
        for param in params(name)
        if param.get("type") == "select" and param.get("optional") == "true"
    }
    asked = re.findall(r"#(?:else )?if str\(\$([\w.]+)\)", command(name))
    assert [path for path in asked if path.split(".")[-1] in empty] == []


def test_providers_of_embeddings_are_those_of_the_command_line() -> None:
    (param,) = [p for p in params("embed_genes") if p.get("argument") == "--provider"]
    offered = {choice.attrib["value"] for choice in param.findall("option")}
    choices = click_options("embed_genes")["--provider"].type.choices
    assert offered == {*choices, "import", "like"}


def test_packaged_readers_are_those_of_the_suite() -> None:
    packaged = {entry.name for entry in known_readers() if entry.known_from == "packaged"}
    (param,) = [p for p in params("annotate") if p.get("name") == "packaged"]
    assert {choice.attrib["value"] for choice in param.findall("option")} == packaged


def test_pictures_are_those_of_the_command_line() -> None:
    (param,) = [p for p in params("plot") if p.get("name") == "picture"]
    offered = {f"figures.{choice.attrib['value']}" for choice in param.findall("option")}
    assert offered == set(COMMANDS["plot"])


@pytest.mark.parametrize("name", COMMANDS)
def test_numbers_have_the_limits_and_defaults_of_the_command_line(name: str) -> None:
    options = click_options(name)
    for param in params(name):
        option = options.get(param.get("argument", ""))
        if option is None or param.get("type") not in ("integer", "float"):
            continue
        for key in ("min", "max"):
            limit = getattr(option.type, key, None)
            if limit is not None and not getattr(option.type, f"{key}_open", False):
                assert float(param.attrib[key]) == limit, param.attrib
        default = option.to_info_dict()["default"]
        if isinstance(default, int | float) and param.get("argument") not in OTHER_DEFAULTS:
            assert float(param.attrib["value"]) == default, param.attrib


def test_threads_and_memory_are_what_the_server_grants() -> None:
    for name in ("build_cells", "annotate"):
        assert re.search(r"--threads \S+ \S*GALAXY_SLOTS", command(name))
    for name in ("train_reader", "predict", "annotate"):
        assert re.search(r"OMP_NUM_THREADS=\S*GALAXY_SLOTS", command(name))
        assert re.search(r"SCREADER_MEMORY_MB=\S*GALAXY_MEMORY_MB", command(name))
