"""Expression from an h5ad file (AnnData)."""

from __future__ import annotations

import h5py

from screader_lib.cells.annotated import AnnotatedMatrix
from screader_lib.errors import ScReaderError
from screader_lib.exchange.opening import kind_of


class H5adExpression(AnnotatedMatrix):
    """X, ``raw/X`` or a layer of an h5ad that is no exchange file; ``facts`` are texts of uns."""

    def __init__(self, file: h5py.File, name: str, layer: str | None = None) -> None:
        if kind_of(file) is not None:
            raise ScReaderError(
                f"is a {kind_of(file)} file of scReader, wanted expression.", file=name
            )
        super().__init__(file, name, layer)
        self.facts = _facts(file)


def _facts(file: h5py.File) -> dict[str, str]:
    """The single texts in uns."""
    uns = file.get("uns")
    if not isinstance(uns, h5py.Group):
        return {}
    return {
        key: value.asstr()[()]
        for key, value in uns.items()
        if isinstance(value, h5py.Dataset)
        and value.shape == ()
        and h5py.check_string_dtype(value.dtype) is not None
    }
