"""``screader validate``: check exchange files against their schemas."""

from __future__ import annotations

from functools import partial

import click

from screader_lib.command_line.options import FilePath
from screader_lib.command_line.run import ToolRun
from screader_lib.command_line.tool import tool
from screader_lib.errors import ScReaderError
from screader_lib.reporting import printable


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

    invalid = 0
    for name in files:
        display_name = "standard input" if name == "-" else name
        try:
            kind_first = partial(schema_of, name=display_name)
            with (
                run.path(name) as path,
                safety.open_checked(path, name=display_name, first=kind_first) as file,
                safety.checking(display_name),
            ):
                schema = schema_of(file, display_name)
                problems = validation.problems(file, schema, values_up_to=None)
        except ScReaderError as error:
            invalid += 1
            click.echo(printable(f"bad: {error}"))
            continue
        invalid += bool(problems)
        status = "bad" if problems else "ok"
        click.echo(f"{status}: {display_name}: {schema.name} {schema.version}")
        for problem in problems:
            click.echo(printable(f"  {problem}"))
    if invalid:
        raise ScReaderError(f"{invalid} of {len(files)} files do not match their schema.")
