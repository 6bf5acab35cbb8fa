"""The documentation pages of the executables, made from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator

import click


def page(command: click.Command, path: str, extra: str = "") -> str:
    """One executable's page in Markdown; ``path`` is how it is called, ``extra`` comes last."""
    lines = [f"# {path}", "", "<!-- Made by docs/generate.py from the command itself. -->", ""]
    lines += _command(command, path, 2)
    if extra:
        lines += ["", extra.strip()]
    return "\n".join(lines).rstrip() + "\n"


def _command(command: click.Command, path: str, level: int) -> Iterator[str]:
    settings = {**command.context_settings, "info_name": path}
    context = click.Context(command, **settings)
    yield from _paragraphs(command.help or "")
    yield from ("```", command.get_usage(context), "```", "")
    examples = getattr(command, "examples", ())
    if examples:
        yield from ("Examples:", "", "```sh", *examples, "```", "")
    yield from _options(command, context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None:
                yield from (f"{'#' * level} {path} {name}", "")
                yield from _command(inner, f"{path} {name}", level + 1)


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in text.replace("\b\n", "").split("\n\n"):
        yield from (" ".join(paragraph.split()), "")


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    rows = []
    for option in command.get_params(context):
        record = option.get_help_record(context)
        if record is not None and isinstance(option, click.Option):
            rows.append(f"| `{_cell(record[0])}` | {_cell(record[1])} |")
    if rows:
        yield from ("| option | meaning |", "|---|---|", *rows, "")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
