"""Predictions saved block by block, so that a run that was killed can resume.

A folder with an HDF5 file for each block, put in place in one step. It is resumed only by the same
prediction: same cells, reader, settings, LLM and version of scReader.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from screader_lib import launch
from screader_lib.errors import ScReaderError
from screader_lib.exchange import safety
from screader_lib.exchange.writing import new_file, replacing
from screader_lib.reader.confidence.explanation import Explained
from screader_lib.reader.prediction.predictions import PredictionBlock
from screader_lib.reporting import SILENT, Reporter

MARK = "prediction.txt"
BLOCKS = "block-*.h5"
PARTIAL = ".*.partial"  # left behind by a kill in the midst of writing
ARRAYS = ("probability", "vectors", "evidence", "distance", "has_known_genes")
CHECKSUM = "sha256"
EXPLAINED = ("genes", "parts", "sums", "gaps")


class PredictionCheckpoint:
    """``folder`` None saves nothing; ``fingerprint`` says which prediction it is of."""

    def __init__(
        self, folder: Path | None, fingerprint: str = "", reporter: Reporter = SILENT
    ) -> None:
        self.folder = folder
        self.fingerprint = fingerprint
        self.reporter = reporter
        self._lock = -1  # the mark, open as long as this prediction is at work

    def begin(self) -> int:
        """Make the folder, or resume from it; returns how many blocks it holds.

        ScReaderError where it holds something else, which will not be overwritten, or where
        another prediction is at work in it.
        """
        if self.folder is None:
            return 0
        mark = self.folder / MARK
        is_empty = not self.folder.exists() or (
            self.folder.is_dir() and not any(self.folder.iterdir())
        )
        if not is_empty and not mark.is_file():
            raise ScReaderError(
                "is not the folder of an unfinished prediction.",
                file=self.folder,
                remedy="Name another with --checkpoint.",
            )
        self._lock = self._locked(mark)
        with os.fdopen(os.dup(self._lock), "r+", encoding="utf-8") as stream:
            found = stream.read()
            if found != self.fingerprint:
                if found:
                    problem = "belongs to another prediction; starting afresh."
                    self.reporter.warning(f"{self.folder} {problem}")
                for block in self._blocks():
                    block.unlink(missing_ok=True)
                stream.seek(0)
                stream.truncate()
                stream.write(self.fingerprint)
        return len(list(self.folder.glob(BLOCKS)))

    def _locked(self, mark: Path) -> int:
        """The mark, made where there is none, open and locked until this process ends."""
        while True:
            try:
                mark.parent.mkdir(parents=True, exist_ok=True)
                handle = os.open(mark, os.O_RDWR | os.O_CREAT, 0o666)
            except FileNotFoundError:  # another prediction has just been finished
                continue
            except OSError as error:
                raise ScReaderError(
                    f"cannot be created: {error.strerror}.", file=self.folder
                ) from None
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
                raise ScReaderError(
                    "another prediction to the same output is running.",
                    file=self.folder,
                    remedy="Wait for it to finish, or name another output.",
                ) from None
            except OSError:  # not every file system can
                return handle
            if os.fstat(handle).st_nlink:
                return handle
            os.close(handle)

    def _blocks(self) -> list[Path]:
        assert self.folder is not None
        return [*self.folder.glob(BLOCKS), *self.folder.glob(PARTIAL)]

    def load(self, number: int) -> PredictionBlock | None:
        """A saved block; None where there is none, or it is damaged."""
        if self.folder is None or not self._file(number).exists():
            return None
        try:
            with safety.open_checked(self._file(number)) as file:
                arrays = {name: file[name][()] for name in ARRAYS}
                parts = {}
                if "explained" in file:
                    parts = {name: file["explained"][name][()] for name in EXPLAINED}
                if file.attrs.get(CHECKSUM) != _checksum(arrays | parts):
                    raise ScReaderError("its content is not what was saved.")
                explained = Explained(**parts) if parts else None
                return PredictionBlock(**arrays, explained=explained)
        except (ScReaderError, OSError, KeyError):
            self.reporter.warning(f"{self._file(number)} is damaged; predicting its cells again.")
            return None

    def save(self, number: int, block: PredictionBlock) -> None:
        """Save a block."""
        if self.folder is None or launch.is_worker():
            return
        with replacing(self._file(number)) as temporary, new_file(temporary) as file:
            arrays = {name: np.asarray(getattr(block, name)) for name in ARRAYS}
            parts = {}
            if block.explained is not None:
                parts = {name: np.asarray(getattr(block.explained, name)) for name in EXPLAINED}
            for name, values in arrays.items():
                file.create_dataset(name, data=values)
            for name, values in parts.items():  # sums are mostly zero
                compression = "gzip" if name == "sums" else None
                file.create_dataset(f"explained/{name}", data=values, compression=compression)
            file.attrs[CHECKSUM] = _checksum(arrays | parts)

    def remove(self) -> None:
        """Delete all blocks: the prediction is finished, or another begins.

        Anything else in the folder stays.
        """
        if self.folder is None or launch.is_worker():
            return
        for file in (*self._blocks(), self.folder / MARK):
            file.unlink(missing_ok=True)
        with suppress(OSError):  # it is not empty
            self.folder.rmdir()
        self._release()

    def abandon(self) -> None:
        """Leave the folder as it is after a failure, but without any block not at all."""
        if self._lock >= 0 and not self._blocks():
            self.remove()
        self._release()

    def _release(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _file(self, number: int) -> Path:
        assert self.folder is not None
        return self.folder / f"block-{number:07}.h5"


def _checksum(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of arrays with their names, types and shapes."""
    digest = hashlib.sha256()
    for name, values in sorted(arrays.items()):
        digest.update(f"{name} {values.dtype.str} {values.shape}\0".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


NO_CHECKPOINT = PredictionCheckpoint(None)
