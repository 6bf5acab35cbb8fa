"""Options that all figures have, and writing a figure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from screader_lib.command_line.options import FilePath, OutputPath, output_option
from screader_lib.command_line.run import STANDARD, ToolRun

if TYPE_CHECKING:
    from screader_lib.figures.data.panels import Panel, SavedCoordinates
    from screader_lib.figures.data.prediction_data import PredictionData
    from screader_lib.figures.drawing.canvas import Picture, Style

FORMATS = ("png", "svg", "pdf")
UNITS = {"in": 1.0, "cm": 1 / 2.54, "mm": 1 / 25.4, "": 1.0}
MIN_INCHES, MAX_INCHES = 0.5, 200.0
TYPE_PALETTE = (
    "Colours of the types: safe (for colour-blind readers), a matplotlib colour map, or a file "
    "with a label, a tab and a colour per line. [default: safe]"
)


def _inches(text: str) -> list[float]:
    """Lengths such as 85mm or 7x5; ValueError for anything else."""
    text = text.strip().lower()
    unit = next(unit for unit in UNITS if text.endswith(unit))
    parts = text.removesuffix(unit).replace("×", "x").split("x")
    return [float(part) * UNITS[unit] for part in parts]


class Width(click.ParamType):
    """A width, such as 85mm, 18cm or 7 (inches); converted to inches."""

    name = "width"

    def convert(
        self, value: Any, param: click.Parameter | None, context: click.Context | None
    ) -> float:
        """Inches; a usage error for anything else."""
        if isinstance(value, float):
            return value
        try:
            (width,) = _inches(str(value))
        except ValueError:
            self.fail(f"{value!r} is not like 85mm, 18cm or 7 (inches).", param, context)
        if not MIN_INCHES <= width <= MAX_INCHES:
            self.fail(f"{value!r}: {MIN_INCHES} to {MAX_INCHES:.0f} inches.", param, context)
        return width


class Size(click.ParamType):
    """Width and height, such as 7x5, 18x12cm or 180x120mm; converted to inches."""

    name = "width x height"

    def convert(
        self, value: Any, param: click.Parameter | None, context: click.Context | None
    ) -> tuple[float, float]:
        """Inches; a usage error for anything else."""
        if isinstance(value, tuple):
            return value
        try:
            width, height = _inches(str(value))
        except ValueError:
            self.fail(f"{value!r} is not like 7x5, 18x12cm or 180x120mm.", param, context)
        if not all(MIN_INCHES <= side <= MAX_INCHES for side in (width, height)):
            limits = f"{MIN_INCHES} to {MAX_INCHES:.0f} inches"
            self.fail(f"{value!r}: a side is {limits}.", param, context)
        return width, height


def _all_of(*decorators: Callable) -> Callable:
    def decorate(command: Callable) -> Callable:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


predictions_argument = click.argument("predictions", type=FilePath(), nargs=-1)

name_option = click.option(
    "--name",
    "names",
    metavar="NAME",
    multiple=True,
    help="Name of a file's method; once per file, in their order.",
)

neighbours_option = click.option(
    "--neighbours", type=click.IntRange(2, 500), default=15, help="Number of neighbours for UMAP."
)

coordinates_options = _all_of(
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


def figure_options(palette: str) -> Callable:
    """Output, format and style; ``palette`` is the help of that option."""
    return _all_of(
        output_option("the figure (.png, .svg or .pdf)"),
        click.option(
            "--format",
            "form",
            type=click.Choice(FORMATS),
            help="Format of the figure. [default: by the output's name; png to a pipe]",
        ),
        click.option("--size", type=Size(), help="Width x height: 7x5 (inches), 18x12cm."),
        click.option(
            "--width",
            type=Width(),
            help="Width of a journal's column, such as 85mm or 180mm: letters and lines are of the "
            "size that is printed, the height is in proportion.",
        ),
        click.option("--dpi", type=click.IntRange(20, 2400), default=200, help="Dots per inch."),
        click.option("--title", default="", show_default=False, help="Title above the figure."),
        click.option("--palette", default="", show_default=False, metavar="NAME", help=palette),
        click.option("--data", type=OutputPath(), help="Write the figure's data here (TSV)."),
    )


def read_coordinates(run: ToolRun, name: str | None) -> SavedCoordinates | None:
    """The coordinates of ``--coordinates``, if given."""
    from screader_lib.figures.data import panels

    if name is None:
        return None
    with run.path(name) as path:
        return panels.read_coordinates(path, "standard input" if name == STANDARD else name)


@contextmanager
def open_predictions(
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


class PictureOutput:
    """Where a figure goes, its format and style, from the values of ``figure_options``.

    A usage error, before any work is done, where the format is unknown.
    """

    def __init__(self, run: ToolRun, settings: dict[str, Any]) -> None:
        self.reporter = run.reporter
        self.settings = settings
        self.path = run.output_path(settings["output"])
        if settings["size"] is not None and settings["width"] is not None:
            raise click.UsageError("--size and --width are mutually exclusive.", run.context)
        name_end = "png" if self.path == STANDARD else Path(self.path).suffix.lower().lstrip(".")
        self.form = settings["form"] or name_end
        if self.form not in FORMATS:
            raise click.UsageError(
                f"{self.path}: the name does not end in .png, .svg or .pdf; give --format."
            )

    @property
    def style(self) -> Style:
        """The style that the options ask for."""
        from screader_lib.figures.drawing.canvas import Style

        return Style(*(self.settings[name] for name in ("size", "title", "palette", "width")))

    def write(self, picture: Picture, panels: Sequence[Panel] = ()) -> None:
        """Write the figure and, where asked for, its data and coordinates; all or none.

        Warns of characters that no installed font has.
        """
        from screader_lib.exchange.writing import replacing
        from screader_lib.figures.data.panels import write_coordinates

        coordinates = self.settings.get("save_coordinates")
        with ExitStack() as stack:
            if coordinates:
                form = "npz" if coordinates.lower().endswith(".npz") else "tsv"
                write_coordinates(panels, stack.enter_context(replacing(coordinates)), form)
            if self.settings["data"]:
                picture.data.write(stack.enter_context(replacing(self.settings["data"])))
            path = stack.enter_context(replacing(self.path))
            missing = picture.write(path, self.form, self.settings["dpi"])
        if missing:
            self.reporter.warning(
                f"no installed font has the characters {missing}: they are drawn as boxes. "
                "Install a font that has them, such as Noto Sans CJK."
            )
