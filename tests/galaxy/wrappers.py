"""The Galaxy wrappers as the tests read them: tokens replaced, macros found by name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from xml.etree import ElementTree

import click

from screader_tools.plot import SUBCOMMANDS as PICTURES

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "galaxy_wrappers"
MACRO_FILES = ("macros.xml", "plot_macros.xml")
COMMANDS = {
    "fetch_descriptions": ["fetch_descriptions"],
    "embed_genes": ["embed_genes"],
    "prepare_cells": ["prepare_cells"],
    "build_cells": ["build_cells"],
    "train_reader": ["train_reader"],
    "predict": ["predict"],
    "annotate": ["annotate"],
    "gather": ["gather"],
    "validate": ["validate"],
    "plot": [f"figures.{name}" for name in PICTURES],
}
TOOLS = sorted(path.stem for path in FOLDER.glob("*.xml") if path.name not in MACRO_FILES)
STANDARD = {"--quiet", "--verbose", "--debug", "--version", "--help"}


@cache
def macros() -> dict[str, ElementTree.Element]:
    """Macros by name, of all macro files."""
    found = {}
    for name in MACRO_FILES:
        for macro in ElementTree.parse(FOLDER / name).getroot().iter("xml"):
            found[macro.attrib["name"]] = macro
    return found


@cache
def tokens() -> dict[str, str]:
    """Tokens, @NAME@ to text."""
    root = ElementTree.parse(FOLDER / "macros.xml").getroot()
    return {token.attrib["name"]: token.text or "" for token in root.iter("token")}


def with_tokens(text: str) -> str:
    """The text with all tokens replaced."""
    for name, value in tokens().items():
        text = text.replace(name, value)
    return text


@cache
def tool(name: str) -> ElementTree.Element:
    """A tool's root, macros expanded."""
    root = ElementTree.parse(FOLDER / f"{name}.xml").getroot()
    return _expanded(root, {})


def _expanded(
    element: ElementTree.Element, given: dict[str, str], inner: tuple = ()
) -> ElementTree.Element:
    """A copy of the element whose macros are replaced by what they hold."""
    attributes = {key: _filled(value, given) for key, value in element.attrib.items()}
    copy = ElementTree.Element(element.tag, attributes)
    copy.text = _filled(element.text or "", given)
    copy.extend(_children(element, given, inner))
    return copy


def _children(
    element: ElementTree.Element, given: dict[str, str], inner: tuple
) -> Iterator[ElementTree.Element]:
    for child in element:
        if child.tag == "expand":
            macro = macros()[child.attrib["macro"]]
            defaults = {
                key.removeprefix("token_"): value
                for key, value in macro.attrib.items()
                if key.startswith("token_")
            }
            handed = {key: _filled(value, given) for key, value in child.attrib.items()}
            yield from _children(macro, defaults | handed, tuple(_children(child, given, inner)))
        elif child.tag == "yield":
            yield from inner
        else:
            yield _expanded(child, given, inner)


def _filled(text: str, given: dict[str, str]) -> str:
    for key, value in given.items():
        text = text.replace(f"@{key.upper()}@", value)
    return text


def command(name: str) -> str:
    """What is run, tokens replaced."""
    return with_tokens(tool(name).findtext("command") or "")


def params(name: str) -> list[ElementTree.Element]:
    """All parameters of a tool's form."""
    inputs = tool(name).find("inputs")
    assert inputs is not None
    return list(inputs.iter("param"))


def parameter_name(param: ElementTree.Element) -> str:
    """As the command spells it."""
    return param.get("name") or param.attrib["argument"].lstrip("-").replace("-", "_")


def options_used(name: str) -> set[str]:
    """Options that the command may have, also those that a parameter's value is."""
    found = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", command(name)))
    for param in params(name):
        values = [param.get("truevalue", ""), *(o.get("value", "") for o in param.iter("option"))]
        found |= {value for value in values if value.startswith("--")}
    return found


def click_options(name: str) -> dict[str, click.Option]:
    """Options of the wrapped commands by their first long name; of a switch both names."""
    found = {}
    for module in COMMANDS.get(name, []):
        for param in import_module(f"screader_tools.{module}").main.params:
            if isinstance(param, click.Option):
                long = [word for word in param.opts if word.startswith("--")]
                found |= dict.fromkeys((*long[:1], *param.secondary_opts), param)
    return {word: option for word, option in found.items() if word not in STANDARD}
