"""The pictures of the repair panel: the channels, the teacher at every ratio, the student where trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from mmkd_lab.attribution import ChannelSaliency
from mmkd_lab.core.stats import mean_interval
from mmkd_lab.plotting.axes import jitter, spread
from mmkd_lab.plotting.palette import GRID, INK, QUIET, SHARED, TEACHER, style_of
from mmkd_lab.whatif.repair_bench import ARM, Bench, BySeed, Line, Numbers
from mmkd_lab.whatif.scene import Area, Dot, Label, Mark, Path, Point, Scene, lines

_WIDTH, _HEIGHT = 430.0, 340.0
_THIN = 3.5  # pixels a channel
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 326.0, 46.0, 282.0
#: What curves are called at their right end.
NAMED = {
    "general": "keep general",
    "specific": "keep specific",
    "random": "random",
    "weight": "keep large |W|",
}


def waiting(told: str) -> Scene:
    """Paper that says what is being done."""
    return Scene(_WIDTH, _HEIGHT, tuple(lines(told, 12, 24, _WIDTH - 24, size=14)), told)


def channels(saliency: ChannelSaliency, kept: npt.NDArray[np.bool_], *, title: str, note: str) -> Scene:
    """Bars and lamps from the most general channel to the least: filled where kept, hollow where removed."""
    marks: list[Mark] = [Label(12, 24, title, 14, INK, bold=True)]
    order, d = saliency.order, len(saliency)
    left, right, top, bottom = 20.0, 410.0, 50.0, 240.0
    values = saliency.values[order]
    high, low = max(float(values.max()), 0.0), min(float(values.min()), 0.0)
    scale = (bottom - top) / max(high - low, 1e-12)
    zero, step = bottom + low * scale, (right - left) / d
    gap = min(1.6, 0.3 * step)
    for i, channel in enumerate(order):
        x0, x1 = left + step * i + gap / 2, left + step * (i + 1) - gap / 2
        colour = SHARED if values[i] > 0 else TEACHER
        y = zero - float(values[i]) * scale
        for box in (_box(x0, y, x1, zero), _box(x0, 252, x1, 262)):
            marks += [Area(box, colour, 0.9)] if kept[channel] else _hollow(box, colour, thin=step < _THIN)
    marks.append(Path(((left, zero), (right, zero)), INK, 1.2))
    marks.append(Label(right, top - 4, "saliency D_i − D_0; above 0: what both know", 11, SHARED, "end"))
    marks.append(Label(left + 12, top + 8, f"{high:.2g}", 11, QUIET))
    marks.append(Label(left, 277, "most general", 11, QUIET))
    marks.append(Label(right, 277, "least general", 11, QUIET, "end"))
    marks += lines(note, 12, 300, _WIDTH - 24, size=11, colour=QUIET)
    return Scene(_WIDTH, _HEIGHT, tuple(marks), f"{title}. {note}")


def _hollow(box: Sequence[Point], colour: str, *, thin: bool) -> list[Mark]:
    """An outline; where that would fill the box, its two ends alone."""
    if not thin:
        return [Path([*box, box[0]], colour, 0.7)]
    return [Path(box[:2], colour, 0.7), Path(box[2:], colour, 0.7)]


def _box(left: float, top: float, right: float, bottom: float) -> list[Point]:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


@dataclass(frozen=True)
class Plane:
    """Removed channels across, accuracy up, from `low` to `high` percent."""

    low: float
    high: float

    @classmethod
    def around(cls, values: Sequence[float]) -> Plane:
        """An axis of whole fives that holds all these."""
        low, high = 5 * np.floor(min(values) / 5), 5 * np.ceil(max(values) / 5)
        return cls(float(max(0.0, low)), float(min(100.0, max(high, low + 10))))

    def x(self, ratio: float) -> float:
        """Pixels of a ratio."""
        return _LEFT + (_RIGHT - _LEFT) * ratio

    def y(self, accuracy: float) -> float:
        """Pixels of an accuracy."""
        inside = min(max(accuracy, self.low), self.high)
        return _BOTTOM - (_BOTTOM - _TOP) * (inside - self.low) / (self.high - self.low)

    def marks(self, title: str, now: float) -> list[Mark]:
        """Title, grid, axes, and the present ratio."""
        span = self.high - self.low
        step = next(s for s in (2.5, 5.0, 10.0, 20.0, 25.0) if span / s <= 5)
        marks: list[Mark] = [Label(12, 24, title, 14, INK, bold=True)]
        for at in np.arange(np.ceil(self.low / step) * step, self.high + 0.1, step):
            marks.append(Path(((_LEFT, self.y(at)), (_RIGHT, self.y(at))), GRID, 1.0))
            marks.append(Label(_LEFT - 6, self.y(at) + 4, f"{at:g}", 11, QUIET, "end"))
        for ratio in (0.0, 0.25, 0.5, 0.75, 1.0):
            anchor: Literal["end", "middle"] = "end" if ratio == 1.0 else "middle"
            marks.append(Label(self.x(ratio), _BOTTOM + 16, f"{100 * ratio:.0f}", 11, QUIET, anchor))
        across = (_LEFT + _RIGHT) / 2
        marks.append(Label(across, _BOTTOM + 32, "channels removed (%)", 11, QUIET, "middle"))
        marks.append(Label(_LEFT, _TOP - 8, "test accuracy (%)", 11, QUIET))
        x = self.x(now)
        return [*marks, Path(((x, _TOP), (x, _BOTTOM)), INK, 1.0)]


def teachers(
    curves: Mapping[str, Mapping[float, Numbers]],
    *,
    now: float,
    chance: float,
    title: str,
) -> Scene:
    """Teachers reduced by rankings, the first of which is the chosen one, at every ratio known."""
    frame = Plane.around([*(end for curve in curves.values() for end in _ends(curve.values())), chance])
    marks, ends = frame.marks(title, now), dict[str, tuple[float, str]]()
    y = frame.y(chance)
    marks.append(Path(((_LEFT, y), (_RIGHT, y)), QUIET, 1.0, dashed=True))
    for i, (ranking, curve) in reversed(list(enumerate(curves.items()))):
        colour = style_of(ARM[ranking])[1]
        found = {ratio: mean_interval(values) for ratio, values in sorted(curve.items())}
        if next(iter(found.values())).n > 1:
            upper = [(frame.x(r), frame.y(one.high)) for r, one in found.items()]
            lower = [(frame.x(r), frame.y(one.low)) for r, one in found.items()]
            marks.append(Area([*upper, *lower[::-1]], colour, 0.14))
        points = [(frame.x(r), frame.y(one.mean)) for r, one in found.items()]
        marks.append(Path(points, colour, 2.2 if i == 0 else 1.2))
        marks += [Dot(*point, 2.4, colour, hollow=i > 0) for point in points]
        marks += _seeds(curve[now], frame.x(now), frame, colour)
        marks.append(Dot(frame.x(now), frame.y(found[now].mean), 5.0, colour, hollow=i > 0))
        ends[NAMED[ranking]] = points[-1][1], colour
    marks += _labels({**ends, f"chance {chance:.0f} %": (y, QUIET)})
    note = "The rest of the network run again; band: 95 % interval."
    marks.append(Label(12, 332, note, 11, QUIET))
    return Scene(_WIDTH, _HEIGHT, tuple(marks), f"{title}. {note}")


def students(
    points: Mapping[str, Mapping[float, BySeed]],
    control: BySeed,
    *,
    now: float,
    line: Line | None,
    title: str,
    bench: Bench,
) -> Scene:
    """Students where they were trained, with intervals; dashed in between, and nothing beyond."""
    shown = [np.array(list(each.values())) for some in points.values() for each in some.values()]
    every = _ends([*shown, *([np.array(list(control.values()))] if control else [])])
    seeds, frame = len(bench.seeds), Plane.around(every or [0.0, 100.0])
    marks, ends = frame.marks(title, now), dict[str, tuple[float, str]]()
    if control:
        found = mean_interval(list(control.values()))
        colour, y = style_of("no_kd")[1], frame.y(found.mean)
        if found.n > 1:
            marks.append(Area(_box(_LEFT, frame.y(found.high), _RIGHT, frame.y(found.low)), colour, 0.14))
        marks.append(Path(((_LEFT, y), (_RIGHT, y)), colour, 1.6))
        marks += _seeds(np.array(list(control.values())), _RIGHT - 7, frame, colour)
        ends["no KD"] = y, colour
    for i, (ranking, some) in reversed(list(enumerate(points.items()))):
        colour, whole = style_of(ARM[ranking])[1], []
        for ratio, each in sorted(some.items()):
            values = np.array(list(each.values()))
            found, x = mean_interval(values), frame.x(ratio)
            marks += _seeds(values, x, frame, colour)
            if found.n > 1:
                marks.append(Path(((x, frame.y(found.low)), (x, frame.y(found.high))), colour, 2.2))
            full = len(values) == seeds
            told = f"{100 * ratio:.0f} % removed: {found.show()} % ({found.n} of {seeds} seeds)"
            marks.append(Dot(x, frame.y(found.mean), 4.5, colour, hollow=i > 0 or not full, told=told))
            whole += [(x, frame.y(found.mean))] if full else []
        if len(whole) > 1:
            marks.append(Path(whole, colour, 1.4, dashed=True))
        if whole:
            ends[NAMED[ranking]] = whole[-1][1], colour
    if line is not None and line.low < line.high:
        marks.append(Dot(frame.x(now), frame.y(line.value), 5.5, INK, hollow=True, told="not trained here"))
    marks += _labels(ends)
    note = "Dashed: a straight line between trained points, no result."
    note = note if any(points.values()) else "Nothing is trained yet: press 'train the student here'."
    marks.append(Label(12, 332, note, 11, QUIET))
    return Scene(_WIDTH, _HEIGHT, tuple(marks), f"{title}. {note}")


def _ends(some: Iterable[Numbers]) -> list[float]:
    """What an axis must hold: the values, and the ends of their intervals."""
    found = [(values, mean_interval(values)) for values in some]
    return [
        float(end) for values, one in found for end in (*values, *((one.low, one.high) if one.n > 1 else ()))
    ]


def _seeds(values: Numbers, x: float, frame: Plane, colour: str) -> list[Mark]:
    """Seeds as faint dots."""
    shifts = jitter(len(values), width=5.0)
    return [
        Dot(x + float(shift), frame.y(float(value)), 2.0, colour, 0.35, told=f"{value:.1f} %")
        for value, shift in zip(values, shifts, strict=True)
    ]


def _labels(ends: Mapping[str, tuple[float, str]]) -> list[Mark]:
    """Names at the right, at the height of what they name, apart from one another."""
    ordered = sorted(ends.items(), key=lambda one: one[1][0])
    places = spread([y for _, (y, _) in ordered], gap=15.0) if ordered else []
    return [
        Label(_RIGHT + 8, y + 4, name, 11, colour, bold=True)
        for (name, (_, colour)), y in zip(ordered, places, strict=True)
    ]
