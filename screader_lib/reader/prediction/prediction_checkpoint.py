"""Predictions saved block by block, so that a run that was killed can resume.

A folder with an HDF5 file for each block, put in place in one step. It is resumed only by the same
prediction: same cells, reader, settings, LLM and version of scReader.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

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
EXPLAINED = ("genes", "parts", "sums", "gaps")


class PredictionCheckpoint:
    """``folder`` None saves nothing; ``fingerprint`` says which prediction it is of."""

    def __init__(
        self, folder: Path | None, fingerprint: str = "", reporter: Reporter = SILENT
    ) -> None:
        self.folder = folder
        self.fingerprint = fingerprint
        self.reporter = reporter

    def begin(self) -> int:
        """Make the folder, or resume from it; returns how many blocks it holds.

        ScReaderError where it holds something else: that will not be overwritten.
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
        if mark.is_file() and mark.read_text("utf-8") != self.fingerprint:
            self.reporter.warning(f"{self.folder} belongs to another prediction; starting afresh.")
            self.remove()
        if not mark.is_file():
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ScReaderError(
                    f"cannot be made: {error.strerror}.", file=self.folder
                ) from None
            with replacing(mark) as temporary:
                temporary.write_text(self.fingerprint, "utf-8")
        return len(list(self.folder.glob(BLOCKS)))

    def load(self, number: int) -> PredictionBlock | None:
        """A saved block; None where there is none, or it is damaged."""
        if self.folder is None or not self._file(number).exists():
            return None
        try:
            with safety.open_checked(self._file(number)) as file:
                arrays = {name: file[name][()] for name in ARRAYS}
                explained = None
                if "explained" in file:
                    group = file["explained"]
                    explained = Explained(*(group[name][()] for name in EXPLAINED))
                return PredictionBlock(**arrays, explained=explained)
        except (ScReaderError, OSError, KeyError):
            self.reporter.warning(f"{self._file(number)} is damaged; predicting its cells again.")
            return None

    def save(self, number: int, block: PredictionBlock) -> None:
        """Save a block."""
        if self.folder is None or launch.is_worker():
            return
        with replacing(self._file(number)) as temporary, new_file(temporary) as file:
            for name in ARRAYS:
                file.create_dataset(name, data=getattr(block, name))
            if block.explained is not None:
                group = file.create_group("explained")
                for name in EXPLAINED:  # sums are mostly zero
                    compression = "gzip" if name == "sums" else None
                    values = getattr(block.explained, name)
                    group.create_dataset(name, data=values, compression=compression)

    def remove(self) -> None:
        """Delete all blocks: the prediction is finished, or another begins.

        Anything else in the folder stays.
        """
        if self.folder is None or launch.is_worker():
            return
        own = (*self.folder.glob(BLOCKS), *self.folder.glob(PARTIAL), self.folder / MARK)
        for file in own:
            file.unlink(missing_ok=True)
        with suppress(OSError):  # it is not empty
            self.folder.rmdir()

    def _file(self, number: int) -> Path:
        assert self.folder is not None
        return self.folder / f"block-{number:07}.h5"


NO_CHECKPOINT = PredictionCheckpoint(None)
