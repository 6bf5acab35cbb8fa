"""A picture: its figure, its numbers and its alternative text; the same bytes every time."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from screader_lib.errors import ScReaderError
from screader_lib.figures.drawing.plotting_packages import need

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")
MOST_PIXELS = 25_000  # a side; matplotlib's raster canvas ends at 65,536
GLYPH_MISSING = r"Glyph (\d+) .*missing"  # what matplotlib warns of
INK = "#222222"
GRID = "#d9d9d9"

# Used for letters that DejaVu Sans lacks, where the machine has one of them.
MORE_FONTS = (
    "Noto Sans CJK JP",
    "Noto Sans",
    "Noto Emoji",
    "Source Han Sans",
    "WenQuanYi Zen Hei",
    "Arial",
)

SETTINGS: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "figure.titlesize": 12,
    "font.size": 9,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "pdf.fonttype": 42,
    "pdf.use14corefonts": False,
    "savefig.facecolor": "white",
    "svg.fonttype": "path",
    "svg.hashsalt": "screader",
    "text.color": INK,
    # Type names are text, not formulas: "$" is a letter in them.
    "text.parse_math": False,
    "text.usetex": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
}


@dataclass(frozen=True)
class Style:
    """How a picture should look; None or empty leaves the choice to the picture.

    ``size`` is width and height in inches.
    """

    size: tuple[float, float] | None = None
    dpi: int = 200
    title: str = ""
    palette: str = ""


@dataclass(frozen=True)
class Numbers:
    """What a picture shows, as rows: str, int, float or None (unknown).

    ``rows`` is gone through whenever the numbers are written, so that a million of them need
    not be kept.
    """

    columns: tuple[str, ...]
    rows: Iterable[tuple[Any, ...]]

    def write(self, path: Path) -> None:
        """Write as tab-separated text with a header line; floats with six digits."""
        with path.open("w", encoding="utf-8", newline="\n") as stream:
            for row in (self.columns, *self.rows):
                stream.write("\t".join(_cell(value) for value in row) + "\n")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return " ".join(str(value).split())


@dataclass(frozen=True)
class Picture:
    """A drawn figure, the numbers it shows and a sentence for those who cannot see it."""

    figure: Figure
    numbers: Numbers
    alt: str

    def write(self, path: Path, form: str, dpi: int) -> str:
        """Write to ``path`` as one of ``FORMATS``; OSError where it cannot be written.

        Gives the letters that no font of this machine has: they are drawn as boxes.
        """
        found: set[str] = set()
        path.write_bytes(self.render(form, dpi, found))
        return "".join(sorted(found))

    def render(self, form: str, dpi: int, missing: set[str] | None = None) -> bytes:
        """The picture's file as one of ``FORMATS``; the same bytes for the same picture.

        Letters that no font has are added to ``missing``.
        """
        width, height = self.figure.get_size_inches()
        if max(width, height) * dpi > MOST_PIXELS:
            raise ScReaderError(
                f"the picture would be {width * dpi:,.0f} × {height * dpi:,.0f} pixels, "
                f"wanted at most {MOST_PIXELS:,} a side.",
                remedy="Lower --dpi or --size.",
            )
        stream = io.BytesIO()
        with drawing(), warnings.catch_warnings(record=True) as caught:
            warnings.filterwarnings("always", message=GLYPH_MISSING)
            self.figure.savefig(stream, format=form, dpi=dpi, metadata=_metadata(form, self.alt))
        numbers = (re.match(GLYPH_MISSING, str(one.message)) for one in caught)
        if missing is not None:
            missing.update(chr(int(found[1])) for found in numbers if found)
        return stream.getvalue()


def _metadata(form: str, alt: str) -> dict[str, str | None]:
    """Alternative text, but no dates and no program versions."""
    if form == "png":
        return {"Software": None, "Description": alt}
    if form == "svg":
        return {"Date": None, "Creator": None, "Title": alt}
    return {"CreationDate": None, "Creator": None, "Producer": None, "Title": alt}


@contextmanager
def drawing() -> Iterator[None]:
    """The settings under which every figure is drawn and written, whatever the user's own are."""
    matplotlib = need("matplotlib")
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        matplotlib.rcParams["font.family"] = _fonts()
        warnings.filterwarnings("ignore", message=GLYPH_MISSING)
        yield


def _fonts() -> list[str]:
    known = {font.name for font in need("matplotlib.font_manager").fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in MORE_FONTS if name in known)]


def new_figure(style: Style, default: tuple[float, float], layout: str = "constrained") -> Figure:
    """An empty figure of ``style.size`` or the default (inches), laid out without overlaps.

    ``layout`` is ``compressed`` for panels of fixed aspect.
    """
    figure = need("matplotlib.figure").Figure(figsize=style.size or default, layout=layout)
    if style.title:
        figure.suptitle(style.title, x=0.01, ha="left", fontweight="bold")
    return figure


def colour_map(name: str) -> Any:
    """A matplotlib colour map by name; ScReaderError where there is none of that name."""
    maps = need("matplotlib").colormaps
    if name not in maps:
        raise ScReaderError(
            f"--palette: there is no colour map {name!r}.",
            remedy="Try viridis, cividis, Blues or magma.",
        )
    return maps[name]


def count_axis(axis: Any) -> None:
    """A logarithmic axis of counts, written out: 1, 2, 5, 10, 20, …"""
    ticker = need("matplotlib.ticker")
    axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(ticker.StrMethodFormatter("{x:,.0f}"))
    axis.set_minor_locator(ticker.NullLocator())


def joined(parts: Sequence[str]) -> str:
    """Sentences of an alternative text, joined."""
    return " ".join(part.rstrip(".") + "." for part in parts if part)
