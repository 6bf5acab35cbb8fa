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

from screader import plot
from screader.annotation import annotate
from screader.reader import Reader, readers
from screader.training import train
from screader_lib import __version__
from screader_lib.errors import ScReaderError

__all__ = ["Reader", "ScReaderError", "__version__", "annotate", "plot", "readers", "train"]
