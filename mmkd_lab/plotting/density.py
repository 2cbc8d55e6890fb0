"""The densities of outputs under full and missing modalities: whether a student says what its teacher says.

After figure 1 of Jin et al. 2021 (MSD), which shows them for both modalities, image only and text only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes

from mmkd_lab.core.check import one_of, require
from mmkd_lab.plotting import palette, tables
from mmkd_lab.plotting.canvas import NOTE_SIZE, LabFigure, style

Numbers = npt.NDArray[np.float64]

#: Smoothing, in probability, and where the density is drawn.
BANDWIDTH = 0.03
GRID = np.linspace(0.0, 1.0, 201)


def density_figure(
    scores: pd.DataFrame,
    *,
    title: str | None = None,
    arms: Sequence[str] | None = None,
    views: Sequence[str] | None = None,
    label: str = "probability of the second class",
) -> LabFigure:
    """One panel per network, one density per view.

    Args:
        scores: arm, view, score: one number in [0, 1] per sample (and seed), as `MsdStudy.scores` gives them.
        title: the finding.
        arms: which, in this order; 'teacher' is one. By default all of the table.
        views: which, the full input first.
        label: what the score is.

    Raises:
        LabError: columns or rows that are missing, an unknown arm or view, scores outside [0, 1].
    """
    tables.has_columns(scores, ("arm", "view", "score"), argument="scores")
    known = {name: [str(one) for one in dict.fromkeys(scores[name])] for name in ("arm", "view")}
    chosen = known["arm"] if arms is None else [str(arm) for arm in arms]
    shown = known["view"] if views is None else [str(view) for view in views]
    for arm in chosen:
        one_of("arm", arm, known["arm"])
    for view in shown:
        one_of("view", view, known["view"])
    figure = LabFigure((1.0 + 2.9 * len(chosen), 3.6))
    with style():
        axes = figure.subplots(1, len(chosen), squeeze=False, sharey=True)[0]
        curves = {
            (a, v): density(scores.loc[(scores["arm"] == a) & (scores["view"] == v), "score"].to_numpy(float))
            for a in chosen
            for v in shown
        }
        top = max(float(curve.max()) for curve in curves.values())
        for ax, arm in zip(axes, chosen, strict=True):
            _panel(ax, {view: curves[arm, view] for view in shown}, top, tables.fullest(known["view"]))
            ax.set_title(palette.style_of(arm)[0])
            ax.set_xlabel(label, fontsize=NOTE_SIZE)
        axes[0].set_ylabel("density")
        figure.headline(title or "What they say under full and missing modalities")
        figure.note(f"Gaussian kernel of width {BANDWIDTH}, reflected at 0 and 1; test samples of all seeds.")
    return figure


def density(values: Numbers) -> Numbers:
    """A smooth density on `GRID` of numbers in [0, 1], whose integral is 1.

    What a kernel would put outside the interval is reflected into it. Raises `LabError` for no value, or one
    outside.
    """
    data = np.asarray(values, dtype=float)
    require(data.size > 0, "values", "none", "must hold at least one number")
    inside = bool(np.isfinite(data).all() and data.min() >= 0 and data.max() <= 1)
    require(inside, "values", f"{data.min():g} to {data.max():g}", "must lie between 0 and 1")
    fine = 2000
    counts = np.bincount(np.minimum((data * fine).astype(int), fine - 1), minlength=fine) / data.size
    centres = (np.arange(fine) + 0.5) / fine
    found = np.zeros_like(GRID)
    for image in (centres, -centres, 2 - centres):
        found += np.exp(-0.5 * ((GRID[:, None] - image) / BANDWIDTH) ** 2) @ counts
    return np.asarray(found / (BANDWIDTH * np.sqrt(2 * np.pi)))


def _panel(ax: Axes, curves: dict[str, Numbers], top: float, full: str) -> None:
    named: Any = {"ha": "center", "va": "top", "fontsize": NOTE_SIZE, "transform": ax.transAxes}
    for i, (view, curve) in enumerate(curves.items()):
        colour = palette.view_colour(i)
        ax.fill_between(GRID, curve, color=colour, alpha=0.10, linewidth=0)
        ax.plot(GRID, curve, color=colour, linewidth=1.8)
        ax.text(0.5, 0.98 - 0.09 * i, tables.view_name(view, full), color=colour, **named)
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1.08 * top)
