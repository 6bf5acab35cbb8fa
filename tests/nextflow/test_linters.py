"""Linters of others that know Nextflow or Groovy, where `make test-nextflow` has installed them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from engine import needs_engine
from pipeline_files import (
    CONFIGS,
    MODULES,
    OTHER_TOOLS,
    PIPELINE,
    SCRIPTS,
    all_checks,
    config_parameters,
    other_tool,
)

WHEN = re.compile(r"^    when:\n    task\.ext\.when .*\n", re.MULTILINE)


def wanted(name: str) -> Path:
    found = other_tool(name)
    if found is None:
        pytest.skip(f"{name} is not installed: make test-nextflow")
    return found


@needs_engine
def test_nextflows_strict_parser_finds_nothing(tmp_path: Path) -> None:
    """In any script, configuration and configuration of a module's tests."""
    shutil.copytree(PIPELINE, tmp_path / "nextflow")
    shutil.copytree(Path(__file__).parent, tmp_path / "tests" / "nextflow")
    for module in MODULES:  # without `when`, which nf-core asks for and the parser warns of
        copy = tmp_path / (module / "main.nf").relative_to(PIPELINE.parent)
        copy.write_text(WHEN.sub("\n\n", copy.read_text("utf-8")))
    files = [*SCRIPTS, *CONFIGS, *(module / "tests/nextflow.config" for module in MODULES)]
    files = [tmp_path / file.relative_to(PIPELINE.parent) for file in files]
    files.append(tmp_path / "tests" / "nextflow" / "inputs.nf")
    words = ["nextflow", "lint", "-o", "json", *files]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout)
    assert said["errors"] == [] and said["summary"]["filesWithoutErrors"] == len(files)


def test_reftrace_finds_no_error(tmp_path: Path) -> None:
    words = [wanted("reftrace"), "lint", "-r", tmp_path / "rules.py", "-d", PIPELINE]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0 and "Summary" in done.stdout, done.stdout + done.stderr
    assert " errors" not in done.stdout, done.stdout


def test_npm_groovy_lint_finds_no_error() -> None:
    if not all_checks():
        pytest.skip("takes half a minute: make test-nextflow")
    words = [wanted("npm-groovy-lint"), "--noserver", "--path", ".", "--output", "json"]
    words += ["--files", "**/*.nf,**/*.config", "--failon", "none"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=PIPELINE)
    report = json.loads(done.stdout[done.stdout.index("{") :])
    assert report["summary"]["totalFilesLinted"] > 14
    found = [
        f"{Path(name).relative_to(PIPELINE)}:{error['line']}: {error['rule']}: {error['msg']}"
        for name, file in report["files"].items()
        for error in file["errors"]
        if error["severity"] in ("error", "warning")
    ]
    assert not found


SCHEMA_CHECK = """
import json, sys
import nf_core.utils
settings = json.loads(sys.argv[2])
nf_core.utils.fetch_wf_config = lambda *given, **named: settings  # it would ask Nextflow
from nf_core.pipelines.schema import PipelineSchema
schema = PipelineSchema()
schema.schema_filename = sys.argv[1]
schema.load_schema()
schema.validate_schema()
schema.validate_schema_title_description()
schema.get_schema_defaults()
schema.validate_default_params()
print("sound")
"""


def test_nf_core_finds_the_schema_sound(tmp_path: Path) -> None:
    """What `nf-core pipelines schema lint` checks; the settings it asks Nextflow for are given."""
    python = OTHER_TOOLS / "bin" / "python"
    if not (OTHER_TOOLS / "bin" / "nf-core").exists():
        pytest.skip("nf-core is not installed: make test-nextflow")
    given = {f"params.{name}": value.strip("'") for name, value in config_parameters().items()}
    schema = PIPELINE / "nextflow_schema.json"
    words = [python, "-c", SCHEMA_CHECK, schema, json.dumps(given)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0 and "sound" in done.stdout, done.stdout + done.stderr
