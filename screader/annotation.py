"""``annotate``: the cells of an AnnData object labelled by a reader."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from screader.messages import PythonReporter, errors_in_python
from screader.reader import Reader
from screader_lib.errors import ScReaderError
from screader_lib.option_values import DEVICES, NORMALISATIONS, VALUE_KINDS

if TYPE_CHECKING:
    from anndata import AnnData
    from pandas import Series

    from screader_lib.annotation.annotate import AnnotationOptions
    from screader_lib.annotation.annotated_object import Parts
    from screader_lib.annotation.calls import Calls
    from screader_lib.annotation.few_labels.example_table import Examples
    from screader_lib.annotation.no_labels.type_table import NamedType
    from screader_lib.cells.formats.expression import Expression
    from screader_lib.exchange.provenance import Provenance
    from screader_lib.exchange.table import Table
    from screader_lib.preparation.marker_tables import CellType
    from screader_lib.reader.llm.machine import Machine
    from screader_lib.reader.task import Labels

NAME = "adata"  # what messages call the object
NOT_RECORDED = (
    "examples",
    "types",
    "markers",
    "orthologs",
    "threads",
    "verbose",
)  # in the provenance


def annotate(
    adata: AnnData,
    reader: str | Path | Reader | None = None,
    *,
    examples: str | Path | Mapping[str, str] | Series | None = None,
    types: str | Path | Sequence[str | Path] = (),
    min_confidence: float = 0.5,
    min_familiarity: float = 0.0,
    consensus: str = "auto",
    clusters: str | None = None,
    markers: str | Path | Sequence[str | Path] = (),
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
    width), and ``uns["screader"]``, where they are from. With ``clusters``, a column of obs or
    "auto", ``uns["screader"]["clusters"]`` is a data frame with a row for each cluster. X, sparse
    or dense, in memory or backed by a file, stays as it is; what an earlier run added is kept under
    names that end in ``_previous``. Arguments are the options of the command.

    Without a reader, ``examples`` are labels of a few cells, a table of them or a mapping from name
    to label, which give all others their labels; the status of these cells is ``example``, and
    familiarity is the cosine to the nearest of them. Or ``types`` are identified by what is known
    of them: tables with the column ``type``, or terms as ``"cl:B cell"``; ``markers`` are then
    tables to identify them by, and there is ``screader_evidence`` in place of familiarity and
    consensus.
    Beside a reader, types are proposed for cells unlike all of its own, in
    ``screader_proposed_type``.

    Returns ``adata``, or with ``in_place=False`` an annotated copy, which is in memory. Of a backed
    object, the file is not changed. ScReaderError where the sample is refused, or an argument is
    wrong.
    """
    options = {name: value for name, value in locals().items() if name in _defaults()}
    if in_place and anndata_of(adata).isbacked and adata.is_view:
        raise ScReaderError(
            "is a view of an AnnData that is backed by a file, and cannot be changed.",
            file=NAME,
            remedy="Give in_place=False.",
        )
    if reader is None and examples is None and not types:
        raise ScReaderError("give a reader, examples or types.")
    given = reader if isinstance(reader, Reader | None) else Reader.load(reader, verbose=verbose)
    parts, _ = calls_of(adata, given, options)
    from screader_lib.annotation.annotated_object import add_to

    if not in_place:
        adata = adata.to_memory() if adata.isbacked else adata.copy()
    add_to(adata, parts, PythonReporter(verbose))
    return adata


def _defaults() -> dict[str, Any]:
    """The options of :func:`annotate` that decide on the calls, with their defaults."""
    parameters = inspect.signature(annotate).parameters.values()
    named = {one.name: one.default for one in parameters if one.kind is one.KEYWORD_ONLY}
    del named["in_place"]
    return named


