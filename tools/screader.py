"""``screader``: all executables as subcommands, and the helpers around them."""

from __future__ import annotations

from screader_lib.command_line.group import group

SUBCOMMANDS = {
    "fetch-descriptions": "Gene names to one text per gene.",
    "embed-genes": "Gene texts to one vector per gene.",
    "build-cells": "Expression matrix to ranked, weighted gene sequences.",
    "prepare-cells": "Raw counts to clean, clustered, labelled cells.",
    "train-reader": "Labelled cells to a trained reader.",
    "predict": "Cells and a reader to cell types.",
    "gather": "Predictions of all folds to one file.",
    "plot": "Pictures and the report.",
    "validate": "Check exchange files against their schemas.",
    "info": "Say in words what exchange files hold.",
    "demo": "Run everything on real cells.",
}


EXAMPLES = (
    "screader demo",
    "screader info descriptions.h5ad cells.h5ad",
    "screader validate *.h5ad reader.h5",
    "screader train-reader cells.h5ad -o reader.h5",
)


@group(
    "screader",
    subcommands=SUBCOMMANDS,
    module_of=lambda name: f"screader_tools.{name.replace('-', '_')}",
    examples=EXAMPLES,
)
def main() -> None:
    """A frozen large language model reads single cells and names their types.

    Each command is also an executable of its own. 'screader COMMAND --help' explains one.
    """
