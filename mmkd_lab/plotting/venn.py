"""The modality Venn diagram to scale, and beside it the bar that has room for synergy and the unobserved.

Areas are exact: two circles can always be drawn so (matplotlib-venn). XOR-type shares get no circles, since
there is nothing a circle could stand for; the figure says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from mmkd_lab.core.check import require
from mmkd_lab.plotting.axes import spread
from mmkd_lab.plotting.canvas import NOTE_SIZE, LabFigure, fit, style
from mmkd_lab.plotting.palette import ALL, INK, PAPER, QUIET, SHARED, STUDENT, TEACHER, soft
from mmkd_lab.plotting.tables import has_columns

#: {quantity: {'value', 'low', 'high'}} of a table of shares.
Rows = Mapping[str, Mapping[str, float]]

#: The parts from bottom to top. Synergy belongs to both modalities and has the colour of the multimodal arm.
COLOURS = {"alpha": TEACHER, "gamma": SHARED, "beta": STUDENT, "synergy": ALL, "unobserved": QUIET}
_GAP = 8.5  # percent of the bar between two labels
#: Below half a percent a part is not drawn.
EMPTY = 5e-3

_NEEDED = ("quantity", "value", "low", "high", "method", "notes")
_XOR_FROM = 0.5
_SIZE = (8.6, 4.2)
_HALF_WIDTH, _HALF_HEIGHT, _APART = 1.05, 1.0, 0.5  # in units of the circles' plane
#: part -> its quantity, and its region of the diagram.
_PARTS = {"alpha": ("alpha", "10"), "gamma": ("gamma_union", "11"), "beta": ("beta", "01")}
_TRIO = [quantity for quantity, _ in _PARTS.values()]


class Shares(Protocol):
    """Anything with a tidy table of shares (`mmkd_lab.shares.ModalityShares`)."""

    def to_table(self) -> pd.DataFrame:
        """One row per quantity."""
        ...


def venn_figure(
    shares: Shares | pd.DataFrame, *, names: tuple[str, str] = ("a", "b"), title: str | None = None
) -> LabFigure:
    """The diagram and its bar twin.

    Args:
        shares: modality shares, or their tidy table (`ModalityShares.to_table()`).
        names: what modalities a (the teacher's) and b (the student's) are called.
        title: the finding; by default gamma with its interval, or that the label is of XOR type.

    Raises `LabError`: a table without the needed columns or quantities, values that are no shares, equal
    names.
    """
    table = shares if isinstance(shares, pd.DataFrame) else shares.to_table()
    rows = _rows(table)
    require(len(set(names)) == 2 and all(names), "names", names, "must be two different names")
    figure = LabFigure(_SIZE)
    with style():
        left, right = figure.subplots(1, 2, width_ratios=[1.12, 1.0])
        draw_diagram(left, rows, names=names, inches=0.44 * _SIZE[0])
        bars_panel(right, rows, names)
    figure.headline(title or _finding(rows, names))
    figure.note(_reading(table, rows))
    return figure


def draw_diagram(ax: Axes, rows: Rows, *, names: tuple[str, str], inches: float) -> None:
    """Two circles whose regions have the areas alpha, gamma and beta (total 1), with labels beside them.

    In their place, for XOR-type shares, why there are none. `inches` is the panel's width.
    """
    if _xor_type(rows):
        _refuse(ax, rows, names, inches)
        return
    regions, middle, height = _paint(ax, rows)
    across = {"alpha": middle - _APART, "gamma": middle, "beta": middle + _APART}
    look: Any = {"ha": "center", "fontsize": NOTE_SIZE + 1.0, "fontweight": "bold", "zorder": 5}
    line = {"arrowstyle": "-", "linewidth": 0.9, "shrinkA": 1, "shrinkB": 0}
    for part, patch in regions.items():
        anchor, colour = _inside(patch), COLOURS[part]
        said = fit(wording(part, names), 0.34 * inches, NOTE_SIZE + 1.0, "bold")
        up, va = (height, "bottom") if part == "gamma" else (-height, "top")
        look |= {
            "xytext": (across[part], up),
            "va": va,
            "color": colour,
            "arrowprops": {**line, "color": colour},
        }
        ax.annotate(f"{said}\n{_percent(rows[_PARTS[part][0]])}", anchor, **look)
        ax.plot(*anchor, marker="o", markersize=3.2, color=colour, zorder=6)


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


def _paint(ax: Axes, rows: Rows) -> tuple[dict[str, Patch], float, float]:
    """The regions that exist, the middle across, and how far above and below it labels may begin."""
    from matplotlib_venn import venn2
    from matplotlib_venn.layout.venn2 import DefaultLayoutAlgorithm

    values = {part: rows[quantity]["value"] for part, (quantity, _) in _PARTS.items()}
    values = {part: value if value >= EMPTY else 0.0 for part, value in values.items()}
    drawn = venn2(
        subsets=(values["alpha"], values["beta"], values["gamma"]),
        set_labels=None,
        ax=ax,
        layout_algorithm=DefaultLayoutAlgorithm(normalize_to=1.0),
        subset_label_formatter=lambda _: "",
    )
    regions: dict[str, Patch] = {}
    for part, (_, region) in _PARTS.items():
        patch = drawn.get_patch_by_id(region)  # None where the library drew nothing
        if patch is not None:
            patch.set(facecolor=soft(COLOURS[part]), edgecolor=PAPER, linewidth=1.6, alpha=1.0)
            patch.set(gid=f"venn-{part}", visible=values[part] > 0.0)
        if values[part] > 0.0:
            regions[part] = patch
    circles = [one for one in zip(drawn.centers, drawn.radii, strict=True) if one[1] > 0]
    left = min(centre.x - radius for centre, radius in circles)
    right = max(centre.x + radius for centre, radius in circles)
    top = max(abs(centre.y) + radius for centre, radius in circles)
    middle = (left + right) / 2
    ax.grid(visible=False)
    ax.set_xlim(middle - _HALF_WIDTH, middle + _HALF_WIDTH)  # one scale for all figures: total area 1
    ax.set_ylim(-_HALF_HEIGHT, _HALF_HEIGHT)
    return regions, middle, top + 0.14


def _refuse(ax: Axes, rows: Rows, names: tuple[str, str], inches: float) -> None:
    """In place of circles: why there are none."""
    ax.set_axis_off()
    synergy, undefined = rows["synergy"]["value"], np.isnan(rows["gamma_union"]["value"])
    if undefined and not synergy > 0:
        head = "No diagram: nothing decisive"
        why = f"Neither {names[0]} nor {names[1]} tells about the label."
    else:
        head = "No diagram: XOR-type label"
        told = "Nothing" if undefined else "Next to nothing" if synergy > 0.995 else f"Only {1 - synergy:.0%}"
        why = f"{told} of what {names[0]} and {names[1]} tell together can be told by one of them alone. "
        why += "Circles would show shares of that remainder as if they were the whole."
    bold: Any = {"fontsize": 12.0, "fontweight": "bold", "color": COLOURS["synergy"]}
    ax.text(0.0, 0.62, head, transform=ax.transAxes, **bold)
    plain: Any = {"fontsize": 10.0, "color": INK, "va": "top", "linespacing": 1.35}
    ax.text(0.0, 0.56, fit(why, inches, 10.0), transform=ax.transAxes, **plain)


def _rows(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    has_columns(table, _NEEDED, argument="shares")
    found = {
        str(row["quantity"]): {key: float(row[key]) for key in ("value", "low", "high")}
        for row in table.to_dict("records")
    }
    for name in (*_TRIO, "synergy", "unobserved"):
        way_out = "Use shares.to_table()."
        require(name in found, "shares", sorted(found), f"lacks the quantity {name!r}", way_out)
        value = found[name]["value"]
        share = bool(np.isnan(value) or -1e-6 <= value <= 1 + 1e-6)
        require(share, name, value, "must be a share between 0 and 1")
    trio = [found[name]["value"] for name in _TRIO]
    fine = bool(np.isnan(trio).all() or abs(sum(trio) - 1) < 1e-5)
    require(fine, "alpha + beta + gamma_union", sum(trio), "must be 1, or all undefined")
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
    if len(within) == 0:
        return float(np.mean([box.x0, box.x1])), float(np.mean([box.y0, box.y1]))
    edge = np.asarray(path.interpolated(8).vertices, dtype=float)
    depth = np.sqrt(((within[:, None] - edge[None]) ** 2).sum(-1)).min(1)
    x, y = within[int(depth.argmax())].tolist()
    return x, y


def _percent(row: Mapping[str, float]) -> str:
    value = f"{row['value']:.0%}" if row["value"] >= 0.1 or row["value"] == 0 else f"{row['value']:.1%}"
    return value if np.isnan(row["low"]) else f"{value} [{100 * row['low']:.0f}, {100 * row['high']:.0f}]"


def _finding(rows: Rows, names: tuple[str, str]) -> str:
    (a, b), synergy = names, rows["synergy"]["value"]
    if np.isnan(rows["gamma_union"]["value"]):
        if synergy > 0:
            return f"XOR-type: {a} and {b} tell about the label only together"
        return f"Neither {a} nor {b} tells about the label"
    if synergy > _XOR_FROM:
        return f"XOR-type: {synergy:.0%} of what {a} and {b} tell, they tell only together"
    return f"Of what {a} or {b} carries, {_percent(rows['gamma_union'])} is in both (gamma)"


def _reading(table: pd.DataFrame, rows: Rows) -> str:
    first = table.iloc[0]
    words = [f"Method: {first['method']}."]
    if not _xor_type(rows):
        known = np.isfinite(rows["gamma_union"]["low"])
        words.append(f"Areas to scale{'; brackets: intervals in percent' if known else ''}.")
        if empty := [name for name in ("alpha", "beta", "gamma_union") if rows[name]["value"] < EMPTY]:
            words.append(f"Not drawn, below 0.5%: {', '.join(empty)}.")
    return " ".join([*words, str(first["notes"] or "")]).rstrip()


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
