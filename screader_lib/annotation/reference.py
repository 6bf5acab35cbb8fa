"""A reader of labelled reference cells, made in one go, on the genes of a query where one is given.

What ``fetch-descriptions``, ``embed-genes``, ``build-cells --genes-of`` and ``train-reader`` make.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from screader_lib.annotation.sample import SampleOptions, check_columns, named_like
from screader_lib.cells.across_species import check_organism
from screader_lib.cells.cell_builder import CellBuilder
from screader_lib.cells.cells_file import CellSequences
from screader_lib.cells.formats.expression import Expression
from screader_lib.cells.gene_names import keep_genes_of
from screader_lib.cells.input_file import prepare_input
from screader_lib.cells.obs.columns import ObsColumns
from screader_lib.cells.obs.selection import CellSelection, select_cells
from screader_lib.cells.sequences import Construction
from screader_lib.cells.vocabulary import Embeddings
from screader_lib.exchange import encoding, provenance, writing
from screader_lib.exchange.opening import open_exchange
from screader_lib.genes import describe
from screader_lib.genes import embeddings as gene_embeddings
from screader_lib.genes.providers.provider_options import ProviderOptions, make_embedder
from screader_lib.genes.records import organism_of
from screader_lib.genes.sources.make_sources import SourceOptions, make_sources
from screader_lib.reader.llm.machine import ON_CPU, Machine
from screader_lib.reader.prediction.merge_predictions import fold_summary
from screader_lib.reader.settings import settings_for
from screader_lib.reader.task import LabelTexts
from screader_lib.reader.train_reader import TrainingOptions, train_reader
from screader_lib.reporting import SILENT, Reporter, WithoutInfo, counted

MIN_MAPPED = 0.1  # of the genes, that have an embedding; as build-cells


@dataclass(frozen=True)
class ReferenceOptions:
    """What is learnt from reference cells: options of the commands that make a reader.

    ``embeddings`` is a file of gene embeddings; without one, the packaged descriptions of the
    genes of ``organism`` (where empty, the species like whose genes they are named, else human)
    are embedded by ``provider``. ``settings`` are those of ``train-reader``, and ``label_texts``
    are for methods of ``LABEL_TEXT_METHODS``.
    """

    columns: ObsColumns
    method: str = "pooled"
    embeddings: Path | None = None
    provider: str = "packaged"
    organism: str = ""
    values: str = "auto"
    calibrate_on: str = "donors"
    threads: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    label_texts: LabelTexts | None = None


def train_on(
    sources: Sequence[Expression],
    target: Path,
    folder: Path,
    options: ReferenceOptions,
    query: Sequence[Expression] = (),
    sample: SampleOptions | None = None,
    machine: Machine = ON_CPU,
    reporter: Reporter = SILENT,
) -> None:
    """Write a reader of the labelled cells of ``sources`` to ``target``, in one step.

    With a ``query``, other cells that are to be read by the options of ``sample``, only genes that
    both have are learnt. ``folder`` is for files on the way. ScReaderError where a column or
    setting is not there, the cells and the query share no gene, or nothing can be learnt.
    """
    asked = settings_for(options.method, "default", dict(options.settings))
    check_columns(sources, options.columns.label, options.columns.donor)
    genes = options.embeddings
    if genes is None:
        genes = folder / "genes.h5ad"
        _embed(sources, genes, folder, options, reporter)
    cells = folder / "reference.h5ad"
    _build(sources, genes, cells, options, (query, sample or SampleOptions()), reporter)
    with open_exchange(cells, "cells", name=sources[0].name) as opened:
        record, steps = {"cells": opened.input_record}, [opened.steps]
        parameters = {"method": options.method, **options.settings}
        made = provenance.make("train-reader", parameters, record, steps)
        training = TrainingOptions(
            folder / "folds", calibrate_on=options.calibrate_on, label_texts=options.label_texts
        )
        sequences, quiet = CellSequences(opened), WithoutInfo(reporter)
        with writing.create("reader", target, made) as file:
            found = train_reader(file, sequences, asked, training, made, None, machine, quiet)
    limit = f", at most {asked.cells_per_label:,} of each label" if asked.cells_per_label else ""
    reporter.info(
        f"a reader was trained on {counted(len(sequences), 'cell')} of the reference{limit}."
    )
    if found.cross_validation:
        reporter.info(
            "it was tested on held-out donors, whose cells took part only in the choice of genes: "
            f"{fold_summary(found.cross_validation)}"
        )


def _embed(
    sources: Sequence[Expression],
    target: Path,
    folder: Path,
    options: ReferenceOptions,
    reporter: Reporter,
) -> None:
    """Embeddings of the genes by their packaged descriptions."""
    names = tuple(dict.fromkeys(name for source in sources for name in source.genes.index))
    organism = options.organism or sources[0].species or "human"
    packaged = make_sources(["packaged"], organism_of(organism), SourceOptions(), reporter)
    described = describe.describe(names, packaged, reporter=reporter)
    for line in describe.summary_lines(described):
        reporter.info(line)
    made = provenance.make("fetch-descriptions", {"organism": organism}, {}, [])
    texts = folder / "descriptions.h5ad"
    with writing.create("descriptions", texts, made) as file:
        describe.write_descriptions(file, described)
    with open_exchange(texts, "descriptions") as opened:
        table = encoding.read_table(opened.file["obs"])
        embedder = make_embedder(ProviderOptions(options.provider), reporter)
        vectors = gene_embeddings.embed(table, embedder, "mean", WithoutInfo(reporter))
        record = {"descriptions": opened.input_record}
        parameters = {"provider": options.provider}
        made = provenance.make("embed-genes", parameters, record, [opened.steps])
    with writing.create("gene-embeddings", target, made) as file:
        gene_embeddings.write_embeddings(file, vectors)


def _build(
    sources: Sequence[Expression],
    genes: Path,
    target: Path,
    options: ReferenceOptions,
    query: tuple[Sequence[Expression], SampleOptions],
    reporter: Reporter,
) -> None:
    """Labelled cells as ``build-cells`` writes them."""
    columns = options.columns
    with open_exchange(genes, "gene-embeddings") as opened:
        masks = select_cells(sources, CellSelection(), columns, reporter)
        table = Embeddings.of(opened)
        for source, mask in zip(sources, masks, strict=True):
            check_organism(source, mask, table.genes)
        if query[0]:
            named = [named_like(source, table.genes, query[1], reporter) for source in query[0]]
            keep_genes_of(named, sources, table.genes)
        inputs = [
            prepare_input(source, table.genes, mask, options.values, reporter=reporter)
            for source, mask in zip(sources, masks, strict=True)
        ]
        builder = CellBuilder(
            inputs, table, Construction(), threads=options.threads, reporter=reporter
        )
        vocabulary = builder.learn_vocabulary(MIN_MAPPED)
        recorded = {"label": columns.label, "donor": columns.donor, "values": options.values}
        record = {"embeddings": opened.input_record}
        made = provenance.make("build-cells", recorded, record, [opened.steps])
        with writing.create("cells", target, made) as file:
            builder.write(file, vocabulary, columns)
