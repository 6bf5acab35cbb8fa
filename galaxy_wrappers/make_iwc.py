"""Write each workflow as the Intergalactic Workflow Commission (IWC) takes it, a folder of its own.

python galaxy_wrappers/make_iwc.py FOLDER [--tool-shed URL]

A folder holds the workflow with its tools' ids and revisions in the Tool Shed, which is asked for
them, its tests with their data, README.md, CHANGELOG.md and .dockstore.yml, all made from
galaxy_wrappers/workflows. Exit status 1, and no folder, where the Tool Shed has not got a tool.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import urllib.parse
import urllib.request
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
WORKFLOWS = sorted((HERE / "workflows").glob("*.ga"))
TOOL_SHED = "https://toolshed.g2.bx.psu.edu"


@cache
def newest_revision(shed: str, owner: str, name: str) -> str:
    """The newest revision of a repository that can be installed; exits where there is none."""
    query = urllib.parse.urlencode({"name": name, "owner": owner})
    address = f"{shed}/api/repositories/get_ordered_installable_revisions?{query}"
    try:
        with urllib.request.urlopen(address, timeout=60) as answer:
            revisions = json.load(answer)
    except (OSError, ValueError) as error:
        sys.exit(f"make_iwc: {address}: {error}")
    if not revisions:
        sys.exit(f"make_iwc: {shed} has no repository {owner}/{name} yet; upload the tools first.")
    return str(revisions[-1])


def from_tool_shed(workflow: dict[str, Any], shed: str) -> None:
    """Name the suite's tools in a workflow as the Tool Shed does; Galaxy's own stay."""
    settings = yaml.safe_load((HERE / ".shed.yml").read_text("utf-8"))
    owner, host = settings["owner"], urllib.parse.urlsplit(shed).netloc
    for step in workflow["steps"].values():
        name = step.get("tool_id")
        if name not in settings["repositories"]:
            continue
        step["tool_id"] = f"{host}/repos/{owner}/{name}/{name}/{step['tool_version']}"
        step["content_id"] = step["tool_id"]
        step["tool_shed_repository"] = {
            "changeset_revision": newest_revision(shed, owner, name),
            "name": name,
            "owner": owner,
            "tool_shed": host,
        }


def readme(written: dict[str, Any]) -> str:
    """What the workflow does, its inputs, steps and outputs."""
    lines = [f"# {written['label']}", "", written["doc"].strip(), "", "## Inputs", ""]
    for name, one in written["inputs"].items():
        default = f" Default: {one['default']}." if "default" in one else ""
        lines.append(f"- **{name}**: {one['doc']}{default}")
    lines += ["", "## Steps", ""]
    lines += [f"1. **{name}**: {step['doc']}" for name, step in written["steps"].items()]
    lines += ["", "## Outputs", ""]
    for name, one in written["outputs"].items():
        step = one["outputSource"].split("/")[0]
        lines.append(f"- **{name}**, of the step *{step}*")
    return "\n".join(lines) + "\n"


def dockstore(name: str, creators: list[dict[str, str]]) -> str:
    """The registration for Dockstore."""
    authors = [{k: v for k, v in one.items() if k != "class"} for one in creators]
    workflow = {
        "name": "main",
        "subclass": "Galaxy",
        "publish": True,
        "primaryDescriptorPath": f"/{name}.ga",
        "testParameterFiles": [f"/{name}-tests.yml"],
        "authors": authors,
    }
    return yaml.safe_dump({"version": 1.2, "workflows": [workflow]}, sort_keys=False)


def changelog() -> str:
    """The workflows' changelog; a newest version without a date is released today."""
    text = (HERE / "workflows/CHANGELOG.md").read_text("utf-8")
    return re.sub(r"^## \[[^]]+\]$", rf"\g<0> - {date.today()}", text, count=1, flags=re.MULTILINE)


def write(source: Path, workflow: dict[str, Any], folder: Path) -> None:
    """The folder of one workflow."""
    written = yaml.safe_load(source.with_suffix(".gxwf.yml").read_text("utf-8"))
    tests = (source.parent / f"{source.stem}-tests.yml").read_text("utf-8")
    (folder / "test-data").mkdir(parents=True)
    for name in set(re.findall(r"\.\./test-data/([^\s,}]+)", tests)):
        shutil.copy(HERE / "test-data" / name, folder / "test-data")
    for name, text in {
        source.name: json.dumps(workflow, indent=4, ensure_ascii=False) + "\n",
        f"{source.stem}-tests.yml": tests.replace("../test-data/", "test-data/"),
        "README.md": readme(written),
        "CHANGELOG.md": changelog(),
        ".dockstore.yml": dockstore(source.stem, workflow["creator"]),
    }.items():
        (folder / name).write_text(text, "utf-8")


def main() -> None:
    """Ask for all revisions, then write all folders."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tool-shed", default=TOOL_SHED, metavar="URL")
    given = parser.parse_args()
    workflows = {path: json.loads(path.read_text("utf-8")) for path in WORKFLOWS}
    for workflow in workflows.values():
        from_tool_shed(workflow, given.tool_shed.rstrip("/"))
    for path, workflow in workflows.items():
        shutil.rmtree(given.folder / path.stem, ignore_errors=True)
        write(path, workflow, given.folder / path.stem)


if __name__ == "__main__":
    main()
