"""What figures share on their axes: limits, ticks, numbers, zero lines, names at the ends of lines."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.ticker import FuncFormatter, MaxNLocator

from mmkd_lab.plotting.canvas import NOTE_SIZE, width_of
from mmkd_lab.plotting.palette import INK, QUIET


def jitter(n: int, *, width: float) -> npt.NDArray[np.float64]:
    """(n,) offsets in [-width, width], the same every time: the golden-ratio sequence, which fills evenly."""
    if n == 1:
        return np.zeros(1)
    turns = np.modf(0.5 + np.arange(n) * 0.6180339887498949)[0]
    return np.asarray(width * (2 * turns - 1))


def spread(wanted: Sequence[float], *, gap: float) -> list[float]:
    """Positions at least `gap` apart, in the same order, as near as can be to the wanted ones.

    Least-squares with order kept: positions that collide are moved together around their common mean.
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    blocks: list[tuple[float, list[int]]] = []  # mean of (wanted - rank * gap), and members
    for rank, i in enumerate(order):
        centre, members = wanted[i] - rank * gap, [i]
        while blocks and blocks[-1][0] > centre:
            before, others = blocks.pop()
            centre = (before * len(others) + centre * len(members)) / (len(others) + len(members))
            members = others + members
        blocks.append((centre, members))
    found, rank = [0.0] * len(wanted), 0
    for centre, members in blocks:
        for i in members:
            found[i], rank = centre + rank * gap, rank + 1
    return found


def padded(values: Sequence[float], *, share: float = 0.12, least: float = 0.0) -> tuple[float, float]:
    """Axis limits around values: `share` of their range on both sides, and never a range below `least`."""
    data = np.asarray(values, dtype=float)
    low, high = float(data.min()), float(data.max())
    middle, room = low / 2 + high / 2, max(high - low, least)
    if room <= 1e-12 * abs(middle):
        room = 0.1 * abs(middle) or 1.0
    return middle - room * (0.5 + share), middle + room * (0.5 + share)


def said(value: float, digits: int = 4, *, signed: bool = False) -> str:
    """A number with its digits, or in powers of ten where it has too many; a true minus, and no sign at 0."""
    plain = value == 0 or 0.1 * 10**-digits <= abs(value) < 1e6
    text = f"{value:{'+' if signed else ''}{f'.{digits}f' if plain else '.2e'}}"
    return _typeset(text.lstrip("+-") if float(text) == 0 else text)


def _typeset(text: str) -> str:
    return re.sub(r"e([+-])0*", lambda found: "e" + found[1].strip("+"), text).replace("-", "−")


def digits_of(values: Sequence[float]) -> int:
    """So many digits that the largest of the values has three."""
    largest = max((abs(value) for value in values), default=0.0)
    return 1 if largest == 0 else min(max(2 - math.floor(math.log10(largest)), 0), 4)


def few_ticks(ax: Axes, *, inches: float = 2.4, upright: bool = False) -> None:
    """Round ticks with their full numbers, as many as have room in so many inches, six at most."""
    axis, limits = (ax.yaxis, ax.get_ylim()) if upright else (ax.xaxis, ax.get_xlim())
    for most in (6, 5, 4, 3, 2, 1):
        locator = MaxNLocator(nbins=most, steps=[1, 2, 2.5, 5, 10])
        labels = [
            _typeset(f"{at:.6g}") for at in locator.tick_values(*limits) if min(limits) <= at <= max(limits)
        ]
        if upright or sum(width_of(label, size=9.0) + 0.16 for label in labels) <= inches:
            break
    axis.set_major_formatter(FuncFormatter(lambda value, _: _typeset(f"{value:.6g}")))
    axis.set_major_locator(locator)


def zero_line(ax: Axes, *, vertical: bool, at: float = 0.0) -> None:
    """The line of no difference, dark enough to be the first thing seen."""
    draw = ax.axvline if vertical else ax.axhline
    draw(at, color=INK, linewidth=1.1, zorder=1.5)


def end_labels(ax: Axes, ends: Sequence[tuple[str, float, str]], *, size: float = 9.0) -> list[Annotation]:
    """Names at the right ends of lines: (name, height, colour). `part_labels` moves them apart."""
    place: Any = {"xycoords": ax.get_yaxis_transform(), "xytext": (4, 0), "textcoords": "offset points"}
    return [
        ax.annotate(name, (1.0, y), color=colour, fontsize=size, va="center", **place)
        for name, y, colour in ends
    ]


def part_labels(figure: Figure, panels: Sequence[tuple[Axes, Sequence[Annotation]]]) -> None:
    """Move the names at the ends of lines apart, each as near to its line as can be, within the figure."""
    figure.draw_without_rendering()  # they part in the units of the settled layout
    points = 72.0 / figure.dpi
    for ax, texts in panels:
        wanted = [float(ax.transData.transform((0.0, text.xy[1]))[1]) * points for text in texts]
        lines = max((1 + text.get_text().count("\n") for text in texts), default=1)
        gap = 1.38 * lines * float(texts[0].get_fontsize()) if texts else 0.0
        for text, at, found in zip(texts, wanted, spread(wanted, gap=gap), strict=True):
            text.xyann = (4, found - at)


def side_words(ax: Axes, words: Sequence[str], *, at: float = 0.0) -> None:
    """What lies left and right of an upright line, in words at its upper end."""
    for text, side in zip(words, ("right", "left"), strict=True):
        ax.annotate(
            text,
            (at, 1.0),
            xytext=(-4 if side == "right" else 4, -1),
            textcoords="offset points",
            xycoords=ax.get_xaxis_transform(),
            ha=side,
            va="top",
            fontsize=NOTE_SIZE,
            color=QUIET,
        )
