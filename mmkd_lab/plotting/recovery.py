"""Estimated gamma over declared gamma, one panel a method: on the diagonal it is right."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from mmkd_lab.core.check import require
from mmkd_lab.plotting.canvas import NOTE_SIZE, LabFigure, jitter, style
from mmkd_lab.plotting.palette import INK, QUIET, SHARED
from mmkd_lab.plotting.sharing import METHODS

_ENCODED = {"none": "Latents are columns.", "tanh": "Latents lie behind tanh of a random rotation."}


def recovery_figure(
    table: pd.DataFrame, *, title: str | None = None, samples: int | None = None, encoder: str = "none"
) -> LabFigure:
    """A panel per method; dots are worlds, the line their mean.

    Args:
        table: rows of metric 'gamma_union' by method (arm) and seed, with the declared gamma in `gamma`.
        title: the finding.
        samples: in each world, for the note.
        encoder: 'none' or 'tanh', for the note.

    Raises:
        LabError: columns or gammas that the table lacks.
    """
    for column in ("arm", "metric", "seed", "value", "gamma"):
        require(column in table.columns, "table", list(table.columns), f"lacks the column {column!r}")
    part = table[table["metric"] == "gamma_union"]
    require(len(part) > 0, "table", sorted(set(table["metric"])), "must hold rows of 'gamma_union'")
    names = [name for name in METHODS if name in set(part["arm"])]
    require(len(names) > 0, "table", sorted(set(part["arm"])), f"must hold one of {list(METHODS)}")
    figure = LabFigure((2.0 * max(len(names), 3) + 0.4, 3.5))
    with style():
        axes = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
        for ax, name in zip(axes, names, strict=True):
            _panel(ax, part[part["arm"] == name], METHODS[name])
        axes[0].set_ylabel("estimated gamma")
        figure.headline(title or "Estimated against declared gamma")
        seeds = int(part["seed"].nunique())
        size = f" of {samples:,} samples" if samples else ""
        figure.note(
            f"Dots: one world{size} each, {seeds} seed{'s' if seeds > 1 else ''} a point; line: their mean; "
            f"dashed: the declared truth. {_ENCODED.get(encoder, '')}"
        )
    return figure


def _panel(ax: Axes, part: pd.DataFrame, label: str) -> None:
    ax.plot([0, 1], [0, 1], color=QUIET, linewidth=1.1, linestyle=(0, (4, 3)))
    means = part.groupby("gamma")["value"].mean()
    for gamma, group in part.groupby("gamma"):
        x = float(str(gamma)) + jitter(len(group), width=0.025)
        ax.scatter(x, group["value"], s=15, color=SHARED, alpha=0.45, linewidths=0)
    ax.plot(means.index, means.to_numpy(), color=SHARED, linewidth=1.8)
    error = float((part["value"] - part["gamma"]).abs().mean())
    ax.set_title(label)
    high = float(means.iloc[0]) > 0.5  # the corner that is free
    ax.text(
        0.97 if high else 0.03,
        0.03 if high else 0.97,
        f"off by {error:.2f}",
        transform=ax.transAxes,
        ha="right" if high else "left",
        va="bottom" if high else "top",
        fontsize=NOTE_SIZE,
        color=INK,
    )
    ax.set_xlim(-0.06, 1.06)
    ax.set_ylim(-0.06, 1.06)
    ax.set_xticks([0, 0.5, 1.0], ["0", "0.5", "1"])
    ax.set_yticks([0, 0.5, 1.0], ["0", "0.5", "1"])
    ax.set_xlabel("declared gamma")
