"""The paper every figure is drawn on: one style, one size rule, the same bytes for the same table.

Figures are plain matplotlib Figures with their own Agg canvas. pyplot is never used, so nothing is kept alive
behind the caller's back and no backend is chosen for them.
"""

from __future__ import annotations

import io
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text
from PIL import Image

from mmkd_lab.core.atomic import write_bytes
from mmkd_lab.core.check import LabError, of_type, one_of, real, require
from mmkd_lab.core.check import path as checked_path
from mmkd_lab.plotting.palette import GRID, INK, PAPER, QUIET

SCREEN_DPI = 100  # one inch of figure is 100 CSS pixels in a notebook
PNG_DPI = 200  # and twice as many pixels in the file, for sharp screens
NOTE_SIZE, AXIS_SIZE, TEXT_SIZE, TITLE_SIZE = 8.5, 9.5, 10.0, 12.0

_UNSEEN = 6  # of 255 levels
_HARD_SPACE = "\u00a0"

_STYLE: Any = {
    "font.family": ["DejaVu Sans"],  # ships with matplotlib: the same letters on every machine
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

        An interval in square brackets stays on one line; a single word that is wider than the line is broken.
        """
        font, room = FontProperties(family="DejaVu Sans", size=size, weight=weight), share * self.bbox.width
        lines: list[str] = []
        whole_intervals = re.sub(r"\[[^\]]*\]", lambda found: found[0].replace(" ", _HARD_SPACE), text)
        words = re.split(r"[ \n\t]+", whole_intervals.strip())
        for word in (piece for one in words for piece in self._pieces(one, font, room)):
            longer = f"{lines[-1]} {word}" if lines else word
            if lines and self._width(longer, font) <= room:
                lines[-1] = longer
            else:
                lines.append(word)
        return "\n".join(lines)

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

    def _width(self, text: str, font: FontProperties) -> float:
        assert isinstance(self.canvas, FigureCanvasAgg)
        renderer: Any = self.canvas.get_renderer()  # type: ignore[no-untyped-call]
        width, _, _ = renderer.get_text_width_height_descent(text, font, ismath=False)
        return float(width)

    def _pieces(self, word: str, font: FontProperties, room: float) -> Iterator[str]:
        while len(word) > 1 and self._width(word, font) > room:
            longest = bisect_right(range(2, len(word)), room, key=lambda n: self._width(word[:n], font))
            cut = 1 + longest
            yield word[:cut]
            word = word[cut:]
        yield word


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


def padded(values: Sequence[float], *, share: float = 0.12, least: float = 1.0) -> tuple[float, float]:
    """Axis limits around values: `share` of their range on both sides, and never a range below `least`."""
    data = np.asarray(values, dtype=float)
    if data.size == 0 or not np.isfinite(data).all():
        raise LabError("values", values, "must be finite numbers")
    low, high = float(data.min()), float(data.max())
    room = max(high - low, least)
    middle = (low + high) / 2
    return middle - room * (0.5 + share), middle + room * (0.5 + share)


def zero_line(ax: Axes, *, vertical: bool) -> None:
    """The line of no difference, dark enough to be the first thing seen."""
    draw = ax.axvline if vertical else ax.axhline
    draw(0.0, color=INK, linewidth=1.1, zorder=1.5)


def side_words(ax: Axes, words: Sequence[str], *, below: int = 2) -> None:
    """What lies left and right of an upright zero line, in words at its upper end; `below` in points."""
    for text, side in zip(words, ("right", "left"), strict=True):
        ax.annotate(
            text,
            (0.0, 1.0),
            xytext=(-4 if side == "right" else 4, -below),
            textcoords="offset points",
            xycoords=ax.get_xaxis_transform(),
            ha=side,
            va="top",
            fontsize=NOTE_SIZE,
            color=QUIET,
        )
