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
from matplotlib.ticker import MaxNLocator

from mmkd_lab.core.check import LabError, of_type, require
from mmkd_lab.plotting import palette, tables
from mmkd_lab.plotting.canvas import AXIS_SIZE, NOTE_SIZE, LabFigure, jitter, padded, spread, style, zero_line
from mmkd_lab.plotting.tables import Measure

Points = Mapping[str, Sequence[Sequence[float]]]

_NARROW = 6.5
_LABEL_GAP = 12.5  # points between the base lines of two direct labels
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
    by_x: dict[float, npt.NDArray[np.float64]]


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
        table: a study's tidy table with the column `x` (see `plot.tables`).
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
    arms = tables.arms_of(part)
    reference = tables.reference_arm(part, "no_kd" if reference is None and "no_kd" in arms else reference)
    lines = [*_teachers(part, x), *(_student(part, x, arm) for arm in arms)]
    gains = [_gain(part, x, arm, reference) for arm in arms if arm != reference]
    width = 8.4 if size is None else size[0]
    figure = LabFigure(size or (width, 4.0 if width >= _NARROW else 7.2))
    with style():
        axes = _axes(figure, bool(gains))
        ends = curves_panel(axes[0], lines, label=measure.label, published=published)
        moved = [(axes[0], ends)]
        if gains:
            heading = f"Student minus {palette.look(reference).label}"
            moved.append((axes[1], differences_panel(axes[1], gains, heading=heading, measure=measure)))
        share = 0.3 if len(axes) > 1 and width >= _NARROW else 0.66
        for ax in axes:
            ax.set_xlabel(figure.fit(x_label or _MEANING.get(x, x), size=AXIS_SIZE, share=share))
        figure.headline(finding(part, x, gains, reference) if title is None else title)
        figure.note(_note(part, published))
        figure.draw_without_rendering()
        for ax, texts in moved:
            _part_labels(ax, texts)
    return figure


def curves_panel(
    ax: Axes, lines: Sequence[_Line], *, label: str, published: Points | None = None
) -> list[Annotation]:
    """Means with 95 % intervals and direct labels; returns the labels, to be moved apart."""
    known = {line.name: line for line in lines}
    shifts = _shifts(lines, 0.014)
    drawn: list[float] = []
    for line, shift in zip(lines, shifts, strict=True):
        drawn += _curve(ax, line, shift=shift, bar=1.2)
    for name, points in (published or {}).items():
        require(name in known, "published", name, f"must name one of the lines {list(known)}")
        drawn += _published(ax, known[name], points)
    ax.set_ylim(padded(drawn, share=0.08))
    _frame(ax, lines, heading="Teacher and students", label=label)
    return [_end_label(ax, line) for line in lines]


def differences_panel(
    ax: Axes, gains: Sequence[_Line], *, heading: str, measure: Measure
) -> list[Annotation]:
    """Paired differences with seeds as dots, 95 % intervals and the zero line."""
    drawn = [0.0]
    for line, shift in zip(gains, _shifts(gains, 0.03), strict=True):
        for at, values in line.by_x.items():
            faint = max(0.1, min(0.35, 4 / len(values)))
            across = at + shift + jitter(len(values), width=0.011 * _range(gains))
            ax.scatter(across, values, s=13, color=line.colour, alpha=faint, linewidths=0)
            drawn += values.tolist()
        drawn += _curve(ax, line, shift=shift, bar=2.4)
    zero_line(ax, vertical=False)
    low, high = padded(drawn, share=0.13)
    ax.set_ylim(min(low, -0.25 * high), max(high, -0.25 * low))
    _frame(ax, gains, heading=heading, label=measure.difference)
    below, above = measure.sides
    for text, y, va in ((f"{below} ↓", 0.0, "bottom"), (f"{above} ↑", 1.0, "top")):
        ax.annotate(
            text,
            (0.0, y),
            xytext=(5, 3 if y == 0 else -3),
            textcoords="offset points",
            xycoords="axes fraction",
            ha="left",
            va=va,
            fontsize=NOTE_SIZE,
            color=palette.QUIET,
            bbox={"facecolor": palette.PAPER, "edgecolor": "none", "pad": 0.5},
        )
    return [_end_label(ax, line) for line in gains]


def finding(part: pd.DataFrame, x: str, gains: Sequence[_Line], reference: str) -> str:
    """The sentence a figure without a title gets: the difference at both ends of the sweep."""
    head, name = f"{part['dataset'].iloc[0]}: ", _GREEK.get(x, x)
    if not gains:
        return f"{head}teacher and student over {name}"
    line = gains[0]
    first, last = min(line.by_x), max(line.by_x)
    shown = [tables.interval(line.by_x[at]).show(signed=True, digits=1) for at in (first, last)]
    ends = [f"{one} at {name}\u00a0=\u00a0{at:.2g}" for one, at in zip(shown, (first, last), strict=True)]
    return f"{head}{line.label} minus {palette.look(reference).label}: {', '.join(ends)}"


def _teachers(part: pd.DataFrame, x: str) -> list[_Line]:
    """One line per distinct teacher: arms that were taught by the same one share it."""
    found: list[_Line] = []
    for arm in tables.arms_of(part, role="teacher"):
        values = _values(part[(part["arm"] == arm) & (part["role"] == "teacher")], x)
        same = any(_equal(values, line.by_x) for line in found)
        if not same:
            name = "teacher" if not found else f"teacher of {arm}"
            label = "teacher" if not found else f"teacher of {palette.look(arm).label}"
            found.append(_Line(name, label, palette.look(arm).colour, "D", values))
    return found


