"""Every option of every executable can be set from the pipeline; parameters are one list."""

from __future__ import annotations

import json
import re
import sys

import pytest
from pipeline_files import (
    PIPELINE,
    ROOT,
    SCRIPTS,
    config_parameters,
    process_name,
    settings_of,
)

sys.path.insert(0, str(ROOT / "docs"))

from nextflow_pages import (
    PASSED_ON,
    option_name,
    options_of,
    options_page,
    set_by_module,
    set_by_parameter,
)

SCHEMA = json.loads((PIPELINE / "nextflow_schema.json").read_text("utf-8"))
SPECIFICATIONS = {
    name: spec for group in SCHEMA["$defs"].values() for name, spec in group["properties"].items()
}


@pytest.mark.parametrize("module", PASSED_ON)
def test_every_option_has_its_place(module: str) -> None:
    options = set(options_of(module))
    assert set_by_parameter(module).keys() <= options
    assert set_by_module(module) - {"--output"} <= options
    assert not set_by_module(module) & set_by_parameter(module).keys() - {"--llm"}
    page = options_page().split(f"## {module}\n")[1].split("\n## ")[0]
    told = set(re.findall(r"^\| `(--[\w-]+)`", page, re.MULTILINE))
    assert told == options - {"--help", "--version"}


def test_parameters_that_are_named_exist() -> None:
    named = {name for module in PASSED_ON for name in set_by_parameter(module).values()}
    known = {option_name(name) for name in SPECIFICATIONS} | {"(by the pipeline)"}
    assert named <= known
    assert {name for name in PASSED_ON.values() if name} <= known


def test_the_schema_and_the_settings_have_the_same_parameters() -> None:
    given = config_parameters()
    assert list(given) == list(SPECIFICATIONS)
    for name, spec in SPECIFICATIONS.items():
        written = given[name].strip("'")
        default = spec.get("default")
        shown = "null" if default is None else json.dumps(default).strip('"')
        if name == "reportSuffix":  # the time
            shown = "new java.util.Date().format('yyyy-MM-dd_HH-mm-ss')".strip("'")
        assert written == shown, name


def test_every_parameter_is_used() -> None:
    text = "".join(path.read_text("utf-8") for path in [*SCRIPTS, *PIPELINE.glob("conf/*.config")])
    text += (PIPELINE / "nextflow.config").read_text("utf-8").split("includeConfig", 1)[1]
    unused = [
        name
        for name in SPECIFICATIONS
        if not re.search(rf"\b(params|parameters|settings|given)\.{name}\b", text)
    ]
    assert not unused


def test_only_known_parameters_are_read() -> None:
    for path in [*SCRIPTS, *PIPELINE.rglob("*.config")]:
        read = set(re.findall(r"\b(?:params|settings)\.(\w+)", path.read_text("utf-8")))
        assert read - {"containsKey"} <= SPECIFICATIONS.keys(), f"{path.name}: {read}"


@pytest.mark.parametrize(
    "name", [name for name, spec in SPECIFICATIONS.items() if "pattern" in spec]
)
def test_patterns_are_sound_and_fit_the_default(name: str) -> None:
    spec = SPECIFICATIONS[name]
    pattern = re.compile(spec["pattern"])
    if "default" in spec:
        assert pattern.search(spec["default"])
    if name.endswith("Options"):
        assert not pattern.search("x; rm -rf y") and not pattern.search("$(id)`")


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("maxMemory", "128.GB 128GB 8.5GB 8.5_GB 900.MB", "8.5.GB 128.B 128. GB 8,5.GB"),
        ("maxTime", "240.h 1h 1.5h 1_day 2h_30m", "1.5.h 90 h 1.5.5h 2w"),
    ],
)
def test_amounts_are_those_that_nextflow_reads(name: str, good: str, bad: str) -> None:
    """As its MemoryUnit and Duration do, in 25.04; blanks written as underscores."""
    pattern = re.compile(SPECIFICATIONS[name]["pattern"])
    assert [text for text in good.split() if not pattern.search(text.replace("_", " "))] == []
    assert [text for text in bad.split() if pattern.search(text.replace("_", " "))] == []


def test_a_resumed_run_sees_what_each_step_is_asked_for() -> None:
    """The lists of subworkflows/options are those of the arguments in conf/modules.config."""
    text = (PIPELINE / "subworkflows/options/main.nf").read_text("utf-8")
    names = {"training": re.findall(r"'(\w+)'", text.split("def training = ")[1].split("\n")[0])}
    listed = {}
    for step, shared, own in re.findall(
        r"^        ([A-Z_]+): (training)?[ +]*(\[.*\])?,$", text, re.M
    ):
        listed[step] = set(names.get(shared, [])) | set(re.findall(r"'(\w+)'", own))
    places = {"cache", "checkpoints", "continueOnError", "outdir", "publishMode", "saveCells"}
    for step, names_of_step in listed.items():
        read = set(re.findall(r"params\.(\w+)", settings_of(step)))
        assert read - places == names_of_step, step
    steps = re.findall(r"withName: (\w+) \{", (PIPELINE / "conf/modules.config").read_text("utf-8"))
    unread = [step for step in steps if "ext.args" not in settings_of(step)]
    named = {step if step in steps else process_name(step) for step in listed}
    assert named | set(unread) == set(steps)


def test_methods_and_sources_are_those_of_the_tools() -> None:
    from screader_tools.fetch_descriptions import SOURCES

    options = options_of("train-reader")
    assert SPECIFICATIONS["method"]["enum"] == list(options["--method"].type.choices)  # type: ignore[attr-defined]
    assert all(name in SPECIFICATIONS["source"]["pattern"] for name in SOURCES)
