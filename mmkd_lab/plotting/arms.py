"""One row per arm: how good its teacher is, how good its student is, and what the teacher was worth.

The three panels share their rows, so that the eye can run along one: a teacher far to the right whose student
is not is crossmodal distillation's failure case, seen rather than said (Xue et al. 2023, table 1).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from mmkd_lab.core.stats import Interval
from mmkd_lab.plotting import palette, tables
from mmkd_lab.plotting.canvas import NOTE_SIZE, LabFigure, jitter, padded, side_words, style, zero_line
from mmkd_lab.plotting.tables import Measure

Numbers = npt.NDArray[np.float64]

_NARROW = 6.5  # below this width in inches the panels stand under each other
_ROW = 0.58  # inches of height for one arm
_MARKS = {"teacher": "D", "student": "o"}


def arms_figure(
    table: pd.DataFrame,
    *,
    title: str | None = None,
    reference: str | None = None,
    metric: str = "accuracy",
    split: str = "test",
    size: tuple[float, float] | None = None,
) -> LabFigure:
    """Teachers, students and paired differences, one row per arm.

    Args:
        table: a study's tidy table (see `plot.tables`).
        title: the finding; by default it is computed from the numbers.
        reference: the arm the others are compared with; by default unimodal KD, else no KD.
        metric: which metric.
        split: which split.
        size: width and height in inches. Below a width of 6.5 the panels stand under each other.

    Raises:
        LabError: columns missing, an unknown metric, split or arm, values that are not finite, seeds that do
            not pair up.
    """
    measure = Measure(metric, split)
    part = tables.select(table, measure)
    reference = tables.reference_arm(part, reference)
    panels = 3 if (part["role"] == "teacher").any() else 2
    rows = len(tables.arms_of(part))
    width = 8.4 if size is None else size[0]
    figure = LabFigure(size or (width, _height(rows, panels, stacked=width < _NARROW)))
    with style():
        axes = _axes(figure, panels)
        if panels == 3:
            teacher_panel(axes[0], part, measure=measure)
        student_panel(axes[-2], part, measure=measure)
        difference_panel(axes[-1], part, reference=reference, measure=measure)
        if width >= _NARROW:
            for ax in axes[1:]:
                ax.tick_params(labelleft=False)
        figure.headline(finding(part, reference=reference) if title is None else title)
        figure.note(tables.seeds_note(part))
    return figure


def teacher_panel(ax: Axes, part: pd.DataFrame, *, measure: Measure) -> None:
    """The teacher of each arm, as open diamonds; an arm without a teacher says so."""
    arms = tables.arms_of(part)
    taught = set(tables.arms_of(part, role="teacher"))
    rows = [
        (y, arm, tables.by_seed(part, arm=arm, role="teacher")) for y, arm in enumerate(arms) if arm in taught
    ]
    drawn = [_row(ax, y, values, arm, "teacher") for y, arm, values in rows]
    low, high = _frame(ax, arms, np.concatenate(drawn), heading="Teacher", label=measure.label)
    for y, arm in enumerate(arms):
        if arm not in taught:
            centred: Any = {"ha": "center", "va": "center", "fontsize": NOTE_SIZE, "color": palette.QUIET}
            ax.text((low + high) / 2, y, "no teacher", **centred)


def student_panel(ax: Axes, part: pd.DataFrame, *, measure: Measure) -> None:
    """The student of each arm."""
    arms = tables.arms_of(part)
    drawn = [_row(ax, y, tables.by_seed(part, arm=arm), arm, "student") for y, arm in enumerate(arms)]
    _frame(ax, arms, np.concatenate(drawn), heading="Student", label=measure.label)


def difference_panel(ax: Axes, part: pd.DataFrame, *, reference: str, measure: Measure) -> None:
    """Each student minus the reference arm's student of the same seed."""
    arms, drawn = tables.arms_of(part), [np.zeros(1)]
    for y, arm in enumerate(arms):
        if arm == reference:
            ax.plot(0.0, y, marker="|", markersize=13, markeredgewidth=2, color=palette.look(arm).colour)
            _value(ax, 0.0, y, "reference", arm)
        else:
            drawn.append(_row(ax, y, tables.paired(part, arm, reference), arm, "student", signed=True))
    zero_line(ax, vertical=True)
    heading = f"Student minus {palette.look(reference).label}"
    limits = _frame(ax, arms, np.concatenate(drawn), heading=heading, label=measure.difference)
    ax.set_xlim(_around_zero(*limits))
    side_words(ax, measure.sides)


