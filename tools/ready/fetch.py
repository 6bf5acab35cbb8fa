"""``screader readers fetch``: a reader from elsewhere into the cache."""

from __future__ import annotations

import click

from screader_lib.command_line.run import ToolRun
from screader_lib.command_line.tool import tool
from screader_tools.ready.reader_options import registry_option


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
    "--sha256", metavar="HEX", help="SHA-256 that the file must have; of a registry, it states it."
)
@registry_option
def main(
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
