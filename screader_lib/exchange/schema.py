"""The YAML schemas of the exchange files as objects."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

KINDS = ("descriptions", "gene-embeddings", "cells", "reader", "predictions")

ROOT_KIND = "screader-schema"
ROOT_VERSION = "screader-schema-version"


@dataclass(frozen=True)
class Element:
    """One element of a file: a dataset, a table's column or a group of tensors.

    ``type`` may list alternatives, as in ``int16 or int32``. ``shape`` names dimensions; elements
    that share a dimension must have the same size along it.
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
    def frame(self) -> str:
        """The data frame or group that holds it; empty for the root."""
        return self.path.rpartition("/")[0]

    @property
    def column(self) -> str:
        """Its name in that frame or group."""
        return self.path.rpartition("/")[2]

    @property
    def types(self) -> tuple[str, ...]:
        """The types allowed, the usual one last."""
        return tuple(self.type.split(" or "))


@dataclass(frozen=True)
class Schema:
    """The layout of files of one kind.

    ``axes`` and ``index`` give the dimension and the index column of obs and var.
    """

    name: str
    version: int
    layout: str
    title: str
    summary: str
    written_by: str
    read_by: tuple[str, ...]
    dimensions: dict[str, str]
    elements: tuple[Element, ...]
    axes: dict[str, str] = field(default_factory=dict)
    index: dict[str, str] = field(default_factory=dict)

    @property
    def is_anndata(self) -> bool:
        """Whether the file is laid out so that anndata opens it."""
        return self.layout == "anndata"

    def element(self, path: str) -> Element:
        """The element at ``path``; KeyError if the schema has none."""
        return {element.path: element for element in self.elements}[path]


@cache
def load(kind: str) -> Schema:
    """The schema of ``kind``, one of ``KINDS``."""
    import yaml

    text = (resources.files("screader_lib.schemas") / f"{kind}.yaml").read_text("utf-8")
    loader = getattr(
        yaml, "CSafeLoader", yaml.SafeLoader
    )  # in C, where PyYAML has it: 10 × as fast
    content = loader(text).get_single_data()
    elements = tuple(
        Element(**{key: _frozen(value) for key, value in entry.items()})
        for entry in content.pop("elements")
    )
    return Schema(**{key: _frozen(value) for key, value in content.items()}, elements=elements)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