def calls_of(
    adata: AnnData, reader: Reader | None, options: Mapping[str, Any], genes_explained: int = 0
) -> tuple[Parts, Table | None]:
    """What :func:`annotate` adds to an object, and the genes behind each label, if asked for.

    ``options`` are some of those of :func:`annotate`; TypeError for another one. Without a reader
    they have ``examples`` or ``types``.
    """
    unknown = set(options) - set(_defaults())
    if unknown:
        raise TypeError(f"unknown option {min(unknown)!r}; there are {', '.join(_defaults())}.")
    given = {**_defaults(), **options}
    from screader_lib.annotation.annotate import AUTO, AnnotationOptions
    from screader_lib.annotation.annotate import annotate as annotate_sources
    from screader_lib.annotation.annotated_object import parts_of
    from screader_lib.annotation.by_reader.answers import LoadedReader
    from screader_lib.annotation.clusters import read_known_markers
    from screader_lib.annotation.no_labels.proposed_types import with_proposed_types
    from screader_lib.annotation.no_labels.type_table import is_term
    from screader_lib.annotation.sample import SampleOptions, check_clusters
    from screader_lib.cells.formats.open_expression import expression_of
    from screader_lib.exchange import provenance
    from screader_lib.reader.reader_file import read_reader

    _check(reader, given)
    markers = [Path(path) for path in _several(given["markers"])]
    tables = {f"markers_{number}": path for number, path in enumerate(markers, 1)}
    if given["orthologs"] is not None:
        tables["orthologs"] = Path(given["orthologs"])
    if isinstance(given["examples"], str | Path):
        tables["examples"] = Path(given["examples"])
    words = [str(word) for word in _several(given["types"])]
    files = (Path(word) for word in words if not is_term(word))
    tables |= {f"types_{number}": path for number, path in enumerate(files, 1)}
    reporter = PythonReporter(given["verbose"])
    with (
        errors_in_python(),
        nullcontext() if reader is None else reader.open() as opened,
        machine_for(given["device"], bool(opened and read_reader(opened).needs_torch)) as machine,
        tempfile.TemporaryDirectory(prefix="screader-") as folder,
    ):
        genes = anndata_of(adata).var_names
        known_markers = read_known_markers(markers, [*map(str, markers)], genes, reporter)
        sample = SampleOptions(
            given["values"], given["normalise"], given["min_counts"], given["min_genes"],
            tables.get("orthologs"), given["threads"],
        )  # fmt: skip
        how = AnnotationOptions(
            given["min_confidence"], given["min_familiarity"], given["consensus"],
            given["clusters"], known_markers, given["force"], sample, genes_explained,
        )  # fmt: skip
        inputs = {} if opened is None else {"reader": opened.input_record}
        for role, path in tables.items():
            inputs[role] = {"schema": "", "sha256": provenance.sha256_of(path)}
        recorded = {name: given[name] for name in given if name not in NOT_RECORDED}
        recorded |= {"reader": reader.name} if reader is not None else {}
        recorded |= {"types": words} if words else {}
        made = provenance.make("annotate", recorded, inputs, [opened.steps] if opened else [])
        source = expression_of(
            adata, NAME, layer=given["layer"], gene_column=given["gene_column"], reporter=reporter
        )
        if given["clusters"] not in (None, AUTO):
            check_clusters([source], given["clusters"])
        labels = None if opened is None else read_reader(opened).labels
        named = _named_types(words, markers, genes, labels, reporter) if words else ([], [])
        if opened is None:
            calls = _without_reader(
                source, given["examples"], named, made, Path(folder), how, reporter
            )
            return parts_of(calls, made, Path(folder)), None
        annotation = annotate_sources(
            [source], LoadedReader(opened, machine, given["llm"]), made, Path(folder), how, reporter
        )
        if words:
            annotation = with_proposed_types(
                annotation, [source], named, made, Path(folder), how, reporter
            )
        return parts_of(annotation.calls, made, Path(folder)), annotation.genes


def _several(given: str | Path | Sequence[str | Path]) -> Sequence[str | Path]:
    """One name as a sequence of one."""
    return [given] if isinstance(given, str | Path) else given


def _check(reader: Reader | None, given: Mapping[str, Any]) -> None:
    """ScReaderError where options are wrong, or do not go together."""
    from screader_lib.annotation.annotate import CONSENSUS

    if given["examples"] is not None and (reader is not None or given["types"]):
        raise ScReaderError("give a reader, examples or types, not several of them.")
    check_share("min_confidence", given["min_confidence"])
    check_share("min_familiarity", given["min_familiarity"])
    check_choice("consensus", given["consensus"], CONSENSUS)
    check_choice("values", given["values"], VALUE_KINDS)
    check_choice("normalise", given["normalise"], (None, *NORMALISATIONS))
    check_choice("device", given["device"], DEVICES)


def _without_reader(
    source: Expression,
    examples: str | Path | Mapping[str, str] | Series | None,
    named: tuple[Sequence[NamedType], Sequence[Sequence[CellType]]],
    made: Provenance,
    folder: Path,
    how: AnnotationOptions,
    reporter: PythonReporter,
) -> Calls:
    """The calls by examples, or else by named types and the tables of their markers."""
    from screader_lib.annotation.few_labels.by_examples import annotate_by_examples
    from screader_lib.annotation.no_labels.by_types import annotate_by_types

    if examples is None:
        return annotate_by_types([source], *named, made, folder, how, reporter).calls
    table = _examples(examples)
    return annotate_by_examples([source], table, made, folder, how, reporter).calls


def _examples(given: str | Path | Mapping[str, str] | Series) -> Examples:
    """From a table, or from a mapping of cells to labels."""
    from screader_lib.annotation.few_labels.example_table import examples_of, read_examples

    if isinstance(given, str | Path):
        return read_examples(Path(given), str(given))
    return examples_of(given.items(), "examples")


def _named_types(
    words: Sequence[str],
    markers: Sequence[Path],
    genes: Iterable[str],
    labels: Labels | None,
    reporter: PythonReporter,
) -> tuple[list[NamedType], list[list[CellType]]]:
    """The types that are named, then a reader's ``labels``, and each table of markers by itself."""
    from screader_lib.annotation.clusters import read_known_markers
    from screader_lib.annotation.no_labels.type_table import is_term, read_types

    files = {word: Path(word) for word in words if not is_term(word)}
    terms = [word for word in words if is_term(word)]
    tables = [read_known_markers([one], [str(one)], genes, reporter) for one in markers]
    return read_types(files, terms, reporter, labels), tables


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
def machine_for(device: str, needs_torch: bool = True) -> Iterator[Machine]:
    """The machine to compute on; torch's settings are the user's again afterwards."""
    from screader_lib.offline import set_library_variables
    from screader_lib.reader.llm.machine import prepare

    set_library_variables()
    if not needs_torch and device == "auto":
        yield prepare(device, needs_torch=False)
        return
    import torch

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
