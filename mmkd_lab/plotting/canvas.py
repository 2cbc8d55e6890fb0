"""The paper every figure is drawn on: one style, one size rule, the same bytes for the same table.

Figures are plain matplotlib Figures with their own Agg canvas. pyplot is never used, so nothing is kept alive
behind the caller's back and no backend is chosen for them.
"""

from __future__ import annotations

import io
import math
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Annotation, Text
from matplotlib.ticker import FuncFormatter, MaxNLocator
from PIL import Image

from mmkd_lab.core.atomic import write_bytes
from mmkd_lab.core.check import of_type, one_of, real, require
from mmkd_lab.core.check import path as checked_path
from mmkd_lab.plotting.fonts import BASE, families, readable, weight_of
from mmkd_lab.plotting.palette import GRID, INK, PAPER, QUIET

SCREEN_DPI = 100  # one inch of figure is 100 CSS pixels in a notebook
PNG_DPI = 200  # and twice as many pixels in the file, for sharp screens
NOTE_SIZE, AXIS_SIZE, TEXT_SIZE, TITLE_SIZE = 8.5, 9.5, 10.0, 12.0

_UNSEEN = 6  # of 255 levels
_RULER: Any = RendererAgg(1, 1, SCREEN_DPI)  # type: ignore[no-untyped-call]
_HARD_SPACE = "\u00a0"

_STYLE: Any = {
    "font.family": [BASE],
    "font.size": TEXT_SIZE,
    "text.usetex": False,
    "text.parse_math": False,  # a dataset may be called a$b
    "text.color": INK,
    "axes.titlesize": TEXT_SIZE,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8.0,
    "axes.labelsize": AXIS_SIZE,
    "axes.labelcolor": INK,
    "axes.edgecolor": QUIET,
    "axes.linewidth": 0.8,
    "axes.facecolor": PAPER,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "grid.linestyle": "-",
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
    "xtick.major.size": 3.0,
    "ytick.major.size": 3.0,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "savefig.bbox": None,
    "figure.constrained_layout.h_pad": 0.06,
    "figure.constrained_layout.w_pad": 0.08,
    "lines.solid_capstyle": "round",
    "svg.fonttype": "path",
    "svg.hashsalt": "mmkd_lab",
}


@contextmanager
def style() -> Iterator[None]:
    """The lab's style inside a `with`; the caller's own matplotlib settings come back after it."""
    with rc_context(_STYLE):
        yield


class LabFigure(Figure):
    """A matplotlib Figure that shows itself in a notebook and saves the same bytes every time.

    Args:
        size: width and height in inches; each must lie between 1 and 40.

    Raises:
        LabError: a size that is not two numbers within these bounds.
    """

    def __init__(self, size: tuple[float, float] = (8.0, 4.0)) -> None:
        pair = isinstance(size, Sequence) and len(size) == 2
        require(pair, "size", size, "must be width and height in inches")
        width, height = (real("size", side, at_least=1.0, at_most=40.0) for side in size)
        with style():
            super().__init__(figsize=(width, height), dpi=SCREEN_DPI, layout="constrained")
        FigureCanvasAgg(self)

    def headline(self, text: str) -> Text:
        """The finding, bold at the top left, broken into lines that fit the width."""
        of_type("title", text, str, "text")
        with style():
            broken = self.fit(text, size=TITLE_SIZE, weight="bold")
            return self.suptitle(broken, x=0.012, ha="left", fontsize=TITLE_SIZE, fontweight="bold")

    def note(self, text: str) -> Text:
        """How to read the figure, small at the bottom left."""
        with style():
            broken = self.fit(text, size=NOTE_SIZE)
            return self.supxlabel(broken, x=0.012, ha="left", fontsize=NOTE_SIZE, color=QUIET)

    def fit(self, text: str, *, size: float, weight: str = "normal", share: float = 0.97) -> str:
        """`text` with line breaks so that no line is wider than `share` of the figure's width.

        See `fit`.
        """
        return fit(text, share * self.get_size_inches()[0], size, weight)

    def draw(self, renderer: RendererBase) -> None:
        """Draw, with every word in letters that can be drawn."""
        for axis in self.findobj(Axis):
            labels = [text.get_text() for text in axis.get_ticklabels()]
            if (said := [readable(label) for label in labels]) != labels:
                axis.set_ticks(axis.get_ticklocs(), said)
                axis.get_ticklabels()
        for text in self.findobj(Text):
            _put_in_letters(text)
        super().draw(renderer)

    def png(self, *, dpi: float = PNG_DPI) -> bytes:
        """The picture as a PNG file's bytes: the same for the same table and versions.

        Raises `LabError` for a `dpi` outside 20 to 1200.
        """
        real("dpi", dpi, at_least=20.0, at_most=1200.0)
        return self._bytes("png", dpi=dpi)

    def save(self, path: Path | str) -> Path:
        """Write the figure as '.png' or '.svg', atomically; the same table gives the same bytes.

        Raises `LabError` for another ending.
        """
        path = checked_path("path", path)
        one_of("path", path.suffix, [".svg", ".png"])
        return write_bytes(path, self._bytes(path.suffix[1:], dpi=PNG_DPI))

    def __repr__(self) -> str:
        width, height = self.get_size_inches()
        return f"<LabFigure {width:g} x {height:g} in: {' '.join(self.get_suptitle().split()) or 'untitled'}>"

    def _repr_png_(self) -> bytes:
        return self.png()

    def _repr_mimebundle_(self, **_: object) -> tuple[dict[str, object], dict[str, object]]:
        width, height = (round(side * SCREEN_DPI) for side in self.get_size_inches())
        shown: dict[str, object] = {"image/png": self.png(), "text/plain": repr(self)}
        return shown, {"image/png": {"width": width, "height": height}}

    def _bytes(self, kind: str, *, dpi: float) -> bytes:
        metadata: Any = {"Date": None, "Creator": "mmkd_lab"} if kind == "svg" else {"Software": None}
        held = io.BytesIO()
        with style():
            self.draw_without_rendering()  # a layout settles at the second drawing
            self.savefig(held, format=kind, dpi=dpi, metadata=metadata)
        return held.getvalue() if kind == "svg" else _compact(held.getvalue())


