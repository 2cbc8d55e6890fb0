"""What can be measured on a drawn figure: do words leave it, do they cover each other."""

from __future__ import annotations

from itertools import combinations

from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox


def words(figure: Figure) -> list[tuple[str, Bbox]]:
    """Every visible, non-empty text of the figure with its box in pixels, after layout."""
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    hidden = {id(text) for axis in figure.findobj(Axis) for text in _not_drawn(axis)}
    return [
        (text.get_text(), Text.get_window_extent(text, renderer))  # of an annotation without its arrow
        for text in figure.findobj(Text)
        if text.get_visible() and text.get_text().strip() and id(text) not in hidden
    ]


def _not_drawn(axis: Axis) -> list[Text]:
    """The labels of ticks outside the view or of hidden axes, which matplotlib keeps but does not draw."""
    drawn = {id(tick) for tick in axis._update_ticks()} if axis.axes.axison else set()
    ticks = [tick for tick in [*axis.majorTicks, *axis.minorTicks] if id(tick) not in drawn]
    return [label for tick in ticks for label in (tick.label1, tick.label2)]


def faults(figure: Figure, *, slack: float = 1.0) -> list[str]:
    """The texts that stick out of the figure, or cover each other, by more than `slack` pixels."""
    found, room = words(figure), figure.bbox.padded(slack)
    out = [f"{text!r} leaves the figure" for text, box in found if not _inside(box, room)]
    for (a, first), (b, second) in combinations(found, 2):
        across = min(first.x1, second.x1) - max(first.x0, second.x0)
        up = min(first.y1, second.y1) - max(first.y0, second.y0)
        if across > slack and up > slack:
            out.append(f"{a!r} covers {b!r}")
    return out


def _inside(box: Bbox, room: Bbox) -> bool:
    return bool(box.x0 >= room.x0 and box.x1 <= room.x1 and box.y0 >= room.y0 and box.y1 <= room.y1)
