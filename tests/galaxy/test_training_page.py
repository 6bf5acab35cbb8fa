"""What the training page asks for is on the forms of the tools and of the workflow."""

from __future__ import annotations

import hashlib
import re

import yaml
from galaxy.wrappers import FOLDER, ROOT, TOOLS, params, tool, with_tokens

TRAINING = FOLDER / "training"
PAGE = (TRAINING / "tutorial.md").read_text("utf-8")
SETTING = re.compile(r'\*"([^"]+)"\*(?:: `([^`]+)`)?')
TOOL = re.compile(r"\{% tool \[([^]]+)\]\(([^)]+)\) %\}")


def steps(start: re.Pattern[str]) -> list[tuple[re.Match[str], list[tuple[str, str]]]]:
    """Each step that begins so, and the labels and values it asks for."""
    found = []
    for step in re.split(r"^> \d+\. ", PAGE, flags=re.MULTILINE):
        begins = start.search(step.split("{: .hands_on}")[0])
        if begins:
            found.append((begins, SETTING.findall(step.split("{: .hands_on}")[0])))
    return found


def test_tools_are_those_of_this_version_and_their_forms_have_what_is_set() -> None:
    found = steps(TOOL)
    assert found
    for begins, settings in found:
        shed, repository, name, version = begins[2].rsplit("/", 3)
        assert shed == "toolshed.g2.bx.psu.edu/repos/iuc" and repository == name
        short = name.removeprefix("screader_")
        assert short in TOOLS and tool(short).attrib["name"] == begins[1]
        assert version == with_tokens("@TOOL_VERSION@+galaxy@VERSION_SUFFIX@")
        form: dict[str, list] = {}
        for param in params(short):
            form.setdefault(param.get("label", ""), []).append(param)
        sections = {one.attrib["title"] for one in tool(short).iterfind("inputs/section")}
        assert len(settings) >= 5
        for label, value in settings:
            assert label in form or label in sections, label
            allowed = {option.text for one in form.get(label, []) for option in one.iter("option")}
            if any(one.get("type") == "boolean" for one in form.get(label, [])):
                allowed = {"Yes", "No"}
            assert not allowed or not value or value in allowed, (label, value)


def test_the_workflow_is_ours_and_every_input_is_given() -> None:
    found = steps(re.compile(r"icon workflow %\} \*\*(.+)\*\*"))
    assert len(found) == 1
    written = yaml.safe_load((FOLDER / "workflows/train-and-evaluate.gxwf.yml").read_text())
    begins, settings = found[0]
    assert begins[1] == written["label"]
    assert dict(settings).keys() == written["inputs"].keys()
    for name in re.findall(r"outputs? \*\*(\w+)\*\*(?: and \*\*(\w+)\*\*)?", PAGE):
        assert set(filter(None, name)) <= set(written["outputs"])


def test_the_library_holds_the_files_of_the_page() -> None:
    library = yaml.safe_load((TRAINING / "data-library.yaml").read_text())
    files = library["items"][0]["items"][0]["items"][0]["items"]
    assert len(files) == 2
    for file in files:
        assert file["url"] in PAGE
        held = ROOT / file["url"].split("/raw/main/")[1]
        assert hashlib.md5(held.read_bytes()).hexdigest() == file["md5sum"]
