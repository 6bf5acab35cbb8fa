"""``train``: a reader of the labelled cells of an AnnData object."""

from __future__ import annotations

import tempfile
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from screader.annotation import NAME, anndata_of, check_choice, machine_for
from screader.messages import PythonReporter, errors_in_python
from screader.reader import Reader
from screader_lib.option_values import (
    CALIBRATIONS,
    DEVICES,
    LABEL_TEXT_METHODS,
    METHODS,
    PACKAGED,
    VALUE_KINDS,
)

if TYPE_CHECKING:
    from anndata import AnnData


def train(
    adata: AnnData,
    label: str = "cell_type",
    donor: str | None = None,
    method: str = "pooled",
    embeddings: str | Path | None = None,
    *,
    genes_of: AnnData | None = None,
    organism: str = "human",
    layer: str | None = None,
    gene_column: str | None = None,
    values: str = "auto",
    calibrate_on: str = "donors",
    label_texts: str | Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    verbose: bool = True,
    **settings: Any,
) -> Reader:
    """A reader trained on the cells of ``adata``, by their column ``label`` of obs.

    Does what ``build-cells`` and ``train-reader`` do. ``donor`` is the column of donors (by
    default one of a usual name), on whom confidence is calibrated. ``embeddings`` is a file of
    gene embeddings (``embed-genes``); without one, the packaged descriptions of the genes of
    ``organism`` are embedded by the packaged model, which takes minutes for 20,000 genes, or,
    for ``"tfidf"``, by the words in them, which takes seconds. With ``genes_of``, other cells
    that are to be annotated, only genes that both have are learnt.
    With method ``"logistic"``, ``label_texts`` (``"packaged"``, or a table) draws the weights of
    genes to what texts of genes and labels have in common, as ``train-reader --label-texts``.
    ``settings`` are those of ``train-reader``, such as ``warm_start_epochs=5``, ``seed=1``.
    ``adata`` stays as it is. The reader is in a temporary file until :meth:`Reader.save`.
    ScReaderError where a column, setting or file is not there, or nothing can be learnt.
    """
    from screader_lib.annotation.no_labels.label_texts import label_texts_of
    from screader_lib.annotation.reference import ReferenceOptions, train_on
    from screader_lib.cells.formats.open_expression import expression_of
    from screader_lib.cells.obs.columns import ObsColumns
    from screader_lib.genes.providers.tfidf import NAME as TFIDF
    from screader_lib.reader.settings import TrainingSettings

    check_choice("method", method, METHODS)
    check_choice("values", values, VALUE_KINDS)
    check_choice("calibrate_on", calibrate_on, CALIBRATIONS)
    check_choice("device", device, DEVICES)
    if label_texts is not None:
        check_choice("method with label_texts", method, LABEL_TEXT_METHODS)
    for name in settings:
        check_choice("a setting", name, tuple(field.name for field in fields(TrainingSettings)))
    reporter = PythonReporter(verbose)
    kept = tempfile.TemporaryDirectory(prefix="screader-reader-")
    folder = Path(kept.name)
    with errors_in_python(), machine_for(device) as machine:
        provider = TFIDF if embeddings == TFIDF else "packaged"
        table = None if embeddings in (None, TFIDF) else Path(embeddings)
        written = None if label_texts in (None, PACKAGED) else Path(str(label_texts))
        texts = label_texts_of(str(label_texts), written, reporter) if label_texts else None
        options = ReferenceOptions(
            ObsColumns(label, None, donor), method, table, provider, organism, values,
            calibrate_on, threads, settings, texts,
        )  # fmt: skip
        query = [] if genes_of is None else [expression_of(anndata_of(genes_of), NAME)]
        source = expression_of(
            anndata_of(adata), NAME, layer=layer, gene_column=gene_column, reporter=reporter
        )
        reader = folder / "reader.h5"
        train_on([source], reader, folder, options, query, machine=machine, reporter=reporter)
    return Reader(reader, "the trained reader", kept)
