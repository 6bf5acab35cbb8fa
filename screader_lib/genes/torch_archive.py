"""Files of ``torch.save``, read without running anything of them, and without PyTorch.

Such a file is a zip archive that is not compressed: ``data.pkl``, a pickle of dicts in which
tensors refer to their numbers, and one file of numbers for each storage (PyTorch documentation,
"Serialization semantics").
"""

from __future__ import annotations

import math
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.genes.plain_pickle import DAMAGED, Refused, Tensor, load

PICKLE = "data.pkl"
MAX_DEPTH = 4  # of dicts; the tensors of scFoundation lie three deep


def is_torch_archive(path: Path) -> bool:
    """Whether a zip archive is a file of ``torch.save``; not where it cannot be opened."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(Path(name).name == PICKLE for name in archive.namelist())
    except (*DAMAGED, OSError, zipfile.BadZipFile):
        return False


class TorchArchive:
    """The ``content`` of a file of ``torch.save``; its tensors are read when asked for.

    ScReaderError, naming ``name``, where the file holds what is not read, or is damaged.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.name = name
        self.key, self.raw = "", b""  # of the storage read last: many tensors may share it
        try:
            self.archive = zipfile.ZipFile(path)
            names = self.archive.namelist()
            [pickled] = (one for one in names if Path(one).name == PICKLE)
            self.folder = pickled.removesuffix(PICKLE)
            order = f"{self.folder}byteorder"
            self.is_big = order in names and self._member(order) == b"big"
            content = self._member(pickled)
            self.content = load(BytesIO(content), len(content))
        except Refused as error:
            raise ScReaderError(
                f"is a file of PyTorch that cannot be read ({error}).",
                file=name,
                remedy="Only tensors and plain values are accepted.",
            ) from None
        except (*DAMAGED, OSError, zipfile.BadZipFile) as error:
            raise self._damaged(error) from None

    def values(self, tensor: Tensor) -> np.ndarray:
        """float32 of the tensor's shape; ScReaderError where its file has fewer values."""
        try:
            if tensor.storage.key != self.key:
                self.raw = self._member(f"{self.folder}data/{tensor.storage.key}")
                self.key = tensor.storage.key
            return self._values(tensor, self.raw)
        except (*DAMAGED, OSError, zipfile.BadZipFile) as error:
            raise self._damaged(error) from None

    def _values(self, tensor: Tensor, raw: bytes) -> np.ndarray:
        is_brain = tensor.storage.dtype == "bfloat16"
        dtype = np.dtype("u2" if is_brain else tensor.storage.dtype)
        stored = np.frombuffer(raw, dtype.newbyteorder(">" if self.is_big else "<"))
        last = sum((n - 1) * step for n, step in zip(tensor.shape, tensor.strides, strict=True))
        size = math.prod(tensor.shape)
        if size > len(stored) or (size and tensor.offset + last >= len(stored)):
            raise ValueError("a tensor beyond its file")
        steps = [step * stored.itemsize for step in tensor.strides]
        shaped = np.lib.stride_tricks.as_strided(stored[tensor.offset :], tensor.shape, steps)
        if is_brain:  # the upper half of a float32
            return (shaped.astype(np.uint32) << np.uint32(16)).view(np.float32)
        with np.errstate(over="ignore"):
            return shaped.astype(np.float32)

    def _member(self, name: str) -> bytes:
        """A file of the archive; ValueError where it is compressed, which none is."""
        member = self.archive.getinfo(name)
        if member.compress_type != zipfile.ZIP_STORED:
            raise ValueError("compressed")
        return self.archive.read(member)

    def _damaged(self, error: Exception) -> ScReaderError:
        return ScReaderError(
            f"is a damaged file of PyTorch ({type(error).__name__}).",
            file=self.name,
            remedy="Copy or fetch it again.",
        )


def tensors_in(content: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Tensor]:
    """All tensors of nested dicts, by the names that lead to each."""
    found: dict[tuple[str, ...], Tensor] = {}
    for name, value in content.items() if isinstance(content, dict) else ():
        here = (*path, str(name))
        if isinstance(value, Tensor):
            found[here] = value
        elif len(here) < MAX_DEPTH:
            found |= tensors_in(value, here)
    return found
