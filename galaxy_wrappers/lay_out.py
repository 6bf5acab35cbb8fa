"""Lay the steps of a workflow out from left to right, so that the editor shows a graph.

A step stands right of all that it reads; the steps of a column stand below each other.
"""

from __future__ import annotations

from textwrap import wrap
from typing import Any

WIDTH, GAP = 200, 80  # of a step's box in the editor, and between boxes, in pixels
HEAD, ROW, LINE = 14, 10, 20  # of a box and of each input and output, to which lines of text add
IN_HEAD, IN_INPUT, IN_OUTPUT = 16, 26, 18  # letters that a line has


def height(step: dict[str, Any]) -> int:
    """About the height of a step's box in the editor, in pixels; the step as the editor gets it."""
    labels = {one["output_name"]: one["label"] for one in step["workflow_outputs"]}
    rows = [wrap(one["label"], IN_INPUT) for one in step["inputs"]]
    for one in step["outputs"]:
        name = labels.get(one["name"]) or one["name"]
        rows.append(wrap(f"{name} ({', '.join(one.get('extensions') or [])})", IN_OUTPUT))
    lines = [wrap(f"{step['id'] + 1}: {step['label']}", IN_HEAD), *rows]
    return HEAD + ROW * len(rows) + LINE * sum(map(len, lines))


def read_by(step: dict[str, Any]) -> list[str]:
    """The keys of the steps that a step reads."""
    links = step["input_connections"].values()
    return [
        str(one["id"]) for link in links for one in (link if isinstance(link, list) else [link])
    ]


def lay_out(workflow: dict[str, Any], shown: dict[str, Any]) -> None:
    """Give each step of a workflow in Galaxy's own format its position.

    ``shown`` is the workflow as the editor gets it, whose steps may have another order.
    """
    heights = {step["label"]: height(step) for step in shown["steps"].values()}
    columns: dict[str, int] = {}
    below: dict[int, int] = {}  # column → where its next step starts
    for key in sorted(workflow["steps"], key=int):
        step = workflow["steps"][key]
        column = max((columns[other] + 1 for other in read_by(step)), default=0)
        top = below.get(column, 0)
        step["position"] = {"left": column * (WIDTH + GAP), "top": top}
        columns[key], below[column] = column, top + heights[step["label"]] + GAP // 2
