"""One run of a tool: its inputs, its output and the provenance that links them."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from itertools import chain, combinations, product
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
    from screader_lib.exchange.provenance import Provenance

STANDARD = "-"
RESULTS = (".h5ad", ".h5")  # of files that tools write
NOT_RECORDED = {"threads"}  # options without effect on the output
Inputs = Mapping[str, "ExchangeFile | Path"]


class ToolRun:
    """The first argument of a tool's function: reporter, inputs, output, provenance."""

    def __init__(self, tool: str, context: click.Context, reporter: Reporter) -> None:
        self.tool = tool
        self.context = context
        self.reporter = reporter
        self.not_recorded = set(NOT_RECORDED)  # options that the provenance leaves out
        self._hashes: dict[Path, Future[str]] = {}
        self._check_options()

    def _options(self) -> Iterator[tuple[click.Parameter, Any]]:
        for option in self.context.command.params:
            if option.name in self.context.params:
                yield option, self.context.params[option.name]

    @property
    def parameters(self) -> dict[str, Any]:
        """Options as given or defaulted, without files; for the provenance."""
        return {
            option.name or "": _without_folder(value)
            for option, value in self._options()
            if option.name not in self.not_recorded and not isinstance(option.type, FilePath)
        }

    def _check_options(self) -> None:
        """A usage error for numbers that are not finite and for files used more than once.

        ScReaderError for an output that could not be written, so that no work is lost.
        """
        inputs: list[tuple[str, str]] = []  # names of options in messages, and paths
        outputs: list[tuple[str, str]] = []
        for option, value in self._options():
            if isinstance(value, float) and not isfinite(value):
                raise click.BadParameter("expected a finite number.", self.context, option)
            if isinstance(option.type, FilePath) and value is not None:
                files = outputs if isinstance(option.type, OutputPath) else inputs
                for path in value if isinstance(value, tuple) else (value,):
                    files.append((option.get_error_hint(self.context), path))
        if "output" in self.context.params and not self.context.params["output"]:
            outputs.append(("'-o' / '--output'", STANDARD))
        from_standard = [hint for hint, path in inputs if path == STANDARD]
        to_standard = [hint for hint, path in outputs if path == STANDARD]
        if len(from_standard) > 1:
            raise self._wrong(
                f"standard input can be read only once, not for {' and '.join(from_standard)}."
            )
        if len(to_standard) > 1:
            raise self._wrong(
                f"standard output can take only one output, not {' and '.join(to_standard)}."
            )
        if launch.process_count() > 1 and (from_standard or to_standard):
            raise self._wrong("several processes need files, not pipes.")
        self._check_outputs(inputs, outputs)

    def _check_outputs(self, inputs: list[tuple[str, str]], outputs: list[tuple[str, str]]) -> None:
        for (hint, path), (other_hint, other) in chain(
            product(outputs, inputs), combinations(outputs, 2)
        ):
            if _same_file(path, other):
                raise self._wrong(f"{hint} and {other_hint} are the same file: {path}.")
            if _is_part_of(path, other):
                raise self._wrong(f"{hint} would overwrite a part of {other_hint}: {path}.")
        for _, path in outputs:
            if path != STANDARD:
                _check_folder(Path(path))

    def _wrong(self, message: str) -> click.UsageError:
        return click.UsageError(message, self.context)

    @contextmanager
    def path(self, name: str) -> Iterator[Path]:
        """A seekable file to read; standard input (``-``) and named pipes are copied to one."""
        if name == STANDARD:
            if sys.stdin is None or sys.stdin.isatty():
                raise self._wrong("no input: name a file or pipe one in.")
            with _spooled(sys.stdin.buffer, "standard input") as path:
                yield path
        elif Path(name).is_fifo():
            with Path(name).open("rb") as stream, _spooled(stream, name) as path:
                yield path
        else:
            yield Path(name)

    @contextmanager
    def open(self, name: str, *kinds: str) -> Iterator[ExchangeFile]:
        """Open an exchange file of one of ``kinds``; ScReaderError if it is not one."""
        from screader_lib.exchange.opening import open_exchange

        display_name = "standard input" if name == STANDARD else name
        with self.path(name) as path, open_exchange(path, *kinds, name=display_name) as file:
            yield file

    def start_hashing(self, path: Path) -> None:
        """Start to hash an input of :meth:`create` in the background."""
        from screader_lib.exchange import provenance

        pool = ThreadPoolExecutor(1)
        self._hashes[path] = pool.submit(provenance.sha256_of, path)
        pool.shutdown(wait=False)

    def _input_record(self, source: ExchangeFile | Path) -> dict[str, str]:
        from screader_lib.exchange import provenance

        if not isinstance(source, Path):
            return source.input_record
        future = self._hashes.get(source)
        sha256 = future.result() if future else provenance.sha256_of(source)
        return {"schema": "", "sha256": sha256}

    @contextmanager
    def create(self, kind: str, output: str | None, inputs: Inputs) -> Iterator[h5py.File]:
        """The output file of ``kind`` to fill; moved into place if the block succeeds.

        ``inputs``, by role, are what it is made from; they are recorded in its provenance.
        """
        from screader_lib.exchange import provenance, writing

        provenance.created_time()  # what is wrong with it is told before the work
        made = partial(self.provenance, inputs)
        with writing.create(kind, self.output_path(output), made) as file:
            yield file

    def provenance(self, inputs: Inputs) -> Provenance:
        """What is recorded in an output that is made from ``inputs``, by role."""
        from screader_lib.exchange import provenance

        records = {role: self._input_record(source) for role, source in inputs.items()}
        histories = [source.steps for source in inputs.values() if not isinstance(source, Path)]
        return provenance.make(self.tool, self.parameters, records, histories)

    def record(self, inputs: Mapping[str, Path]) -> dict[str, Any]:
        """Tool, version, parameters and inputs, for an output that is no exchange file."""
        from screader_lib.exchange import provenance

        records = {role: self._input_record(path) for role, path in inputs.items()}
        return asdict(provenance.make(self.tool, self.parameters, records, []).record)

    def output_path(self, output: str | None) -> str:
        """The output's path, or ``-`` for standard output, which must not be a terminal."""
        if output not in (None, STANDARD):
            return str(output)
        if sys.stdout is None or sys.stdout.isatty():
            raise self._wrong("no output: name a file with -o, or pipe into the next tool.")
        return STANDARD


