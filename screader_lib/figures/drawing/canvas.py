"""A picture: figure, data table and alternative text; the same input gives the same bytes."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module, resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from screader_lib.errors import ScReaderError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")
MAX_PIXELS = 25_000  # a side; matplotlib's raster canvas ends at 65,536
MISSING_GLYPH = r"Glyph (\d+) .*missing"  # matplotlib's warning
INK = "#222222"
GRID = "#d9d9d9"
MARKERS = "osD^vPX*"  # of methods, in their order

# Used where installed, for characters that DejaVu Sans lacks.
FALLBACK_FONTS = (
    "Noto Sans CJK JP", "Noto Sans", "Noto Emoji", "Source Han Sans", "WenQuanYi Zen Hei", "Arial",
)  # fmt: skip


def require(module: str) -> Any:
    """Import ``module`` of an optional package.

    ScReaderError with the command that installs it where it is missing.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        package = str(error.name or module).partition(".")[0]
        raise ScReaderError(
            f"this picture needs the Python package {package!r}.",
            remedy="Install it with: pip install 'screader-suite[plots]'",
        ) from error


@dataclass(frozen=True)
class Style:
    """How a picture looks; what is None or empty is left to the picture.

    ``size`` is width and height in inches.
    """

    size: tuple[float, float] | None = None
    title: str = ""
    palette: str = ""


DEFAULT_STYLE = Style()


@dataclass(frozen=True)
class DataTable:
    """The data of a picture as rows of str, int, float or None (unknown).

    ``rows`` is iterated over each time, so that a million rows need not be held in memory.
    """

    columns: tuple[str, ...]
    rows: Iterable[tuple[Any, ...]]

    def write(self, path: Path) -> None:
        """Write as tab-separated text with a header line; floats with six significant digits."""
        with path.open("w", encoding="utf-8", newline="\n") as stream:
            for row in (self.columns, *self.rows):
                stream.write("\t".join(_field(value) for value in row) + "\n")


def _field(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else " ".join(str(value).split())


@dataclass(frozen=True)
class Picture:
    """A drawn figure, its data, and an alternative text for readers who cannot see it."""

    figure: Figure
    data: DataTable
    alt: str

    def write(self, path: Path, form: str, dpi: int) -> str:
        """Write to ``path`` as one of ``FORMATS``; OSError where that fails.

        Returns the characters that no installed font has; they are drawn as boxes.
        """
        content, missing = self._render(form, dpi)
        path.write_bytes(content)
        return missing

    def render(self, form: str, dpi: int) -> bytes:
        """The content of the picture's file, in one of ``FORMATS``.

        ScReaderError where it would have more than ``MAX_PIXELS`` a side.
        """
        return self._render(form, dpi)[0]

    def _render(self, form: str, dpi: int) -> tuple[bytes, str]:
        width, height = self.figure.get_size_inches() * dpi
        if max(width, height) > MAX_PIXELS:
            raise ScReaderError(
                f"the picture would be {width:,.0f} × {height:,.0f} pixels, "
                f"the maximum is {MAX_PIXELS:,} a side.",
                remedy="Lower --dpi or --size.",
            )
        stream = io.BytesIO()
        with drawing(), warnings.catch_warnings(record=True) as caught:
            warnings.filterwarnings("always", message=MISSING_GLYPH)
            self.figure.savefig(stream, format=form, dpi=dpi, metadata=_metadata(form, self.alt))
        glyphs = (re.match(MISSING_GLYPH, str(warning.message)) for warning in caught)
        missing = {chr(int(glyph[1])) for glyph in glyphs if glyph}
        return stream.getvalue(), "".join(sorted(missing))


def _metadata(form: str, alt: str) -> dict[str, str | None]:
    """The alternative text, but no dates and no program versions."""
    if form == "png":
        return {"Software": None, "Description": alt}
    if form == "svg":
        return {"Date": None, "Creator": None, "Title": alt}
    return {"CreationDate": None, "Creator": None, "Producer": None, "Title": alt}


@contextmanager
def drawing() -> Iterator[None]:
    """The style sheet of the pictures, whatever the user's own settings of matplotlib are."""
    matplotlib = require("matplotlib")
    sheet = resources.files("screader_lib.figures") / "templates" / "pictures.mplstyle"
    with resources.as_file(sheet) as path:
        settings = matplotlib.rc_params_from_file(path)
    installed = {font.name for font in require("matplotlib.font_manager").fontManager.ttflist}
    fonts = ["DejaVu Sans", *(name for name in FALLBACK_FONTS if name in installed)]
    with matplotlib.rc_context({**settings, "font.family": fonts}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=MISSING_GLYPH)
        yield


def new_figure(style: Style, default: tuple[float, float], layout: str = "constrained") -> Figure:
    """An empty figure of ``style.size`` or else the default (inches), laid out without overlaps.

    ``layout`` is ``compressed`` for panels of fixed aspect.
    """
    figure = require("matplotlib.figure").Figure(figsize=style.size or default, layout=layout)
    if style.title:
        figure.suptitle(style.title, x=0.01, ha="left", fontweight="bold")
    return figure


def colour_map(name: str) -> Any:
    """The matplotlib colour map ``name``; ScReaderError where there is none."""
    colour_maps = require("matplotlib").colormaps
    if name not in colour_maps:
        raise ScReaderError(
            f"--palette: there is no colour map {name!r}.",
            remedy="Try viridis, cividis, Blues or magma.",
        )
    return colour_maps[name]


def count_axis(axis: Any) -> None:
    """A logarithmic axis of counts, written out: 1, 2, 5, 10, 20, …"""
    ticker = require("matplotlib.ticker")
    axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(ticker.StrMethodFormatter("{x:,.0f}"))
    axis.set_minor_locator(ticker.NullLocator())


def sentences(parts: Sequence[str]) -> str:
    """The parts of an alternative text as sentences."""
    return " ".join(part.rstrip(".") + "." for part in parts if part)
