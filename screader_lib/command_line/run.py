"""One run of a tool: its inputs, its output and the provenance that ties them."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from screader_lib.command_line.options import FilePath, OutputPath
from screader_lib.errors import ScReaderError
from screader_lib.reporting import Reporter

if TYPE_CHECKING:
    import h5py

    from screader_lib.exchange.opening import ExchangeFile

STANDARD = "-"
Inputs = Mapping[str, "ExchangeFile | Path"]


class Run:
    """What a tool's function is handed first: reporter, inputs, output, provenance."""

    def __init__(self, tool: str, context: click.Context, reporter: Reporter) -> None:
        self.tool = tool
        self.context = context
        self.reporter = reporter
        self._check_files()

    @property
    def parameters(self) -> dict[str, Any]:
        """The options as given or defaulted, without files; for the provenance."""
        return {
            option.name: self.context.params[option.name]
            for option in self.context.command.params
            if option.name in self.context.params and not isinstance(option.type, FilePath)
        }

    def _files(self, kind: type[FilePath], *, outputs: bool) -> Iterator[tuple[str, str]]:
        for option in self.context.command.params:
            value = self.context.params.get(option.name or "")
            if not isinstance(option.type, kind) or value is None:
                continue
            if isinstance(option.type, OutputPath) is not outputs:
                continue
            for path in value if isinstance(value, tuple) else (value,):
                yield option.get_error_hint(self.context), path

    def _check_files(self) -> None:
        inputs = list(self._files(FilePath, outputs=False))
        if sum(path == STANDARD for _, path in inputs) > 1:
            hints = " and ".join(hint for hint, path in inputs if path == STANDARD)
            raise click.UsageError(f"standard input can be read once only: {hints}.", self.context)
        for output_hint, output in self._files(OutputPath, outputs=True):
            for hint, path in inputs:
                if _same_file(output, path):
                    raise click.UsageError(
                        f"{output_hint} and {hint} are the same file: {output}.", self.context
                    )

    @contextmanager
    def path(self, name: str) -> Iterator[Path]:
        """A file to read by seeking; standard input (``-``) is copied to a temporary file."""
        if name != STANDARD:
            yield Path(name)
            return
        if sys.stdin.isatty():
            raise click.UsageError("no input: name a file or pipe one in.", self.context)
        with tempfile.NamedTemporaryFile(prefix="screader-", suffix=".spool") as spool:
            shutil.copyfileobj(sys.stdin.buffer, spool, 1 << 20)
            spool.flush()
            if not os.fstat(spool.fileno()).st_size:
                raise ScReaderError(
                    "is empty.", file="standard input", remedy="Did the tool before it fail?"
                )
            yield Path(spool.name)

    @contextmanager
    def open(self, name: str, *kinds: str) -> Iterator[ExchangeFile]:
        """Open an exchange file of one of ``kinds``; ScReaderError where it is not."""
        from screader_lib.exchange.opening import open_exchange

        shown = "standard input" if name == STANDARD else name
        with self.path(name) as path, open_exchange(path, *kinds, name=shown) as file:
            yield file

    @contextmanager
    def create(self, kind: str, output: str | None, inputs: Inputs) -> Iterator[h5py.File]:
        """The output file of ``kind`` to fill; put in place when the block ends well.

        ``inputs`` names what it is made from, by role; it goes into the provenance.
        """
        from screader_lib.exchange import provenance, writing
        from screader_lib.exchange.opening import ExchangeFile

        records, histories = {}, []
        for role, source in inputs.items():
            if isinstance(source, ExchangeFile):
                records[role] = source.input_record
                histories.append(source.steps)
            else:
                records[role] = {"schema": "", "sha256": provenance.sha256_of(source)}
        made = provenance.make(self.tool, self.parameters, records, histories)
        with writing.create(kind, self.destination(output), made) as file:
            yield file

    def destination(self, output: str | None) -> str:
        """Where the output goes: a file, or standard output unless that is a terminal."""
        if output not in (None, STANDARD):
            return str(output)
        if sys.stdout.isatty():
            raise click.UsageError(
                "no output: name a file with -o, or pipe into the next tool.", self.context
            )
        return STANDARD


def _same_file(one: str, other: str) -> bool:
    if STANDARD in (one, other):
        return False
    try:
        return Path(one).samefile(other)
    except OSError:
        return Path(one).absolute() == Path(other).absolute()
