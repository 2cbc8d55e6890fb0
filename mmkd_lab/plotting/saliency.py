"""Channel saliency (MFH, Algorithm 1): channels from the most to the least modality-general."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mmkd_lab.core.check import require, whole
from mmkd_lab.plotting import palette, tables
from mmkd_lab.plotting.axes import zero_line
from mmkd_lab.plotting.canvas import NOTE_SIZE, LabFigure, style


def saliency_figure(table: pd.DataFrame, *, keep: int | None = None, title: str | None = None) -> LabFigure:
    """The signed saliency of each channel by rank, and beside it by |W| where that is known.

    Args:
        table: of a `ChannelSaliency`: one row per channel with `saliency`, `rank` (from 1), perhaps
            `magnitude`.
        keep: how many of the first are kept; they have the colour of what both modalities share, the others
            that of the teacher. All are kept when None.
        title: the finding.

    Raises:
        LabError: a column that is missing, no channels, more to keep than there are.
    """
    tables.has_columns(table, ("saliency", "rank"))
    kept = len(table) if keep is None else whole("keep", keep)
    require(kept <= len(table), "keep", keep, f"must be at most {len(table)}, the number of channels")
    ranked = table.sort_values("rank")
    colours = np.where(ranked["rank"] <= kept, palette.SHARED, palette.TEACHER)
    panels = 2 if "magnitude" in table.columns else 1
    figure = LabFigure((4.6 * panels, 3.6))
    with style():
        axes = figure.subplots(1, panels, squeeze=False)[0]
        axes[0].bar(ranked["rank"], ranked["saliency"], color=colours, width=0.8)
        zero_line(axes[0], vertical=False)
        axes[0].set_xlabel("channel, by rank")
        axes[0].set_ylabel("saliency, D − D₀ (squared logits)")
        if panels == 2:
            axes[1].scatter(ranked["magnitude"], ranked["saliency"], s=18, color=colours, linewidths=0)
            zero_line(axes[1], vertical=False)
            axes[1].set_xlabel("weight of the channel in the head, |W|")
        named = ((f"{kept} kept", palette.SHARED), (f"{len(table) - kept} removed", palette.TEACHER))
        said: Any = {"fontsize": NOTE_SIZE + 1, "ha": "right", "transform": axes[0].transAxes}
        for i, (text, colour) in enumerate(named if kept < len(table) else ()):
            axes[0].text(0.97, 0.93 - 0.09 * i, text, color=colour, **said)
        below = int((ranked["saliency"] < 0).sum())
        figure.headline(title or "Channels of the teacher, by what they share with the student")
        figure.note(
            f"{len(table)} channels, {below} below 0: permuting one of those over the samples brings the "
            "teacher closer to the student."
        )
    return figure
