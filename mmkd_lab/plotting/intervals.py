"""The interval figure: rows are what is compared, panels stand side by side, seeds are faint dots.

Behind every mean with its 95 % interval lie the seeds; the number stands at the end of its row, bold where
the interval excludes the panel's line. Every study's figure is a declaration of rows and panels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from mmkd_lab.core.check import require
from mmkd_lab.core.stats import Interval, mean_interval
from mmkd_lab.plotting.axes import Numbers, beside, digits_of, few_ticks, jitter, padded, said, zero_line
from mmkd_lab.plotting.canvas import NOTE_SIZE, TEXT_SIZE, LabFigure, fit, style, width_of
from mmkd_lab.plotting.palette import PAPER, QUIET

#: In place of values: this row is what the others are compared with.
REFERENCE = "reference"

_PANEL, _LEAST, _NAMES = 2.55, 2.0, 2.3  # inches: a panel, one of many, the longest line of a name
_WIDTH, _COLUMNS = 7.4, 5  # inches at least; panels in a line at most
#: Of differences, a row that reaches so many times as far as the median row leaves the frame, and says so.
_OUTLIER, _FEW = 6.0, 5


@dataclass(frozen=True)
class Row:
    """What is compared: its key in the panels, its name and its colour."""

    key: str
    label: str
    colour: str


@dataclass(frozen=True, eq=False)
class Values:
    """What one row has in one panel."""

    seeds: Numbers  # (n,) a value per seed
    ends: tuple[float, float] | None = None  # of its interval; by default Student's t over the seeds
    hollow: bool = False  # drawn as an open diamond: a teacher

    @property
    def interval(self) -> Interval:
        """Mean and 95 % interval; its ends are NaN where there is none."""
        found = mean_interval(self.seeds)
        return found if self.ends is None else Interval(found.mean, *self.ends, found.n)

    def within(self, low: float, high: float) -> Values:
        """The same with the ends of its interval cut at what a number can be."""
        seen = self.interval
        return replace(self, ends=(max(seen.low, low), min(seen.high, high)) if seen.n > 1 else self.ends)

    @property
    def reach(self) -> Numbers:
        """Everything that is drawn, on the axis."""
        seen = self.interval
        every = np.array([*self.seeds, seen.mean, seen.low, seen.high])
        return np.asarray(every[np.isfinite(every)])


@dataclass(frozen=True, eq=False)
class Panel:
    """One panel. A text stands in place of values, `REFERENCE` for the row that is the line."""

    title: str
    axis: str  # what the numbers are, with their unit
    entries: Mapping[str, Values | str]
    line: float | None = None  # the value of no difference, drawn as an upright line
    sides: tuple[str, str] | None = None  # what lies left and right of the line, in words
    mark: float | None = None  # a value beside the rows, as a quiet dotted line
    scale: str | None = None  # panels of one scale have the same limits
    limits: tuple[float, float] | None = None  # of the axis, where they are known beforehand
    least: float = 0.0  # the axis is at least so long
    digits: int | None = None  # behind the point; by default from the numbers
    signed: bool = False  # whether numbers have a sign


def interval_figure(
    rows: Sequence[Row], panels: Sequence[Panel], *, title: str, note: str = "", columns: int = _COLUMNS
) -> LabFigure:
    """Rows of means with intervals, in panels side by side, `columns` of them in a line.

    `title` is the finding, `note` how to read the figure. Raises `LabError`: no row or no panel.
    """
    require(len(rows) > 0 and len(panels) > 0, "table", "nothing", "must hold something to compare")
    names = [_wrapped(row.label, _NAMES, TEXT_SIZE - 1) for row in rows]
    aside = 0.3 + max(width_of(name, TEXT_SIZE - 1) for name in names)
    across = min(len(panels), columns)
    wide = max(_WIDTH, aside + across * (_PANEL if across < 4 else _LEAST))
    lines, room = -(-len(panels) // across), (wide - aside) / across
    figure = LabFigure((wide, min(40.0, 1.0 + lines * (1.0 + _tall(names) * (len(rows) + 0.6)))))
    cut, told = False, set[int]()
    with style():
        grid = figure.subplots(lines, across, squeeze=False)
        for i, (ax, panel) in enumerate(zip(grid.flat, panels, strict=False)):
            line = i // across
            shown = panel if line not in told else replace(panel, sides=None)  # once a line says it
            told |= {line} if panel.sides else set()
            limits = _limits([one for one in panels if one is panel or one.scale == panel.scale is not None])
            cut |= draw_panel(ax, rows, shown, names=names, limits=limits, inches=room - 0.8)
            ax.tick_params(labelleft=i % across == 0)
            ax.set_title(_wrapped(panel.title, room - 0.1, TEXT_SIZE, "bold"))
            ax.set_xlabel(_wrapped(panel.axis, room - 0.1, NOTE_SIZE), fontsize=NOTE_SIZE)
        for ax in grid.flat[len(panels) :]:
            ax.remove()
        for axes in grid:
            drawn = [ax for ax in axes if ax.figure is not None]
            top = min(ax.get_ylim()[1] for ax in drawn)
            for ax in drawn:
                ax.set_ylim(top=top)  # the rows of a line stand level
        figure.headline(title)
        figure.note(f"{note}{' Arrows: a row goes on beyond the frame.' if cut else ''}")
    return figure


def draw_panel(
    ax: Axes,
    rows: Sequence[Row],
    panel: Panel,
    *,
    names: Sequence[str] = (),
    limits: tuple[float, float] | None = None,
    inches: float = 1.5,
) -> bool:
    """Draw one panel; returns whether a row goes on beyond its frame.

    `names` are the rows' names with line breaks, `limits` and `inches` those of the axis and its width.
    """
    ax.set_xlim(limits or _limits([panel]))
    names = names or [row.label for row in rows]
    ax.set_ylim(len(rows) - 0.5, -0.5 - (0.2 if panel.line is not None else 0.0) / _tall(names))
    ax.set_yticks(range(len(rows)), names)
    for text, row in zip(ax.get_yticklabels(), rows, strict=True):
        text.set_color(row.colour)
    ax.tick_params(axis="y", length=0, pad=7)
    ax.grid(visible=False, axis="y")
    ax.spines["left"].set_visible(False)
    few_ticks(ax, inches=inches)
    if panel.line is not None:
        zero_line(ax, vertical=True, at=panel.line)
        look: Any = {"xycoords": ax.get_xaxis_transform(), "va": "top", "fontsize": NOTE_SIZE, "color": QUIET}
        for word, side, by in zip(panel.sides or (), ("right", "left"), (-4, 4), strict=False):
            beside(ax, word, (panel.line, 1.0), (by, -1), ha=side, **look)
    if panel.mark is not None:
        ax.axvline(panel.mark, color=QUIET, linewidth=1.0, linestyle=":", zorder=1)
    entries = [panel.entries.get(row.key, "–") for row in rows]
    means = [float(one.seeds.mean()) for one in entries if isinstance(one, Values)]
    digits = digits_of(means) if panel.digits is None else panel.digits
    numbers = [said(mean, digits, signed=panel.signed) for mean in means]
    column = 8 + 72 * max((width_of(one, NOTE_SIZE, "bold") for one in numbers), default=0.0)
    told, cut = iter(numbers), False
    for y, (row, entry) in enumerate(zip(rows, entries, strict=True)):
        if isinstance(entry, str):
            _word(ax, y, entry, row.colour, panel.line)
            continue
        cut |= _row(ax, y, entry, row.colour)
        seen, line = entry.interval, panel.line
        sure = line is not None and Interval(seen.mean - line, seen.low - line, seen.high - line, seen.n).side
        look = {"xycoords": ax.get_yaxis_transform(), "ha": "right", "va": "center", "fontsize": NOTE_SIZE}
        bold = "bold" if sure else "normal"
        beside(ax, next(told), (1.0, y), (column, 0), color=row.colour, fontweight=bold, **look)
    return cut


def _row(ax: Axes, y: float, values: Values, colour: str) -> bool:
    seen, (low, high), n = values.interval, ax.get_xlim(), len(values.seeds)
    if n > 1:
        faint = max(0.12, min(0.4, 4 / n))
        across = y + jitter(n, width=0.2)
        ax.scatter(values.seeds, across, s=12, color=colour, alpha=faint, linewidths=0, zorder=2)
    if np.isfinite([seen.low, seen.high]).all():
        ax.plot([seen.low, seen.high], [y, y], color=colour, linewidth=2.2, zorder=3)
    face = PAPER if values.hollow else colour
    mark: Any = {"marker": "D" if values.hollow else "o", "markersize": 5.2, "markerfacecolor": face}
    ax.plot(seen.mean, y, color=colour, markeredgewidth=1.4, zorder=4, **mark)
    beyond = [(low, "<")] * bool(values.reach.min() < low) + [(high, ">")] * bool(values.reach.max() > high)
    for x, arrow in beyond:
        ax.plot(x, y, marker=arrow, markersize=6, color=colour, clip_on=False, zorder=5)
    return bool(beyond)


def _word(ax: Axes, y: float, text: str, colour: str, line: float | None) -> None:
    """A word in place of values, or the tick of the row that is the line."""
    placed: Any = {"va": "center_baseline", "fontsize": NOTE_SIZE}
    if text == REFERENCE and line is not None:
        ax.plot(line, y, marker="|", markersize=12, markeredgewidth=2.4, color=colour, zorder=4)
        low, high = ax.get_xlim()
        by, side = (-6, "right") if line - low > high - line else (6, "left")  # where there is more room
        beside(ax, text, (line, y), (by, 0), ha=side, color=colour, **placed)
        return
    placed["bbox"] = {"facecolor": PAPER, "edgecolor": "none", "pad": 1.0}
    ax.text(0.5, y, text, ha="center", color=QUIET, transform=ax.get_yaxis_transform(), **placed)


def _limits(panels: Sequence[Panel]) -> tuple[float, float]:
    """Limits that hold every row of these panels but for outlying ones, and the line with room beside it."""
    if given := [panel.limits for panel in panels if panel.limits]:
        return min(low for low, _ in given), max(high for _, high in given)
    line = panels[0].line
    entries = [one for panel in panels for one in panel.entries.values()]
    reaches = [one.reach for one in entries if isinstance(one, Values)] or [np.zeros(1)]
    reaches += [np.array([one.mark]) for one in panels if one.mark is not None]
    if line is not None:
        far = np.array([np.abs(reach - line).max() for reach in reaches])
        usual = _OUTLIER * float(np.median(far))
        if len(reaches) >= _FEW and usual > 0:
            reaches = [reach for reach, most in zip(reaches, far, strict=True) if most <= usual]
        reaches.append(np.array([line]))
    low, high = padded(np.concatenate(reaches).tolist(), share=0.08, least=max(one.least for one in panels))
    if line is not None and panels[0].sides:
        side = 0.24 / (1 - 0.24)  # room for the words on both sides
        low, high = min(low, line - (high - line) * side), max(high, line + (line - low) * side)
    return low, high


def _wrapped(text: str, inches: float, size: float, weight: str = "normal") -> str:
    """Every line of the text broken so that none is wider."""
    return "\n".join(fit(line, inches, size, weight) for line in text.split("\n"))


def _tall(names: Sequence[str]) -> float:
    """Inches of height for one row."""
    most = max(name.count("\n") + 1 for name in names)
    return max(0.33 if len(names) > 8 else 0.4, 0.17 * most + 0.08)
