"""The reference of the Python package, made from its signatures and docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator

import screader

FUNCTIONS: dict[str, Callable] = {
    "annotate": screader.annotate,
    "readers": screader.readers,
    "train": screader.train,
    "plot.umap": screader.plot.umap,
    "plot.confusion": screader.plot.confusion,
    "plot.genes": screader.plot.genes,
}
METHODS = ("load", "save", "predict", "explain")
ROLE = re.compile(r":\w+:`")


def page() -> str:
    """The page in Markdown."""
    lines = [
        "# Python reference",
        "",
        "<!-- Made by docs/generate.py from the package itself. -->",
        "",
        "What they are for, with examples: [From Python](python.md).",
        "",
    ]
    for name, function in FUNCTIONS.items():
        lines += _described(f"screader.{name}", function)
    lines += ["## screader.Reader", "", *_paragraphs(screader.Reader)]
    for name in METHODS:
        function = getattr(screader.Reader, name)
        lines += _described(f"Reader.{name}", function)
    lines += ["## screader.ScReaderError", "", *_paragraphs(screader.ScReaderError)]
    return "\n".join(lines).rstrip() + "\n"


def _described(name: str, function: Callable) -> Iterator[str]:
    yield from (f"## {name}", "", "```python", _signature(name, function), "```", "")
    yield from _paragraphs(function)


def _signature(name: str, function: Callable) -> str:
    """How it is called, as its source has it."""
    source = inspect.cleandoc(inspect.getsource(function))
    start = source.index("def ") + len("def ")
    text = source[start : source.index(":\n", start)]
    text = re.sub(r"= ([A-Z]+)\b", lambda found: f'= "{function.__globals__[found[1]]}"', text)
    return name + re.sub(r"\((self|cls)(, )?", "(", text[text.index("(") :], count=1)


def _paragraphs(what: object) -> Iterator[str]:
    text = ROLE.sub("`", inspect.getdoc(what) or "").replace("``", "`")
    for paragraph in text.split("\n\n"):
        yield from (" ".join(paragraph.split()), "")
