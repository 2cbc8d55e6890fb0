"""KD against MSD: one row per arm, one panel per view, everything as a difference from KD."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from mmkd_lab.core.check import LabError, one_of, require
from mmkd_lab.plotting import palette, tables
from mmkd_lab.plotting.canvas import NOTE_SIZE, LabFigure, jitter, padded, side_words, style, zero_line
from mmkd_lab.plotting.density import fullest, view_name
from mmkd_lab.plotting.tables import Measure

Numbers = npt.NDArray[np.float64]

_ROW = 0.33  # inches of height for one arm
_PANEL, _NAMES = 2.6, 1.9  # inches of width for a panel, and for the names of the arms
_UNITS = {
    "js": ("divergence", "nats"),
    "ece": ("calibration error", "points"),
    "agreement": ("agreement", "points"),
    "w1": ("Wasserstein-1", ""),
}
#: An arm whose interval is so many times as wide as the median arm's leaves the frame rather than widen it.
_OUTLIER = 4.0
_LOWER = ("nll", "js", "ece", "w1")


def msd_figure(
    table: pd.DataFrame,
    *,
    title: str | None = None,
    metric: str = "accuracy",
    views: Sequence[str] | None = None,
    split: str = "test",
    reference: str = "kd",
) -> LabFigure:
    """Every arm minus KD, seed by seed, under each view.

    Args:
        table: tidy, with the column `view`; see `study.kd_vs_msd`.
        title: the finding.
        metric: the task's metric, or 'js', 'agreement', 'w1', 'ece', 'nll'.
        views: which, the full input first; by default those of the table.
        split: which split.
        reference: the arm that is zero.

    Raises:
        LabError: no column `view`, a metric, split, view or arm that the table lacks, seeds that do not pair
            up.
    """
    require("view" in table.columns, "table", list(table.columns), "lacks the column 'view'")
    known = list(dict.fromkeys(table["view"]))
    shown = known if views is None else list(views)
    parts = {}
    for view in shown:
        one_of("view", view, known)
        parts[view] = tables.select(table[table["view"] == view], Measure(metric, split))
    rows = rows_of(next(iter(parts.values())))
    one_of("reference", reference, rows)
    figure = LabFigure((_NAMES + _PANEL * len(shown), 1.55 + _ROW * len(rows)))
    with style():
        axes, cut = figure.subplots(1, len(shown), squeeze=False)[0], False
        for i, (ax, view) in enumerate(zip(axes, shown, strict=True)):
            cut = _panel(ax, parts[view], rows, reference, metric) or cut
            _heading(ax, parts[view], view_name(view, fullest(known)), reference, metric)
            ax.tick_params(labelleft=i == 0)
        side_words(axes[0], ("better", "worse") if metric in _LOWER else ("worse", "better"), below=1)
        figure.headline(title or f"{table['dataset'].iloc[0]}: arms against {palette.look(reference).label}")
        figure.note(_note(next(iter(parts.values())), reference, (len(rows) - 1) * len(shown), cut=cut))
    return figure


def rows_of(part: pd.DataFrame) -> list[str]:
    """The arms of a table from top to bottom, the teacher first."""
    present = set(part["arm"])
    return [arm for arm in palette.MSD if arm in present]


def _values(part: pd.DataFrame, arm: str, reference: str) -> pd.Series[Any]:
    role = "teacher" if arm == "teacher" else "student"
    mine, its = tables.by_seed(part, arm=arm, role=role), tables.by_seed(part, arm=reference)
    if not mine.index.equals(its.index):
        shown = f"{list(mine.index)} for {arm!r} and {list(its.index)} for {reference!r}"
        raise LabError("seeds", shown, "both arms must have the same seeds", "Run the missing seeds.")
    return mine - its


def _panel(ax: Axes, part: pd.DataFrame, rows: list[str], reference: str, metric: str) -> bool:
    """One view; returns whether a row goes on beyond the frame."""
    drawn, digits = [np.zeros(1)], 3 if metric in ("nll", "js", "w1") else 1
    for y, arm in enumerate(rows):
        if arm == reference:
            ax.plot(0.0, y, marker="|", markersize=12, markeredgewidth=2, color=palette.look(arm).colour)
        elif arm in set(part["arm"]):
            drawn.append(_row(ax, y, _values(part, arm, reference), arm, digits))
    zero_line(ax, vertical=True)
    ax.set_yticks(range(len(rows)), [palette.look(arm).label for arm in rows])
    for text, arm in zip(ax.get_yticklabels(), rows, strict=True):
        text.set_color(palette.look(arm).colour)
    ax.tick_params(axis="y", length=0)
    ax.grid(visible=False, axis="y")
    ax.spines["left"].set_visible(False)
    ax.set_ylim(len(rows) - 0.4, -1.0)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10]))
    least = 1.0 if metric not in ("nll", "js", "w1") else 0.02
    low, high = padded(_framed(drawn).tolist(), share=0.1, least=least)
    ax.set_xlim(low, high + 0.22 * (high - low))  # room for the numbers, which stand in a column
    return bool(np.concatenate(drawn).min() < low or np.concatenate(drawn).max() > ax.get_xlim()[1])


def _framed(drawn: list[Numbers]) -> Numbers:
    """Everything that was drawn but for what lies beyond the means in rows of outlying spread."""
    spreads = [float(np.ptp(one)) for one in drawn[1:]]
    usual = float(np.median(spreads)) if spreads else 0.0
    within = [usual == 0 or np.ptp(one) <= _OUTLIER * usual for one in drawn]
    return np.concatenate([one if fits else one[-1:] for one, fits in zip(drawn, within, strict=True)])


def _row(ax: Axes, y: float, values: pd.Series[Any], arm: str, digits: int) -> Numbers:
    colour, seen = palette.look(arm).colour, tables.interval(values)
    points = values.to_numpy(dtype=float)
    if len(points) > 1:
        across = y + jitter(len(points), width=0.2)
        faint = max(0.12, min(0.4, 4 / len(points)))
        ax.scatter(points, across, s=12, color=colour, alpha=faint, linewidths=0, zorder=2)
        ax.plot([seen.low, seen.high], [y, y], color=colour, linewidth=2.2, zorder=3)
    face = palette.PAPER if arm == "teacher" else colour
    mark: Any = {"marker": "D" if arm == "teacher" else "o", "markersize": 5, "markerfacecolor": face}
    ax.plot(seen.mean, y, color=colour, zorder=4, **mark)
    ax.annotate(
        f"{seen.mean:+.{digits}f}".replace("-", "−"),
        (1.0, y),
        xycoords=ax.get_yaxis_transform(),
        ha="right",
        va="center",
        fontsize=NOTE_SIZE,
        color=colour,
        fontweight="bold" if seen.side else "normal",
        bbox={"facecolor": palette.PAPER, "edgecolor": "none", "pad": 0.4, "alpha": 0.85},
    )
    ends = [] if seen.n < 2 else [seen.low, seen.high]
    return np.array([*points, *ends, seen.mean])


def _heading(ax: Axes, part: pd.DataFrame, view: str, reference: str, metric: str) -> None:
    mean = float(tables.by_seed(part, arm=reference).mean())
    percent = metric not in ("nll", "js", "w1", "ece")
    level = f"{mean:.1f} %" if percent else f"{mean:.3f}"
    ax.set_title(f"{view}\n{palette.look(reference).label} {level}")
    name, unit = _UNITS.get(metric, (metric.replace("_", " "), "points" if percent else "nats"))
    shown = f"{name} minus {palette.look(reference).label}'s" + (f" ({unit})" if unit else "")
    ax.set_xlabel(shown, fontsize=NOTE_SIZE)


def _note(part: pd.DataFrame, reference: str, intervals: int, *, cut: bool) -> str:
    said = f"{tables.seeds_note(part)} The line at zero is {palette.look(reference).label} of the same seed."
    if len(set(part["seed"])) > 1:
        said += f" Bold numbers: the interval excludes zero; the {intervals} intervals are not corrected for "
        said += "their number."
    return f"{said}{' What the frame cuts off goes on.' if cut else ''}"
