"""Every module has what a module has, and runs the executable that it is named after."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from pipeline_files import CONFIGS, MODULES, PIPELINE, SCRIPTS, process_of, settings_of
from test_pipeline_options import options_of

from screader_lib import __version__
from screader_tools.screader import SUBCOMMANDS

RUNS = {"checksample": "build-cells"}  # others run what they are named after
EXECUTABLES = {
    name.replace("-", ""): name for name in SUBCOMMANDS if name not in ("info", "demo", "readers")
}
each_module = pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)


def test_every_executable_has_a_module() -> None:
    assert {path.name for path in MODULES} == {*EXECUTABLES, "runreport", "checksample"}


@each_module
def test_images_and_packages_are_of_this_version(module: Path) -> None:
    head = process_of(module).sections["head"]
    assert f"'docker://screader:{__version__}' : 'screader:{__version__}'" in head
    assert "workflow.containerEngine in ['singularity', 'apptainer']" in head
    packages = yaml.safe_load((module / "environment.yml").read_text("utf-8"))
    assert packages["dependencies"] == [f"bioconda::screader-suite={__version__}"]


def test_the_settings_name_this_version() -> None:
    for name in ("nextflow.config", "conf/images.config"):
        text = (PIPELINE / name).read_text("utf-8")
        found = set(re.findall(r"\b\d+\.\d+\.\d+\b", text)) - {"25.04.0"}
        assert found == {__version__}, name


@each_module
def test_an_output_cannot_replace_an_input(module: Path) -> None:
    process = process_of(module)
    if module.name in ("runreport", "checksample"):  # which stage everything into a folder
        assert re.search(r"stageAs: '(summaries|input)/\*'", process.sections["input"])
        return
    assert re.search(r"error\(\"[A-Z_]+: input and output are both", process.sections["script"])


@each_module
def test_what_the_module_passes_are_options_of_the_tool(module: Path) -> None:
    if module.name == "runreport":
        return
    process = process_of(module)
    names = {*options_of(tool_of(module)), "-o"}
    settings = "".join(settings_of(name) for name in aliases(process.name))
    passed = set(re.findall(r"(?<![\w-])(--[a-z][a-z-]+|-o)(?![\w-])", process.sections["script"]))
    passed |= set(re.findall(r"(--[a-z][a-z-]+)", settings))
    assert passed <= names, passed - names


def tool_of(module: Path) -> str:
    """The executable that a module runs, whose name has no dash among modules."""
    return RUNS.get(module.name) or EXECUTABLES.get(module.name, "")


def aliases(name: str) -> list[str]:
    """A process and the names that workflows include it under."""
    text = "".join(path.read_text("utf-8") for path in PIPELINE.rglob("*.nf"))
    return [name, *re.findall(rf"include \{{ {name} as (\w+) \}}", text)]


def test_every_name_that_settings_select_is_a_process() -> None:
    text = "".join(path.read_text("utf-8") for path in SCRIPTS)
    processes = set(re.findall(r"^process (\w+) ", text, re.MULTILINE))
    aliases = set(re.findall(r"include \{ \w+ as (\w+) \}", text))
    labels = set(re.findall(r"label '(\w+)'", text))
    for path in CONFIGS:
        settings = path.read_text("utf-8")
        for kind, names in re.findall(r"(withName|withLabel): ?'?([\w|]+)'? \{", settings):
            known = processes | aliases if kind == "withName" else labels
            assert set(names.split("|")) <= known, f"{path.name}: {names}"


def test_scripts_that_tasks_call_can_be_executed() -> None:
    for path in (PIPELINE / "bin").iterdir():
        assert path.stat().st_mode & 0o111, path.name
        assert path.read_text("utf-8").startswith("#!/usr/bin/env python3\n")
