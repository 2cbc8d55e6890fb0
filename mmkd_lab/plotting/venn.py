"""The modality Venn diagram to scale, and beside it the bar that has room for synergy and the unobserved.

Areas are exact: two circles can always be drawn so (matplotlib-venn). Colours are the lab's own: a, the
teacher's modality, vermilion; b, the student's, blue; what both carry, dark green. XOR-type shares get no
circles, since there is nothing a circle could stand for; the figure says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.text import Annotation

from mmkd_lab.core.check import LabError, require
from mmkd_lab.plotting.canvas import NOTE_SIZE, LabFigure, style
from mmkd_lab.plotting.palette import INK, PAPER, soft
from mmkd_lab.plotting.venn_bar import COLOURS, EMPTY, Rows, bars_panel

_NEEDED = ("quantity", "value", "low", "high", "method", "notes")
_XOR_FROM = 0.5
_HALF_WIDTH, _HALF_HEIGHT, _APART = 1.05, 1.0, 0.5  # in units of the circles' plane
_REGIONS = {"10": "alpha", "11": "gamma", "01": "beta"}


class Shares(Protocol):
    """Anything with a tidy table of shares (`mmkd_lab.shares.ModalityShares`)."""

    def to_table(self) -> pd.DataFrame:
        """One row per quantity."""
        ...


def venn_figure(
    shares: Shares | pd.DataFrame,
    *,
    names: tuple[str, str] = ("a", "b"),
    title: str | None = None,
    size: tuple[float, float] = (8.6, 4.2),
) -> LabFigure:
    """The diagram and its bar twin.

    Args:
        shares: modality shares, or their tidy table (`ModalityShares.to_table()`).
        names: what modalities a (the teacher's) and b (the student's) are called.
        title: the finding; by default gamma with its interval, or that the label is of XOR type.
        size: width and height in inches.

    Raises:
        LabError: a table without the needed columns or quantities, values that are no shares, equal names.
    """
    table = shares if isinstance(shares, pd.DataFrame) else shares.to_table()
    rows = _rows(table)
    require(len(set(names)) == 2 and all(names), "names", names, "must be two different names")
    figure = LabFigure(size)
    with style():
        left, right = figure.subplots(1, 2, width_ratios=[1.12, 1.0])
        draw_diagram(left, rows, names=names)
        bars_panel(right, rows, names)
    figure.headline(title or _finding(rows, names))
    figure.note(_reading(table, rows))
    return figure


def draw_diagram(ax: Axes, rows: Rows, *, names: tuple[str, str], room: float = 0.44) -> None:
    """The circles, or in their place why there are none; see `draw_circles`.

    `room` is the panel's share of the figure's width.
    """
    if _xor_type(rows):
        _refuse(ax, rows, names, room)
    else:
        draw_circles(ax, rows, names=names, room=room)


def draw_circles(ax: Axes, rows: Rows, *, names: tuple[str, str], room: float = 0.44) -> list[Annotation]:
    """Two circles whose regions have the areas alpha, gamma and beta (total 1), with labels beside them.

    `rows` is {quantity: {'value', 'low', 'high'}}. Returns the labels of the regions that exist.
    """
    regions, middle, height = _paint(ax, rows)
    figure = ax.get_figure(root=True)
    assert isinstance(figure, LabFigure)
    wording = {"alpha": f"only {names[0]}", "gamma": "both", "beta": f"only {names[1]}"}
    across = {"alpha": middle - _APART, "gamma": middle, "beta": middle + _APART}
    labels = []
    for part, patch in regions.items():
        anchor, above = _inside(patch), part == "gamma"
        said = figure.fit(wording[part], size=NOTE_SIZE + 1.0, weight="bold", share=0.34 * room)
        labels.append(
            ax.annotate(
                f"{said}\n{_percent(rows[_quantity(part)])}",
                anchor,
                xytext=(across[part], height if above else -height),
                ha="center",
                va="bottom" if above else "top",
                color=COLOURS[part],
                fontsize=NOTE_SIZE + 1.0,
                fontweight="bold",
                arrowprops={
                    "arrowstyle": "-",
                    "color": COLOURS[part],
                    "linewidth": 0.9,
                    "shrinkA": 1,
                    "shrinkB": 0,
                },
                zorder=5,
            )
        )
        ax.plot(*anchor, marker="o", markersize=3.2, color=COLOURS[part], zorder=6)
    return labels


def _paint(ax: Axes, rows: Rows) -> tuple[dict[str, Patch], float, float]:
    """The regions that exist, the middle across, and how far above and below it labels may begin."""
    from matplotlib_venn import venn2
    from matplotlib_venn.layout.venn2 import DefaultLayoutAlgorithm

    parts = {part: max(rows[_quantity(part)]["value"], 0.0) for part in _REGIONS.values()}
    parts = {part: value if value >= EMPTY else 0.0 for part, value in parts.items()}
    drawn = venn2(
        subsets=(parts["alpha"], parts["beta"], parts["gamma"]),
        set_labels=None,
        ax=ax,
        layout_algorithm=DefaultLayoutAlgorithm(normalize_to=1.0),
        subset_label_formatter=lambda _: "",
    )
    regions: dict[str, Patch] = {}
    for region, part in _REGIONS.items():
        patch = drawn.get_patch_by_id(region)  # None where the library drew nothing
        if patch is None:
            continue
        patch.set(facecolor=soft(COLOURS[part]), edgecolor=PAPER, linewidth=1.6, alpha=1.0)
        patch.set_gid(f"venn-{part}")
        patch.set_visible(parts[part] > 0.0)
        if parts[part] > 0.0:
            regions[part] = patch
    circles = [
        (centre, radius) for centre, radius in zip(drawn.centers, drawn.radii, strict=True) if radius > 0
    ]
    left = min(centre.x - radius for centre, radius in circles)
    right = max(centre.x + radius for centre, radius in circles)
    top = max(abs(centre.y) + radius for centre, radius in circles)
    ax.grid(visible=False)
    middle = (left + right) / 2
    ax.set_xlim(middle - _HALF_WIDTH, middle + _HALF_WIDTH)  # one scale for all figures: total area 1
    ax.set_ylim(-_HALF_HEIGHT, _HALF_HEIGHT)
    return regions, middle, top + 0.14


def _refuse(ax: Axes, rows: Rows, names: tuple[str, str], room: float) -> None:
    """In place of circles: why there are none."""
    ax.set_axis_off()
    synergy = rows["synergy"]["value"]
    undefined = np.isnan(rows["gamma_union"]["value"])
    if undefined and not synergy > 0:
        head, why = (
            "No diagram: nothing decisive",
            f"Neither {names[0]} nor {names[1]} tells about the label.",
        )
    else:
        head = "No diagram: XOR-type label"
        told = "Nothing" if undefined else "Next to nothing" if synergy > 0.995 else f"Only {1 - synergy:.0%}"
        why = (
            f"{told} of what {names[0]} and {names[1]} tell together can be told by one of them alone. "
            "Circles would show shares of that remainder as if they were the whole."
        )
    figure = ax.get_figure(root=True)
    assert isinstance(figure, LabFigure)
    broken = figure.fit(why, size=10.0, share=room)
    ax.text(
        0.0, 0.62, head, fontsize=12.0, fontweight="bold", color=COLOURS["synergy"], transform=ax.transAxes
    )
    ax.text(0.0, 0.56, broken, fontsize=10.0, color=INK, va="top", transform=ax.transAxes, linespacing=1.35)


def _rows(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    missing = [name for name in _NEEDED if name not in table.columns]
    if missing:
        raise LabError(
            "shares", list(table.columns), f"lacks the columns {missing}", "Use shares.to_table()."
        )
    found = {
        str(row["quantity"]): {key: float(row[key]) for key in ("value", "low", "high")}
        for row in table.to_dict("records")
    }
    for name in ("alpha", "beta", "gamma_union", "synergy", "unobserved"):
        if name not in found:
            raise LabError("shares", sorted(found), f"lacks the quantity {name!r}", "Use shares.to_table().")
        value = found[name]["value"]
        require(
            bool(np.isnan(value) or -1e-6 <= value <= 1 + 1e-6),
            name,
            value,
            "must be a share between 0 and 1",
        )
    trio = [found[name]["value"] for name in ("alpha", "beta", "gamma_union")]
    fine = np.isnan(trio).all() or abs(sum(trio) - 1) < 1e-5
    require(bool(fine), "alpha + beta + gamma_union", sum(trio), "must be 1, or all undefined")
    return found


def _xor_type(rows: Rows) -> bool:
    return bool(np.isnan(rows["gamma_union"]["value"]) or rows["synergy"]["value"] > _XOR_FROM)


def _inside(patch: Patch) -> tuple[float, float]:
    """The point of a region that lies deepest inside it, of a grid over its bounding box."""
    path = patch.get_path().transformed(patch.get_patch_transform())
    box = path.get_extents()
    across, up = (np.linspace(low, high, 41)[1:-1] for low, high in ((box.x0, box.x1), (box.y0, box.y1)))
    grid = np.stack(np.meshgrid(across, up), -1).reshape(-1, 2)
    within = grid[path.contains_points(grid)]
    edge = np.asarray(path.interpolated(8).vertices, dtype=float)
    if len(within) == 0:
        return float(np.mean([box.x0, box.x1])), float(np.mean([box.y0, box.y1]))
    depth = np.sqrt(((within[:, None] - edge[None]) ** 2).sum(-1)).min(1)
    best = within[int(depth.argmax())]
    return float(best[0]), float(best[1])


def _quantity(part: str) -> str:
    return "gamma_union" if part == "gamma" else part


def _percent(row: Mapping[str, float]) -> str:
    value = f"{row['value']:.0%}" if row["value"] >= 0.1 or row["value"] == 0 else f"{row['value']:.1%}"
    return value if np.isnan(row["low"]) else f"{value} [{100 * row['low']:.0f}, {100 * row['high']:.0f}]"


def _finding(rows: Rows, names: tuple[str, str]) -> str:
    synergy = rows["synergy"]["value"]
    if np.isnan(rows["gamma_union"]["value"]):
        if synergy > 0:
            return f"XOR-type: {names[0]} and {names[1]} tell about the label only together"
        return f"Neither {names[0]} nor {names[1]} tells about the label"
    if synergy > _XOR_FROM:
        return f"XOR-type: {synergy:.0%} of what {names[0]} and {names[1]} tell, they tell only together"
    return f"Of what {names[0]} or {names[1]} carries, {_percent(rows['gamma_union'])} is in both (gamma)"


def _reading(table: pd.DataFrame, rows: Rows) -> str:
    first = table.iloc[0]
    words = [f"Method: {first['method']}."]
    if not _xor_type(rows):
        empty = [name for name in ("alpha", "beta", "gamma_union") if rows[name]["value"] < EMPTY]
        words.append(
            "Areas to scale; brackets: intervals in percent."
            if np.isfinite(rows["gamma_union"]["low"])
            else "Areas to scale."
        )
        if empty:
            words.append(f"Not drawn, below 0.5%: {', '.join(empty)}.")
    if first["notes"]:
        words.append(str(first["notes"]))
    return " ".join(words)
