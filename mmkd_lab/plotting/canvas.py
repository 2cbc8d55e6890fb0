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
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axis import Axis
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text
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
