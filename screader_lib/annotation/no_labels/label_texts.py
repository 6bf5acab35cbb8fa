"""What is written of a reader's labels, as weights of genes that its training may start from."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from screader_lib.annotation.no_labels.gene_sets import SampleGenes, text_weights
from screader_lib.annotation.no_labels.type_table import NamedType, read_types
from screader_lib.exchange.provenance import sha256_of
from screader_lib.exchange.table import Table
from screader_lib.option_values import PACKAGED
from screader_lib.reader.task import Labels, LabelTexts
from screader_lib.reporting import SILENT, Reporter


def label_texts_of(asked: str, table: Path | None, reporter: Reporter = SILENT) -> LabelTexts:
    """What is written of labels: of the Cell Ontology, and first of a ``table`` where one is given.

    ``asked`` is what messages call it. Errors of the table are raised when the texts are read.
    """
    tables = {} if table is None else {asked: table}
    weights = partial(label_text_weights, tables=tables, reporter=reporter)
    return LabelTexts(weights, PACKAGED if table is None else sha256_of(table))


def label_text_weights(
    genes: Table, labels: Labels, tables: Mapping[str, Path], reporter: Reporter = SILENT
) -> np.ndarray:
    """How alike each gene's text and each label's are, float64 (labels, genes).

    Rows sum to 1, or 0 where no word is shared. ``tables``, by the names that messages use, are
    those of :func:`read_types`; what they do not say comes from the Cell Ontology. ScReaderError
    where they are wrong.
    """
    types = read_types(tables, (), reporter, labels)
    own = [NamedType(*pair) for pair in zip(labels.names, labels.ontology_ids, strict=True)]
    found = [next(one for one in types if one.is_same(label)) for label in own]
    return text_weights(found, SampleGenes(genes))
