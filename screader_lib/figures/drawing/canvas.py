"""A figure: its drawing, data table and alternative text; the same input gives the same bytes."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module, resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from screader_lib.errors import ScReaderError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")
ALT_FIELDS = {"png": "Description", "svg": "Title", "pdf": "Title"}
LEFT_OUT = {  # dates and program versions, which would differ between runs
    "png": ("Software",), "svg": ("Date", "Creator"), "pdf": ("CreationDate", "Creator", "Producer")
}  # fmt: skip
MAX_PIXELS = 25_000  # a side; matplotlib's raster canvas ends at 65,536
MAX_HEIGHT = 9.0  # inches, of a figure by its width: a page
WIDE = 5.0  # inches from which panels, or a legend, have room beside each other
MISSING_GLYPH = r"Glyph (\d+) .*missing"  # matplotlib's warning
INK = "#222222"
GRID = "#d9d9d9"
MARKERS = "osD^vPX*"  # of methods, in their order

IN_A_COLUMN = {  # matplotlib's settings for figures by their width; sizes in points
    "font.size": 7, "axes.labelsize": 7, "axes.titlesize": 7, "figure.titlesize": 8,
    "xtick.labelsize": 6, "ytick.labelsize": 6, "legend.fontsize": 6, "legend.title_fontsize": 6,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6, "ytick.major.width": 0.6, "xtick.major.size": 2.5,
    "ytick.major.size": 2.5, "grid.linewidth": 0.4, "lines.linewidth": 1.0, "lines.markersize": 4,
}  # fmt: skip

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
            f"this figure needs the Python package {package!r}.",
            remedy="Install it with: pip install 'screader-suite[plots]'",
        ) from error


@dataclass(frozen=True)
class Style:
    """How a figure looks; what is None or empty is left to the figure.

    ``size`` is width and height in inches. Where only a ``width`` is given, the height is in
    proportion, and letters and lines are those of a journal's column.
    """

    size: tuple[float, float] | None = None
    title: str = ""
    palette: str = ""
    width: float | None = None

    @property
    def is_narrow(self) -> bool:
        """Whether panels have no room beside each other."""
        return self.size is None and self.width is not None and self.width < WIDE

    def sized(self, default: tuple[float, float]) -> tuple[float, float]:
        """Width and height in inches of a figure that is ``default`` where nothing is asked."""
        if self.size is None and self.width is not None:
            return self.width, min(MAX_HEIGHT, default[1] * self.width / default[0])
        return self.size or default


DEFAULT_STYLE = Style()


@dataclass(frozen=True)
class DataTable:
    """The data of a figure as rows of str, int, float or None (unknown).

    ``rows`` is iterated over each time, so that a million rows need not be held in memory.
    """

    columns: tuple[str, ...]
    rows: Iterable[tuple[Any, ...]]

    def write(self, path: Path) -> None:
        """Write as tab-separated text with a header line; floats with six significant digits."""
        with path.open("w", encoding="utf-8", newline="\n") as stream:
            for row in (self.columns, *self.rows):
                texts = (f"{value:.6g}" if isinstance(value, float) else
                         " ".join(str("" if value is None else value).split())
                         for value in row)  # fmt: skip
                stream.write("\t".join(texts) + "\n")


@dataclass(frozen=True)
class Picture:
    """A drawn figure, its data, and an alternative text for readers who cannot see it."""

    figure: Figure
    data: DataTable
    alt: str

    @classmethod
    def of(
        cls, figure: Figure, columns: tuple[str, ...], rows: Iterable[tuple], alt: Sequence[str]
    ) -> Picture:
        """A figure, the columns and rows of its data, and the sentences of its alternative text."""
        text = " ".join(sentence.rstrip(".") + "." for sentence in alt)
        return cls(figure, DataTable(columns, rows), text)

    def render(self, form: str, dpi: int) -> bytes:
        """The content of the figure's file, in one of ``FORMATS``."""
        stream = io.BytesIO()
        self.write(stream, form, dpi)
        return stream.getvalue()

    def write(self, target: Path | BinaryIO, form: str, dpi: int) -> str:
        """Write as one of ``FORMATS``.

        Returns the characters that no installed font has; they are drawn as boxes. OSError where
        writing fails, ScReaderError where the figure would have more than ``MAX_PIXELS`` a side.
        """
        width, height = self.figure.get_size_inches() * dpi
        if max(width, height) > MAX_PIXELS:
            raise ScReaderError(
                f"the figure would be {width:,.0f} × {height:,.0f} pixels, "
                f"the maximum is {MAX_PIXELS:,} a side.",
                remedy="Lower --dpi or --size.",
            )
        metadata = {**dict.fromkeys(LEFT_OUT[form]), ALT_FIELDS[form]: self.alt}
        with drawing(), warnings.catch_warnings(record=True) as caught:
            warnings.filterwarnings("always", message=MISSING_GLYPH)
            self.figure.savefig(target, format=form, dpi=dpi, metadata=metadata)
        glyphs = (re.match(MISSING_GLYPH, str(warning.message)) for warning in caught)
        return "".join(sorted({chr(int(glyph[1])) for glyph in glyphs if glyph}))


@contextmanager
def drawing(style: Style = DEFAULT_STYLE) -> Iterator[None]:
    """The style sheet of the figures, whatever the user's own settings of matplotlib are."""
    matplotlib = require("matplotlib")
    sheet = resources.files("screader_lib.figures") / "templates" / "pictures.mplstyle"
    with resources.as_file(sheet) as path:
        settings = matplotlib.rc_params_from_file(path)
    installed = {font.name for font in require("matplotlib.font_manager").fontManager.ttflist}
    fonts = ["DejaVu Sans", *(name for name in FALLBACK_FONTS if name in installed)]
    if style.size is None and style.width is not None:
        settings.update(IN_A_COLUMN)
    with matplotlib.rc_context({**settings, "font.family": fonts}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=MISSING_GLYPH)
        yield


def new_figure(style: Style, default: tuple[float, float], layout: str = "constrained") -> Figure:
    """An empty figure of ``default`` size in inches; ``layout``: compressed for fixed aspect."""
    figure = require("matplotlib.figure").Figure(figsize=style.sized(default), layout=layout)
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
