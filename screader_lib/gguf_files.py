"""GGUF files are read once for all that transformers makes of them.

transformers reads the whole file anew for the configuration, the tokenizer and the weights, and
makes the table of weights' names anew for each module: most of the time that a small model takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any


@contextmanager
def read_once() -> Iterator[None]:
    """While it lasts, transformers finds what it has read of a GGUF file before.

    Nothing is kept afterwards. Files must not change meanwhile.
    """
    import gguf
    import numpy as np

    module: Any = gguf

    class Reader(gguf.GGUFReader):
        """Its many small views are plain arrays, quicker than those of a memory map."""

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
