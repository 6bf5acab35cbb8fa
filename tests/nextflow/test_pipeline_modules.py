"""Every module has what a module has, and runs the executable that it is named after."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from pipeline_files import CONFIGS, MODULES, PIPELINE, process_of, settings_of
from test_pipeline_options import options_of

from screader_lib import __version__
from screader_tools.screader import SUBCOMMANDS

EXECUTABLES = {name for name in SUBCOMMANDS if name not in ("info", "demo")}
each_module = pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)


def test_every_executable_has_a_module() -> None:
    assert {path.name for path in MODULES} == EXECUTABLES | {"run-report"}


@each_module
def test_sections_stand_in_their_order(module: Path) -> None:
    process = process_of(module)
    assert process.name == module.name.upper().replace("-", "_")
    assert list(process.sections) == ["head", "input", "output", "script", "stub"]
    head = process.sections["head"]
    order = [re.match(r" {4}(\w+)", line) for line in head.splitlines() if line.strip()]
    assert [found[1] for found in order if found and found[1] != "label"] == [
        "tag",
        "conda",
        "container",
    ]
    assert re.search(r"label 'process_(single|low|medium|high)'", head)
    assert "accelerator" not in head, "who runs the pipeline asks for GPUs, not the module"


@each_module
def test_images_and_packages_are_of_this_version(module: Path) -> None:
    head = process_of(module).sections["head"]
    assert f"'docker://screader:{__version__}' : 'screader:{__version__}'" in head
    assert "workflow.containerEngine in ['singularity', 'apptainer']" in head
    packages = yaml.safe_load((module / "environment.yml").read_text("utf-8"))
    assert packages["dependencies"] == [f"bioconda::screader-suite={__version__}"]


def test_the_settings_name_this_version() -> None:
    for name in ("nextflow.config", "conf/images.config", "conf/gpu.config"):
        text = (PIPELINE / name).read_text("utf-8")
        found = set(re.findall(r"\b\d+\.\d+\.\d+\b", text)) - {"25.04.0"}
        assert found == {__version__}, name


@each_module
def test_options_and_names_come_from_ext(module: Path) -> None:
    process = process_of(module)
    assert "def args = task.ext.args ?: ''" in process.sections["script"]
    assert "${args}" in process.command("script")
    for section in ("script", "stub"):
        assert re.search(r"prefix = task\.ext\.prefix \?: ", process.sections[section])
    defined = [
        re.search(r"prefix = (.*)", process.sections[section]) for section in ("script", "stub")
    ]
    assert defined[0] and defined[1] and defined[0][1] == defined[1][1]
    assert "params." not in (module / "main.nf").read_text("utf-8")


@each_module
def test_the_version_goes_to_the_topic(module: Path) -> None:
    output = process_of(module).sections["output"]
    wanted = re.search(
        r"""tuple val\("\$\{task\.process\}"\), val\('([\w-]+)'\), eval\('(.+) --version'\), """
        r"emit: versions, topic: versions",
        output,
    )
    assert wanted
    own = {"gather": "screader gather", "validate": "screader validate", "run-report": "python3"}
    assert wanted[2] == own.get(module.name, module.name)


@each_module
def test_an_output_cannot_replace_an_input(module: Path) -> None:
    process = process_of(module)
    if module.name == "run-report":  # stages everything into a folder
        assert "stageAs: 'summaries/*'" in process.sections["input"]
        return
    assert re.search(r"error\(\"[A-Z_]+: input and output are both", process.sections["script"])


@each_module
def test_a_stub_makes_every_output(module: Path) -> None:
    process = process_of(module)
    made = process.sections["stub"]
    for path in re.findall(r'path\("([^"]+)"\)', process.sections["output"]):
        assert path in made, path


@each_module
def test_meta_tells_of_every_input_and_output(module: Path) -> None:
    process = process_of(module)
    meta = yaml.safe_load((module / "meta.yml").read_text("utf-8"))
    assert meta["name"] == module.name.replace("-", "_")
    assert meta["description"] and meta["keywords"] and meta["tools"]
    told = []
    for channel in meta["input"]:
        told += [next(iter(item)) for item in (channel if isinstance(channel, list) else [channel])]
    assert told == re.findall(r"(?:val|path)\((\w+)", process.sections["input"])
    emitted = re.findall(r"emit: (\w+)", process.sections["output"])
    assert list(meta["output"]) == [name for name in emitted if name in meta["output"]]
    assert set(emitted) == set(meta["output"])
    assert meta["topics"]["versions"] == meta["output"]["versions"]


@each_module
def test_nf_test_tries_real_stub_and_failing_runs(module: Path) -> None:
    text = (module / "tests/main.nf.test").read_text("utf-8")
    assert f'process "{process_of(module).name}"' in text
    titles = re.findall(r'^    test\("(.+)"\)', text, re.MULTILINE)
    assert titles[:2] == ["real cells", "stub"] and titles[2].startswith("fails: ")
    assert text.count("snapshot(") == 2 and 'options "-stub"' in text
    assert "assert process.failed" in text


@each_module
def test_what_the_module_passes_are_options_of_the_tool(module: Path) -> None:
    if module.name == "run-report":
        return
    process = process_of(module)
    names = {*options_of(module.name), "-o"}
    settings = "".join(settings_of(name) for name in aliases(process.name))
    passed = set(re.findall(r"(?<![\w-])(--[a-z][a-z-]+|-o)(?![\w-])", process.sections["script"]))
    passed |= set(re.findall(r"(--[a-z][a-z-]+)", settings))
    assert passed <= names, passed - names


def aliases(name: str) -> list[str]:
    """A process and the names that workflows include it under."""
    text = "".join(path.read_text("utf-8") for path in PIPELINE.rglob("*.nf"))
    return [name, *re.findall(rf"include \{{ {name} as (\w+) \}}", text)]


@each_module
def test_its_own_tests_ask_for_what_any_machine_has(module: Path) -> None:
    """nf-test takes no profile; a task that asks for more than there is never starts."""
    text = (module / "tests/nextflow.config").read_text("utf-8")
    assert "resourceLimits = [cpus: 2, memory: '6.GB', time: '1.h']" in text


def test_tasks_that_ended_without_a_status_are_tried_again() -> None:
    found = re.findall(
        r"task\.exitStatus in (.+) && task\.attempt <= 2", "".join(map(Path.read_text, CONFIGS))
    )
    assert len(found) == 4
    assert set(found) == {"((130..145) + [104, Integer.MAX_VALUE])"}
