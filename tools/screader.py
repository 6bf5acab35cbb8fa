"""``screader``: all executables as subcommands, and the helpers around them."""

from __future__ import annotations

from screader_lib.command_line.group import group

SUBCOMMANDS = {
    "annotate": "Label cells by a reader, a reference, examples or named types.",
    "fetch-descriptions": "Fetch one text per gene.",
    "embed-genes": "Embed gene texts, one vector per gene.",
    "build-cells": "Turn an expression matrix into ranked, weighted gene sequences.",
    "prepare-cells": "Filter, cluster and label raw counts.",
    "train-reader": "Train a reader on labelled cells.",
    "predict": "Predict cell types with a reader.",
    "gather": "Merge the predictions of shards or folds.",
    "plot": "Draw figures and write the report.",
    "readers": "List, show and fetch trained readers.",
    "validate": "Check exchange files against their schemas.",
    "info": "Summarise exchange files, or any file of cells.",
    "demo": "Run the whole suite on real cells.",
}


EXAMPLES = (
    "screader demo",
    "screader annotate counts.h5ad --reader human-blood -o annotated.h5ad",
    "screader info descriptions.h5ad cells.h5ad",
    "screader validate *.h5ad reader.h5",
    "screader train-reader cells.h5ad -o reader.h5",
)


@group(
    "screader",
    subcommands=SUBCOMMANDS,
    place_of=lambda name: f"screader_tools.{name.replace('-', '_')}:main",
    examples=EXAMPLES,
)
def main() -> None:
    """Names the types of single cells, by readers with or without a frozen large language model.

    Each command is also an executable of its own. 'screader COMMAND --help' explains one.
    """