@lru_cache(maxsize=4096)
def width_of(text: str, *, size: float, weight: str = "normal") -> float:
    """How wide the widest line of a text is, in inches."""
    names = families(text)
    font = FontProperties(family=names, size=size, weight=weight_of(names, weight))
    return (
        max(
            (
                float(_RULER.get_text_width_height_descent(line, font, ismath=False)[0])
                for line in text.split("\n")
            ),
            default=0.0,
        )
        / SCREEN_DPI
    )


def fit(text: str, inches: float, size: float, weight: str = "normal") -> str:
    """`text` with line breaks so that no line is wider.

    An interval in square brackets stays on one line; a single word that is wider than the line is broken.
    """
    lines: list[str] = []
    whole_intervals = re.sub(r"\[[^\]]*\]", lambda found: found[0].replace(" ", _HARD_SPACE), readable(text))
    words = re.split(r"[ \n\t]+", whole_intervals.strip())
    for word in (piece for one in words for piece in _pieces(one, inches, size, weight)):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and width_of(longer, size=size, weight=weight) <= inches:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)


def _pieces(word: str, room: float, size: float, weight: str) -> Iterator[str]:
    def wide(n: int) -> float:
        return width_of(word[:n], size=size, weight=weight)

    while len(word) > 1 and wide(len(word)) > room:
        cut = 1 + bisect_right(range(2, len(word)), room, key=wide)
        yield word[:cut]
        word = word[cut:]
    yield word


def _put_in_letters(text: Text) -> None:
    said = text.get_text()
    if (shown := readable(said)) != said:
        text.set_text(shown)
    if len(names := families(shown)) > 1:
        text.set_fontfamily(names)
        text.set_fontweight(weight_of(names, str(text.get_fontweight())))


def _compact(png: bytes) -> bytes:
    """The picture with a palette of 256 colours, a third of the size, unless that would be seen."""
    full = Image.open(io.BytesIO(png)).convert("RGB")
    few = full.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    worst = np.abs(np.asarray(full, dtype=int) - np.asarray(few.convert("RGB"), dtype=int)).max()
    held = io.BytesIO()
    (few if worst <= _UNSEEN else full).save(held, format="PNG", optimize=True)
    return held.getvalue()


def jitter(n: int, *, width: float) -> npt.NDArray[np.float64]:
    """(n,) offsets in [-width, width], the same every time: the golden-ratio sequence, which fills evenly."""
    if n == 1:
        return np.zeros(1)
    turns = np.modf(0.5 + np.arange(n) * 0.6180339887498949)[0]
    return np.asarray(width * (2 * turns - 1))


