"""Options and argument types that several tools have."""

from __future__ import annotations

from collections.abc import Callable

import click


class FilePath(click.ParamType):
    """A file that is read; ``-`` is standard input. Whether it is there is checked on opening."""

    name = "file"


class OutputPath(FilePath):
    """A file that is written; ``-`` is standard output."""


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
            self.fail(f"{value!r} is no shard such as 3/8.", param, ctx)
        if not 1 <= int(number) <= int(count):
            self.fail(f"there is no shard {number} of {count}.", param, ctx)
        return int(number), int(count)


class MemorySize(click.ParamType):
    """Bytes, as in ``20G``, ``512M`` or ``1.5T``: powers of 1,000; a ``B`` may follow."""

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
            self.fail(f"{value!r} is no size such as 20G.", param, ctx)
        return size


def output_option(what: str) -> Callable:
    """``-o``, the file written; standard output where it is left out and not a terminal."""
    return click.option(
        "-o",
        "--output",
        type=OutputPath(),
        help=f"Write {what} here; '-' or none: standard output.",
    )


def input_argument(name: str) -> Callable:
    """One file to read; standard input where it is left out."""
    return click.argument(name, type=FilePath(), default="-")


seed_option = click.option(
    "--seed", type=click.IntRange(min=0), default=0, help="Seed of every random choice."
)
