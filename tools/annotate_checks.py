"""The options of ``annotate``, and which go together; anything else is a usage error."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

import click

from screader_lib.command_line.run import ToolRun
from screader_lib.errors import ScReaderError

TABLES = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet")
WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True)
class Given:
    """The arguments and options of ``annotate``, by click's names."""

    expression: tuple[str, ...]
    reader: str | None
    examples: str | None
    types: tuple[str, ...]
    reference: tuple[str, ...]
    label: str | None
    donor: str | None
    shared_genes: bool
    keep_reader: str | None
    output: str | None
    in_place: bool
    no_vectors: bool
    calls: str | None
    min_confidence: float
    min_familiarity: float
    consensus: str
    clusters: str | None
    cluster_table: str | None
    markers: tuple[str, ...]
    report: str | None
    gene_column: str | None
    layer: str | None
    modality: str | None
    genome: str | None
    orthologs: str | None
    values: str
    normalise: str | None
    min_counts: int
    min_genes: int
    force: bool
    llm: str | None
    device: str
    max_memory: int | None
    checkpoint_activations: int | None
    compile: bool
    threads: int | None

    @property
    def has_reader(self) -> bool:
        """Whether labels are a reader's, one that is given or one trained on a reference."""
        return self.reader is not None or bool(self.reference)

    @property
    def machine(self) -> tuple[str, int | None, int | None, bool]:
        """The arguments of ``machine.prepare``."""
        return self.device, self.max_memory, self.checkpoint_activations, self.compile


def check_labels_from(run: ToolRun, given: Given) -> None:
    """A usage error unless there is one source of labels, with the options that go with it."""
    sources = sum(map(bool, (given.reader, given.reference, given.examples)))
    if sources > 1 or (given.examples and given.types) or not (sources or given.types):
        raise click.UsageError(
            "give one of --reader, --reference, --examples and --types.", run.context
        )
    if given.reference and given.label is None:
        raise click.UsageError("--reference needs --label.", run.context)
    only_with_reference = (given.label, given.donor, given.shared_genes, given.keep_reader)
    if not given.reference and any(only_with_reference):
        raise click.UsageError(
            "--label, --donor, --shared-genes and --keep-reader go with --reference.", run.context
        )
    if given.has_reader:
        return
    only_with_reader = {
        "--min-familiarity": given.min_familiarity and given.types,
        "--orthologs": given.orthologs is not None,
        "--consensus none": given.consensus == "none",
        "--force": given.force,
        "--llm": given.llm is not None,
    }
    for option, is_given in only_with_reader.items():
        if is_given:
            raise click.UsageError(f"{option} needs --reader.", run.context)


def check_outputs(run: ToolRun, given: Given) -> None:
    """A usage error where nothing would be written, or not where it is wanted."""
    first, output, in_place = given.expression[0], given.output, given.in_place
    if in_place and output is not None:
        raise click.UsageError("--in-place and --output are mutually exclusive.", run.context)
    if output is not None and output.lower().endswith(TABLES):
        raise click.UsageError(
            f"-o writes an h5ad; for a table, give --calls {output}.", run.context
        )
    if in_place and (len(given.expression) > 1 or first == "-"):
        raise click.UsageError("--in-place needs one file.", run.context)
    if in_place and Path(first).exists() and not Path(first).stat().st_mode & WRITABLE:
        raise ScReaderError("is read-only.", file=first, remedy="Write a new file: -o OUT.h5ad.")
    if not (in_place or output or given.calls or given.cluster_table or given.report):
        raise click.UsageError(
            "name an output: -o, --in-place, --calls, --cluster-table or --report.", run.context
        )
