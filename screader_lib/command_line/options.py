"""Options and argument types that several tools have."""

from __future__ import annotations

from collections.abc import Callable

import click

from screader_lib.option_values import NORMALISATIONS, VALUE_KINDS


class FilePath(click.ParamType):
    """A file to read; ``-`` is standard input. Its existence is checked when it is opened."""

    name = "file"


class OutputPath(FilePath):
    """A file to write; ``-`` is standard output."""


class ShardOf(click.ParamType):
    """``I/N``: the I-th of N shards, as (I, N)."""

    name = "i/n"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        number, _, count = str(value).partition("/")
        if not (number.isascii() and number.isdigit() and count.isascii() and count.isdigit()):
            self.fail(f"{value!r} is not a shard such as 3/8.", param, ctx)
        if not 1 <= int(number) <= int(count):
            self.fail(f"there is no shard {number} of {count}.", param, ctx)
        return int(number), int(count)


class MemorySize(click.ParamType):
    """Bytes, as in ``20G``, ``512MB`` or ``1.5T``, in powers of 1,000."""

    name = "size"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        text = str(value).strip().upper().removesuffix("B")
        factor = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}.get(text[-1:], 1)
        number = text if factor == 1 else text[:-1]
        try:
            size = int(float(number) * factor)
        except (ValueError, OverflowError):
            size = 0
        if size < 1:
            self.fail(f"{value!r} is not a size such as 20G.", param, ctx)
        return size


def output_option(what: str) -> Callable:
    """``-o``, the file to write; standard output by default, unless that is a terminal."""
    return click.option(
        "-o",
        "--output",
        type=OutputPath(),
        help=f"Write {what} to this file; standard output by default or for '-'.",
    )


def input_argument(name: str) -> Callable:
    """One file to read; standard input by default."""
    return click.argument(name, type=FilePath(), default="-")


seed_option = click.option(
    "--seed", type=click.IntRange(min=0), default=0, help="Seed for all random numbers."
)


def modality_option(*more_names: str) -> Callable:
    """``--modality``, which part of a file that holds several is read; also as ``more_names``."""
    return click.option(
        "modality",
        "--modality",
        *more_names,
        metavar="NAME",
        show_default="rna or RNA, or the only one",
        help="Part to read of a file with several: modality of an h5mu, assay of an R object, "
        "table of a SpatialData store.",
    )


genome_option = click.option(
    "--genome",
    metavar="NAME",
    help="Genome whose genes are read, such as GRCh38, of a matrix with the genes of several.",
)


def expression_options(command: Callable) -> Callable:
    """What is read of a file of cells: its gene column, layer, modality and genome."""
    options = (
        click.option(
            "--gene-column",
            metavar="COLUMN",
            show_default="the index, or a usual column of names",
            help="Column of var with the gene names to match.",
        ),
        click.option(
            "--layer",
            metavar="NAME",
            show_default="X, or raw where only raw holds counts",
            help="Matrix to read: X, raw, or the name of a layer.",
        ),
        modality_option("--assay", "--table"),
        genome_option,
    )
    return _all(options)(command)


def value_options(normalised: str) -> Callable:
    """``--values`` and ``--normalise``, whose default is shown as ``normalised``."""
    options = (
        click.option(
            "--values",
            type=click.Choice(VALUE_KINDS),
            default="auto",
            help="Kind of values; tpm: normalised without a logarithm (TPM, CPM, RPKM), log: log1p "
            "of normalised counts, log2 and log10: the same to these bases.",
        ),
        click.option(
            "--normalise",
            type=click.Choice(NORMALISATIONS),
            show_default=normalised,
            help="totals: each cell to 10,000 over all genes of the file; reader: so that the "
            "genes shared with the reader (of build-cells: --like) add up to their average in its "
            "cells; none: logs are left as given; auto: none for logs of fewer than 10,000 genes "
            "whose cells add up to different totals of at most 10,000, else totals.",
        ),
    )
    return _all(options)


def minimum_options(min_genes: int = 0) -> Callable:
    """``--min-counts`` and ``--min-genes`` of a cell."""
    options = (
        click.option(
            "--min-counts",
            type=click.IntRange(min=0),
            default=0,
            help="Leave out cells with fewer counts: most barcodes of an unfiltered matrix are not "
            "cells.",
        ),
        click.option(
            "--min-genes",
            type=click.IntRange(min=0),
            default=min_genes,
            help="Leave out cells with fewer genes, of all genes of the file.",
        ),
    )
    return _all(options)


def orthologs_option(default: str | None = None) -> Callable:
    """``--orthologs``, whose ``default`` is shown in its help."""
    return click.option(
        "--orthologs",
        type=FilePath(),
        show_default=default or False,
        help="Match genes by orthologs: a table whose first two columns name the genes of two "
        "species.",
    )


threads_option = click.option(
    "--threads",
    type=click.IntRange(1, 64),
    show_default="the number of processors, 8 at most",
    help="Blocks of cells processed at a time; each takes about 50 MB.",
)


def _all(options: tuple[Callable, ...]) -> Callable:
    """Decorates a command with all ``options``, in this order."""

    def decorate(command: Callable) -> Callable:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate
