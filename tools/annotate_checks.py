"""Which options of ``annotate`` go together; anything else is a usage error."""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from screader_lib.command_line.run import ToolRun
from screader_lib.errors import ScReaderError

TABLES = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet")
WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


def check_without_reader(
    run: ToolRun,
    given: Mapping[str, Any],
    by_types: bool,
    report: str | None,
) -> None:
    """A usage error for options that only a reader can answer."""
    only_with_reader = {
        "--report": report is not None and by_types,
        "--min-familiarity": bool(given["min_familiarity"]) and by_types,
        "--orthologs": given["orthologs"] is not None,
        "--consensus none": given["consensus"] == "none",
        "--force": given["force"],
        "--llm": given["llm"] is not None,
    }
    for option, is_given in only_with_reader.items():
        if is_given:
            raise click.UsageError(f"{option} needs --reader.", run.context)


def check_labels_from(
    run: ToolRun,
    reader: str | None,
    reference: tuple[str, ...],
    examples: str | None,
    types: tuple[str, ...],
    given: Mapping[str, Any],
) -> None:
    """A usage error unless there is one source of labels, and a reference's column of labels."""
    sources = sum(map(bool, (reader, reference, examples)))
    if sources > 1 or (examples and types) or not (sources or types):
        raise click.UsageError(
            "give one of --reader, --reference, --examples and --types.", run.context
        )
    if reference and given["label"] is None:
        raise click.UsageError("--reference needs --label.", run.context)
    only_with_reference = ("label", "donor", "shared_genes", "keep_reader")
    if not reference and any(given[name] for name in only_with_reference):
        raise click.UsageError(
            "--label, --donor, --shared-genes and --keep-reader go with --reference.", run.context
        )


def check_outputs(
    run: ToolRun, expression: tuple[str, ...], in_place: bool, outputs: Sequence[str | None]
) -> None:
    """A usage error where nothing would be written, or not where it is wanted.

    The first of the ``outputs`` is the h5ad.
    """
    if in_place and outputs[0] is not None:
        raise click.UsageError("--in-place and --output are mutually exclusive.", run.context)
    if outputs[0] is not None and outputs[0].lower().endswith(TABLES):
        raise click.UsageError(
            f"-o writes an h5ad; for a table, give --calls {outputs[0]}.", run.context
        )
    if in_place and (len(expression) > 1 or expression[0] == "-"):
        raise click.UsageError("--in-place needs one file.", run.context)
    if (
        in_place
        and Path(expression[0]).exists()
        and not Path(expression[0]).stat().st_mode & WRITABLE
    ):
        raise ScReaderError(
            "is read-only.", file=expression[0], remedy="Write a new file: -o OUT.h5ad."
        )
    if not in_place and not any(outputs):
        raise click.UsageError(
            "name an output: -o, --in-place, --calls, --cluster-table or --report.", run.context
        )
