"""What the strict parser (v2) refuses, or the engine does not forgive, is not written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pipeline_files import CONFIGS, MODULES, PIPELINE, SCRIPTS

TOP_LEVEL = re.compile(
    r"#!/usr/bin/env nextflow|//.*|include \{ \w+( as \w+)? \} from '[./\w-]+'|"
    r"(process|workflow)( \w+)? \{|def \w+\([\w, ]*\) \{|\}|"
)
FORBIDDEN = {
    "import": r"^\s*import\b",
    "class": r"^\s*(abstract |final )?class\b",
    "loop": r"\b(for|while|do|switch)\s*[({]",
    "increment": r"\+\+|--(?=[\w]*\s*[;)\]])(?<!-)",
    "implicit it": r"(?<![\w.'\"-])it\b(?!')",
    "old factory": r"\bChannel\.",
    "parameters of an include": r"\baddParams\b|from '.*' params",
    "spread operator": r"[\[(,]\s*\*\w",
    "dollar slashy string": r"\$/",
    "typed variable": r"^\s*(String|int|Integer|List|Map|boolean|Path|final|var)\s+\w+\s*=",
    "shell or exec section": r"^\s*(shell|exec|when):",
    "soft cast": r"=\s*\((String|Map|List|Integer)\)",
    "environment as a variable": r"System\.getenv",
    "plugin": r"\bplugins?\b\s*\{|from 'plugin/",
    "old project folder": r"\bbaseDir\b",
    "word of Groovy that v2 has no property for": r"\.(enum|default|case|class|new|if|else|for)\b",
    "assignment of a parameter": r"\bparams\.\w+\s*=[^=]",
}
each_script = pytest.mark.parametrize(
    "path", SCRIPTS, ids=lambda path: str(path.relative_to(PIPELINE))
)
each_config = pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)


def code(path: Path) -> str:
    """A script without its comments and without the Bash in it."""
    text = re.sub(r'"""\n.*?\n    """', "''", path.read_text("utf-8"), flags=re.DOTALL)
    return re.sub(r"(?<![:'\"/])//.*$", "", text, flags=re.MULTILINE)


@each_script
def test_declarations_and_statements_are_not_mixed(path: Path) -> None:
    for line in path.read_text("utf-8").splitlines():
        if line and not line[0].isspace():
            assert TOP_LEVEL.fullmatch(line), line


@each_script
@pytest.mark.parametrize("what", FORBIDDEN)
def test_nothing_that_the_strict_parser_refuses(what: str, path: Path) -> None:
    found = re.search(FORBIDDEN[what], code(path), re.MULTILINE)
    assert not found, found


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("loop", "    for (x in y) {"),
        ("implicit it", "    ch.map { it * 2 }"),
        ("old factory", "    Channel.of(1)"),
        ("spread operator", "    [meta, *files]"),
        ("word of Groovy that v2 has no property for", "    spec.enum"),
        ("typed variable", "    String x = 'a'"),
        ("plugin", "include { x } from 'plugin/nf-schema'"),
        ("assignment of a parameter", "    params.input = 'a'"),
    ],
)
def test_the_patterns_find_mistakes(what: str, line: str) -> None:
    assert re.search(FORBIDDEN[what], line, re.MULTILINE)


@each_script
def test_includes_lead_somewhere_and_are_used(path: Path) -> None:
    text = code(path)
    for name, alias, place in re.findall(r"include \{ (\w+)(?: as (\w+))? \} from '(.+)'", text):
        target = path.parent / f"{place}.nf"
        assert target.exists(), place
        assert re.search(rf"^(process|workflow) {name} |^def {name}\(", target.read_text(), re.M)
        assert len(re.findall(rf"\b{alias or name}\b", text)) > 1, alias or name


@each_script
def test_parameters_are_read_by_the_entry_only(path: Path) -> None:
    if path.name == "main.nf" and path.parent == PIPELINE:
        return
    assert "params." not in code(path)


@each_script
def test_processes_are_called_under_one_name_each(path: Path) -> None:
    """A process that is called twice in one scope needs a second name."""
    for name in re.findall(r"include \{ \w* ?a?s? ?(\w+) \}", code(path)):
        assert len(re.findall(rf"^\s+{name}\($", code(path), re.MULTILINE)) <= 1


@each_config
def test_settings_are_assignments_blocks_and_includes(path: Path) -> None:
    text = re.sub(r"//.*$", "", path.read_text("utf-8"), flags=re.MULTILINE)
    assert not re.search(r"^\s*(def|if|else|for|try|import|function)\b", text, re.MULTILINE)
    for line in text.splitlines():
        if line and not line[0].isspace():
            assert re.fullmatch(
                r"includeConfig.*|[\w.]+ = .+|[\w]+ \{|\}|\]|includeConfig\(.+\)", line
            ), line


@each_config
def test_includes_of_settings_exist(path: Path) -> None:
    for place in re.findall(r"'(conf/[\w./]+)'", path.read_text("utf-8")):
        assert (PIPELINE / place).exists()


def test_profiles_of_the_issue_are_there() -> None:
    text = (PIPELINE / "nextflow.config").read_text("utf-8")
    block = text.split("\nprofiles {\n")[1].split("\n}\n")[0]
    assert re.findall(r"^    (\w+) \{$", block, re.MULTILINE) == [
        "docker",
        "singularity",
        "apptainer",
        "conda",
        "slurm",
        "gpu",
        "test",
        "test_full",
    ]


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
    assert len(MODULES) == 10


@each_script
def test_what_a_workflow_emits_has_a_name_of_its_own(path: Path) -> None:
    """Emits are assigned within the workflow, before closures that read its inputs run."""
    for workflow in re.split(r"^workflow ", code(path), flags=re.MULTILINE)[1:]:
        head, _, emits = workflow.partition("    emit:")
        takes = re.findall(r"^    (\w+) *$", head.partition("    main:")[0].rstrip(), re.MULTILINE)
        known = {*takes, *re.findall(r"^ +(?:def )?(\w+) = ", head, re.MULTILINE)}
        assert not known & set(re.findall(r"^    (\w+) =", emits, re.MULTILINE))
