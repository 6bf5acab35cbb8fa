#!/usr/bin/env python3
"""One page and one table of all samples of a run, from the summaries that `plot report` wrote.

    run_report.py --samples NAMES.txt --summaries FOLDER --link 'reports/{}.report.html' -o PREFIX

Reads the *_mqc.json files of FOLDER, one a sample, and writes PREFIX.html and PREFIX.tsv, with a
link to each sample's report. Samples without a summary are listed as failed. Needs Python alone.
"""

from __future__ import annotations

import argparse
import html
import json
import sys
from pathlib import Path

STYLE = (
    "body{font-family:sans-serif;margin:2em;color:#222}table{border-collapse:collapse}"
    "th,td{border-bottom:1px solid #ccc;padding:.3em .8em;text-align:right}"
    "th:first-child,td:first-child{text-align:left}.failed td{background:#fde8e0}"
)


FAILURE = ("step", "exit", "reason", "work_folder")


def read_names(path: Path) -> list[str]:
    """The samples' names, one per line; blank lines are ignored."""
    return [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()]


def read_summaries(folder: Path) -> tuple[dict, dict[str, dict]]:
    """The columns' headers, and each sample's row."""
    headers: dict = {}
    rows: dict[str, dict] = {}
    for path in sorted(folder.glob("*_mqc.json")):
        text = path.read_text("utf-8")
        if not text:  # a stub run
            continue
        try:
            summary = json.loads(text)
            headers = {**summary["headers"], **headers}
            for name, row in summary["data"].items():
                if name in rows:
                    sys.exit(f"run_report: {path.name}: sample '{name}' appears twice.")
                rows[name] = row
        except (ValueError, KeyError, TypeError, AttributeError):
            sys.exit(f"run_report: {path.name}: is not a summary of `plot report --multiqc`.")
    return headers, rows


def shown(value: object) -> str:
    """A value as the table shows it."""
    if value is None:
        return ""
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def as_table(names: list[str], headers: dict, rows: dict[str, dict]) -> str:
    """Tab-separated: sample, status, what failed (filled in when the run ends), the columns."""
    lines = ["\t".join(["sample", "status", *FAILURE, *headers])]
    for name in names:
        row = rows.get(name)
        cells = [shown((row or {}).get(key)) for key in headers]
        lines.append("\t".join([name, "called" if row else "failed", *[""] * len(FAILURE), *cells]))
    return "\n".join(lines) + "\n"


def as_page(names: list[str], headers: dict, rows: dict[str, dict], link: str) -> str:
    """The page: one row a sample, each with a link to its report."""
    titles = "".join(
        f'<th title="{html.escape(str(head.get("description", "")))}">'
        f"{html.escape(str(head.get('title', key)))}</th>"
        for key, head in headers.items()
    )
    body = []
    for name in names:
        row = rows.get(name)
        safe = html.escape(name)
        first = f'<a href="{link.format(safe)}">{safe}</a>' if row else safe
        cells = "".join(f"<td>{html.escape(shown((row or {}).get(key)))}</td>" for key in headers)
        state = "called" if row else "failed"
        reason = "" if row else f"<!-- {safe} -->"  # filled in when the run ends
        body.append(
            f'<tr class="{state}"><td>{first}</td><td>{state}</td>{cells}<td>{reason}</td></tr>'
        )
    failed = [name for name in names if name not in rows]
    lead = f"{len(names) - len(failed)} of {len(names)} samples have predictions."
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>scReader run</title>'
        f"<style>{STYLE}</style></head><body><h1>scReader: the samples of a run</h1><p>{lead}</p>"
        f"<table><thead><tr><th>Sample</th><th>Status</th>{titles}<th>Reason</th></tr></thead><tbody>"
        f"{''.join(body)}</tbody></table></body></html>\n"
    )


def main() -> None:
    """Read the summaries, write the page and the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=Path, required=True)
    parser.add_argument("--summaries", type=Path, required=True)
    parser.add_argument("--link", required=True, help="each sample's report; {} is its name")
    parser.add_argument("-o", "--output", required=True)
    given = parser.parse_args()
    names = read_names(given.samples)
    headers, rows = read_summaries(given.summaries)
    unknown = sorted(set(rows) - set(names))
    if unknown:
        sys.exit(f"run_report: {', '.join(unknown)}: not among the samples of the run.")
    for end, text in (
        (".tsv", as_table(names, headers, rows)),
        (".html", as_page(names, headers, rows, given.link)),
    ):
        Path(f"{given.output}{end}").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
