"""The card of a reader: what its author says of it, and with it what the reader itself says.

The author's part is given to ``train-reader --card`` and stored as the element ``card``: tissue,
species, studies, figures on cells of others, limits. Labels, their cells and the figures on
held-out cells are read from the reader's own elements and are in no card.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding
from screader_lib.exchange.opening import ExchangeFile
from screader_lib.genes.text_files import read_text

ELEMENT = "card"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
DOI = re.compile(r"10\.\d{4,9}/\S+")
SHARES = ("accuracy", "macro_f1", "calibration_error")


@dataclass(frozen=True)
class Field:
    """A field of the card or of an entry of one of its lists.

    ``kind`` is the type of its values; of a list, ``inner`` has the fields of its entries, or is
    None where they are texts.
    """

    kind: type
    required: bool = False
    inner: Mapping[str, Field] | None = None
    pattern: re.Pattern[str] | None = None
    example: str = ""


STUDY = {
    "title": Field(str, True, example="Baron et al. 2016"),
    "doi": Field(str, pattern=DOI, example="10.1016/j.cels.2016.08.011"),
    "licence": Field(str, True, example="CC BY 4.0"),
    "cells": Field(str, example="2,142 cells of 4 donors, inDrop"),
}
FIGURE = {
    "cells": Field(str, True, example="1,200 blood cells, three chemistries"),
    "laboratory": Field(str, True, example="another laboratory"),
    "number": Field(int, True, example="1200"),
    **{name: Field(float, name == "accuracy", example="0.95") for name in SHARES},
    "compared": Field(str, example="a kind of the true term counts as right"),
}
FIELDS = {
    "name": Field(str, True, pattern=NAME, example="human-pancreas"),
    "version": Field(str, True, example='"1.0"'),
    "summary": Field(str, True, example="Cell types of the human pancreas"),
    "tissue": Field(str, True, example="pancreas"),
    "species": Field(str, True, example="Homo sapiens"),
    "studies": Field(list, True, STUDY),
    "figures": Field(list, inner=FIGURE),
    "limits": Field(list, True),
    "licence": Field(str, example="MIT"),
}
TYPES = {str: "a text", int: "a whole number", float: "a number from 0 to 1", list: "a list"}


def read_mapping(path: Path, name: object = None) -> dict[str, Any]:
    """The content of a YAML or JSON file, ScReaderError where it is not one of keys and values."""
    import yaml

    file = str(path if name is None else name)
    try:
        content = yaml.safe_load(read_text(path, file))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise ScReaderError(f"is neither YAML nor JSON{where}.", file=file) from None
    if not isinstance(content, dict):
        raise ScReaderError("holds no keys with values, as in 'name: human-lung'.", file=file)
    return content


def read_card(path: Path, name: object = None) -> dict[str, Any]:
    """The card in a YAML or JSON file; ScReaderError in one line that names the wrong field."""
    return checked(read_mapping(path, name), str(path if name is None else name))


def checked(content: dict[str, Any], file: str, other_keys: bool = False) -> dict[str, Any]:
    """``content`` where it is a valid card; ScReaderError, naming ``file``, where it is not.

    With ``other_keys``, keys that are not known are left alone: a later version's.
    """
    for problem in _problems(content, FIELDS, "", other_keys):
        raise ScReaderError(problem, file=file, remedy="docs/readers.md shows a card.")
    return content


def _problems(
    content: Any, fields: Mapping[str, Field], at: str, other_keys: bool
) -> Iterator[str]:
    if not isinstance(content, dict):
        yield f"{at.rstrip('.')}: expected the keys {', '.join(fields)}."
        return
    for key in content:
        if key not in fields and not other_keys:
            yield f"{at}{key}: unknown; known are {', '.join(fields)}."
    for key, field in fields.items():
        value = content.get(key)
        if value is None:
            if field.required:
                example = f", such as {field.example}" if field.example else ""
                yield f"{at}{key}: missing, expected {TYPES[field.kind]}{example}."
        elif field.kind is list:
            yield from _list_problems(value, field, f"{at}{key}", other_keys)
        elif not _has_type(value, field.kind):
            quoted = ", in quotation marks" if field.kind is str else ""
            yield f"{at}{key}: is {value!r}, expected {TYPES[field.kind]}{quoted}."
        elif field.pattern and not field.pattern.fullmatch(value):
            yield f"{at}{key}: is {value!r}, expected one like {field.example}."


def _list_problems(value: Any, field: Field, at: str, other_keys: bool) -> Iterator[str]:
    if not isinstance(value, list) or (field.required and not value):
        yield f"{at}: expected a list{' of one or more entries' if field.required else ''}."
        return
    for number, entry in enumerate(value, 1):
        if field.inner is not None:
            yield from _problems(entry, field.inner, f"{at}[{number}].", other_keys)
        elif not _has_type(entry, str):
            yield f"{at}[{number}]: is {entry!r}, expected a text."


def _has_type(value: Any, kind: type) -> bool:
    if kind is str:
        return isinstance(value, str) and bool(value.strip())
    if isinstance(value, bool):
        return False
    if kind is int:
        return isinstance(value, int) and value >= 0
    return isinstance(value, int | float) and 0 <= value <= 1


def card_of(opened: ExchangeFile) -> dict[str, Any]:
    """The card inside an open reader, empty where it has none; ScReaderError where damaged."""
    if ELEMENT not in opened.file:
        return {}
    content = encoding.read_json(opened.file, ELEMENT)
    return checked(content, f"{opened.name}: {ELEMENT}", other_keys=True)


def card_lines(opened: ExchangeFile) -> Iterator[str]:
    """Lines that tell what an open reader knows, and how well, from its card and from itself."""
    card = card_of(opened)
    if card:
        yield f"{card['name']}, version {card['version']}: {card['summary']}"
        yield f"  tissue   {card['tissue']}"
        yield f"  species  {card['species']}"
        yield ""
        yield "Trained on"
        yield from (f"  {_study(study)}" for study in card["studies"])
    else:
        yield "This reader has no card (train-reader --card)."
    yield ""
    yield from _labels(opened)
    yield ""
    yield from _held_out(opened)
    if card:
        yield ""
        yield from _elsewhere(card.get("figures", []))
        yield ""
        yield "Limitations"
        yield from (f"  {limit}" for limit in card["limits"])
        if "licence" in card:
            yield ""
            yield f"Licence: {card['licence']}"


def _study(study: Mapping[str, str]) -> str:
    parts = [study["title"], study.get("cells"), study["licence"]]
    if "doi" in study:
        parts.insert(1, f"https://doi.org/{study['doi']}")
    return "; ".join(filter(None, parts))


def _labels(opened: ExchangeFile) -> Iterator[str]:
    from screader_lib.reader.task import MIN_CELLS_TO_SPLIT

    labels = opened.file["labels"]
    names = encoding.read_strings(labels["name"])
    terms = encoding.read_strings(labels["ontology_id"])
    counts = labels["count"][()]
    per_label = _cross_validation(opened).get("per_label", {})
    found = "; share of held-out cells of the label that it found" if per_label else ""
    yield f"{len(names)} labels: term, cells that it was trained on{found}"
    width = max(map(len, names), default=0)
    for number in (-counts).argsort(kind="stable"):
        recall = per_label.get(names[number], {}).get("recall")
        share = "" if recall is None else f"  {recall:.3f}"
        few = "  (too few to calibrate confidence)" if counts[number] < MIN_CELLS_TO_SPLIT else ""
        term = terms[number] or "no term"
        yield f"  {names[number]:<{width}}  {term:<10}  {counts[number]:>9,}{share}{few}"


def _held_out(opened: ExchangeFile) -> Iterator[str]:
    metrics = _cross_validation(opened)
    if not metrics:
        yield "Held-out cells: no figures (train-reader --folds or --group-by)."
        return
    folds = metrics.get("folds", {})
    by = "group_by" in opened.file["kept"] and encoding.read_text(opened.file["kept"], "group_by")
    number = len(folds.get("accuracy", {}).get("values", ()))
    yield f"Cells of a held-out {by}" if by else "Held-out cells of the same samples"
    values = {name: folds[name]["mean"] for name in SHARES if name in folds}
    if "calibration_error" in metrics:
        values["calibration_error"] = metrics["calibration_error"]
    yield f"  {_shares(values)}; {number} folds"


def _cross_validation(opened: ExchangeFile) -> dict[str, Any]:
    """Metrics of the predictions for held-out cells, empty where there are none."""
    if "cross_validation" not in opened.file:
        return {}
    return dict(encoding.read_json(opened.file, "cross_validation"))


def _elsewhere(figures: list[dict[str, Any]]) -> Iterator[str]:
    if not figures:
        yield "External validation: none."
        return
    yield "External validation"
    for figure in figures:
        told = f", {figure['compared']}" if "compared" in figure else ""
        yield f"  {figure['number']:,} cells, {figure['cells']} ({figure['laboratory']})"
        yield f"    {_shares(figure)}{told}"


def _shares(values: Mapping[str, Any]) -> str:
    named = (f"{name.replace('_', ' ')} {values[name]:.3f}" for name in SHARES if name in values)
    return ", ".join(named).replace("macro f1", "macro F1")
