"""``predict``: cells and a reader to cell types."""

from __future__ import annotations

from contextlib import nullcontext

import click

from screader_lib.command_line.options import FilePath, input_argument, output_option
from screader_lib.command_line.run import Inputs, Run
from screader_lib.command_line.tool import tool
from screader_lib.reader.choices import (
    DEVICES,
    PRECISIONS,
    QUANTIZATIONS,
    WITH_LLM,
    WITH_TEXT_MODEL,
)


@tool(
    "predict",
    examples=[
        "predict cells.h5ad --reader reader.h5 -o predictions.h5ad",
        "build-cells new.h5ad -e genes.h5ad --like reader.h5 | predict -r reader.h5 > calls.h5ad",
        "predict cells.h5ad -r reader.h5 --ontology cl.obo --min-confidence 0.9 -o calls.h5ad",
        "predict cells.h5ad -r reader.h5 --target-precision 0.99 --explain 20 -o calls.h5ad",
        "predict cells.h5ad -r reader.h5 --min-confidence 0.9 --llm /models/llama -o calls.h5ad",
    ],
)
@input_argument("cells")
@click.option("-r", "--reader", type=FilePath(), required=True, help="Reader (train-reader).")
@output_option("the predictions")
@click.option(
    "--llm", metavar="NAME", help="Where the reader's LLM is now. [default: as in training]"
)
@click.option(
    "--embedder",
    metavar="PLACE",
    help="Where the text model of a genept-s reader is: a folder, a Hugging Face id, a server's "
    "URL or 'packaged'. [default: as the genes were embedded]",
)
@click.option("--device", type=click.Choice(DEVICES), default="auto", help="Where to compute.")
@click.option(
    "--precision", type=click.Choice(PRECISIONS), help="Of the LLM. [default: as in training]"
)
@click.option(
    "--quantize", type=click.Choice(QUANTIZATIONS), help="Of the LLM. [default: as in training]"
)
@click.option(
    "--min-confidence",
    type=click.FloatRange(0, 1),
    default=0.0,
    help="Cells called with less are marked unassigned.",
)
@click.option(
    "--target-precision",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Instead: the least confidence that assures this share of right calls, by the cells "
    "kept from the reader's training.",
)
@click.option(
    "--min-familiarity",
    type=click.FloatRange(0, 1),
    default=0.0,
    help="Cells less familiar are marked unassigned; about this share of cells of known types is.",
)
@click.option(
    "--held-out",
    is_flag=True,
    help="Call only the cells that the reader's fold held out (train-reader --fold).",
)
@click.option(
    "--ontology",
    type=FilePath(),
    metavar="OBO",
    help="Back cells below --min-confidence off to the most specific common ancestor of labels, "
    "of this ontology (cl.obo), whose probability reaches it.",
)
@click.option(
    "--explain",
    type=click.IntRange(min=1),
    metavar="GENES",
    help="Store as many genes that spoke most for each cell's call, and each gene's mean part "
    "per label.",
)
@click.option(
    "--micro-batch-tokens",
    type=click.IntRange(min=1),
    help="Most tokens the LLM reads at once. [default: as in training]",
)
def main(
    run: Run,
    cells: str,
    reader: str,
    output: str | None,
    llm: str | None,
    embedder: str | None,
    device: str,
    precision: str | None,
    quantize: str | None,
    min_confidence: float,
    ontology: str | None,
    target_precision: float | None,
    min_familiarity: float,
    held_out: bool,
    explain: int | None,
    micro_batch_tokens: int | None,
) -> None:
    """Name the types of CELLS (from build-cells) with a trained reader.

    Where the cells carry labels, the calls are measured against them.
    """
    if target_precision is not None and min_confidence:
        raise click.UsageError(
            "--target-precision and --min-confidence exclude each other.", run.context
        )
    with (
        run.open(reader, "reader") as known,
        run.open(cells, "cells") as opened,
        run.path(ontology) if ontology else nullcontext() as obo,
    ):
        inputs: Inputs = {"cells": opened, "reader": known}
        if obo is not None:
            inputs = {**inputs, "ontology": obo}
        with run.create("predictions", output, inputs) as file:
            from screader_lib.cells.reading import CellSequences
            from screader_lib.reader import backing_off, methods
            from screader_lib.reader.device import prepare
            from screader_lib.reader.explaining import write_explanation
            from screader_lib.reader.familiarity import FEWEST_KEPT
            from screader_lib.reader.file import check_cells, held_out_rows, read_reader
            from screader_lib.reader.ontology import read_ontology
            from screader_lib.reader.prediction import Chosen, write_predictions

            sequences, restored = CellSequences(opened), read_reader(known)
            if embedder is not None and restored.method not in WITH_TEXT_MODEL:
                raise click.UsageError(
                    f"--embedder is for readers of method genept-s; {known.name} is of "
                    f"{restored.method}.",
                    run.context,
                )
            if restored.method not in WITH_LLM:
                unused = {"--llm": llm, "--precision": precision, "--quantize": quantize}
                _tell_unused(run, restored.method, unused)
            check_cells(sequences, restored, known.name)
            terms = None if obo is None else read_ontology(obo, _shown(ontology))
            changes = {
                "precision": precision,
                "quantize": quantize,
                "micro_batch_tokens": micro_batch_tokens,
            }
            restored.settings = restored.settings.changed(changes)
            trained = methods.restore(restored, prepare(device), llm, embedder, run.reporter)
            trained.check_genes(sequences, run.reporter)
            if target_precision is not None:
                min_confidence = restored.kept.threshold(target_precision)
                run.reporter.say(
                    f"a confidence of {min_confidence:.3f} assures a precision of "
                    f"{target_precision:g}."
                )
            if min_familiarity and len(restored.kept) < FEWEST_KEPT:
                run.reporter.warn(
                    f"the reader kept {len(restored.kept)} cells from its training, too few to "
                    "tell what is familiar: --min-familiarity does nothing."
                )
            rows = held_out_rows(sequences, restored, known.name) if held_out else None
            chosen = Chosen(rows, min_confidence, min_familiarity)
            readable = write_predictions(file, sequences, restored, trained, chosen, run.reporter)
            if explain:
                write_explanation(file, sequences, trained, explain, rows, run.reporter)
            if terms is not None:
                backing_off.write_assigned(
                    file,
                    terms,
                    min_confidence,
                    readable,
                    min_familiarity=min_familiarity,
                    reporter=run.reporter,
                )


def _tell_unused(run: Run, method: str, options: dict[str, str | None]) -> None:
    """Warn of options that were given and do nothing for a reader of this method."""
    given = [name for name, value in options.items() if value is not None]
    if given:
        run.reporter.warn(f"the reader is of method {method}: {', '.join(given)} does nothing.")


def _shown(name: str | None) -> str | None:
    return "standard input" if name == "-" else name
