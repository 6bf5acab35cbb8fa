"""Read a GGUF file only once for everything that transformers needs of it.

transformers reads the whole file for the configuration, for the tokenizer and for the weights, and
builds the table of tensor names for each module: most of the time that loading a small model takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any


@contextmanager
def read_once() -> Iterator[None]:
    """Within this context, what transformers reads of a GGUF file is cached.

    Files must not change meanwhile. Nothing stays cached afterwards.
    """
    import gguf
    import numpy as np

    module: Any = gguf

    class Reader(gguf.GGUFReader):
        """Views of a plain array are quicker to make than those of a memory map."""

        def __setattr__(self, name: str, value: Any) -> None:
            if name == "data" and isinstance(value, np.memmap):
                value = value.view(np.ndarray)
            super().__setattr__(name, value)

    reader, names = gguf.GGUFReader, gguf.get_tensor_name_map
    module.GGUFReader, module.get_tensor_name_map = lru_cache(Reader), lru_cache(names)
    try:
        yield
    finally:
        module.GGUFReader, module.get_tensor_name_map = reader, names
