"""``predict``: cells and a reader to cell types."""

from __future__ import annotations

from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from screader_lib import launch
from screader_lib.command_line.options import (
    FilePath,
    OutputPath,
    ShardOf,
    input_argument,
    output_option,
)
from screader_lib.command_line.run import Inputs, ToolRun
from screader_lib.command_line.tool import tool
from screader_lib.errors import ScReaderError
from screader_lib.option_values import LLM_METHODS, PRECISIONS, QUANTIZATIONS, TEXT_MODEL_METHODS
from screader_tools.machine_options import machine_options

if TYPE_CHECKING:
    from screader_lib.cells.cells_file import CellSequences
    from screader_lib.reader.confidence.calibration import CalibrationSet
    from screader_lib.reader.prediction.prediction_checkpoint import PredictionCheckpoint
    from screader_lib.reader.reader_file import StoredReader

MANY_CELLS = 1_000_000  # which a reader without an LLM predicts in a minute or two
MACHINE = ("device", "max_memory", "checkpoint_activations", "compile")
SETTINGS = ("precision", "quantize", "micro_batch_tokens")


@tool(
    "predict",
    examples=[
        "predict cells.h5ad --reader reader.h5 -o predictions.h5ad",
        "predict cells.h5ad --reader human-pancreas -o predictions.h5ad",
        "build-cells new.h5ad -e genes.h5ad --like reader.h5 | predict -r reader.h5 > calls.h5ad",
        "predict cells.h5ad -r reader.h5 --ontology packaged --min-confidence 0.9 -o calls.h5ad",
        "predict cells.h5ad -r reader.h5 --target-precision 0.99 --explain 20 -o calls.h5ad",
        "predict cells.h5ad -r reader.h5 --shard 3/8 --no-vectors -o part-3.h5ad",
        "predict cells.h5ad -r reader.h5 --min-confidence 0.9 --llm /models/llama -o calls.h5ad",
    ],
    resumes="the last finished block of cells, where the output is a file",
)
@input_argument("cells")
@click.option(
    "-r",
    "--reader",
    type=FilePath(),
    metavar="NAME|FILE",
    required=True,
    help="Reader: a file of train-reader, or a name that 'screader readers' lists.",
)
@output_option("the predictions")
@click.option(
    "--llm",
    metavar="NAME",
    help="Where to find the reader's LLM; not needed if its outputs have no weight in the "
    "predictions, which train-reader and 'screader info' report. [default: as in training]",
)
@click.option(
    "--embedder",
    metavar="MODEL",
    help="Text embedding model of a genept-s reader: a folder, a Hugging Face id, a server's URL "
    "or 'packaged'. [default: the model that embedded the genes]",
)
@machine_options
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    help="Precision of the LLM. [default: as in training]",
)
@click.option(
    "--quantize",
    type=click.Choice(QUANTIZATIONS),
    help="Quantize the LLM. [default: as in training]",
)
@click.option(
    "--min-confidence",
    type=click.FloatRange(0, 1),
    default=0.0,
    help="Leave cells with a lower confidence unassigned.",
)
@click.option(
    "--target-precision",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Choose the lowest --min-confidence at which, by an exact test at 5 % on the reader's "
    "calibration cells, at least this fraction of the assigned labels is correct; fail if there is "
    "none. It holds for new donors if the calibration cells are of whole donors, else for cells of "
    "the same donors.",
)
@click.option(
    "--min-familiarity",
    type=click.FloatRange(0, 1),
    default=0.0,
    help="Leave cells below this familiarity unassigned; about this fraction of the cells of known "
    "types is lost as well. Types close to a known one mostly stay undetected: at 0.05, a reader "
    "trained with CD8 T cells but without NK cells left 3 % of these unassigned "
    "(benchmarks/confidence.md).",
)
@click.option(
    "--held-out",
    is_flag=True,
    help="Label only the cells held out by the reader's fold (train-reader --fold).",
)
@click.option(
    "--shard",
    type=ShardOf(),
    metavar="I/N",
    help="Label only the I-th of N shards of the cells; 'screader gather' merges the shards.",
)
@click.option(
    "--ontology",
    type=FilePath(),
    metavar="OBO",
    help="Label cells below --min-confidence with the most specific broader term whose "
    "probability reaches it. An OBO file (cl.obo), or 'packaged': the Cell Ontology (requires "
    "screader-suite[ontology]).",
)
@click.option(
    "--label-map",
    type=FilePath(),
    metavar="TABLE",
    help="Translate the cells' labels before they are compared with the predictions: a table (tsv "
    "or csv) of two columns, a label of the cells and a label of the reader.",
)
@click.option(
    "--explain",
    type=click.IntRange(min=1),
    metavar="GENES",
    help="Store this many genes with the largest contribution to each cell's label, and every "
    "gene's mean contribution per label.",
)
@click.option(
    "--no-vectors",
    is_flag=True,
    help="Leave out the reader's vector of each cell, obsm/X_screader, which is for maps and "
    "neighbours. That is faster, and the file is smaller.",
)
@click.option(
    "--micro-batch-tokens",
    type=click.IntRange(min=1),
    help="Maximum number of tokens per LLM call. [default: as in training]",
)
@click.option(
    "--checkpoint",
    type=OutputPath(),
    metavar="FOLDER",
    show_default="OUTPUT.unfinished, if the output is a file; without an LLM, from a million "
    "cells on",
    help="Folder for finished blocks of cells; a killed run resumes from them.",
)
def main(
    run: ToolRun,
    cells: str,
    reader: str,
    output: str | None,
    ontology: str | None,
    label_map: str | None,
    target_precision: float | None,
    min_confidence: float,
    checkpoint: str | None,
    **given: Any,
) -> None:
    """Predict the types of CELLS (from build-cells) with a trained reader.

    If the cells carry labels, the predictions are evaluated against them: those that the reader
    has, by name; the others are counted apart. With --ontology, labels with Cell Ontology IDs are
    also compared by their terms: a prediction agrees if it is the true term, a kind of it
    (narrower), or a term that it is a kind of (broader), and each is counted. If a long
    prediction (with an LLM, or of a million cells) is killed and the command run again, it resumes
    after the last finished block of cells.
    """
    if target_precision is not None and min_confidence:
        raise click.UsageError(
            "--target-precision and --min-confidence are mutually exclusive.", run.context
        )
    from screader_lib.reader.confidence.ontology import locate_ontology, read_ontology
    from screader_lib.readers.fetching import find_reader

    with (
        ExitStack() as stack,
        run.open(str(find_reader(reader, reporter=run.reporter)), "reader") as known,
        run.open(cells, "cells") as opened,
        run.path(locate_ontology(ontology)) if ontology else nullcontext() as obo,
        run.path(label_map) if label_map else nullcontext() as map_path,
    ):
        inputs: Inputs = {"cells": opened, "reader": known}
        if obo is not None:
            inputs = {**inputs, "ontology": obo}
        if map_path is not None:
            inputs = {**inputs, "label_map": map_path}
        with run.create("predictions", output, inputs) as file:
            from screader_lib.cells.cells_file import CellSequences
            from screader_lib.exchange.provenance import fingerprint
            from screader_lib.reader.confidence import ontology_backoff
            from screader_lib.reader.llm.machine import prepare
            from screader_lib.reader.methods import methods
            from screader_lib.reader.prediction.prediction_checkpoint import PredictionCheckpoint
            from screader_lib.reader.prediction.write_predictions import (
                PredictionOptions,
                Shard,
                write_predictions,
            )
            from screader_lib.reader.reader_file import (
                cells_of_fold,
                check_cells,
                held_out_rows,
                read_reader,
            )

            sequences, stored = CellSequences(opened, sequential=True), read_reader(known)
            _check_options(run, known.name, stored, given)
            check_cells(sequences, stored, known.name)
            sequences = cells_of_fold(sequences, stored, known, given["held_out"])
            terms = None if obo is None else read_ontology(obo, _display_name(ontology))
            labels = None
            if map_path is not None:
                labels = _label_map(map_path, _display_name(label_map), sequences, stored)
            stored.settings = stored.settings.changed({key: given[key] for key in SETTINGS})
            machine = prepare(*(given[name] for name in MACHINE), needs_torch=stored.needs_torch)
            models = given["llm"], given["embedder"]
            trained = methods.restore(stored, machine, *models, run.reporter)
            trained.check_genes(sequences, run.reporter)
            trained.plan_memory(sequences, machine, bool(given["explain"]), run.reporter)
            if target_precision is not None:
                min_confidence = _confidence_for(run, stored.calibration_set, target_precision)
            _check_familiarity(run, given["min_familiarity"], len(stored.calibration_set))
            rows = held_out_rows(sequences, stored, known.name) if given["held_out"] else None
            shard, explained = given["shard"], given["explain"] or 0
            saved = PredictionCheckpoint(
                _checkpoint_folder(checkpoint, output, stored, len(sequences)),
                fingerprint(
                    cells=opened.sha256, reader=known.sha256, device=machine.device,
                    settings=stored.settings.to_json(), embedder=given["embedder"],
                    shard=shard, held_out=given["held_out"], explain=explained,
                    compiled=machine.compiled, no_vectors=given["no_vectors"],
                ),
                run.reporter,
            )  # fmt: skip
            options = PredictionOptions(
                rows, min_confidence, given["min_familiarity"], shard and Shard(*shard), explained,
                labels, vectors=not given["no_vectors"],
            )  # fmt: skip
            _resume(run, saved, stack)
            machine.processes.wait()
            has_known_genes = write_predictions(
                file, sequences, stored, trained, options, run.reporter, saved
            )
            if terms is not None:
                ontology_backoff.write_assigned(
                    file,
                    terms,
                    min_confidence,
                    has_known_genes,
                    min_familiarity=given["min_familiarity"],
                    reporter=run.reporter,
                )
        machine.processes.wait()
        saved.remove()


