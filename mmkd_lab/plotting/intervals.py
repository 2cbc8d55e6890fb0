"""The interval figure: rows are what is compared, panels stand side by side, seeds are faint dots.

Behind every mean with its 95 % interval lie the seeds; the number stands at the end of its row, bold where
the interval excludes the panel's line. Every study's figure is a declaration of rows and panels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from mmkd_lab.core.check import require
from mmkd_lab.core.stats import Interval, mean_interval
from mmkd_lab.plotting import palette
from mmkd_lab.plotting.axes import digits_of, few_ticks, jitter, padded, said, side_words, zero_line
from mmkd_lab.plotting.canvas import NOTE_SIZE, TEXT_SIZE, LabFigure, fit, style, width_of

Numbers = npt.NDArray[np.float64]

#: In place of values: this row is what the others are compared with.
REFERENCE = "reference"

_PANEL, _LEAST, _NAMES = 2.55, 1.9, 2.3  # inches: a panel, the narrowest one, the longest line of a name
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
    """What one row has in one panel.

    Args:
        seeds: (n,) a value per seed.
        ends: of an interval that was estimated elsewhere; by default Student's t interval over the seeds.
        hollow: drawn as an open diamond: a teacher.
    """

    seeds: Numbers
    ends: tuple[float, float] | None = None
    hollow: bool = False

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
    """One panel.

    Args:
        title: above it.
        axis: what the numbers are, with their unit.
        entries: by row; a text stands in place of values, `REFERENCE` marks the row that is the line.
        line: the value of no difference, drawn as an upright line; None for none.
        sides: what lies left and right of the line, in words.
        scale: panels of one scale, a name, have the same limits; None for its own.
        limits: the ends of the axis, where they are known beforehand.
        least: the axis is at least so long.
        digits: behind the point; by default from the numbers.
        signed: whether numbers have a sign.
    """

    title: str
    axis: str
    entries: Mapping[str, Values | str]
    line: float | None = None
    sides: tuple[str, str] | None = None
    scale: str | None = None
    limits: tuple[float, float] | None = None
    least: float = 0.0
    digits: int | None = None
    signed: bool = False


def interval_figure(
    rows: Sequence[Row],
    panels: Sequence[Panel],
    *,
    title: str,
    note: str = "",
    columns: int | None = None,
    width: float | None = None,
) -> LabFigure:
    """Rows of means with intervals, in panels side by side.

    Args:
        rows: from top to bottom.
        panels: from left to right; what does not fit begins a new line of panels.
        title: the finding.
        note: how to read the figure.
        columns: panels in a line; by default at most five, fewer in a narrow figure.
        width: of the figure, in inches.

    Raises:
        LabError: no row or no panel, or a figure of more than 40 inches.
    """
    require(len(rows) > 0 and len(panels) > 0, "table", "nothing", "must hold something to compare")
    names = [_wrapped(row.label, _NAMES, TEXT_SIZE - 1) for row in rows]
    aside = 0.3 + max(width_of(name, size=TEXT_SIZE - 1) for name in names)
    most = _COLUMNS if width is None else max(1, int((width - aside) / _LEAST))
    across = min(len(panels), columns or _COLUMNS, most)
    wide = max(_WIDTH, aside + across * (_PANEL if across < 4 else _LEAST + 0.1)) if width is None else width
    lines = -(-len(panels) // across)
    room = (wide - aside) / across
    figure = LabFigure((wide, min(40.0, 1.0 + lines * (1.0 + _tall(names) * (len(rows) + 0.6)))))
    shares = {panel: _shared(panel, panels) for panel in panels}
    with style():
        grid = figure.subplots(lines, across, squeeze=False)
        for ax in grid.flat[len(panels) :]:
            ax.remove()
        cut, told = False, set[int]()
        for i, (ax, panel) in enumerate(zip(grid.flat, panels, strict=False)):
            words = bool(panel.sides) and i // across not in told  # once a line says it
            told |= {i // across} if words else set()
            cut = (
                draw_panel(ax, rows, panel, names=names, limits=shares[panel], words=words, inches=room - 0.8)
                or cut
            )
            ax.tick_params(labelleft=i % across == 0)
            ax.set_title(_wrapped(panel.title, room - 0.1, TEXT_SIZE, "bold"))
            ax.set_xlabel(_wrapped(panel.axis, room - 0.1, NOTE_SIZE), fontsize=NOTE_SIZE)
        for line in grid:
            shown = [ax for ax in line if ax.figure is not None]
            top = min(ax.get_ylim()[1] for ax in shown)
            for ax in shown:
                ax.set_ylim(top=top)  # the rows of a line stand level
        figure.headline(title)
        figure.note(f"{note}{' Arrows: a row goes on beyond the frame.' if cut else ''}")
    return figure


def draw_panel(
    ax: Axes,
    rows: Sequence[Row],
    panel: Panel,
    *,
    names: Sequence[str] | None = None,
    limits: tuple[float, float] | None = None,
    words: bool = True,
    inches: float = 1.5,
) -> bool:
    """Draw one panel; returns whether a row goes on beyond its frame.

    `names` are the rows' names with line breaks, `limits` those of the axis; `words`: whether to write what
    lies on the two sides of the line; `inches` the width of the axis.
    """
    low, high = limits or _limits([panel])
    ax.set_xlim(low, high)
    names = list(names or [row.label for row in rows])
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
        if words and panel.sides:
            side_words(ax, panel.sides, at=panel.line)
    seen = {row.key: panel.entries.get(row.key, "–") for row in rows}
    means = [float(one.seeds.mean()) for one in seen.values() if isinstance(one, Values)]
    digits = digits_of(means) if panel.digits is None else panel.digits
    shown = [said(mean, digits, signed=panel.signed) for mean in means]
    column = 8 + 72 * max((width_of(one, size=NOTE_SIZE, weight="bold") for one in shown), default=0.0)
    cut = False
    for y, row in enumerate(rows):
        entry = seen[row.key]
        if isinstance(entry, str):
            _word(ax, y, entry, row, panel)
        else:
            cut = _row(ax, y, entry, row.colour) or cut
            _number(
                ax,
                y,
                entry,
                row.colour,
                column,
                said(float(entry.seeds.mean()), digits, signed=panel.signed),
                panel,
            )
    return cut


def _row(ax: Axes, y: float, values: Values, colour: str) -> bool:
    seen, (low, high) = values.interval, ax.get_xlim()
    n = len(values.seeds)
    if n > 1:
        faint = max(0.12, min(0.4, 4 / n))
        across = y + jitter(n, width=0.2)
        ax.scatter(values.seeds, across, s=12, color=colour, alpha=faint, linewidths=0, zorder=2)
    if np.isfinite([seen.low, seen.high]).all():
        ax.plot([seen.low, seen.high], [y, y], color=colour, linewidth=2.2, zorder=3)
    face = palette.PAPER if values.hollow else colour
    mark: Any = {"marker": "D" if values.hollow else "o", "markersize": 5.2, "markerfacecolor": face}
    ax.plot(seen.mean, y, color=colour, markeredgewidth=1.4, zorder=4, **mark)
    beyond = [(low, "<")] * bool(values.reach.min() < low) + [(high, ">")] * bool(values.reach.max() > high)
    for x, arrow in beyond:
        ax.plot(x, y, marker=arrow, markersize=6, color=colour, clip_on=False, zorder=5)
    return bool(beyond)


def _number(ax: Axes, y: float, values: Values, colour: str, column: float, text: str, panel: Panel) -> None:
    seen, line = values.interval, panel.line
    sure = line is not None and Interval(seen.mean - line, seen.low - line, seen.high - line, seen.n).side
    place: Any = {"xycoords": ax.get_yaxis_transform(), "xytext": (column, 0), "textcoords": "offset points"}
    bold = "bold" if sure else "normal"
    ax.annotate(
        text, (1.0, y), ha="right", va="center", fontsize=NOTE_SIZE, color=colour, fontweight=bold, **place
    )


def _word(ax: Axes, y: float, text: str, row: Row, panel: Panel) -> None:
    """A word in place of values, or the tick of the row that is the line."""
    placed: Any = {"va": "center_baseline", "fontsize": NOTE_SIZE}
    if text == REFERENCE and panel.line is not None:
        ax.plot(panel.line, y, marker="|", markersize=12, markeredgewidth=2.4, color=row.colour, zorder=4)
        low, high = ax.get_xlim()
        left = panel.line - low > high - panel.line  # on the side that has more room
        ax.annotate(
            text,
            (panel.line, y),
            xytext=(-6 if left else 6, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            color=row.colour,
            **placed,
        )
        return
    paper = {"facecolor": palette.PAPER, "edgecolor": "none", "pad": 1.0}
    ax.text(
        0.5,
        y,
        text,
        ha="center",
        color=palette.QUIET,
        transform=ax.get_yaxis_transform(),
        bbox=paper,
        **placed,
    )


def _shared(panel: Panel, panels: Sequence[Panel]) -> tuple[float, float]:
    return _limits([panel] if panel.scale is None else [one for one in panels if one.scale == panel.scale])


def _limits(panels: Sequence[Panel]) -> tuple[float, float]:
    """Limits that hold every row of these panels but for outlying ones, and the line with room beside it."""
    given = [panel.limits for panel in panels if panel.limits]
    if given:
        return min(low for low, _ in given), max(high for _, high in given)
    line = panels[0].line
    reaches = [
        one.reach for panel in panels for one in panel.entries.values() if isinstance(one, Values)
    ] or [np.zeros(1)]
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
