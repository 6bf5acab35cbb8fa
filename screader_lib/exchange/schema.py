"""The YAML schemas of the exchange files as objects."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources

KINDS = ("descriptions", "gene-embeddings", "cells", "reader", "predictions")

ROOT_KIND = "screader-schema"
ROOT_VERSION = "screader-schema-version"


@dataclass(frozen=True)
class Element:
    """One element of a file: a dataset, a table's column or a group of tensors.

    ``type`` may name several, as in ``int16 or int32``; ``shape`` names dimensions, so that
    elements that share one must agree on it.
    """

    path: str
    type: str
    description: str
    shape: tuple[str, ...] = ()
    required: bool = True
    unique: bool = False
    finite: bool = False
    values: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    below: str | None = None
    of: str | None = None

    @property
    def types(self) -> tuple[str, ...]:
        """The types that are allowed, the usual one last."""
        return tuple(self.type.split(" or "))


@dataclass(frozen=True)
class Schema:
    """What a file of one kind holds."""

    name: str
    version: int
    layout: str
    title: str
    summary: str
    written_by: str
    read_by: tuple[str, ...]
    dimensions: dict[str, str]
    axes: dict[str, str]
    index: dict[str, str]
    elements: tuple[Element, ...]

    @property
    def is_anndata(self) -> bool:
        """Whether the file is laid out so that anndata opens it."""
        return self.layout == "anndata"

    def element(self, path: str) -> Element:
        """The element at ``path``; KeyError where the schema has none."""
        for element in self.elements:
            if element.path == path:
                return element
        raise KeyError(path)


def _element(entry: dict) -> Element:
    entry = dict(entry)
    for key in ("shape", "values"):
        entry[key] = tuple(entry.get(key, ()))
    return Element(**entry)


@cache
def load(kind: str) -> Schema:
    """The schema of ``kind``, one of ``KINDS``."""
    import yaml

    text = (resources.files("screader_lib.schemas") / f"{kind}.yaml").read_text("utf-8")
    content = yaml.safe_load(text)
    content["elements"] = tuple(_element(entry) for entry in content["elements"])
    content["read_by"] = tuple(content["read_by"])
    content.setdefault("axes", {})
    content.setdefault("index", {})
    return Schema(**content)