def _label_map(
    path: Path, name: str | None, sequences: CellSequences, stored: StoredReader
) -> dict[str, str]:
    from screader_lib.reader.prediction.label_map import read_label_map

    own = sequences.labels
    if own is None:
        raise ScReaderError(
            "the cells have no labels to translate with --label-map.",
            file=sequences.opened.name,
            remedy="Name their column with build-cells --label.",
        )
    return read_label_map(path, str(name), own.categories, stored.labels.names)


def _check_options(run: ToolRun, reader: str, stored: StoredReader, given: dict[str, Any]) -> None:
    """A usage error or a warning if an option does not apply to the reader."""
    method = stored.method
    if given["embedder"] is not None and method not in TEXT_MODEL_METHODS:
        raise click.UsageError(
            f"--embedder only applies to readers of method genept-s; {reader} uses {method}.",
            run.context,
        )
    if stored.needs_llm:
        return
    reason = f"the reader's method is {method}"
    if method in LLM_METHODS:
        reason = "the LLM's outputs have no weight in this reader's predictions"
        run.reporter.info(f"{reason}: the LLM is not loaded.")
    names = ("llm", "precision", "quantize")
    unused = [f"--{name}" for name in names if given[name] is not None]
    if unused:
        run.reporter.warning(f"{', '.join(unused)} has no effect: {reason}.")