def _without_folder(value: Any) -> Any:
    """A value of an option; of a file or folder its name alone: no path gets into outputs."""
    is_path = isinstance(value, str) and os.sep in value and Path(value).exists()
    return Path(value).resolve().name if is_path else value


@contextmanager
def _spooled(stream: BinaryIO, name: str) -> Iterator[Path]:
    """A stream's content in a temporary file; ScReaderError if it is empty."""
    from screader_lib.exchange.writing import temporary_file

    with temporary_file("standard-input") as path:
        with path.open("wb") as spool:
            shutil.copyfileobj(stream, spool, 1 << 20)
        if not path.stat().st_size:
            raise ScReaderError("is empty.", file=name, remedy="Did the previous tool fail?")
        yield path


def _same_file(one: str, other: str) -> bool:
    if STANDARD in (one, other):
        return False
    try:
        return Path(one).samefile(other)
    except OSError:
        return Path(one).absolute() == Path(other).absolute()


def _is_part_of(output: str, source: str) -> bool:
    """Whether an output would overwrite a file of an input folder, but for a result put there."""
    if STANDARD in (output, source) or not Path(source).is_dir() or not Path(output).exists():
        return False
    is_inside = Path(source).resolve() in Path(output).resolve().parents
    return is_inside and Path(output).suffix not in RESULTS


def _check_folder(output: Path) -> None:
    """ScReaderError where a file cannot be put into the folder of ``output``."""
    folder = (output.resolve() if output.is_symlink() else output).parent
    if not folder.is_dir():
        raise ScReaderError("no such folder.", file=folder, remedy="Create it first.")
    if not os.access(folder, os.W_OK | os.X_OK) and not output.exists():
        raise ScReaderError("cannot be written to: Permission denied.", file=folder)