def _student(part: pd.DataFrame, x: str, arm: str) -> _Line:
    rows = part[(part["arm"] == arm) & (part["role"] == "student")]
    return _Line(arm, palette.look(arm).label, palette.look(arm).colour, "o", _values(rows, x))


def _gain(part: pd.DataFrame, x: str, arm: str, reference: str) -> _Line:
    by_x: dict[float, npt.NDArray[np.float64]] = {}
    for at, rows in part.groupby(x, sort=True):
        absent = {arm, reference} - set(tables.arms_of(rows))
        if absent:
            raise LabError("table", f"no {min(absent)} at {x} = {at}", "must hold every arm at each point")
        by_x[float(str(at))] = tables.paired(rows, arm, reference).to_numpy(dtype=float)
    return _Line(arm, palette.look(arm).label, palette.look(arm).colour, "o", by_x)


def _values(rows: pd.DataFrame, x: str) -> dict[float, npt.NDArray[np.float64]]:
    groups = rows.sort_values("seed").groupby(x, sort=True)["value"]
    return {float(str(at)): values.to_numpy(dtype=float) for at, values in groups}


def _equal(a: dict[float, npt.NDArray[np.float64]], b: dict[float, npt.NDArray[np.float64]]) -> bool:
    return list(a) == list(b) and all(np.array_equal(a[at], b[at]) for at in a)


def _axes(figure: LabFigure, two: bool) -> list[Axes]:
    if not two:
        return [figure.subplots()]
    if figure.get_size_inches()[0] < _NARROW:
        return list(figure.subplots(2, 1))
    return list(figure.subplots(1, 2, width_ratios=[1.15, 1.0]))


def _curve(ax: Axes, line: _Line, *, shift: float, bar: float) -> list[float]:
    """Draw a mean line with its intervals; returns the y values that must stay in view."""
    at = np.array(list(line.by_x)) + shift
    seen = [tables.interval(values) for values in line.by_x.values()]
    means = np.array([one.mean for one in seen])
    teacher = line.mark == "D"
    ax.plot(
        at,
        means,
        color=line.colour,
        linewidth=1.2 if teacher else 1.9,
        marker=line.mark,
        markersize=5.5,
        markerfacecolor=palette.PAPER if teacher else line.colour,
        markeredgewidth=1.3,
        zorder=4,
    )
    if any(one.n < 2 for one in seen):
        return [float(mean) for mean in means]
    low, high = [one.low for one in seen], [one.high for one in seen]
    ax.vlines(at, low, high, color=line.colour, linewidth=bar, zorder=3)
    return [*low, *high]


def _published(ax: Axes, line: _Line, points: Sequence[Sequence[float]]) -> list[float]:
    require(
        len(points) > 0 and all(len(point) == 2 for point in points),
        "published",
        list(points),
        "must be pairs of x and value",
    )
    at, values = np.array(sorted(tuple(point) for point in points), dtype=float).T
    ax.plot(at, values, color=line.colour, linewidth=1.1, linestyle=(0, (4, 2.5)), zorder=3)
    return [float(value) for value in values]


def _frame(ax: Axes, lines: Sequence[_Line], *, heading: str, label: str) -> None:
    at = sorted({point for line in lines for point in line.by_x})
    ax.set_title(heading)
    ax.set_ylabel(label)
    room = _range(lines)
    ax.set_xlim(at[0] - 0.06 * room, at[-1] + 0.06 * room)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    ax.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    ax.grid(visible=False, axis="x")


def _end_label(ax: Axes, line: _Line) -> Annotation:
    last = max(line.by_x)
    return ax.annotate(
        line.label,
        (1.0, float(line.by_x[last].mean())),
        xycoords=ax.get_yaxis_transform(),
        xytext=(3, 0),
        textcoords="offset points",
        ha="left",
        va="center",
        fontsize=9,
        color=line.colour,
    )


def _part_labels(ax: Axes, texts: Sequence[Annotation]) -> None:
    """Move direct labels apart vertically, each as near to the end of its line as it can be."""
    points = 72.0 / ax.get_figure(root=True).dpi  # type: ignore[union-attr]
    wanted = [float(ax.transData.transform((0.0, text.xy[1]))[1]) * points for text in texts]
    for text, at, found in zip(texts, wanted, spread(wanted, gap=_LABEL_GAP), strict=True):
        text.xyann = (3, found - at)


def _range(lines: Sequence[_Line]) -> float:
    at = [point for line in lines for point in line.by_x]
    return max(at) - min(at) or 1.0


def _shifts(lines: Sequence[_Line], share: float) -> list[float]:
    """A small step aside for each line, so that no mark or bar hides another."""
    middle = (len(lines) - 1) / 2
    return [(i - middle) * share * _range(lines) for i in range(len(lines))]


def _note(part: pd.DataFrame, published: Points | None) -> str:
    n = int(part["seed"].nunique())
    known = (
        "One seed, so there is no interval and nothing to conclude."
        if n == 1
        else f"Faint dots: {n} seeds. Bars: 95 % intervals of the mean, and of the mean paired difference."
    )
    return known + (" Dashed: as published." if published else "")
