"""The paper every figure is drawn on: one style, one size rule, the same bytes for the same table.

Figures are plain matplotlib Figures with their own Agg canvas; pyplot, which would keep them alive and choose
a backend, is never used.
"""

from __future__ import annotations

import io
import re
from bisect import bisect_right
from contextlib import AbstractContextManager
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
from mmkd_lab.core.check import flat, of_type, one_of, real, writing
from mmkd_lab.core.check import path as checked_path
from mmkd_lab.plotting.fonts import BASE, families, readable, weight_of
from mmkd_lab.plotting.palette import GRID, INK, PAPER, QUIET

SCREEN_DPI = 100  # one inch of figure is 100 CSS pixels in a notebook
PNG_DPI = 200  # and twice as many pixels in the file, for sharp screens
NOTE_SIZE, AXIS_SIZE, TEXT_SIZE, TITLE_SIZE = 8.5, 9.5, 10.0, 12.0

_UNSEEN = 6  # of 255 levels
_RULER: Any = RendererAgg(1, 1, SCREEN_DPI)  # type: ignore[no-untyped-call]

_TICKS = {"color": QUIET, "labelcolor": INK, "labelsize": 9.0, "major.size": 3.0}
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
    **{f"{axis}tick.{what}": value for what, value in _TICKS.items() for axis in "xy"},
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "savefig.bbox": None,
    "figure.constrained_layout.h_pad": 0.06,
    "figure.constrained_layout.w_pad": 0.08,
    "lines.solid_capstyle": "round",
    "svg.fonttype": "path",
    "svg.hashsalt": "mmkd_lab",
}


def style() -> AbstractContextManager[None]:
    """The lab's style inside a `with`; the caller's own matplotlib settings come back after it."""
    return rc_context(_STYLE)


class LabFigure(Figure):
    """A matplotlib Figure that shows itself in a notebook and saves the same bytes every time.

    `size` is width and height in inches. Raises `LabError` unless each lies between 1 and 40.
    """

    def __init__(self, size: tuple[float, float] = (8.0, 4.0)) -> None:
        sides = flat("size", size, "width and height in inches")
        width, height = (real("size", side, at_least=1.0, at_most=40.0) for side in sides)
        with style():
            super().__init__(figsize=(width, height), dpi=SCREEN_DPI, layout="constrained")
        FigureCanvasAgg(self)

    def headline(self, text: str) -> Text:
        """The finding, bold at the top left, broken into lines that fit the width."""
        of_type("title", text, str, "text")
        with style():
            broken = fit(text, 0.97 * self.get_figwidth(), TITLE_SIZE, "bold")
            return self.suptitle(broken, x=0.012, ha="left", fontsize=TITLE_SIZE, fontweight="bold")

    def note(self, text: str) -> Text:
        """How to read the figure, small at the bottom left."""
        with style():
            broken = fit(text, 0.97 * self.get_figwidth(), NOTE_SIZE)
            return self.supxlabel(broken, x=0.012, ha="left", fontsize=NOTE_SIZE, color=QUIET)

    def draw(self, renderer: RendererBase) -> None:
        """Draw, with every word in letters that can be drawn."""
        for axis in self.findobj(Axis):
            labels = [text.get_text() for text in axis.get_ticklabels()]
            if (said := [readable(label) for label in labels]) != labels:
                axis.set_ticks(axis.get_ticklocs(), said)
                axis.get_ticklabels()
        for text in self.findobj(Text):
            text.set_text(readable(text.get_text()))
            if len(names := families(text.get_text())) > 1:
                text.set_fontfamily(names)
                text.set_fontweight(weight_of(names, str(text.get_fontweight())))
        super().draw(renderer)

    def png(self, *, dpi: float = PNG_DPI) -> bytes:
        """The picture as a PNG file's bytes: the same for the same table and versions."""
        full = Image.open(io.BytesIO(self._bytes("png", {"Software": None}, dpi))).convert("RGB")
        few = full.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        worst = np.abs(np.asarray(full, dtype=int) - np.asarray(few.convert("RGB"), dtype=int)).max()
        held = io.BytesIO()  # 256 colours take a third of the room, unless that would be seen
        (few if worst <= _UNSEEN else full).save(held, format="PNG", optimize=True)
        return held.getvalue()

    def svg(self) -> bytes:
        """The drawing as an SVG file's bytes: the same for the same table and versions."""
        return self._bytes("svg", {"Date": None, "Creator": "mmkd_lab"})

    def save(self, path: Path | str) -> Path:
        """Write the figure, atomically.

        Raises `LabError` for another ending than '.png' or '.svg', or a place that cannot be written.
        """
        path = checked_path("path", path)
        one_of("path", path.suffix, [".svg", ".png"])
        with writing("path", path, kind="file"):
            return self.write(path)

    def write(self, path: Path) -> Path:
        """The same for a path that is known to be sound; what the system refuses is an `OSError`."""
        return write_bytes(path, self.svg() if path.suffix == ".svg" else self.png())

    def __repr__(self) -> str:
        width, height = self.get_size_inches()
        return f"<LabFigure {width:g} x {height:g} in: {' '.join(self.get_suptitle().split()) or 'untitled'}>"

    def _repr_png_(self) -> bytes:
        return self.png()

    def _repr_mimebundle_(self, **_: object) -> tuple[dict[str, object], dict[str, object]]:
        width, height = (round(side * SCREEN_DPI) for side in self.get_size_inches())
        shown: dict[str, object] = {"image/png": self.png(), "text/plain": repr(self)}
        return shown, {"image/png": {"width": width, "height": height}}

    def _bytes(self, kind: str, metadata: Any, dpi: float = PNG_DPI) -> bytes:  # noqa: ANN401
        held = io.BytesIO()
        with style():
            self.draw_without_rendering()  # a layout settles at the second drawing
            self.savefig(held, format=kind, dpi=dpi, metadata=metadata)
        return held.getvalue()


@lru_cache(maxsize=4096)
def width_of(text: str, size: float, weight: str = "normal") -> float:
    """How wide the widest line of a text is, in inches."""
    names = families(text)
    font = FontProperties(family=names, size=size, weight=weight_of(names, weight))
    lines = [_RULER.get_text_width_height_descent(line, font, ismath=False) for line in text.split("\n")]
    return float(max(width for width, _, _ in lines)) / SCREEN_DPI


def fit(text: str, inches: float, size: float, weight: str = "normal") -> str:
    """`text` with line breaks so that no line is wider.

    An interval in square brackets stays on one line; a single word that is wider than the line is broken.
    """
    lines: list[str] = []
    whole_intervals = re.sub(r"\[[^\]]*\]", lambda found: found[0].replace(" ", "\u00a0"), readable(text))
    for word in re.split(r"[ \n\t]+", whole_intervals.strip()):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and width_of(longer, size, weight) <= inches:
            lines[-1] = longer
            continue
        while len(word) > 1 and width_of(word, size, weight) > inches:
            starts = [word[:n] for n in range(2, len(word))]
            cut = 1 + bisect_right(starts, inches, key=lambda start: width_of(start, size, weight))
            lines, word = [*lines, word[:cut]], word[cut:]
        lines.append(word)
    return "\n".join(lines)
