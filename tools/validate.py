"""``screader validate``: check exchange files against their schemas."""

from __future__ import annotations

import click

from screader_lib.command_line.options import FilePath
from screader_lib.command_line.run import ToolRun
from screader_lib.command_line.tool import tool
from screader_lib.errors import ScReaderError


@tool(
    "validate",
    examples=["screader validate cells.h5ad reader.h5", "screader validate demo-output/*.h5*"],
)
@click.argument("files", type=FilePath(), nargs=-1, required=True)
def main(run: ToolRun, files: tuple[str, ...]) -> None:
    """Check exchange FILES against their schemas, including every value.

    Prints one line per file and one per problem; the exit status is 1 if there are problems.
    """
    from screader_lib.exchange import safety, validation
    from screader_lib.exchange.opening import schema_of

    bad = 0
    for name in files:
        shown = "standard input" if name == "-" else name
        try:
            with (
                run.path(name) as path,
                safety.open_checked(path, name=shown) as file,
                safety.checking(shown),
            ):
                schema = schema_of(file, shown)
                found = validation.problems(file, schema, values_up_to=None)
        except ScReaderError as error:
            bad += 1
            click.echo(f"bad: {error}")
            continue
        bad += bool(found)
        click.echo(f"{'bad' if found else 'ok'}: {shown}: {schema.name} {schema.version}")
        for problem in found:
            click.echo(f"  {problem}")
    if bad:
        raise ScReaderError(f"{bad} of {len(files)} files do not match their schema.")
