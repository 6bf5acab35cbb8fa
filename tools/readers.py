"""``screader readers``: readers that are ready, by name."""

from __future__ import annotations

from screader_lib.command_line.group import group

SUBCOMMANDS = {
    "list": "List the readers that have a name.",
    "show": "Print a reader's card: what it knows, how well, and what not.",
    "fetch": "Fetch a reader from a folder, a URL or the Hugging Face hub.",
}

EXAMPLES = (
    "screader readers",
    "screader readers show human-pancreas",
    "screader readers fetch hf:some-lab/lung-reader",
    "predict cells.h5ad --reader human-pancreas -o predictions.h5ad",
)


@group(
    "readers",
    subcommands=SUBCOMMANDS,
    module_of=lambda name: f"screader_tools.ready.{name}",
    examples=EXAMPLES,
    default="list",
)
def main() -> None:
    """Readers that are ready to use, by name: list, show or fetch them.

    Without a subcommand, they are listed.
    """