def _checkpoint_folder(
    given: str | None, output: str | None, stored: StoredReader, cells: int
) -> Path | None:
    """Where blocks are saved; by default nowhere where all is done again in a minute or two."""
    is_long = stored.needs_torch or cells >= MANY_CELLS
    if given is None and is_long and output not in (None, "-"):
        given = f"{output}.unfinished"
    return None if given is None else Path(given)


def _resume(run: ToolRun, saved: PredictionCheckpoint, stack: ExitStack) -> None:
    stack.callback(saved.abandon)  # after a failure
    blocks = 0 if launch.is_worker() else saved.begin()
    if blocks:
        run.reporter.info(f"resuming with {blocks:,} finished blocks of cells from {saved.folder}.")


def _confidence_for(run: ToolRun, calibration_set: CalibrationSet, precision: float) -> float:
    from screader_lib.reader.confidence.calibration import ERROR_RATE

    threshold = calibration_set.threshold(precision)
    by = calibration_set.group_by
    told = (
        f"for new {by}s like those of the training" if by else "for cells like the training cells"
    )
    run.reporter.info(
        f"cells of a confidence of at least {threshold:.3f} are assigned: a precision of "
        f"{precision:g} or more is expected {told}. Of all readers, at most {ERROR_RATE:g} get a "
        "threshold whose precision is lower."
    )
    if not by:
        run.reporter.warning(
            "the calibration cells are of the training cells' donors: the precision may be lower "
            "for other donors. For these, train with --group-by donor."
        )
    return threshold


def _check_familiarity(run: ToolRun, min_familiarity: float, calibration_cells: int) -> None:
    from screader_lib.reader.confidence.calibration import MIN_CALIBRATION_CELLS

    if min_familiarity and calibration_cells < MIN_CALIBRATION_CELLS:
        run.reporter.warning(
            f"the reader has only {calibration_cells} calibration cells, too few to measure "
            "familiarity: --min-familiarity has no effect."
        )


def _display_name(name: str | None) -> str | None:
    return "standard input" if name == "-" else name
