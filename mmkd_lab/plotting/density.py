"""The densities of outputs under full and missing modalities: whether a student says what its teacher says.

After figure 1 of Jin et al. 2021 (MSD), which shows them for both modalities, image only and text only.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from mmkd_lab.core.check import one_of, require
from mmkd_lab.plotting import palette, tables
from mmkd_lab.plotting.axes import Numbers
from mmkd_lab.plotting.canvas import NOTE_SIZE, LabFigure, style

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

    Raises `LabError`: columns or rows that are missing, an unknown arm or view, scores outside [0, 1].
    """
    tables.has_columns(scores, ("arm", "view", "score"), argument="scores")
    known, every = (tables.distinct(scores[name]) for name in ("arm", "view"))
    chosen, shown = known if arms is None else arms, every if views is None else views
    by, curves = dict(list(scores.groupby(["arm", "view"])["score"])), {}
    for which in product(chosen, shown):
        one_of("arm and view", which, by)
        curves[which] = density(by[which].to_numpy(float))
    top = max(float(curve.max()) for curve in curves.values())
    figure = LabFigure((1.0 + 2.9 * len(chosen), 3.6))
    with style():
        axes = figure.subplots(1, len(chosen), squeeze=False, sharey=True)[0]
        for ax, arm in zip(axes, chosen, strict=True):
            for i, view in enumerate(shown):
                colour, curve = palette.view_colour(i), curves[arm, view]
                named: Any = {"color": colour, "ha": "center", "va": "top", "transform": ax.transAxes}
                ax.fill_between(GRID, curve, color=colour, alpha=0.10, linewidth=0)
                ax.plot(GRID, curve, color=colour, linewidth=1.8)
                ax.text(0.5, 0.98 - 0.09 * i, tables.view_name(view, every), fontsize=NOTE_SIZE, **named)
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
