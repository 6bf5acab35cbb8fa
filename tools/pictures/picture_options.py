"""Options that all pictures have, and how a picture is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from screader_lib.command_line.options import FilePath, OutputPath, output_option
from screader_lib.command_line.run import STANDARD, ToolRun

if TYPE_CHECKING:
    from collections.abc import Iterator

    from screader_lib.figures.data.coordinates import Given
    from screader_lib.figures.data.prediction_data import PredictionData
    from screader_lib.figures.drawing.canvas import Picture, Style
    from screader_lib.figures.plots.umap_plot import Panel

FORMATS = ("png", "svg", "pdf")
UNITS = {"in": 1.0, "cm": 1 / 2.54, "mm": 1 / 25.4, "": 1.0}
LARGEST = 200.0  # inches


class Size(click.ParamType):
    """Width and height, such as 7x5, 18x12cm or 180x120mm; converted to inches."""

    name = "width x height"

    def convert(
        self, value: Any, param: click.Parameter | None, context: click.Context | None
    ) -> tuple[float, float]:
        """Inches; a usage error for anything else."""
        if isinstance(value, tuple):
            return value
        text = str(value).strip().lower()
        unit = next((unit for unit in ("in", "cm", "mm") if text.endswith(unit)), "")
        parts = text.removesuffix(unit).replace("×", "x").split("x")
        try:
            width, height = (float(part) * UNITS[unit] for part in parts)
        except ValueError:
            self.fail(f"{value!r} is not like 7x5, 18x12cm or 180x120mm.", param, context)
        if not (0.5 <= width <= LARGEST and 0.5 <= height <= LARGEST):
            self.fail(f"{value!r}: a side is 0.5 to {LARGEST:.0f} inches.", param, context)
        return width, height


def predictions_argument(command: Callable) -> Callable:
    """One predictions file or several; standard input where none is named."""
    return click.argument("predictions", type=FilePath(), nargs=-1)(command)


def name_option(command: Callable) -> Callable:
    """Names of the methods, in the order of their files."""
    return click.option(
        "--name",
        "names",
        metavar="NAME",
        multiple=True,
        help="What to call a file's method; once per file, in their order.",
    )(command)


def picture_options(palette: str) -> Callable:
    """Output, format and looks; ``palette`` says what the colours are unless chosen."""
    options = (
        output_option("the picture (.png, .svg or .pdf)"),
        click.option(
            "--format",
            "form",
            type=click.Choice(FORMATS),
            help="Format of the picture. [default: by the output's name; png to a pipe]",
        ),
        click.option("--size", type=Size(), help="Width x height: 7x5 (inches), 18x12cm."),
        click.option("--dpi", type=click.IntRange(20, 2400), default=200, help="Dots per inch."),
        click.option("--title", default="", show_default=False, help="Title above the picture."),
        click.option("--palette", default="", show_default=False, metavar="NAME", help=palette),
        click.option("--data", type=OutputPath(), help="Write the picture's numbers here (TSV)."),
    )

    def decorate(command: Callable) -> Callable:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def coordinate_options(command: Callable) -> Callable:
    """Coordinates taken from a file, or kept in one."""
    options = (
        click.option(
            "--coordinates",
            type=FilePath(),
            help="Take the coordinates from this file (TSV or npz) instead of computing them.",
        ),
        click.option(
            "--save-coordinates",
            type=OutputPath(),
            help="Write the coordinates here (.tsv or .npz), for --coordinates.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def given_coordinates(run: ToolRun, name: str | None) -> Given | None:
    """The coordinates that a user brings, if any."""
    from screader_lib.figures.data import coordinates

    if name is None:
        return None
    with run.path(name) as path:
        return coordinates.read(path, "standard input" if name == STANDARD else name)


neighbours_option = click.option(
    "--neighbors",
    type=click.IntRange(2, 500),
    default=15,
    help="Neighbours that UMAP looks at.",
)

TYPE_PALETTE = (
    "Colours of the types: safe (for colour-blind readers), a matplotlib colour map, or a file "
    "with a label, a tab and a colour a line. [default: safe]"
)


def looks(settings: dict[str, Any]) -> Style:
    """The style that the options ask for."""
    from screader_lib.figures.drawing.canvas import Style

    return Style(settings["size"], settings["dpi"], settings["title"], settings["palette"])


@contextmanager
def open_calls(
    run: ToolRun, files: Sequence[str], names: Sequence[str] = ()
) -> Iterator[list[PredictionData]]:
    """The predictions files, standard input where none is named."""
    from screader_lib.figures.data.prediction_data import PredictionData

    files = files or (STANDARD,)
    if names and len(names) != len(files):
        raise click.UsageError(
            f"--name is given {len(names)} times for {len(files)} files.", run.context
        )
    with ExitStack() as stack:
        opened = [stack.enter_context(run.open(file, "predictions")) for file in files]
        titles = names or [""] * len(opened)
        yield [PredictionData(file, title) for file, title in zip(opened, titles, strict=True)]


def target(run: ToolRun, settings: dict[str, Any]) -> tuple[str, str]:
    """Where the picture goes and its format; a usage error before any work is done."""
    output, form = run.output_path(settings["output"]), settings["form"]
    refuse_same(output, settings["data"], settings.get("save_coordinates"))
    if form is None:
        form = "png" if output == STANDARD else Path(output).suffix.lower().lstrip(".")
    if form not in FORMATS:
        raise click.UsageError(
            f"{output}: the name ends in none of .png, .svg, .pdf; choose one with --format."
        )
    return output, form


def refuse_same(*outputs: str | None) -> None:
    """A usage error where two outputs are one file."""
    seen: set[str] = set()
    for name in filter(None, outputs):
        shown = STANDARD if name == STANDARD else str(Path(name).resolve())
        if shown in seen:
            what = "standard output" if name == STANDARD else name
            raise click.UsageError(f"two outputs cannot both go to {what}.")
        seen.add(shown)


def write(
    run: ToolRun,
    picture: Picture,
    where: tuple[str, str],
    settings: dict[str, Any],
    panels: Sequence[Panel] = (),
) -> None:
    """Write the picture and, where asked for, its numbers and coordinates; all or none.

    Warns of letters that could not be drawn.
    """
    from screader_lib.exchange.writing import replacing
    from screader_lib.figures.data import coordinates

    output, form = where
    kept = settings.get("save_coordinates")
    with ExitStack() as stack:
        if kept:
            path = stack.enter_context(replacing(kept))
            coordinates.write(panels, path, "npz" if kept.lower().endswith(".npz") else "tsv")
        if settings["data"]:
            numbers = stack.enter_context(replacing(settings["data"]))
            picture.numbers.write(numbers)
        path = stack.enter_context(replacing(output))
        missing = picture.write(path, form, settings["dpi"])
    if missing:
        run.reporter.warning(
            f"no font here has the letters {missing}: they are drawn as boxes. "
            "Install a font that has them, such as Noto Sans CJK."
        )
