"""One run of a tool: its inputs, its output and the provenance that ties them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from screader_lib import launch
from screader_lib.command_line.options import FilePath, OutputPath
from screader_lib.errors import ScReaderError
from screader_lib.reporting import Reporter

if TYPE_CHECKING:
    import h5py

    from screader_lib.exchange.opening import ExchangeFile

STANDARD = "-"
WITHOUT_EFFECT = {"threads"}  # on what is written
Inputs = Mapping[str, "ExchangeFile | Path"]


class ToolRun:
    """What a tool's function is handed first: reporter, inputs, output, provenance."""

    def __init__(self, tool: str, context: click.Context, reporter: Reporter) -> None:
        self.tool = tool
        self.context = context
        self.reporter = reporter
        self._hashes: dict[Path, Future[str]] = {}
        self._check_numbers()
        self._check_files()

    @property
    def parameters(self) -> dict[str, Any]:
        """The options as given or defaulted, without files; for the provenance."""
        return {
            option.name: self.context.params[option.name]
            for option in self.context.command.params
            if option.name in self.context.params
            and option.name not in WITHOUT_EFFECT
            and not isinstance(option.type, FilePath)
        }

    def _check_numbers(self) -> None:
        for option in self.context.command.params:
            value = self.context.params.get(option.name or "")
            if isinstance(value, float) and not isfinite(value):
                raise click.BadParameter("wanted a finite number.", self.context, option)

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
        outputs = list(self._files(OutputPath, outputs=True))
        to_standard = sum(path == STANDARD for _, path in outputs)
        if (
            to_standard + ("output" in self.context.params and not self.context.params["output"])
            > 1
        ):
            raise click.UsageError("standard output can take one output only.", self.context)
        piped = to_standard or not self.context.params.get("output", STANDARD)
        if launch.process_count() > 1 and (piped or any(path == STANDARD for _, path in inputs)):
            raise click.UsageError(
                "several processes need files, not pipes: name them.", self.context
            )
        others = inputs
        for output_hint, output in outputs:
            for hint, path in others:
                if _same_file(output, path):
                    raise click.UsageError(
                        f"{output_hint} and {hint} are the same file: {output}.", self.context
                    )
            others = [*others, (output_hint, output)]

    @contextmanager
    def path(self, name: str) -> Iterator[Path]:
        """A file to read by seeking; standard input (``-``) and named pipes are spooled."""
        if name == STANDARD:
            if sys.stdin is None or sys.stdin.isatty():
                raise click.UsageError("no input: name a file or pipe one in.", self.context)
            with _spooled(sys.stdin.buffer, "standard input") as path:
                yield path
        elif Path(name).is_fifo():
            with Path(name).open("rb") as stream, _spooled(stream, name) as path:
                yield path
        else:
            yield Path(name)

    @contextmanager
    def open(self, name: str, *kinds: str) -> Iterator[ExchangeFile]:
        """Open an exchange file of one of ``kinds``; ScReaderError where it is not."""
        from screader_lib.exchange.opening import open_exchange

        shown = "standard input" if name == STANDARD else name
        with self.path(name) as path, open_exchange(path, *kinds, name=shown) as file:
            yield file

    def hash_ahead(self, path: Path) -> None:
        """Begin to hash an input that :meth:`create` will name, while other work goes on."""
        from screader_lib.exchange import provenance

        pool = ThreadPoolExecutor(1)
        self._hashes[path] = pool.submit(provenance.sha256_of, path)
        pool.shutdown(wait=False)

    def _sha256(self, path: Path) -> str:
        from screader_lib.exchange import provenance

        ahead = self._hashes.get(path)
        return provenance.sha256_of(path) if ahead is None else ahead.result()

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
                records[role] = {"schema": "", "sha256": self._sha256(source)}
        made = provenance.make(self.tool, self.parameters, records, histories)
        with writing.create(kind, self.destination(output), made) as file:
            yield file

    def record(self, inputs: Mapping[str, Path]) -> dict[str, Any]:
        """What makes an output that is no exchange file: tool, version, parameters, inputs."""
        from dataclasses import asdict

        from screader_lib.exchange import provenance

        records = {
            role: {"schema": "", "sha256": self._sha256(path)} for role, path in inputs.items()
        }
        return asdict(provenance.make(self.tool, self.parameters, records, []).record)

    def destination(self, output: str | None) -> str:
        """Where the output goes: a file, or standard output unless that is a terminal."""
        if output not in (None, STANDARD):
            return str(output)
        if sys.stdout is None or sys.stdout.isatty():
            raise click.UsageError(
                "no output: name a file with -o, or pipe into the next tool.", self.context
            )
        return STANDARD


@contextmanager
def _spooled(stream: BinaryIO, shown: str) -> Iterator[Path]:
    """A stream's content in a temporary file; ScReaderError where there is none."""
    from screader_lib.exchange.writing import temporary_file

    with temporary_file("standard-input") as path:
        with path.open("wb") as spool:
            shutil.copyfileobj(stream, spool, 1 << 20)
        if not path.stat().st_size:
            raise ScReaderError("is empty.", file=shown, remedy="Did the tool before it fail?")
        yield path


def _same_file(one: str, other: str) -> bool:
    if STANDARD in (one, other):
        return False
    try:
        return Path(one).samefile(other)
    except OSError:
        return Path(one).absolute() == Path(other).absolute()
