"""Accuracy over a swept quantity, and what the teacher was worth at each point of it.

Figures 2 and 3 of Xue et al. 2023: teacher, student without KD and student with KD over gamma or alpha. The
second panel holds the paired differences, since students of one seed share their data and differ far less
from each other than from those of another seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.text import Annotation

from mmkd_lab.core.check import LabError, of_type, require
from mmkd_lab.core.stats import mean_interval
from mmkd_lab.plotting import palette, tables
from mmkd_lab.plotting.axes import end_labels, few_ticks, jitter, padded, part_labels, zero_line
from mmkd_lab.plotting.canvas import AXIS_SIZE, NOTE_SIZE, LabFigure, fit, style
from mmkd_lab.plotting.figures import register_figure
from mmkd_lab.plotting.tables import Measure

Points = Mapping[str, Sequence[Sequence[float]]]
ByX = dict[float, npt.NDArray[np.float64]]

_NARROW, _NAMES, _NAME_SIZE = 6.5, 2.2, 9.0
_GREEK = {"alpha": "α", "beta": "β", "gamma": "γ"}
_MEANING = {
    "alpha": "α, what the teacher alone sees",
    "beta": "β, what the student alone sees",
    "gamma": "γ, what both see",
}


@dataclass(frozen=True)
class _Line:
    """One curve: what it is called, its colour and mark, and its values per point of the sweep."""

    name: str
    label: str
    colour: str
    mark: str
    by_x: ByX
    hollow: bool = False


@register_figure("sweep")
def sweep_figure(
    table: pd.DataFrame,
    *,
    x: str,
    title: str | None = None,
    reference: str | None = None,
    metric: str = "accuracy",
    split: str = "test",
    x_label: str | None = None,
    published: Points | None = None,
    size: tuple[float, float] | None = None,
) -> LabFigure:
    """Teachers and students over `x`, beside the paired differences from the reference arm.

    Args:
        table: a study's tidy table with the column `x` (see `plotting.tables`).
        x: the swept column, 'gamma' or 'alpha' for example.
        title: the finding; by default it is computed from the numbers.
        reference: the arm the others are compared with; by default no KD.
        metric: which metric.
        split: which split.
        x_label: what the horizontal axis is called; by default what `x` stands for, or `x` itself.
        published: curves to draw thinly beside ours: {'teacher' or an arm: [[x, value], ...]}.
        size: width and height in inches. Below a width of 6.5 the panels stand under each other.

    Raises:
        LabError: columns missing, an unknown metric, split or arm, values that are not finite, seeds that do
            not pair up, published curves of no line.
    """
    of_type("x", x, str, "the name of a column", "For example 'gamma'.")
    measure = Measure(metric, split)
    part = tables.select(table, measure, sweep=x)
    reference = tables.reference_arm(part, reference, usual=("no_kd", "um_kd"))
    arms = tables.arms_of(part)
    marks = dict(zip(arms, palette.MARKS * len(arms), strict=False))
    students = [
        _Line(arm, *palette.style_of(arm), marks[arm], _values(part, x, arm, "student")) for arm in arms
    ]
    gains = [_gain(part, x, line, reference) for line in students if line.name != reference]
    lines = [*_teachers(part, x), *students]
    width, height = size or (9.6, max(4.0, 1.8 + 0.19 * len(lines)))
    stacked = width < _NARROW
    figure = LabFigure((width, height if size or not stacked else 1.8 * height))
    with style():
        panels = 2 if gains else 1
        axes = figure.subplots(panels, 1) if stacked else figure.subplots(1, panels, squeeze=False)[0]
        axes = list(np.atleast_1d(axes))
        named = [(axes[0], _curves(axes[0], lines, measure, published))]
        if gains:
            axes[1].set_title(f"Student minus {palette.style_of(reference)[0]}")
            named.append((axes[1], _differences(axes[1], gains, measure)))
        for ax in axes:
            room = width / (1 if stacked else panels) - 1.2 - _NAMES * 0.6
            ax.set_xlabel(fit(x_label or _MEANING.get(x, x), room, AXIS_SIZE))
        figure.headline(_finding(part, x, gains, reference) if title is None else title)
        n = int(part["seed"].nunique())
        bars = f"Faint dots: {n} seeds. Bars: 95 % intervals of the mean, and of the mean paired difference."
        figure.note(
            f"{bars if n > 1 else tables.seeds_note(part)}{' Dashed: as published.' if published else ''}"
        )
        part_labels(figure, named)
    return figure


def _curves(ax: Axes, lines: Sequence[_Line], measure: Measure, published: Points | None) -> list[Annotation]:
    """Means with 95 % intervals and direct labels; returns the labels, to be moved apart."""
    known = {line.name: line for line in lines}
    drawn = [
        y
        for line, shift in zip(lines, _shifts(lines, 0.014), strict=True)
        for y in _curve(ax, line, shift, 1.2)
    ]
    for name, points in (published or {}).items():
        require(name in known, "published", name, f"must name one of the lines {list(known)}")
        sound = len(points) > 0 and all(len(point) == 2 for point in points)
        require(sound, "published", list(points), "must be pairs of x and value")
        at, values = np.array(sorted(tuple(point) for point in points), dtype=float).T
        ax.plot(at, values, color=known[name].colour, linewidth=1.1, linestyle=(0, (4, 2.5)), zorder=3)
        drawn += values.tolist()
    ax.set_ylim(padded(drawn, share=0.08, least=float(measure.percent)))
    ax.set_title("Teacher and students" if any(line.hollow for line in lines) else "Students")
    ax.set_ylabel(measure.label)
    return _framed(ax, lines)


def _differences(ax: Axes, gains: Sequence[_Line], measure: Measure) -> list[Annotation]:
    """Paired differences with seeds as dots, 95 % intervals and the zero line."""
    drawn = [0.0]
    for line, shift in zip(gains, _shifts(gains, 0.03), strict=True):
        for at, values in line.by_x.items():
            across = at + shift + jitter(len(values), width=min(0.011, 0.1 / len(gains)) * _range(gains))
            faint = max(0.1, min(0.35, 4 / len(values) / len(gains) ** 0.5))
            ax.scatter(across, values, s=13, color=line.colour, alpha=faint, linewidths=0)
            drawn += values.tolist()
        drawn += _curve(ax, line, shift, 2.4 if len(gains) < 4 else 1.6)
    zero_line(ax, vertical=False)
    low, high = padded(drawn, share=0.13, least=float(measure.percent))
    ax.set_ylim(min(low, -0.25 * high), max(high, -0.25 * low))
    ax.set_ylabel(measure.difference)
    below, above = measure.sides
    for text, y, va in ((f"{below} ↓", 0.0, "bottom"), (f"{above} ↑", 1.0, "top")):
        ax.annotate(
            text,
            (0.0, y),
            xytext=(5, 3 if y == 0 else -3),
            textcoords="offset points",
            xycoords="axes fraction",
            va=va,
            fontsize=NOTE_SIZE,
            color=palette.QUIET,
            bbox={"facecolor": palette.PAPER, "edgecolor": "none", "pad": 0.5},
        )
    return _framed(ax, gains)


def _curve(ax: Axes, line: _Line, shift: float, bar: float) -> list[float]:
    """Draw a mean line with its intervals; returns the y values that must stay in view."""
    at = np.array(list(line.by_x)) + shift
    seen = [mean_interval(values) for values in line.by_x.values()]
    ax.plot(
        at,
        [one.mean for one in seen],
        color=line.colour,
        linewidth=1.2 if line.hollow else 1.9,
        marker=line.mark,
        markersize=5.5,
        markerfacecolor=palette.PAPER if line.hollow else line.colour,
        markeredgewidth=1.3,
        zorder=4,
    )
    if any(one.n < 2 for one in seen):
        return [one.mean for one in seen]
    low, high = [one.low for one in seen], [one.high for one in seen]
    ax.vlines(at, low, high, color=line.colour, linewidth=bar, zorder=3)
    return [*low, *high]


def _framed(ax: Axes, lines: Sequence[_Line]) -> list[Annotation]:
    """Limits, ticks, and the names at the ends of the lines."""
    at = [point for line in lines for point in line.by_x]
    aside = 0.06 * _range(lines) + _shifts(lines, 0.03)[-1]
    ax.set_xlim(min(at) - aside, max(at) + aside)
    few_ticks(ax)
    few_ticks(ax, upright=True)
    ax.grid(visible=False, axis="x")
    ends = [
        (fit(line.label, _NAMES, _NAME_SIZE), float(line.by_x[max(line.by_x)].mean()), line.colour)
        for line in lines
    ]
    return end_labels(ax, ends, size=_NAME_SIZE)


def _finding(part: pd.DataFrame, x: str, gains: Sequence[_Line], reference: str) -> str:
    """The sentence a figure without a title gets: the difference at both ends of the sweep."""
    head, name = f"{part['dataset'].iloc[0]}: ", _GREEK.get(x, x)
    if not gains:
        return f"{head}teacher and student over {name}"
    line = gains[0]
    shown = [
        (mean_interval(line.by_x[at]).show(signed=True, digits=1), at)
        for at in (min(line.by_x), max(line.by_x))
    ]
    ends = ", ".join(f"{one} at {name}\u00a0=\u00a0{at:.2g}" for one, at in shown)
    return f"{head}{line.label} minus {palette.style_of(reference)[0]}: {ends}"


def _teachers(part: pd.DataFrame, x: str) -> list[_Line]:
    """One line per distinct teacher: arms that were taught by the same one share it."""
    found: list[_Line] = []
    for arm in tables.arms_of(part, role="teacher"):
        values, (label, colour) = _values(part, x, arm, "teacher"), palette.style_of(arm)
        if not any(_equal(values, line.by_x) for line in found):
            name, said = ("teacher", "teacher") if not found else (f"teacher of {arm}", f"teacher of {label}")
            found.append(_Line(name, said, colour, "D", values, hollow=True))
    return found


def _gain(part: pd.DataFrame, x: str, line: _Line, reference: str) -> _Line:
    by_x: ByX = {}
    for at, rows in part.groupby(x, sort=True):
        absent = {line.name, reference} - set(tables.arms_of(rows))
        if absent:
            raise LabError("table", f"no {min(absent)} at {x} = {at}", "must hold every arm at each point")
        by_x[float(str(at))] = tables.paired(rows, line.name, reference).to_numpy(dtype=float)
    return _Line(line.name, line.label, line.colour, line.mark, by_x)


def _values(part: pd.DataFrame, x: str, arm: str, role: str) -> ByX:
    rows = part[(part["arm"] == arm) & (part["role"] == role)]
    groups = rows.sort_values("seed").groupby(x, sort=True)["value"]
    return {float(str(at)): values.to_numpy(dtype=float) for at, values in groups}


def _equal(a: ByX, b: ByX) -> bool:
    return list(a) == list(b) and all(np.array_equal(a[at], b[at]) for at in a)


def _range(lines: Sequence[_Line]) -> float:
    at = [point for line in lines for point in line.by_x]
    return max(at) - min(at) or 1.0


def _shifts(lines: Sequence[_Line], share: float) -> list[float]:
    """A step aside for each line, so that no mark or bar hides another: all within a tenth of the range."""
    middle = (len(lines) - 1) / 2
    return [(i - middle) * min(share, 0.1 / len(lines)) * _range(lines) for i in range(len(lines))]
