"""What a panel shows, as a list of marks: drawn as SVG in a tenth of a millisecond, or as a `LabFigure`.

A slider that is dragged asks for thirty pictures a second, which matplotlib cannot give. The same marks are
therefore written straight as SVG where a browser draws them, and by matplotlib for PNG files and stored
notebooks. Units are CSS pixels, y runs downwards.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from PIL import Image

from mmkd_lab.plotting.canvas import SCREEN_DPI, LabFigure, fit, style, width_of
from mmkd_lab.plotting.palette import INK, PAPER

Point = tuple[float, float]
_POINTS = 72.0 / SCREEN_DPI


@dataclass(frozen=True)
class Area:
    """A filled polygon."""

    points: Sequence[Point]
    fill: str
    opacity: float = 1.0


@dataclass(frozen=True)
class Path:
    """A line through points; `dashed`, or whole."""

    points: Sequence[Point]
    colour: str = INK
    width: float = 1.2
    dashed: bool = False


@dataclass(frozen=True)
class Dot:
    """A round mark, filled or hollow; `told` is what a pointer that rests on it reads."""

    x: float
    y: float
    r: float = 3.0
    colour: str = INK
    opacity: float = 1.0
    hollow: bool = False
    told: str = ""


@dataclass(frozen=True)
class Label:
    """A line of text; `y` is its baseline."""

    x: float
    y: float
    text: str
    size: float = 12.0
    colour: str = INK
    anchor: Literal["start", "middle", "end"] = "start"
    bold: bool = False


@dataclass(frozen=True, eq=False)
class Pixels:
    """(H, W, 3) uint8 pixels in a rectangle; nearest neighbours where `sharp`."""

    x: float
    y: float
    width: float
    height: float
    pixels: npt.NDArray[np.uint8]
    sharp: bool = True


Mark = Area | Path | Dot | Label | Pixels


@dataclass(frozen=True, eq=False)
class Scene:
    """Marks on paper of `width` x `height` pixels; `told` is what a screen reader says of them."""

    width: float
    height: float
    marks: tuple[Mark, ...]
    told: str = ""

    def svg(self) -> str:
        """The picture as SVG text that scales to the width it is given, never wider than it was made."""
        drawn = "".join(_SVG[type(mark)](mark) for mark in self.marks)
        told = escape(self.told, quote=True)
        size = f'viewBox="0 0 {self.width:g} {self.height:g}" width="{self.width:g}" height="{self.height:g}"'
        font = 'font-family="\'DejaVu Sans\',Verdana,sans-serif" style="max-width:100%;height:auto"'
        head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{told}" {font}>'
        paper = f'<rect width="100%" height="100%" fill="{PAPER}"/>'
        return f'{head}<g aria-hidden="true">{paper}{drawn}</g></svg>'

    def figure(self) -> LabFigure:
        """The same picture by matplotlib."""
        figure = LabFigure((max(1.0, self.width / SCREEN_DPI), max(1.0, self.height / SCREEN_DPI)))
        figure.set_layout_engine("none")
        with style():
            ax = figure.add_axes((0.0, 0.0, 1.0, 1.0))
            ax.set(xlim=(0, self.width), ylim=(self.height, 0))
            ax.set_axis_off()
            for mark in self.marks:
                _FIGURE[type(mark)](ax, mark)
        return figure

    def moved(self, x: float, y: float) -> tuple[Mark, ...]:
        """The marks, `x` to the right and `y` further down."""
        return tuple(_moved(mark, x, y) for mark in self.marks)


def grid(scenes: Sequence[Scene], *, columns: int, titles: Sequence[str] = (), told: str = "") -> Scene:
    """Scenes side by side, row by row, each under its title."""
    head = 26.0 if titles else 0.0
    width, y = max(scene.width for scene in scenes), 0.0
    marks: list[Mark] = []
    for start in range(0, len(scenes), columns):
        row = scenes[start : start + columns]
        for i, scene in enumerate(row):
            if titles:
                marks.append(Label(width * i + 8, y + 18, titles[start + i], 13.0, bold=True))
            marks += scene.moved(width * i, y + head)
        y += max(scene.height for scene in row) + head
    return Scene(width * min(columns, len(scenes)), y, tuple(marks), told)


def lines(
    text: str, x: float, y: float, width: float, *, size: float = 12.0, colour: str = INK
) -> list[Label]:
    """A paragraph from the baseline `y` on, broken to fit `width` pixels."""
    broken = fit(text, _LARGE * width / SCREEN_DPI, _LARGE * size * _POINTS).split("\n")
    return [Label(x, y + 1.3 * size * i, line, size, colour) for i, line in enumerate(broken)]


def text_width(text: str, size: float) -> float:
    """How wide a line of text is, in pixels."""
    return SCREEN_DPI * width_of(text, _LARGE * size * _POINTS) / _LARGE


#: Text is measured so many times as large: small letters are hinted to whole pixels, but not in browsers.
_LARGE = 8


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _coordinates(points: Iterable[Point]) -> str:
    return " ".join(f"{_n(x)},{_n(y)}" for x, y in points)


def _area_svg(mark: Area) -> str:
    return (
        f'<polygon points="{_coordinates(mark.points)}" fill="{mark.fill}" fill-opacity="{mark.opacity:g}"/>'
    )


def _path_svg(mark: Path) -> str:
    dash = ' stroke-dasharray="4 3"' if mark.dashed else ""
    look = f'stroke="{mark.colour}" stroke-width="{mark.width:g}" stroke-linecap="round"{dash}'
    return f'<polyline points="{_coordinates(mark.points)}" fill="none" {look}/>'


def _dot_svg(mark: Dot) -> str:
    fill = (
        f'fill="{PAPER}" stroke="{mark.colour}" stroke-width="1.6"'
        if mark.hollow
        else f'fill="{mark.colour}"'
    )
    told = f"<title>{escape(mark.told)}</title>" if mark.told else ""
    where = f'cx="{_n(mark.x)}" cy="{_n(mark.y)}" r="{mark.r:g}"'
    return f'<circle {where} {fill} opacity="{mark.opacity:g}">{told}</circle>'


def _words_svg(mark: Label) -> str:
    weight = ' font-weight="bold"' if mark.bold else ""
    anchor = f' text-anchor="{mark.anchor}"' if mark.anchor != "start" else ""
    where = f'x="{_n(mark.x)}" y="{_n(mark.y)}" font-size="{mark.size:g}" fill="{mark.colour}"'
    return f"<text {where}{anchor}{weight}>{escape(mark.text)}</text>"


def _picture_svg(mark: Pixels) -> str:
    held = io.BytesIO()
    Image.fromarray(mark.pixels).save(held, format="PNG", compress_level=1)
    source = base64.b64encode(held.getvalue()).decode()
    look = ' style="image-rendering:pixelated"' if mark.sharp else ""
    size = f'width="{_n(mark.width)}" height="{_n(mark.height)}" preserveAspectRatio="none"'
    where = f'x="{_n(mark.x)}" y="{_n(mark.y)}"'
    return f'<image {where} {size}{look} href="data:image/png;base64,{source}"/>'


def _area_figure(ax: Axes, mark: Area) -> None:
    ax.fill(*zip(*mark.points, strict=True), color=mark.fill, alpha=mark.opacity, linewidth=0)


def _path_figure(ax: Axes, mark: Path) -> None:
    dash = (0, (4, 3)) if mark.dashed else "-"
    ax.plot(
        *zip(*mark.points, strict=True), color=mark.colour, linewidth=mark.width * _POINTS, linestyle=dash
    )


def _dot_figure(ax: Axes, mark: Dot) -> None:
    face = PAPER if mark.hollow else mark.colour
    edge: Any = {"markeredgecolor": mark.colour, "markeredgewidth": 1.6 * _POINTS if mark.hollow else 0}
    size: Any = {"marker": "o", "markersize": 2 * mark.r * _POINTS, "alpha": mark.opacity}
    ax.plot(mark.x, mark.y, markerfacecolor=face, linestyle="none", **edge, **size)


def _words_figure(ax: Axes, mark: Label) -> None:
    across = {"start": "left", "middle": "center", "end": "right"}[mark.anchor]
    weight = "bold" if mark.bold else "normal"
    look: Any = {"fontsize": mark.size * _POINTS, "color": mark.colour, "fontweight": weight}
    ax.text(mark.x, mark.y, mark.text, ha=across, va="baseline", **look)


def _picture_figure(ax: Axes, mark: Pixels) -> None:
    extent = (mark.x, mark.x + mark.width, mark.y + mark.height, mark.y)
    limits = ax.get_xlim(), ax.get_ylim()
    how = "nearest" if mark.sharp else "antialiased"
    ax.imshow(mark.pixels, extent=extent, aspect="auto", interpolation=how)
    ax.set(xlim=limits[0], ylim=limits[1])


def _moved(mark: Mark, x: float, y: float) -> Mark:
    if isinstance(mark, (Area, Path)):
        return replace(mark, points=tuple((px + x, py + y) for px, py in mark.points))
    return replace(mark, x=mark.x + x, y=mark.y + y)


_SVG: dict[type, Callable[..., str]] = {
    Area: _area_svg,
    Path: _path_svg,
    Dot: _dot_svg,
    Label: _words_svg,
    Pixels: _picture_svg,
}
_FIGURE: dict[type, Callable[..., None]] = {
    Area: _area_figure,
    Path: _path_figure,
    Dot: _dot_figure,
    Label: _words_figure,
    Pixels: _picture_figure,
}
