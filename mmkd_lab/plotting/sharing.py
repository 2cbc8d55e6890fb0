"""A study of shares: the diagram and its bar by one method, and what every method says of gamma."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from mmkd_lab.core.check import one_of, require
from mmkd_lab.plotting.canvas import NOTE_SIZE, LabFigure, style
from mmkd_lab.plotting.palette import INK, QUIET, SHARED
from mmkd_lab.plotting.venn import draw_diagram
from mmkd_lab.plotting.venn_bar import bars_panel

#: What figures call the methods, in their order.
METHODS = {
    "canonical": "canonical channels",
    "commonality": "commonality",
    "count": "decisive, counted",
    "performance": "accuracies",
    "information": "information (PID)",
}
_QUANTITIES = ("alpha", "beta", "gamma_union", "gamma_a", "gamma_b", "synergy", "unobserved")

Rows = dict[str, dict[str, float]]


def sharing_figure(
    table: pd.DataFrame,
    *,
    title: str | None = None,
    method: str = "canonical",
    names: Sequence[str] = ("a", "b"),
    n: int | None = None,
    layer: str = "input",
) -> LabFigure:
    """Diagram, bar, and gamma by method.

    Args:
        table: a study of shares: a row per method (arm), seed and quantity (metric); the ends of intervals as
            '<quantity> low' and '<quantity> high'.
        title: the finding.
        method: whose shares are drawn as a diagram.
        names: what modalities a (the teacher's) and b (the student's) are called.
        n: the number of samples, for the note.
        layer: what was looked at, for the note.

    Raises:
        LabError: columns or a method that the table lacks, values that are no shares.
    """
    for column in ("arm", "metric", "seed", "value"):
        require(column in table.columns, "table", list(table.columns), f"lacks the column {column!r}")
    one_of("method", method, list(dict.fromkeys(table["arm"])))
    by = {str(name): shares_by_quantity(table, str(name)) for name in dict.fromkeys(table["arm"])}
    figure = LabFigure((10.6, 3.9))
    with style():
        left, middle, right = figure.subplots(1, 3, width_ratios=[1.15, 0.95, 0.9])
        draw_diagram(left, by[method], names=(names[0], names[1]), room=0.33)
        bars_panel(middle, by[method], (names[0], names[1]))
        _methods(right, by, method)
    figure.headline(title or f"What {names[0]} and {names[1]} share, by {METHODS.get(method, method)}")
    figure.note(_note(table, by[method], method=method, n=n, layer=layer))
    return figure


def shares_by_quantity(table: pd.DataFrame, method: str) -> Rows:
    """{quantity: {'value', 'low', 'high'}}: mean over seeds, ends that hold every seed's; NaN for none."""
    part = table[table["arm"] == method]
    values = {str(name): group["value"].to_numpy(dtype=float) for name, group in part.groupby("metric")}
    nothing = np.array([math.nan])
    return {
        name: {
            "value": float(values.get(name, nothing).mean()),
            "low": float(values.get(f"{name} low", nothing).min()),
            "high": float(values.get(f"{name} high", nothing).max()),
        }
        for name in _QUANTITIES
    }


def _methods(ax: Axes, by: dict[str, Rows], chosen: str) -> None:
    """gamma by every method, one row each, the one of the diagram in full colour."""
    known = [name for name in METHODS if name in by] + [name for name in by if name not in METHODS]
    for place, name in enumerate(known):
        gamma, mine = by[name]["gamma_union"], name == chosen
        colour = SHARED if mine else QUIET
        label = METHODS.get(name, name)
        if math.isnan(gamma["value"]):
            ax.text(0.0, place, f"{label}: undefined", fontsize=NOTE_SIZE, color=QUIET, va="center")
            continue
        if not math.isnan(gamma["low"]):
            ax.hlines(place, gamma["low"], gamma["high"], color=colour, linewidth=2.2)
        ax.plot(gamma["value"], place, marker="o", markersize=6.5, color=colour)
        ax.text(
            0.0,
            place - 0.2,
            f"{label} {gamma['value']:.0%}",
            fontsize=NOTE_SIZE,
            color=SHARED if mine else INK,
            va="bottom",
            fontweight="bold" if mine else "normal",
        )
    ax.set_xlim(-0.03, 1.03)
    ax.set_ylim(len(known) - 0.55, -0.75)
    ax.set_yticks([])
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1.0], ["0%", "25%", "50%", "75%", "100%"])
    ax.spines["left"].set_visible(False)
    ax.grid(visible=False, axis="y")
    ax.set_title("gamma, by method")


def _note(table: pd.DataFrame, rows: Rows, *, method: str, n: int | None, layer: str) -> str:
    seeds = int(table["seed"].nunique())
    words = [f"Diagram and bar: {METHODS.get(method, method)}, layer {layer}"]
    words += [f", {n:,} samples" if n else "", f", {seeds} seed{'s' if seeds > 1 else ''}."]
    words += [" Areas to scale; brackets and lines: nominal 95 % intervals of one method's sampling error."]
    if all(math.isnan(rows[name]["value"]) for name in ("synergy", "unobserved")):
        words += [" Synergy and the unobserved are not seen by this method."]
    return "".join(words)
