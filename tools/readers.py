"""``screader readers``: trained readers by name: list, show or fetch them."""

from __future__ import annotations

import click

from screader_lib.command_line.group import group
from screader_lib.command_line.options import FilePath
from screader_lib.command_line.run import ToolRun
from screader_lib.command_line.tool import tool
from screader_lib.reporting import printable

SUBCOMMANDS = {
    "list": "List the readers that have a name.",
    "show": "Print a reader's card: its labels, accuracy and limitations.",
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
    place_of=lambda name: f"screader_tools.readers:{name}_readers",
    examples=EXAMPLES,
    default="list",
)
def main() -> None:
    """Trained readers by name: list, show or fetch them.

    Without a subcommand, they are listed.
    """


registry_option = click.option(
    "--registry",
    type=FilePath(),
    envvar="SCREADER_READERS",
    show_default="$SCREADER_READERS",
    help="Table of more readers, in YAML or JSON, such as a facility's (docs/readers.md).",
)


@tool(
    "screader readers list",
    examples=["screader readers list", "screader readers list --registry /data/readers.yaml"],
)
@registry_option
def list_readers(run: ToolRun, registry: str | None) -> None:
    """List the readers that have a name: name, version, where it is known from, summary.

    Each line has these four, separated by tabs. A reader is packaged with the suite, named by the
    registry, or was fetched before.
    """
    from screader_lib.readers.registry import known_readers

    for entry in known_readers(registry):
        known_from = entry.known_from
        line = f"{entry.name}\t{entry.version or '-'}\t{known_from}\t{entry.summary}"
        click.echo(printable(line.rstrip()))


@tool(
    "screader readers show",
    examples=["screader readers show human-pancreas", "screader readers show reader.h5"],
)
@click.argument("reader", metavar="NAME|FILE")
@registry_option
def show_readers(run: ToolRun, reader: str, registry: str | None) -> None:
    """Print a reader's labels, its accuracy and its limitations.

    The labels, their cells and the figures on held-out cells are the reader's own; the rest is
    from its card (train-reader --card).
    """
    from screader_lib.exchange.summary import human_size
    from screader_lib.readers.card import card_lines
    from screader_lib.readers.fetching import find_reader

    with run.open(str(find_reader(reader, registry, run.reporter)), "reader") as opened:
        click.echo(printable("\n".join(card_lines(opened))))
        size = human_size(opened.path.stat().st_size)
        click.echo(f"\n{opened.path}, {size}, SHA-256 {opened.sha256}")


@tool(
    "screader readers fetch",
    examples=[
        "screader readers fetch https://example.org/readers/lung.h5 --sha256 3f5a… --name lung",
        "screader readers fetch hf:some-lab/lung-reader",
        "screader readers fetch /data/readers/lung",
    ],
)
@click.argument("source", metavar="NAME|FILE|FOLDER|URL|hf:ORG/REPO")
@click.option(
    "--name",
    show_default="the name in its card",
    help="What the reader is called from then on, as in predict --reader NAME.",
)
@click.option(
    "--sha256",
    metavar="HEX",
    help="SHA-256 that the file must have; a registry states it for its readers.",
)
@registry_option
def fetch_readers(
    run: ToolRun, source: str, name: str | None, sha256: str | None, registry: str | None
) -> None:
    """Fetch a reader into the cache ($SCREADER_CACHE), so that it is known by its name.

    It is kept only if it has the SHA-256 stated and is a valid reader. A folder has it as
    reader.h5 or as its only .h5 file; hf:ORG/REPO is a repository of the Hugging Face hub, with
    reader.h5 in it (hf:ORG/REPO/FILE@REVISION for another file or revision; HF_TOKEN for private
    ones). With SCREADER_OFFLINE=1, only files and folders are fetched.
    """
    from screader_lib.readers.fetching import fetch

    entry = fetch(source, registry, name, sha256, run.reporter)
    click.echo(f"{entry.name}\t{entry.sha256}")
