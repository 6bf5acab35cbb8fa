"""Lay the steps of workflows out from left to right, so that the editor shows a graph.

python galaxy_wrappers/lay_out.py WORKFLOW.ga [...]

A step stands right of all that it reads; the steps of a column stand below each other.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

WIDTH, GAP = 200, 80  # of a step's box in the editor, and between boxes, in pixels
HEAD, LINE = 90, 32  # height of a box without inputs and outputs, and of each of them


def height(step: dict[str, Any]) -> int:
    """About the height of a step's box, in pixels."""
    outputs = max(1, len(step["workflow_outputs"]))
    return HEAD + LINE * (len(step["input_connections"]) + outputs)


def read_by(step: dict[str, Any]) -> list[str]:
    """The keys of the steps that a step reads."""
    links = step["input_connections"].values()
    return [
        str(one["id"]) for link in links for one in (link if isinstance(link, list) else [link])
    ]


def lay_out(workflow: dict[str, Any]) -> None:
    """Give each step of a workflow in Galaxy's own format, read from JSON, its position."""
    columns: dict[str, int] = {}
    below: dict[int, int] = {}  # column → where its next step starts
    for key in sorted(workflow["steps"], key=int):
        step = workflow["steps"][key]
        column = max((columns[other] + 1 for other in read_by(step)), default=0)
        top = below.get(column, 0)
        step["position"] = {"left": column * (WIDTH + GAP), "top": top}
        columns[key], below[column] = column, top + height(step) + GAP // 2


def main() -> None:
    """Lay out every file in its place."""
    for name in sys.argv[1:]:
        path = Path(name)
        workflow = json.loads(path.read_text("utf-8"))
        lay_out(workflow)
        path.write_text(json.dumps(workflow, indent=4, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
