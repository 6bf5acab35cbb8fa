"""The pipeline's files as the tests read them: processes by section, settings, other tools."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PIPELINE = ROOT / "nextflow"
OTHER_TOOLS = ROOT / ".nextflow-tools"
MODULES = sorted(path.parent for path in PIPELINE.glob("modules/*/*/*/main.nf"))
SCRIPTS = sorted([*PIPELINE.rglob("*.nf")])
CONFIGS = [PIPELINE / "nextflow.config", *sorted(PIPELINE.glob("conf/*.config"))]
SECTION = re.compile(r"^    (input|output|when|script|stub):$")


@dataclass(frozen=True)
class Process:
    """One process: its name and the lines of its sections."""

    name: str
    sections: dict[str, str]

    def command(self, section: str) -> str:
        """The Bash between the triple quotes, still with Nextflow's variables."""
        return self.sections[section].split('"""')[1]


def process_of(module: Path) -> Process:
    """The one process of a module."""
    text = (module / "main.nf").read_text("utf-8")
    found = re.findall(r"^process (\w+) \{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL)
    assert len(found) == 1, module
    sections: dict[str, list[str]] = {"head": []}
    now = "head"
    for line in found[0][1].splitlines():
        label = SECTION.match(line)
        if label:
            now = label[1]
            sections[now] = []
        else:
            sections[now].append(line)
    return Process(found[0][0], {k: "\n".join(v) for k, v in sections.items()})


def config_parameters() -> dict[str, str]:
    """Name → value as written, of the params block of nextflow.config."""
    text = CONFIGS[0].read_text("utf-8")
    block = re.search(r"^params \{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL)
    assert block
    return dict(re.findall(r"^    (\w+) = (.+)$", block[1], re.MULTILINE))


def process_name(step: str) -> str:
    """The process of a step that the pipeline calls BUILD_CELLS: SCREADER_BUILDCELLS."""
    return step if step.startswith("SCREADER_") else f"SCREADER_{step.replace('_', '')}"


def settings_of(name: str) -> str:
    """The block of conf/modules.config for a process, or for a step of the pipeline."""
    text = (PIPELINE / "conf/modules.config").read_text("utf-8")
    for one in (name, process_name(name)):
        found = re.search(
            rf"^    withName: {one} \{{\n(.*?)^    \}}", text, re.MULTILINE | re.DOTALL
        )
        if found:
            return found[1]
    return ""


def other_tool(name: str) -> Path | None:
    """A linter that `make test-nextflow` installs, or one on the PATH."""
    for place in (OTHER_TOOLS / "bin" / name, OTHER_TOOLS / "node_modules/.bin" / name):
        if place.exists():
            return place
    found = shutil.which(name)
    return Path(found) if found else None


def all_checks() -> bool:
    """Whether `make test-nextflow` runs: also the checks that take long or need other tools."""
    return os.environ.get("NEXTFLOW_CHECKS", "") == "all"
