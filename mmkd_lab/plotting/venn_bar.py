"""The bar beside a modality Venn diagram: all that decides the label, in the five parts that it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from mmkd_lab.plotting.axes import spread
from mmkd_lab.plotting.canvas import NOTE_SIZE
from mmkd_lab.plotting.palette import ALL, PAPER, QUIET, SHARED, STUDENT, TEACHER, soft

#: {quantity: {'value', 'low', 'high'}} of a table of shares.
Rows = Mapping[str, Mapping[str, float]]

#: The parts from bottom to top. Synergy belongs to both modalities and has the colour of the multimodal arm.
COLOURS = {"alpha": TEACHER, "gamma": SHARED, "beta": STUDENT, "synergy": ALL, "unobserved": QUIET}
_GAP = 8.5  # percent of the bar between two labels
#: Below half a percent a part is not drawn.
EMPTY = 5e-3


def wording(part: str, names: tuple[str, str]) -> str:
    """What a part is called."""
    return {"alpha": f"only {names[0]}", "gamma": "both", "beta": f"only {names[1]}"}.get(part, part)


def bars_panel(ax: Axes, rows: Rows, names: tuple[str, str]) -> None:
    """One column of all that decides the label, cut into its five parts, with direct labels."""
    shares = _whole(rows)
    unseen = [part for part in ("synergy", "unobserved") if np.isnan(rows[part]["value"])]
    tops = np.cumsum(list(shares.values()))
    for (part, share), top in zip(shares.items(), tops, strict=True):
        hatch: Any = {"hatch": "////"} if part == "unobserved" else {}
        bar: Any = {"width": 0.62, "color": soft(COLOURS[part]), "edgecolor": PAPER, "linewidth": 1.2}
        ax.bar(0.0, share, bottom=top - share, **bar, **hatch)
    middles = 100 * (tops - np.array(list(shares.values())) / 2)
    for i, (part, place) in enumerate(zip(shares, spread(middles.tolist(), gap=_GAP), strict=True)):
        inside = min(max(place, 1.0 + i * _GAP), 99.0 - (len(shares) - 1 - i) * _GAP)
        called, drawn = wording(part, names), part not in unseen and shares[part] >= EMPTY
        text = f"{called}: not seen by this method" if part in unseen else f"{called} {shares[part]:.0%}"
        look: Any = {"va": "center", "ha": "left", "fontsize": NOTE_SIZE + 0.5, "color": QUIET}
        if drawn:
            line = {"arrowstyle": "-", "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0, "relpos": (0.0, 0.5)}
            look |= {"color": COLOURS[part], "fontweight": "bold"}
            look["arrowprops"] = {**line, "color": COLOURS[part]}
        ax.annotate(text, (0.31, middles[i] / 100), xytext=(0.52, inside / 100), **look)
    ax.set(xlim=(-0.36, 2.0), ylim=(-0.06, 1.06), xticks=[])
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1.0], ["0%", "25%", "50%", "75%", "100%"])
    ax.spines["bottom"].set_visible(False)
    ax.grid(visible=False)
    ax.set_title("all that this method sees" if "unobserved" in unseen else "all that decides the label")


def _whole(rows: Rows) -> dict[str, float]:
    """Shares of all that decides the label; what the method cannot see or define counts as 0."""
    value = {name: 0.0 if np.isnan(row["value"]) else row["value"] for name, row in rows.items()}
    seen = 1.0 - value["unobserved"]
    single = seen * (1.0 - value["synergy"])
    return {
        "alpha": single * value["alpha"],
        "gamma": single * value["gamma_union"],
        "beta": single * value["beta"],
        "synergy": seen * value["synergy"],
        "unobserved": value["unobserved"],
    }
