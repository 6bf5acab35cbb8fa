"""Readers as objects: loaded by name or file, asked for calls, saved."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from screader.messages import PythonReporter, errors_in_python
from screader_lib.errors import ScReaderError

if TYPE_CHECKING:
    from anndata import AnnData
    from pandas import DataFrame

    from screader_lib.exchange.opening import ExchangeFile


class Reader:
    """A reader, which labels cells; its file is ``path``.

    ``labels`` are the cell types that it knows, ``card`` what its author says of it (empty where
    it has no card). Printing it tells what it knows, how well, and what not.
    """

    def __init__(self, path: str | Path, name: str | None = None, kept: object = None) -> None:
        """The reader in a file; ScReaderError where it is none. Messages call it ``name``.

        ``kept`` is what has to stay as long as the reader does, such as its temporary folder.
        """
        from screader_lib.exchange.encoding import read_strings
        from screader_lib.readers.card import card_of

        self._kept = kept
        self.path = Path(path)
        self.name = name or str(path)
        with errors_in_python(), self.open() as opened:
            self.labels: tuple[str, ...] = tuple(read_strings(opened.file["labels"]["name"]))
            self.card: dict[str, Any] = card_of(opened)

    @classmethod
    def load(cls, path_or_name: str | Path, *, verbose: bool = True) -> Reader:
        """A reader by its file, or by its name, as :func:`readers` lists them.

        One that lies elsewhere is fetched first. ScReaderError where there is none of this name,
        or it is damaged.
        """
        from screader_lib.readers.fetching import find_reader

        with errors_in_python():
            path = find_reader(path_or_name, reporter=PythonReporter(verbose))
        return cls(path, str(path_or_name))

    def open(self) -> AbstractContextManager[ExchangeFile]:
        """Its file, open."""
        from screader_lib.exchange.opening import open_exchange

        return open_exchange(self.path, "reader", name=self.name)

    def save(self, path: str | Path) -> None:
        """Write it to a file, in one step."""
        import shutil

        from screader_lib.exchange.writing import replacing

        with replacing(path) as temporary:
            shutil.copyfile(self.path, temporary)

    def predict(self, adata: AnnData, **options: Any) -> DataFrame:
        """The calls of the cells of ``adata``, which stays as it is: a row for each cell.

        ``options`` are those of :func:`screader.annotate`, and so are the columns.
        """
        from screader.annotation import calls_of

        parts, _ = calls_of(adata, self, options)
        return parts.obs.set_axis(adata.obs_names, axis=0)

    def explain(self, adata: AnnData, genes: int = 20, **options: Any) -> DataFrame:
        """The ``genes`` that contribute most to each label that cells of ``adata`` are called.

        A row for each label and gene, the largest contribution first: label, cells (how many have
        it), gene, symbol, full_name (of the human gene of this symbol) and contribution, the mean
        over up to 30 cells of the gene's part in the log-odds of the label. ``options`` are those
        of :func:`screader.annotate`.
        """
        from pandas import DataFrame

        from screader.annotation import calls_of

        if genes < 1:
            raise ScReaderError(f"genes is {genes!r}, expected at least 1.")
        _, table = calls_of(adata, self, options, genes)
        return DataFrame({} if table is None else table.columns)

    def __repr__(self) -> str:
        return f"<Reader {self.name}: {len(self.labels)} labels>"

    def __str__(self) -> str:
        from screader_lib.readers.card import card_lines

        with self.open() as opened:
            return "\n".join(card_lines(opened))


def readers() -> DataFrame:
    """The readers that have a name: its index; columns version, known_from and summary.

    A reader is packaged with the suite, named by a registry ($SCREADER_READERS), or was fetched.
    """
    from pandas import DataFrame

    from screader_lib.readers.registry import known_readers

    columns = ("name", "version", "known_from", "summary")
    rows = [[getattr(entry, column) for column in columns] for entry in known_readers()]
    return DataFrame(rows, columns=list(columns)).set_index("name")
