"""The bar beside a modality Venn diagram: all that decides the label, in the five parts that it has."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from mmkd_lab.plotting.axes import spread
from mmkd_lab.plotting.canvas import NOTE_SIZE
from mmkd_lab.plotting.palette import ALL, PAPER, QUIET, SHARED, STUDENT, TEACHER, soft

#: {quantity: {'value', 'low', 'high'}} of a table of shares.
Rows = Mapping[str, Mapping[str, float]]

#: Synergy belongs to both modalities together and has the colour of the multimodal arm.
COLOURS = {
    "alpha": TEACHER,
    "gamma": SHARED,
    "beta": STUDENT,
    "synergy": ALL,
    "unobserved": QUIET,
}
_PARTS = ("alpha", "gamma", "beta", "synergy", "unobserved")
_GAP = 8.5  # percent of the bar between two labels
#: Below half a percent a part is not drawn.
EMPTY = 5e-3


def bars_panel(ax: Axes, rows: Rows, names: tuple[str, str]) -> None:
    """One column of all that decides the label, cut into its five parts, with direct labels."""
    shares = _whole(rows)
    wording = {
        "alpha": f"only {names[0]}",
        "gamma": "both",
        "beta": f"only {names[1]}",
        "synergy": "synergy",
        "unobserved": "unobserved",
    }
    unseen = [part for part in ("synergy", "unobserved") if np.isnan(rows[part]["value"])]
    bottom, middles = 0.0, []
    for part in _PARTS:
        share = shares[part]
        hatch = {"hatch": "////", "edgecolor": PAPER} if part == "unobserved" else {"edgecolor": PAPER}
        ax.bar(0.0, share, bottom=bottom, width=0.62, color=soft(COLOURS[part]), linewidth=1.2, **hatch)  # type: ignore[arg-type]
        middles.append(100 * (bottom + share / 2))
        bottom += share
    for place, part, middle in zip(_within(spread(middles, gap=_GAP)), _PARTS, middles, strict=True):
        known = part not in unseen
        text = f"{wording[part]} {shares[part]:.0%}" if known else f"{wording[part]}: not seen by this method"
        ax.annotate(
            text,
            (0.31, middle / 100),
            xytext=(0.52, place / 100),
            va="center",
            ha="left",
            color=COLOURS[part] if known and shares[part] >= EMPTY else QUIET,
            fontsize=NOTE_SIZE + 0.5,
            fontweight="bold" if known and shares[part] >= EMPTY else "normal",
            arrowprops={
                "arrowstyle": "-",
                "color": COLOURS[part],
                "linewidth": 0.8,
                "shrinkA": 0,
                "relpos": (0.0, 0.5),
                "shrinkB": 0,
            }
            if known and shares[part] >= EMPTY
            else None,
        )
    ax.set_xlim(-0.36, 2.0)
    ax.set_ylim(-0.06, 1.06)
    ax.set_xticks([])
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1.0], ["0%", "25%", "50%", "75%", "100%"])
    ax.spines["bottom"].set_visible(False)
    ax.grid(visible=False)
    ax.set_title("all that this method sees" if "unobserved" in unseen else "all that decides the label")


def _within(places: list[float]) -> list[float]:
    """The same places, none below 1 or above 99, still a gap apart."""
    last = len(places) - 1
    return [min(max(place, 1.0 + i * _GAP), 99.0 - (last - i) * _GAP) for i, place in enumerate(places)]


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
