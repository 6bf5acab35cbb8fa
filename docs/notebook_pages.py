"""A page of Markdown as a notebook: its commands are cells, what they print are their outputs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

BLOCK = re.compile(r"^```(bash|python|text)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)


def notebook(page: Path) -> str:
    """The notebook's JSON; blocks of ``bash`` run by ``%%bash``, those of ``sh`` stay text."""
    cells: list[dict[str, Any]] = []

    def add(kind: str, text: str, **more: Any) -> None:
        if text.strip():
            source = text.strip("\n").splitlines(keepends=True)
            named = {"cell_type": kind, "id": f"cell-{len(cells)}", "metadata": {}}
            cells.append({**named, "source": source, **more})

    text, end = page.read_text("utf-8"), 0
    for block in BLOCK.finditer(text):
        add("markdown", text[end : block.start()])
        end, (language, content) = block.end(), block.groups()
        if language == "text":
            lines = content.splitlines(keepends=True)
            cells[-1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": lines}]
        else:
            magic = "%%bash\n" if language == "bash" else ""
            add("code", magic + content, execution_count=None, outputs=[])
    add("markdown", text[end:])
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    content = {
        "cells": cells,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
