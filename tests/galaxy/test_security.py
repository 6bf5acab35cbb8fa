"""Nothing that a user types reaches a shell or a generated program as code.

One test for each point that reviewers of Galaxy tools look at.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from galaxy.wrappers import TOOLS, command, parameter_name, params, tool

NUMBERS = ("integer", "float", "boolean")
DIRECTIVE = re.compile(r"^\s*#(if|elif|else|end|for|set|import)\b")
VARIABLE = re.compile(r"(?<![\\$])\$\{?([A-Za-z_][\w.]*)\}?")
SECRETS = ".//secret[@inject_as_env]"
LOOP = re.compile(r"^\s*#for \$(\w+) in range", re.MULTILINE)


def lines(name: str) -> list[str]:
    """Lines of the command that reach the shell."""
    return [line for line in command(name).splitlines() if not DIRECTIVE.match(line)]


def texts(name: str) -> list[ElementTree.Element]:
    """Parameters that a user types into."""
    return [param for param in params(name) if param.get("type") == "text"]


def not_escaped(name: str) -> set[str]:
    """Parameters whose values can be nothing but numbers or what the wrapper says."""
    safe = {parameter_name(p) for p in params(name) if p.get("type") in NUMBERS}
    for param in params(name):
        if param.get("type") == "select" and not param.findall("options"):
            safe.add(parameter_name(param))
    return safe | set(LOOP.findall(command(name)))


@pytest.mark.parametrize("name", TOOLS)
def test_values_are_single_quoted(name: str) -> None:
    for line in lines(name):
        outside = re.sub(r"'[^']*'", "", line)
        for variable in VARIABLE.findall(outside):
            assert variable.split(".")[-1] in not_escaped(name), f"{variable} in {line!r}"


@pytest.mark.parametrize("name", TOOLS)
def test_double_quotes_hold_only_what_the_server_sets(name: str) -> None:
    for line in lines(name):
        for quoted in re.findall(r'"[^"]*"', re.sub(r"'[^']*'", "", line)):
            assert not VARIABLE.search(quoted), line


@pytest.mark.parametrize("name", TOOLS)
def test_a_single_quote_cannot_end_the_shells_string(name: str) -> None:
    for param in texts(name):
        valid = param.find("sanitizer/valid")
        assert valid is not None
        sets = [*valid.attrib["initial"].split(",")]
        known = {"string.ascii_letters", "string.digits", "string.ascii_lowercase"}
        added = {add.attrib["value"] for add in valid.findall("add")}
        assert "'" not in added
        if set(sets) <= known:
            continue
        assert "'" in {gone.attrib["value"] for gone in valid.findall("remove")}
        mapped = {add.attrib["source"]: add.attrib["target"] for add in param.iter("add")
                  if "source" in add.attrib}  # fmt: skip
        assert mapped == {"'": "'\"'\"'"}


@pytest.mark.parametrize("name", TOOLS)
def test_names_of_datasets_are_cleaned(name: str) -> None:
    """Element identifiers and dataset names are typed by users, too."""
    text = command(name)
    assert not re.search(r"\$[\w.]+\.(name|dataset_name|display_name)\b", text)
    for line in text.splitlines():
        if "element_identifier" in line:
            assert re.match(r"\s*#set \$name = re\.sub\('\[\^A-Za-z0-9 _\.\+-\]', '_', ", line)


@pytest.mark.parametrize("name", TOOLS)
def test_no_secret_is_a_parameter_or_on_a_command_line(name: str) -> None:
    secret = re.compile(r"key|secret|password|token$", re.IGNORECASE)
    for param in params(name):
        assert not secret.search(parameter_name(param)), param.attrib
        assert param.get("type") != "password"
    given = {item.attrib["inject_as_env"] for item in tool(name).iterfind(".//*[@inject_as_env]")}
    assert not [variable for variable in given if variable in command(name)]


def test_keys_come_through_credentials() -> None:
    kept = {
        name: {item.attrib["inject_as_env"] for item in tool(name).iterfind(SECRETS)}
        for name in TOOLS
    }
    assert kept["fetch_descriptions"] == {"NCBI_API_KEY", "OPENAI_API_KEY"}
    assert kept["embed_genes"] == {"OPENAI_API_KEY"}
    assert kept["train_reader"] == kept["predict"] == {"OPENAI_API_KEY"}
    assert not any(kept[name] for name in ("annotate", "build_cells", "gather", "plot", "validate"))
