"""Figures by view: the densities of outputs, and the weights of MSD's terms over time and samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.text import Annotation

from mmkd_lab.core.check import one_of, require
from mmkd_lab.plotting import palette, tables
from mmkd_lab.plotting.axes import Numbers, beside, end_labels, part_labels
from mmkd_lab.plotting.canvas import NOTE_SIZE, LabFigure, style

#: Smoothing, in probability, and where the density is drawn.
BANDWIDTH = 0.03
GRID = np.linspace(0.0, 1.0, 201)
BINS = 24
#: The arm whose weights by sample are drawn where none is named: given by a formula, not learned.
BY_FORMULA = "msd_instance"


def density_figure(
    scores: pd.DataFrame, *, title: str | None = None, label: str = "probability of the second class"
) -> LabFigure:
    """Whether a student says what its teacher does: one panel per network, one density of outputs per view.

    After figure 1 of Jin et al. 2021 (MSD), which has both modalities, image only and text only.

    Args:
        scores: arm ('teacher' is one), view (the full input first), score: one number in [0, 1] per sample
            (and seed), as `MsdStudy.scores` gives them.
        label: what the score is.

    Raises `LabError`: columns or rows that are missing, scores outside [0, 1].
    """
    tables.has_columns(scores, ("arm", "view", "score"), argument="scores")
    arms, views = (tables.distinct(scores[name]) for name in ("arm", "view"))
    groups = scores.groupby(["arm", "view"])["score"]
    curves = {which: density(values.to_numpy(float)) for which, values in groups}
    top = max(float(curve.max()) for curve in curves.values())
    figure = LabFigure((1.0 + 2.9 * len(arms), 3.6))
    with style():
        axes = figure.subplots(1, len(arms), squeeze=False, sharey=True)[0]
        for ax, arm in zip(axes, arms, strict=True):
            for i, view in enumerate(views):
                colour, curve = palette.view_colour(i), curves.get((arm, view))
                if curve is None:
                    continue
                named: Any = {"color": colour, "ha": "center", "va": "top", "transform": ax.transAxes}
                ax.fill_between(GRID, curve, color=colour, alpha=0.10, linewidth=0)
                ax.plot(GRID, curve, color=colour, linewidth=1.8)
                ax.text(0.5, 0.98 - 0.09 * i, tables.view_name(view, views), fontsize=NOTE_SIZE, **named)
            ax.set(xlim=(0, 1), ylim=(0, 1.08 * top), title=palette.style_of(arm)[0])
            ax.set_xlabel(label, fontsize=NOTE_SIZE)
        axes[0].set_ylabel("density")
        figure.headline(title or "What they say under full and missing modalities")
        figure.note(f"Gaussian kernel of width {BANDWIDTH}, reflected at 0 and 1; test samples of all seeds.")
    return figure


def density(values: Numbers) -> Numbers:
    """A smooth density on `GRID` of numbers in [0, 1], of integral 1, reflected at both ends.

    Raises `LabError` for a value outside.
    """
    inside = bool(((values >= 0) & (values <= 1)).all())
    require(inside, "values", f"{values.min():g} to {values.max():g}", "must lie between 0 and 1")
    fine = 2000
    counts = np.bincount(np.minimum((values * fine).astype(int), fine - 1), minlength=fine) / values.size
    centres, found = (np.arange(fine) + 0.5) / fine, np.zeros_like(GRID)
    for image in (centres, -centres, 2 - centres):
        found += np.exp(-0.5 * ((GRID[:, None] - image) / BANDWIDTH) ** 2) @ counts
    return np.asarray(found / (BANDWIDTH * np.sqrt(2 * np.pi)))


def weights_figure(table: pd.DataFrame, *, title: str | None = None) -> LabFigure:
    """Learned weights over the steps, one panel per arm, one line per view, seeds faint.

    Args:
        table: arm, seed, step, view, value, as `MsdStudy.weights_over_time`.

    Raises `LabError`: columns that are missing, or no rows (no arm learned its weights).
    """
    tables.has_columns(table, ("arm", "seed", "step", "view", "value"))
    arms, views = tables.distinct(table["arm"]), sorted(tables.distinct(table["view"]))
    figure = LabFigure((1.2 + 3.6 * len(arms), 3.4))
    with style():
        axes = figure.subplots(1, len(arms), squeeze=False, sharey=True)[0]
        named = []
        for ax, arm in zip(axes, arms, strict=True):
            named.append((ax, _over_time(ax, table[table["arm"] == arm], views)))
            ax.set(title=palette.style_of(arm)[0], xlabel="training step")
        axes[0].set_ylabel("weight")
        figure.headline(title or "What the look-ahead makes of the weights")
        seeds = table["seed"].nunique()
        figure.note(f"Faint: {seeds} seed{'s' if seeds > 1 else ''}. Bold: their mean. 1 is equal weights.")
        part_labels(figure, named)
    return figure


def _over_time(ax: Axes, part: pd.DataFrame, views: list[str]) -> list[Annotation]:
    ax.axhline(1.0, color=palette.QUIET, linewidth=0.8, linestyle=(0, (3, 3)))
    ends = []
    for i, view in enumerate(views):
        colour = palette.view_colour(i + 1)
        wide = part[part["view"] == view].pivot_table(index="step", columns="seed", values="value")
        mean = wide.mean(axis=1)
        ax.plot(wide.index, wide.to_numpy(), color=colour, alpha=0.25, linewidth=0.9)
        ax.plot(mean.index, mean.to_numpy(), color=colour, linewidth=2.2)
        ends.append((tables.view_name(view, views), float(mean.iloc[-1]), colour))
    return end_labels(ax, ends, size=NOTE_SIZE)


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
        by: the column of a fact, for example 'evidence' of shapes_vl; None for one row.
        names: what its numbers mean, in order, or {number: name}.

    Raises `LabError`: columns or rows that are missing, an unknown arm or view.
    """
    tables.has_columns(table, ("arm", "view", "value", *([by] if by else [])))
    one_of("arm", arm, tables.distinct(table["arm"]))
    table = table[table["arm"] == arm]
    views = sorted(tables.distinct(table["view"]))
    one_of("view", view, views)
    mine = table[table["view"] == view]
    groups: Any = mine.groupby(by or "view")["value"]
    named = names if isinstance(names, Mapping) else dict(enumerate(names))
    top = float(mine["value"].max())
    edges = np.linspace(0.0, top if top > 0 else 1.0, BINS + 1)
    figure = LabFigure((7.2, 1.3 + 0.62 * len(groups)))
    with style():
        ax = figure.subplots()
        said: Any = {"xycoords": ax.get_yaxis_transform(), "fontsize": NOTE_SIZE, "va": "top"}
        colour = palette.view_colour(1 + views.index(view))
        for y, (_, values) in enumerate(groups):
            share = np.histogram(values, edges)[0] / len(values)
            tall = -0.85 * share / share.max()
            ax.bar(edges[:-1], tall, np.diff(edges), y, align="edge", color=colour, alpha=0.55)
            ax.plot([values.mean()] * 2, [y, y - 0.85], color=palette.INK, linewidth=1.6)
            beside(ax, f"mean {values.mean():.2f}", (1.0, y - 0.8), (4, -2), **said)
        labels = [named.get(kind if by else 0, str(kind)) for kind, _ in groups]
        ax.set_yticks(np.arange(len(groups)) - 0.3, labels)
        ax.tick_params(axis="y", length=0)
        ax.grid(visible=False, axis="y")
        ax.spines["left"].set_visible(False)
        called = tables.view_name(view, views)
        whose = "" if arm == BY_FORMULA else f", {palette.style_of(arm)[0]}"
        ax.set(xlim=(0, edges[-1]), ylim=(len(groups) - 0.9, -1.0), xlabel=f"weight of the term '{called}'")
        figure.headline(title or f"How the weight of '{called}' is spread over the samples{whose}")
        figure.note("Bars: share of the training samples, each row by itself. Black: the mean.")
    return figure
