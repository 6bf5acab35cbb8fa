"""scReader from Python: cells of an AnnData object labelled by a reader.

    import screader

    screader.readers()                              # readers that have a name
    screader.annotate(adata, "human-pancreas")      # labels in adata.obs, as the command writes
    reader = screader.Reader.load("reader.h5")      # any reader
    calls = reader.predict(adata)                   # the same labels as a data frame
    mine = screader.train(adata, "cell_type")       # a reader of one's own cells
    screader.plot.umap(adata)                       # axes of matplotlib

It runs the code of the commands, in ``screader_lib``. Failures that can be foreseen are
``screader.ScReaderError``. Modules:

- ``annotation``  ``annotate``;
- ``reader``      ``Reader`` and ``readers``;
- ``training``    ``train``;
- ``plot``        ``umap``, ``confusion`` and ``genes``;
- ``messages``    messages and progress on a terminal or in a notebook.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from screader.annotation import annotate
from screader.reader import Reader, readers
from screader.training import train
from screader_lib import __version__
from screader_lib.errors import ScReaderError

if TYPE_CHECKING:
    from screader import plot

__all__ = ["Reader", "ScReaderError", "__version__", "annotate", "plot", "readers", "train"]


def __getattr__(name: str) -> Any:
    """``plot``, imported when it is used, as it needs numpy."""
    if name == "plot":
        return import_module("screader.plot")
    raise AttributeError(f"module 'screader' has no attribute {name!r}")
