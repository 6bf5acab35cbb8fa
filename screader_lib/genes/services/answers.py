"""Answers that are not what was asked for."""

from __future__ import annotations

import json
from typing import Any

HTML = "an HTML page"


class BadAnswer(Exception):
    """An answer that is cut, malformed or of another kind than asked for."""


def parse_json(body: bytes) -> Any:
    """JSON of an answer; BadAnswer where it is none."""
    try:
        return json.loads(body)
    except ValueError:
        raise BadAnswer(f"{what_is_it(body)} instead of JSON") from None


def what_is_it(body: bytes) -> str:
    """In words, what an answer of the wrong kind is."""
    head = body.lstrip()[:200].lower()
    if not head:
        return "an empty answer"
    if head.startswith((b"<!doctype html", b"<html")):
        return HTML
    return "a cut or malformed answer"


def first_line(body: bytes) -> str:
    """The beginning of an answer as one line; empty for an HTML page."""
    if what_is_it(body) == HTML:
        return ""
    return " ".join(body[:200].decode("utf-8", "replace").split())
