"""The weights of MSD's terms: how learned ones move in time, and what those by instance are per sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.text import Annotation

from mmkd_lab.core.check import one_of
from mmkd_lab.plotting import palette, tables
from mmkd_lab.plotting.axes import end_labels, part_labels
from mmkd_lab.plotting.canvas import NOTE_SIZE, LabFigure, style

BINS = 24
#: The arm whose weights by sample are drawn where none is named: given by a formula, not learned.
BY_FORMULA = "msd_instance"


def weights_figure(table: pd.DataFrame, *, title: str | None = None) -> LabFigure:
    """Learned weights over the steps, one panel per arm, one line per view, seeds faint.

    Args:
        table: arm, seed, step, view, value, as `MsdStudy.weights_over_time`.
        title: the finding.

    Raises:
        LabError: columns that are missing, or no rows (no arm learned its weights).
    """
    tables.has_columns(table, ("arm", "seed", "step", "view", "value"))
    arms, views = (list(dict.fromkeys(table[name])) for name in ("arm", "view"))
    figure = LabFigure((1.2 + 3.6 * len(arms), 3.4))
    with style():
        axes = figure.subplots(1, len(arms), squeeze=False, sharey=True)[0]
        named = []
        for ax, arm in zip(axes, arms, strict=True):
            named.append((ax, _over_time(ax, table[table["arm"] == arm], views)))
            ax.set_title(palette.style_of(str(arm))[0])
            ax.set_xlabel("training step")
        axes[0].set_ylabel("weight")
        figure.headline(title or "What the look-ahead makes of the weights")
        seeds = table["seed"].nunique()
        figure.note(f"Faint: {seeds} seed{'s' if seeds > 1 else ''}. Bold: their mean. 1 is equal weights.")
        part_labels(figure, named)
    return figure


def sample_weights_figure(
    table: pd.DataFrame,
    *,
    view: str,
    arm: str = BY_FORMULA,
    title: str | None = None,
    by: str | None = None,
    names: Sequence[str] | Mapping[int, str] = (),
) -> LabFigure:
    """How one view's weight is spread over training samples, a row for each value of a known fact.

    Args:
        table: arm, seed, sample, view, value and facts, as `MsdStudy.weights_by_sample`.
        view: whose weight.
        arm: of which arm's students; 'msd_learned' has learned ones.
        title: the finding.
        by: the column of a fact, for example 'evidence' of shapes_vl; None for one row.
        names: what its numbers mean, in order, or {number: name}.

    Raises:
        LabError: columns or rows that are missing, an unknown arm or view.
    """
    tables.has_columns(table, ("arm", "view", "value", *([by] if by else [])))
    one_of("arm", arm, list(dict.fromkeys(table["arm"])))
    table = table[table["arm"] == arm]
    one_of("view", view, list(dict.fromkeys(table["view"])))
    mine = table[table["view"] == view]
    kinds = sorted(mine[by].unique().tolist()) if by else [0]
    named = names if isinstance(names, Mapping) else dict(enumerate(names))
    top = float(mine["value"].max())
    edges = np.linspace(0.0, top if top > 0 else 1.0, BINS + 1)
    figure = LabFigure((7.2, 1.3 + 0.62 * len(kinds)))
    with style():
        ax = figure.subplots()
        colour = palette.view_colour(1 + sorted(dict.fromkeys(table["view"])).index(view))
        for y, kind in enumerate(kinds):
            values = (
                mine.loc[mine[by] == kind, "value"].to_numpy(dtype=float) if by else mine["value"].to_numpy()
            )
            share = np.histogram(values, edges)[0] / len(values)
            ax.bar(
                edges[:-1],
                -0.85 * share / share.max(),
                np.diff(edges),
                y,
                align="edge",
                color=colour,
                alpha=0.55,
            )
            ax.plot([values.mean()] * 2, [y, y - 0.85], color=palette.INK, linewidth=1.6)
            said: Any = {"xytext": (4, -2), "textcoords": "offset points", "fontsize": NOTE_SIZE, "va": "top"}
            ax.annotate(
                f"mean {values.mean():.2f}", (1.0, y - 0.8), xycoords=ax.get_yaxis_transform(), **said
            )
        ax.set_yticks([y - 0.3 for y in range(len(kinds))], [named.get(kind, str(kind)) for kind in kinds])
        ax.tick_params(axis="y", length=0)
        ax.grid(visible=False, axis="y")
        ax.spines["left"].set_visible(False)
        ax.set_ylim(len(kinds) - 0.9, -1.0)
        ax.set_xlim(0, edges[-1])
        said = tables.view_name(view, tables.fullest(list(dict.fromkeys(table["view"]))))
        ax.set_xlabel(f"weight of the term '{said}'")
        whose = "" if arm == BY_FORMULA else f", {palette.style_of(arm)[0]}"
        figure.headline(title or f"How the weight of '{said}' is spread over the samples{whose}")
        figure.note("Bars: share of the training samples, each row by itself. Black: the mean.")
    return figure


def _over_time(ax: Axes, part: pd.DataFrame, views: list[str]) -> list[Annotation]:
    ax.axhline(1.0, color=palette.QUIET, linewidth=0.8, linestyle=(0, (3, 3)))
    ends = []
    for i, view in enumerate(sorted(views)):
        colour = palette.view_colour(i + 1)
        wide = part[part["view"] == view].pivot_table(index="step", columns="seed", values="value")
        ax.plot(wide.index, wide.to_numpy(), color=colour, alpha=0.25, linewidth=0.9)
        mean = wide.mean(axis=1)
        ax.plot(mean.index, mean.to_numpy(), color=colour, linewidth=2.2)
        ends.append((tables.view_name(view, tables.fullest(views)), float(mean.iloc[-1]), colour))
    return end_labels(ax, ends, size=NOTE_SIZE)
