"""The suite as a whole: versions, requirements, tests, test data, workflows, data tables."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from xml.etree import ElementTree

import pytest
import yaml
from galaxy.wrappers import COMMANDS, FOLDER, ROOT, TOOLS, parameter_name, tokens, tool, with_tokens

from screader_lib import __version__

WORKFLOWS = FOLDER / "workflows"
NAMES = ("annotate-cells", "train-and-evaluate")
GALAXY_ONLY = {"folds"}  # helps workflows to scatter; runs no executable
EXTRAS = {
    "plot": "plots",
    "prepare_cells": "prepare",
}
IN_CONDA = {"matplotlib": "matplotlib-base", "igraph": "python-igraph"}
LARGEST = 1_000_000  # bytes


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def pinned() -> dict[str, str]:
    """Versions that the project's tests passed with, by name in lower case."""
    text = (ROOT / "requirements" / "constraints.txt").read_text("utf-8")
    return {
        name.lower(): version for name, version in re.findall(r"^([\w.-]+)==(\S+)$", text, re.M)
    }


def test_there_is_a_wrapper_for_every_executable() -> None:
    scripts = {name for name in project()["scripts"] if not name.startswith("screader")}
    executables = {name.replace("-", "_") for name in scripts}
    assert set(TOOLS) == executables | {"gather", "validate"} | GALAXY_ONLY
    assert set(COMMANDS) == set(TOOLS) - GALAXY_ONLY


@pytest.mark.parametrize("name", TOOLS)
def test_version_profile_citation_and_licence(name: str) -> None:
    root = tool(name)
    assert root.attrib["id"] == f"screader_{name}"
    assert root.attrib["version"] == "@TOOL_VERSION@+galaxy@VERSION_SUFFIX@"
    assert tokens()["@TOOL_VERSION@"] == __version__
    assert float(tokens()["@PROFILE@"]) >= 25.1, "credentials need it"
    assert root.attrib["license"] == project()["license"]
    assert "10.48550/arXiv.2412.18156" in {node.text for node in root.iter("citation")}
    assert root.findtext("version_command", "").endswith("--version")


@pytest.mark.parametrize("name", TOOLS)
def test_requirements_are_the_projects(name: str) -> None:
    found = {
        node.text: with_tokens(node.attrib["version"]) for node in tool(name).iter("requirement")
    }
    wanted = {project()["name"]: __version__}
    for extra in project()["optional-dependencies"].get(EXTRAS.get(name, ""), []):
        package = re.split(r"[><=~ ]", extra)[0].lower()
        wanted[IN_CONDA.get(package, package)] = pinned()[package]
    assert found == wanted


def test_test_data_is_there_and_small() -> None:
    for name in TOOLS:
        for test in tool(name).iter("test"):
            for param in test.iter("param"):
                if param.get("ftype"):
                    for file in param.attrib["value"].split(","):
                        assert (FOLDER / "test-data" / file).is_file(), file
    for path in (FOLDER / "test-data").rglob("*"):
        assert path.stat().st_size < LARGEST, path.name


@pytest.mark.parametrize("name", NAMES)
def test_both_formats_of_a_workflow_are_one(name: str) -> None:
    """Steps, tools, versions, connections and states; make_workflows.py makes one of the other."""
    written = yaml.safe_load((WORKFLOWS / f"{name}.gxwf.yml").read_text("utf-8"))
    native = json.loads((WORKFLOWS / f"{name}.ga").read_text("utf-8"))
    assert native["annotation"] == written["doc"] and native["name"] == written["label"]
    steps = {step["label"]: step for step in native["steps"].values()}
    assert set(steps) == set(written["inputs"]) | set(written["steps"])
    for label, step in written["steps"].items():
        other = steps[label]
        assert (other["tool_id"], other["tool_version"]) == (step["tool_id"], step["tool_version"])
        assert set(other["input_connections"]) == set(step["in"])
        assert other["annotation"] == step["doc"]
    shown = {
        output["label"] for step in native["steps"].values() for output in step["workflow_outputs"]
    }
    assert shown == set(written["outputs"])
    assert native["report"]["markdown"] == written["report"]["markdown"]


def parameters_left_out(inputs: ElementTree.Element, state: dict) -> list[str]:
    """Names of the parameters missing from a step's state; of a conditional, its chosen case's."""
    left_out = []
    for child in inputs:
        name = parameter_name(child)
        if name not in state:
            left_out.append(name)
        elif child.tag == "section":
            left_out += parameters_left_out(child, state[name])
        elif child.tag == "conditional":
            chosen = state[name][parameter_name(child.find("param"))]
            case = child.find(f"when[@value='{chosen}']")
            left_out += parameters_left_out(case, state[name])
        elif child.tag == "repeat":
            left_out += [one for each in state[name] for one in parameters_left_out(child, each)]
    return left_out


@pytest.mark.parametrize("name", NAMES)
def test_workflows_hold_every_parameter_of_their_tools(name: str) -> None:
    """Galaxy's editor lists one that is missing as an issue of the workflow."""
    native = json.loads((WORKFLOWS / f"{name}.ga").read_text("utf-8"))
    looked_at = 0
    for step in native["steps"].values():
        inputs = None
        if (step.get("tool_id") or "").startswith("screader_"):
            inputs = tool(step["tool_id"].removeprefix("screader_")).find("inputs")
        if inputs is not None:
            left_out = parameters_left_out(inputs, json.loads(step["tool_state"]))
            assert not left_out, f"step {step['label']}: run make_workflows.py"
            looked_at += 1
    assert looked_at > 3


def test_repositories_of_the_tool_shed_hold_what_their_tools_need() -> None:
    """Beside .shed.yml being up to date: no test file is in none, and no harness in any."""
    words = [sys.executable, str(FOLDER / "make_shed.py"), "--check"]
    assert subprocess.run(words, check=False).returncode == 0, "run galaxy_wrappers/make_shed.py"
    shed = yaml.safe_load((FOLDER / ".shed.yml").read_text("utf-8"))
    held = {file for one in shed["repositories"].values() for file in one["include"]}
    assert len(shed["repositories"]) == len(TOOLS) + 1
    data = {
        str(path.relative_to(FOLDER))
        for path in (FOLDER / "test-data").rglob("*")
        if path.is_file()
    }
    assert data <= held
    assert not [file for file in held if file.endswith((".py", ".sh", ".ga"))]


def read_tests(name: str) -> list:
    return yaml.safe_load((WORKFLOWS / name).read_text("utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_workflows_use_this_version_and_test_every_output(name: str) -> None:
    written = yaml.safe_load((WORKFLOWS / f"{name}.gxwf.yml").read_text("utf-8"))
    suffix = tokens()["@VERSION_SUFFIX@"]
    for step in written["steps"].values():
        if step["tool_id"].startswith("screader_"):
            assert step["tool_version"] == f"{__version__}+galaxy{suffix}"
            assert step["tool_id"].removeprefix("screader_") in TOOLS
    for test in read_tests(f"{name}-tests.yml"):
        assert set(test["job"]) <= set(written["inputs"])
        assert set(test["outputs"]) == set(written["outputs"])
