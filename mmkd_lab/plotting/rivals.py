"""Rival hypotheses side by side: each one's number against what the teacher was worth, one mark a run."""

from __future__ import annotations

from typing import Any

import pandas as pd

from mmkd_lab.core.check import one_of, require
from mmkd_lab.plotting import palette
from mmkd_lab.plotting.canvas import NOTE_SIZE, LabFigure, style, zero_line

_LABELS = {
    "gamma": "γ, share of what the teacher says",
    "non_target_divergence": "non-target divergence (nats)",
    "information_margin": "I(H1;H2) − I(H2;Y) (nats)",
    "teacher_accuracy": "teacher accuracy (%)",
    "teacher_entropy": "teacher entropy (nats)",
    "cka": "linear CKA",
}
_COLUMNS = 3
MARGIN = " Right of its upright line I(H1;H2) − I(H2;Y) foretells a gain, left of it a loss."


def rivals_figure(table: pd.DataFrame, *, title: str | None = None, loss: str = "ce + kd") -> LabFigure:
    """A panel per rival: its number across, the gain in test accuracy up, a colour and a mark for each arm.

    Args:
        table: a rivals' study's table, with the columns `ratio`, `loss` and `draw`.
        title: the finding.
        loss: whose gains.

    Raises `LabError` for columns, a loss or gains that the table lacks.
    """
    for column in ("metric", "arm", "seed", "ratio", "loss", "draw", "value"):
        require(column in table.columns, "table", list(table.columns), f"lacks the column {column!r}")
    one_of("loss", loss, list(dict.fromkeys(table["loss"])))
    part = table[table["loss"] == loss]
    part = part.assign(ratio=part["ratio"].fillna(-1.0))  # a key that is NaN equals no other
    keys = ["arm", "seed", "ratio", "draw"]
    names = [str(name) for name in dict.fromkeys(part["metric"]) if name != "gain"]
    require("gain" in set(part["metric"]), "table", names, "lacks the gains")
    require(len(names) > 0, "table", "gains alone", "must hold at least one rival")
    gains = part[part["metric"] == "gain"].set_index(keys)["value"]
    rows = -(-len(names) // _COLUMNS)
    figure = LabFigure((9.6, 2.4 * rows + 1.2))
    arms = [arm for arm in (*palette.ARMS, *palette.REPAIRS) if arm in set(part["arm"])]
    with style():
        axes = figure.subplots(rows, min(_COLUMNS, len(names)), sharey=True, squeeze=False).flatten()
        for ax in axes[len(names) :]:
            ax.set_visible(False)
        for i, (ax, name) in enumerate(zip(axes, names, strict=False)):
            numbers = part[part["metric"] == name].set_index(keys)["value"].rename("x")
            seen = numbers.to_frame().join(gains.rename("y")).reset_index()
            for arm in arms:
                mine, look = seen[seen["arm"] == arm], palette.look(arm)
                mark: Any = {"marker": look.mark, "s": 26, "alpha": 0.65, "linewidths": 0}
                ax.scatter(mine["x"], mine["y"], color=look.colour, label=look.label, **mark)
            zero_line(ax, vertical=False)
            if name == "information_margin":  # the one rival that foretells the sign
                zero_line(ax, vertical=True)
            ax.set_xlabel(_LABELS.get(name, name))
            if i % _COLUMNS == 0:
                ax.set_ylabel("gain (points)")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize=NOTE_SIZE)
        figure.headline(title or "Rival hypotheses on the same runs")
        seeds = part["seed"].nunique()
        figure.note(
            f"One mark a run ({len(gains)}), {seeds} seed{'s' if seeds > 1 else ''}; gain over no KD, {loss}."
            f"{MARGIN if 'information_margin' in names else ''}"
        )
    return figure
