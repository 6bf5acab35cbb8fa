"""``train``: a reader of the labelled cells of an AnnData object."""

from __future__ import annotations

import tempfile
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from screader.annotation import NAME, anndata_of, check_choice, machine_for
from screader.messages import PythonReporter, errors_in_python
from screader.reader import Reader
from screader_lib.option_values import CALIBRATIONS, DEVICES, METHODS, VALUE_KINDS

if TYPE_CHECKING:
    from anndata import AnnData

    from screader_lib.cells.formats.expression import Expression
    from screader_lib.reporting import Reporter

MIN_MAPPED = 0.1  # of the genes, that have an embedding; as build-cells


def train(
    adata: AnnData,
    label: str = "cell_type",
    donor: str | None = None,
    method: str = "pooled",
    embeddings: str | Path | None = None,
    *,
    organism: str = "human",
    layer: str | None = None,
    gene_column: str | None = None,
    values: str = "auto",
    calibrate_on: str = "donors",
    device: str = "auto",
    threads: int | None = None,
    verbose: bool = True,
    **settings: Any,
) -> Reader:
    """A reader trained on the cells of ``adata``, by their column ``label`` of obs.

    Does what ``build-cells`` and ``train-reader`` do. ``donor`` is the column of donors (by
    default one of a usual name), on whom confidence is calibrated. ``embeddings`` is a file of
    gene embeddings (``embed-genes``); without one, the packaged descriptions of the genes of
    ``organism`` are embedded by the packaged model, which takes minutes for 20,000 genes.
    ``settings`` are those of ``train-reader``, such as ``warm_start_epochs=5``, ``seed=1``.
    ``adata`` stays as it is. The reader is in a temporary file until :meth:`Reader.save`.
    ScReaderError where a column, setting or file is not there, or nothing can be learnt.
    """
    from screader_lib.cells.cells_file import CellSequences
    from screader_lib.cells.formats.open_expression import expression_of
    from screader_lib.exchange import provenance, writing
    from screader_lib.exchange.opening import open_exchange
    from screader_lib.reader.settings import TrainingSettings, settings_for
    from screader_lib.reader.train_reader import TrainingOptions, train_reader

    check_choice("method", method, METHODS)
    check_choice("values", values, VALUE_KINDS)
    check_choice("calibrate_on", calibrate_on, CALIBRATIONS)
    check_choice("device", device, DEVICES)
    for name in settings:
        check_choice("a setting", name, tuple(field.name for field in fields(TrainingSettings)))
    reporter = PythonReporter(verbose)
    kept = tempfile.TemporaryDirectory(prefix="screader-reader-")
    folder = Path(kept.name)
    with errors_in_python(), machine_for(device) as machine:
        asked = settings_for(method, "default", settings)
        source = expression_of(
            anndata_of(adata), NAME, layer=layer, gene_column=gene_column, reporter=reporter
        )
        genes = Path(embeddings) if embeddings is not None else folder / "genes.h5ad"
        if embeddings is None:
            _embed(source, organism, genes, folder, reporter)
        cells, reader = folder / "cells.h5ad", folder / "reader.h5"
        _build(source, genes, cells, (label, donor), values, threads, reporter)
        with open_exchange(cells, "cells", name=NAME) as opened:
            record, steps = {"cells": opened.input_record}, [opened.steps]
            made = provenance.make("train-reader", {"method": method, **settings}, record, steps)
            options = TrainingOptions(folder / "folds", calibrate_on=calibrate_on)
            with writing.create("reader", reader, made) as file:
                train_reader(
                    file, CellSequences(opened), asked, options, made, None, machine, reporter
                )
    return Reader(reader, "the trained reader", kept)


def _embed(
    source: Expression, organism: str, target: Path, folder: Path, reporter: Reporter
) -> None:
    """Embeddings of the genes: packaged descriptions, packaged model."""
    from screader_lib.exchange import encoding, provenance, writing
    from screader_lib.exchange.opening import open_exchange
    from screader_lib.genes import describe
    from screader_lib.genes import embeddings as gene_embeddings
    from screader_lib.genes.providers.provider_options import ProviderOptions, make_embedder
    from screader_lib.genes.records import organism_of
    from screader_lib.genes.sources.make_sources import SourceOptions, make_sources

    names = tuple(dict.fromkeys(source.genes.index))
    sources = make_sources(["packaged"], organism_of(organism), SourceOptions(), reporter)
    described = describe.describe(names, sources, reporter=reporter)
    for line in describe.summary_lines(described):
        reporter.info(line)
    made = provenance.make("fetch-descriptions", {"organism": organism}, {}, [])
    texts = folder / "descriptions.h5ad"
    with writing.create("descriptions", texts, made) as file:
        describe.write_descriptions(file, described)
    with open_exchange(texts, "descriptions") as opened:
        table = encoding.read_table(opened.file["obs"])
        embedder = make_embedder(ProviderOptions("packaged"), reporter)
        vectors = gene_embeddings.embed(table, embedder, "mean", reporter)
        record = {"descriptions": opened.input_record}
        made = provenance.make("embed-genes", {"provider": "packaged"}, record, [opened.steps])
    with writing.create("gene-embeddings", target, made) as file:
        gene_embeddings.write_embeddings(file, vectors)


def _build(
    source: Expression,
    genes: Path,
    target: Path,
    columns: tuple[str, str | None],
    values: str,
    threads: int | None,
    reporter: Reporter,
) -> None:
    """Labelled cells as ``build-cells`` writes them."""
    from screader_lib.cells.across_species import check_organism
    from screader_lib.cells.cell_builder import CellBuilder
    from screader_lib.cells.input_file import prepare_input
    from screader_lib.cells.obs.columns import ObsColumns
    from screader_lib.cells.obs.selection import CellSelection, select_cells
    from screader_lib.cells.sequences import Construction
    from screader_lib.cells.vocabulary import Embeddings
    from screader_lib.exchange import provenance, writing
    from screader_lib.exchange.opening import open_exchange

    label, donor = columns
    obs = ObsColumns(label, None, donor)
    with open_exchange(genes, "gene-embeddings") as opened:
        (mask,) = select_cells([source], CellSelection(), obs, reporter)
        table = Embeddings.of(opened)
        check_organism(source, mask, table.genes)
        given = prepare_input(source, table.genes, mask, values, reporter=reporter)
        builder = CellBuilder([given], table, Construction(), threads=threads, reporter=reporter)
        vocabulary = builder.learn_vocabulary(MIN_MAPPED)
        recorded = {"label": label, "donor": donor, "values": values}
        record = {"embeddings": opened.input_record}
        made = provenance.make("build-cells", recorded, record, [opened.steps])
        with writing.create("cells", target, made) as file:
            builder.write(file, vocabulary, obs)