def spread(wanted: Sequence[float], *, gap: float) -> list[float]:
    """Positions at least `gap` apart, in the same order, as near as can be to the wanted ones.

    Least-squares with order kept: positions that collide are moved together around their common mean.
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    blocks: list[tuple[float, list[int]]] = []  # mean of (wanted - rank * gap), and members
    for rank, i in enumerate(order):
        centre, members = wanted[i] - rank * gap, [i]
        while blocks and blocks[-1][0] > centre:
            before, others = blocks.pop()
            centre = (before * len(others) + centre * len(members)) / (len(others) + len(members))
            members = others + members
        blocks.append((centre, members))
    found, rank = [0.0] * len(wanted), 0
    for centre, members in blocks:
        for i in members:
            found[i], rank = centre + rank * gap, rank + 1
    return found


def padded(values: Sequence[float], *, share: float = 0.12, least: float = 0.0) -> tuple[float, float]:
    """Axis limits around values: `share` of their range on both sides, and never a range below `least`."""
    data = np.asarray(values, dtype=float)
    low, high = float(data.min()), float(data.max())
    middle, room = low / 2 + high / 2, max(high - low, least)
    if room <= 1e-12 * abs(middle):
        room = 0.1 * abs(middle) or 1.0
    return middle - room * (0.5 + share), middle + room * (0.5 + share)


def said(value: float, digits: int = 4, *, signed: bool = False) -> str:
    """A number with its digits, or in powers of ten where it has too many; a true minus, and no sign at 0."""
    plain = value == 0 or 0.1 * 10**-digits <= abs(value) < 1e6
    text = f"{value:{'+' if signed else ''}{f'.{digits}f' if plain else '.2e'}}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return re.sub(r"e([+-])0*", lambda found: "e" + found[1].strip("+"), text).replace("-", "−")


def digits_of(values: Sequence[float]) -> int:
    """So many digits that the largest of the values has three."""
    largest = max((abs(value) for value in values), default=0.0)
    return 1 if largest == 0 else min(max(2 - math.floor(math.log10(largest)), 0), 4)


def few_ticks(ax: Axes, *, inches: float = 2.4, upright: bool = False) -> None:
    """Round ticks with their full numbers, as many as have room in so many inches, six at most."""

    def name(value: float) -> str:
        return re.sub(r"e([+-])0*", lambda found: "e" + found[1].strip("+"), f"{value:.6g}").replace("-", "−")

    axis, limits = (ax.yaxis, ax.get_ylim()) if upright else (ax.xaxis, ax.get_xlim())
    for most in (6, 5, 4, 3, 2, 1):
        locator = MaxNLocator(nbins=most, steps=[1, 2, 2.5, 5, 10])
        labels = [name(at) for at in locator.tick_values(*limits) if min(limits) <= at <= max(limits)]
        if upright or sum(width_of(label, size=9.0) + 0.16 for label in labels) <= inches:
            break
    axis.set_major_formatter(FuncFormatter(lambda value, _: name(value)))
    axis.set_major_locator(locator)


def zero_line(ax: Axes, *, vertical: bool, at: float = 0.0) -> None:
    """The line of no difference, dark enough to be the first thing seen."""
    draw = ax.axvline if vertical else ax.axhline
    draw(at, color=INK, linewidth=1.1, zorder=1.5)


def end_labels(ax: Axes, ends: Sequence[tuple[str, float, str]], *, size: float = 9.0) -> list[Annotation]:
    """Names at the right ends of lines: (name, height, colour). `part_labels` moves them apart."""
    place: Any = {"xycoords": ax.get_yaxis_transform(), "xytext": (4, 0), "textcoords": "offset points"}
    return [
        ax.annotate(name, (1.0, y), color=colour, fontsize=size, va="center", **place)
        for name, y, colour in ends
    ]


def part_labels(figure: Figure, panels: Sequence[tuple[Axes, Sequence[Annotation]]]) -> None:
    """Move the names at the ends of lines apart, each as near to its line as can be, within the figure."""
    figure.draw_without_rendering()  # they part in the units of the settled layout
    points = 72.0 / figure.dpi
    for ax, texts in panels:
        wanted = [float(ax.transData.transform((0.0, text.xy[1]))[1]) * points for text in texts]
        lines = max((1 + text.get_text().count("\n") for text in texts), default=1)
        gap = 1.38 * lines * float(texts[0].get_fontsize()) if texts else 0.0
        for text, at, found in zip(texts, wanted, spread(wanted, gap=gap), strict=True):
            text.xyann = (4, found - at)


def side_words(ax: Axes, words: Sequence[str], *, at: float = 0.0) -> None:
    """What lies left and right of an upright line, in words at its upper end."""
    for text, side in zip(words, ("right", "left"), strict=True):
        ax.annotate(
            text,
            (at, 1.0),
            xytext=(-4 if side == "right" else 4, -1),
            textcoords="offset points",
            xycoords=ax.get_xaxis_transform(),
            ha=side,
            va="top",
            fontsize=NOTE_SIZE,
            color=QUIET,
        )
