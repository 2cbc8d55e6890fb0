"""A study of shares: the diagram and its bar by one method, and what every method says of gamma."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from mmkd_lab.core.check import one_of
from mmkd_lab.plotting import tables
from mmkd_lab.plotting.canvas import LabFigure, style
from mmkd_lab.plotting.figures import register_figure
from mmkd_lab.plotting.intervals import Panel, Row, Values, draw_panel
from mmkd_lab.plotting.palette import QUIET, SHARED
from mmkd_lab.plotting.studies import METHODS
from mmkd_lab.plotting.venn import draw_diagram
from mmkd_lab.plotting.venn_bar import bars_panel

_QUANTITIES = ("alpha", "beta", "gamma_union", "gamma_a", "gamma_b", "synergy", "unobserved")

Rows = dict[str, dict[str, float]]


@register_figure("sharing")
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
    tables.has_columns(table, ("arm", "metric", "seed", "value"))
    present = [str(name) for name in dict.fromkeys(table["arm"])]
    one_of("method", method, present)
    by = {name: shares_by_quantity(table, name) for name in present}
    called = METHODS.get(method, method)
    figure = LabFigure((11.0, 3.9))
    with style():
        left, middle, right = figure.subplots(1, 3, width_ratios=[1.15, 0.95, 0.8])
        draw_diagram(left, by[method], names=(names[0], names[1]), room=0.31)
        bars_panel(middle, by[method], (names[0], names[1]))
        known = [
            *(name for name in METHODS if name in by),
            *(name for name in present if name not in METHODS),
        ]
        rows = [Row(name, METHODS.get(name, name), SHARED if name == method else QUIET) for name in known]
        entries = {name: _gamma(by[name]["gamma_union"]) for name in known}
        draw_panel(right, rows, Panel("", "", entries, limits=(-0.03, 1.03), digits=2))
        right.set_xlabel("γ, share that both carry")
        right.set_title("gamma, by method")
    figure.headline(title or f"What {names[0]} and {names[1]} share, by {called}")
    seeds = int(table["seed"].nunique())
    size = f"{f', {n:,} samples' if n else ''}, {seeds} seed{'s' * (seeds > 1)}"
    words = f"Diagram and bar: {called}, layer {layer}{size}."
    words += " Areas to scale; brackets and lines: nominal 95 % intervals of one method's sampling error."
    if all(math.isnan(by[method][name]["value"]) for name in ("synergy", "unobserved")):
        words += " Synergy and the unobserved are not seen by this method."
    figure.note(words)
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


def _gamma(found: dict[str, float]) -> Values | str:
    if math.isnan(found["value"]):
        return "undefined"
    return Values(np.array([found["value"]]), ends=(found["low"], found["high"]))
