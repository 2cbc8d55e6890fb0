"""Repaired teachers and their students over the share of channels that was removed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.text import Annotation

from mmkd_lab.core.check import one_of, require
from mmkd_lab.plotting import palette, tables
from mmkd_lab.plotting.arms import arms_figure
from mmkd_lab.plotting.canvas import NOTE_SIZE, LabFigure, spread, style, zero_line
from mmkd_lab.plotting.tables import Measure


def repair_figure(
    table: pd.DataFrame,
    *,
    title: str | None = None,
    loss: str = "ce + kd",
    reference: str = "cm_kd",
    metric: str = "accuracy",
    split: str = "test",
) -> LabFigure:
    """Teachers, and students minus the reference arm's, over the ratio; for one ratio, a row per arm.

    Args:
        table: tidy, with the columns `ratio` and `loss`.
        title: the finding.
        loss: which students: 'ce + kd' or 'kd alone'.
        reference: the arm the others are compared with.
        metric: which metric.
        split: which split.

    Raises:
        LabError: columns, a loss or an arm that the table lacks, and seeds that do not pair up.
    """
    for column in ("ratio", "loss"):
        require(column in table.columns, "table", list(table.columns), f"lacks the column {column!r}")
    one_of("loss", loss, list(dict.fromkeys(table["loss"])))
    mine = table[table["loss"] == loss]
    if len(set(mine["ratio"])) == 1:
        size = (9.6, 1.9 + 0.56 * mine["arm"].nunique())  # wider: these arms have long names
        return arms_figure(mine, title=title, reference=reference, metric=metric, split=split, size=size)
    measure = Measure(metric, split)
    part = tables.select(mine, measure, sweep="ratio")
    arms = tables.arms_of(part)
    one_of("reference", reference, arms)
    figure = LabFigure((11.6, 4.6))  # wider: every line has its name at its end
    with style():
        left, right = figure.subplots(1, 2)
        students = _by_ratio(part, "student", arms)
        control = students.pop(reference)
        _lines(left, _by_ratio(part, "teacher", tables.arms_of(part, role="teacher")), role="teacher")
        _lines(right, {arm: _minus(values, control) for arm, values in students.items()}, role="student")
        zero_line(right, vertical=False)
        left.set_title("Teacher")
        right.set_title(f"Student minus {palette.look(reference).label}")
        left.set_ylabel(measure.label)
        right.set_ylabel(measure.difference)
        for ax in (left, right):
            ax.set_xlabel("share of the channels removed")
            ax.set_xticks(sorted(part["ratio"].unique()))
        figure.headline(title or f"{part['dataset'].iloc[0]}: repaired teachers and their students")
        figure.note(_note(part, loss))
        figure.draw_without_rendering()  # the names part in the units of the settled layout
        for ax in (left, right):
            _part(ax)
    return figure


def _note(part: pd.DataFrame, loss: str) -> str:
    n = int(part["seed"].nunique())
    shown = f"Whiskers: 95 % intervals of the mean and of the mean paired difference, {n} seeds."
    level = f"Arms that do not depend on the ratio are level. Students learn by {loss}."
    return f"{tables.seeds_note(part) if n == 1 else shown} {level}"


def _by_ratio(part: pd.DataFrame, role: str, arms: list[str]) -> dict[str, dict[float, pd.Series[Any]]]:
    """{arm: {ratio: values indexed by seed}}."""
    found: dict[str, dict[float, pd.Series[Any]]] = {}
    for arm in arms:
        groups = part.groupby("ratio", sort=True)
        found[arm] = {float(str(at)): tables.by_seed(rows, arm=arm, role=role) for at, rows in groups}
    return found


def _minus(
    values: dict[float, pd.Series[Any]], control: dict[float, pd.Series[Any]]
) -> dict[float, pd.Series[Any]]:
    for at, one in values.items():
        same = one.index.equals(control[at].index)
        require(same, "seeds", list(one.index), f"must be {list(control[at].index)}, as the reference's")
    return {at: one - control[at] for at, one in values.items()}


def _lines(ax: Axes, by_arm: dict[str, dict[float, pd.Series[Any]]], *, role: str) -> None:
    for i, (arm, by_ratio) in enumerate(by_arm.items()):
        look, at = palette.look(arm), np.array(list(by_ratio))
        seen = [tables.interval(values) for values in by_ratio.values()]
        x = at + (i - (len(by_arm) - 1) / 2) * 0.012 * float(np.ptp(at))  # so that no mark hides another
        face = palette.PAPER if role == "teacher" else look.colour
        mark: Any = {"marker": look.mark, "markersize": 6.0, "markerfacecolor": face}
        ax.plot(x, [one.mean for one in seen], color=look.colour, linewidth=1.5, label=look.label, **mark)
        if seen[0].n > 1:
            ax.vlines(x, [s.low for s in seen], [s.high for s in seen], color=look.colour, linewidth=1.2)
        ax.annotate(
            look.label,
            (1.0, seen[-1].mean),
            xycoords=ax.get_yaxis_transform(),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=NOTE_SIZE,
            color=look.colour,
        )


def _part(ax: Axes) -> None:
    """Move the names at the ends of the lines apart, each as near to its line as can be."""
    texts = [one for one in ax.texts if isinstance(one, Annotation)]
    points = 72.0 / ax.get_figure(root=True).dpi  # type: ignore[union-attr]
    wanted = [float(ax.transData.transform((0.0, one.xy[1]))[1]) * points for one in texts]
    for text, at, found in zip(texts, wanted, spread(wanted, gap=1.35 * NOTE_SIZE), strict=True):
        text.xyann = (5, found - at)
