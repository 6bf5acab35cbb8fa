"""The documentation pages of the exchange files, made from their schemas."""

from __future__ import annotations

from collections.abc import Iterator

from screader_lib.exchange.schema import KINDS, ROOT_KIND, ROOT_VERSION, Element, Schema, load


def page(schema: Schema) -> str:
    """One kind's page in Markdown."""
    return "\n".join(_lines(schema)).rstrip() + "\n"


def overview() -> str:
    """A table of all kinds in Markdown."""
    rows = ["| file | content | written by | read by |", "|---|---|---|---|"]
    for kind in KINDS:
        schema = load(kind)
        rows.append(
            f"| [{kind}]({kind}.md) | {schema.summary} | `{schema.written_by}` | "
            f"{_readers(schema)} |"
        )
    return "\n".join(rows) + "\n"


def _readers(schema: Schema) -> str:
    return ", ".join(f"`{name}`" for name in schema.read_by)


def _lines(schema: Schema) -> Iterator[str]:
    yield from (f"# {schema.title} (`{schema.name}`)", "")
    yield from ("<!-- Made by docs/generate.py from the schema. -->", "")
    yield from (schema.summary, "")
    opened = "`anndata.read_h5ad` opens it." if schema.is_anndata else "Plain HDF5."
    yield f"Written by `{schema.written_by}`, read by {_readers(schema)}. {opened}"
    yield from (
        "",
        f"Root attributes: `{ROOT_KIND}` = `{schema.name}`, `{ROOT_VERSION}` = "
        f"{schema.version}. `uns/screader` holds the tool, its version and parameters, the "
        "SHA-256 of its inputs, and the steps that made those inputs.",
        "",
    )
    yield from ("| dimension | meaning |", "|---|---|")
    yield from (f"| {name} | {meaning} |" for name, meaning in schema.dimensions.items())
    yield from ("", "| element | type | shape | meaning |", "|---|---|---|---|")
    yield from (_row(element) for element in schema.elements)


def _row(element: Element) -> str:
    shape = " × ".join(element.shape) or "–"
    kind = f"{element.type} of {element.of}" if element.of else element.type
    meaning = " ".join([element.description, *_constraints(element)]).replace("|", "\\|")
    return f"| `{element.path}` | {kind} | {shape} | {meaning} |"


def _constraints(element: Element) -> Iterator[str]:
    if not element.required:
        yield "Optional."
    if element.values:
        yield f"One of {', '.join(element.values)}."
    if element.unique:
        yield "Unique."
    if element.minimum is not None and element.maximum is not None:
        yield f"From {element.minimum:g} to {element.maximum:g}."
    elif element.minimum is not None:
        yield f"At least {element.minimum:g}."
    if element.below:
        yield f"Below the number of {element.below}."