def finding(part: pd.DataFrame, *, reference: str) -> str:
    """What a figure without a title says: the best other teacher, and what it was worth to its student."""
    arms, label = tables.arms_of(part), palette.look(reference).label
    taught = [arm for arm in tables.arms_of(part, role="teacher") if arm in arms]
    means = {arm: float(tables.by_seed(part, arm=arm, role="teacher").mean()) for arm in taught}
    others = [arm for arm in means if arm != reference]
    head = f"{part['dataset'].iloc[0]}: "
    if not others:
        return f"{head}students by arm, against {label}"
    best = max(others, key=lambda arm: means[arm])
    teacher = f"{means[best]:.1f}"
    if reference in means:
        teacher = _signed(means[best] - means[reference])
    worth = tables.interval(tables.paired(part, best, reference)).show(signed=True, digits=1)
    return f"{head}{palette.look(best).label} against {label}: teacher {teacher}, student {worth}"


def _axes(figure: LabFigure, panels: int) -> list[Axes]:
    if figure.get_size_inches()[0] < _NARROW:
        found = figure.subplots(panels, 1, squeeze=False)[:, 0]
    else:
        found = figure.subplots(1, panels, squeeze=False, width_ratios=[1.0, 1.15, 1.15][-panels:])[0]
    return list(found)


def _height(rows: int, panels: int, *, stacked: bool) -> float:
    body = _ROW * rows + 0.75
    return 1.0 + body * (panels if stacked else 1)


def _frame(ax: Axes, arms: list[str], values: Numbers, *, heading: str, label: str) -> tuple[float, float]:
    ax.set_title(heading)
    ax.set_xlabel(label)
    ax.set_yticks(range(len(arms)), [palette.look(arm).label for arm in arms])
    for text, arm in zip(ax.get_yticklabels(), arms, strict=True):
        text.set_color(palette.look(arm).colour)
    ax.tick_params(axis="y", length=0)
    ax.grid(visible=False, axis="y")
    ax.spines["left"].set_visible(False)
    ax.set_ylim(len(arms) - 0.5, -0.9)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    limits = padded(values.tolist(), share=0.16)
    ax.set_xlim(limits)
    return limits


def _around_zero(low: float, high: float) -> tuple[float, float]:
    """Limits with a quarter of the axis or more on both sides of zero: room for the words there."""
    least = 0.25
    low = min(low, -high * least / (1 - least))
    return low, max(high, -low * least / (1 - least))


def _row(ax: Axes, y: float, values: pd.Series[Any], arm: str, role: str, *, signed: bool = False) -> Numbers:
    """Seeds, interval, mean and its number; returns every x that was drawn."""
    colour, seen = palette.look(arm).colour, tables.interval(values)
    points = values.to_numpy(dtype=float)
    faint = max(0.12, min(0.4, 4 / len(points)))
    if len(points) > 1:
        across = y + jitter(len(points), width=0.16)
        ax.scatter(points, across, s=16, color=colour, alpha=faint, linewidths=0, zorder=2)
        ax.plot([seen.low, seen.high], [y, y], color=colour, linewidth=2.4, zorder=3)
    face = palette.PAPER if role == "teacher" else colour
    mark: Any = {"marker": _MARKS[role], "markersize": 6.5, "markerfacecolor": face, "markeredgewidth": 1.6}
    ax.plot(seen.mean, y, color=colour, zorder=4, **mark)
    _value(ax, seen.mean, y, _signed(seen.mean) if signed else f"{seen.mean:.1f}", arm)
    return np.concatenate([points, _ends(seen)])


def _ends(seen: Interval) -> Numbers:
    return np.array([seen.mean] if seen.n < 2 else [seen.low, seen.high])


def _value(ax: Axes, x: float, y: float, text: str, arm: str) -> None:
    ax.annotate(
        text,
        (x, y),
        xytext=(0, 8),
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize=9,
        color=palette.look(arm).colour,
        bbox={"facecolor": palette.PAPER, "edgecolor": "none", "pad": 0.5, "alpha": 0.85},
    )


def _signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "−")
