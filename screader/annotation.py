"""``annotate``: the cells of an AnnData object labelled by a reader."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from screader.messages import PythonReporter, errors_in_python
from screader.reader import Reader
from screader_lib.errors import ScReaderError
from screader_lib.option_values import DEVICES, NORMALISATIONS, VALUE_KINDS

if TYPE_CHECKING:
    from anndata import AnnData

    from screader_lib.annotation.annotated_object import Parts
    from screader_lib.reader.llm.machine import Machine

NAME = "adata"  # what messages call the object


def annotate(
    adata: AnnData,
    reader: str | Path | Reader,
    *,
    min_confidence: float = 0.5,
    min_familiarity: float = 0.0,
    consensus: str = "auto",
    layer: str | None = None,
    gene_column: str | None = None,
    orthologs: str | Path | None = None,
    values: str = "auto",
    normalise: str | None = None,
    min_counts: int = 0,
    min_genes: int = 0,
    force: bool = False,
    llm: str | None = None,
    device: str = "auto",
    threads: int | None = None,
    in_place: bool = True,
    verbose: bool = True,
) -> AnnData:
    """Label the cells of ``adata`` by ``reader``, a :class:`Reader`, its name or its file.

    Adds what the command ``annotate`` writes: columns of obs (``screader_label``, missing where no
    label is confident enough, ``screader_confidence``, ``screader_familiarity``,
    ``screader_status``, ``screader_ontology_id``, broad types as ``screader_label_1`` and so on,
    ``screader_consensus_label`` with its confidence), ``obsm["X_screader"]``, float32 (cells,
    width), and ``uns["screader"]``, where they are from. X, sparse or dense, in memory or backed by
    a file, stays as it is; what an earlier run added is kept under names that end in
    ``_previous``. Arguments are the options of the command.

    Returns ``adata``, or with ``in_place=False`` an annotated copy, which is in memory. Of a backed
    object, the file is not changed. ScReaderError where the sample is refused, or an argument is
    wrong.
    """
    if in_place and anndata_of(adata).isbacked and adata.is_view:
        raise ScReaderError(
            "is a view of an AnnData that is backed by a file, and cannot be changed.",
            file=NAME,
            remedy="Give in_place=False.",
        )
    given = reader if isinstance(reader, Reader) else Reader.load(reader, verbose=verbose)
    parts = calls_of(
        adata,
        given,
        min_confidence=min_confidence,
        min_familiarity=min_familiarity,
        consensus=consensus,
        layer=layer,
        gene_column=gene_column,
        orthologs=orthologs,
        values=values,
        normalise=normalise,
        min_counts=min_counts,
        min_genes=min_genes,
        force=force,
        llm=llm,
        device=device,
        threads=threads,
        verbose=verbose,
    )
    from screader_lib.annotation.annotated_object import add_to

    if not in_place:
        adata = adata.to_memory() if adata.isbacked else adata.copy()
    add_to(adata, parts, PythonReporter(verbose))
    return adata


def calls_of(
    adata: AnnData,
    reader: Reader,
    *,
    min_confidence: float = 0.5,
    min_familiarity: float = 0.0,
    consensus: str = "auto",
    layer: str | None = None,
    gene_column: str | None = None,
    orthologs: str | Path | None = None,
    values: str = "auto",
    normalise: str | None = None,
    min_counts: int = 0,
    min_genes: int = 0,
    force: bool = False,
    llm: str | None = None,
    device: str = "auto",
    threads: int | None = None,
    verbose: bool = True,
) -> Parts:
    """What :func:`annotate` adds to an object."""
    recorded: dict[str, Any] = {**locals(), "reader": reader.name}
    for name in ("adata", "orthologs", "threads", "verbose"):
        del recorded[name]
    from screader_lib.annotation.annotate import CONSENSUS, AnnotationOptions
    from screader_lib.annotation.annotate import annotate as annotate_sources
    from screader_lib.annotation.annotated_object import parts_of
    from screader_lib.annotation.sample import SampleOptions
    from screader_lib.cells.formats.open_expression import expression_of
    from screader_lib.exchange import provenance

    check_share("min_confidence", min_confidence)
    check_share("min_familiarity", min_familiarity)
    check_choice("consensus", consensus, CONSENSUS)
    check_choice("values", values, VALUE_KINDS)
    check_choice("normalise", normalise, (None, *NORMALISATIONS))
    check_choice("device", device, DEVICES)
    table = None if orthologs is None else Path(orthologs)
    sample = SampleOptions(values, normalise, min_counts, min_genes, table, threads)
    options = AnnotationOptions(min_confidence, min_familiarity, consensus, force, sample)
    reporter = PythonReporter(verbose)
    with (
        errors_in_python(),
        reader.open() as opened,
        machine_for(device) as machine,
        tempfile.TemporaryDirectory(prefix="screader-") as folder,
    ):
        inputs = {"reader": opened.input_record}
        if table is not None:
            inputs["orthologs"] = {"schema": "", "sha256": provenance.sha256_of(table)}
        made = provenance.make("annotate", recorded, inputs, [opened.steps])
        source = expression_of(
            anndata_of(adata), NAME, layer=layer, gene_column=gene_column, reporter=reporter
        )
        annotation = annotate_sources(
            [source], opened, made, Path(folder), options, machine, llm, reporter
        )
        return parts_of(annotation.calls, made, Path(folder))


def anndata_of(adata: object) -> AnnData:
    """``adata``; ScReaderError where it is something else."""
    from anndata import AnnData

    if not isinstance(adata, AnnData):
        raise ScReaderError(
            f"expected an AnnData object, not a {type(adata).__name__}.",
            remedy="Read the file with anndata.read_h5ad, or use the command 'screader annotate'.",
        )
    return adata


@contextmanager
def machine_for(device: str) -> Iterator[Machine]:
    """The machine to compute on; torch's settings are the user's again afterwards."""
    import torch

    from screader_lib.offline import set_library_variables
    from screader_lib.reader.llm.machine import prepare

    set_library_variables()
    mode = torch.get_deterministic_debug_mode()
    try:
        yield prepare(device)
    finally:
        torch.set_deterministic_debug_mode(mode)


def check_share(name: str, value: float) -> None:
    """ScReaderError where an argument is not from 0 to 1."""
    if not 0 <= value <= 1:
        raise ScReaderError(f"{name} is {value!r}, expected a number from 0 to 1.")


def check_choice(name: str, value: object, known: tuple[str | None, ...]) -> None:
    """ScReaderError where an argument is none of the values that it may have."""
    if value not in known:
        listed = ", ".join(map(repr, known))
        raise ScReaderError(f"{name} is {value!r}, expected one of {listed}.")
