"""The two pictures of an explored study: its arms, and their paired differences from one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.ticker import MaxNLocator

from mmkd_lab.core.stats import Interval, mean_interval
from mmkd_lab.plotting.axes import digits_of, jitter, padded, said
from mmkd_lab.plotting.canvas import SCREEN_DPI, fit
from mmkd_lab.plotting.palette import GRID, INK, QUIET
from mmkd_lab.whatif.scene import Dot, Label, Mark, Path, Point, Scene

_WIDTH, _LEFT, _RIGHT = 430.0, 138.0, 366.0
_ROW, _POINTS = 30.0, 72.0 / SCREEN_DPI


@dataclass(frozen=True, eq=False)
class ArmRow:
    """An arm: {seed: value}; without values it is the reference, which the zero line stands for."""

    name: str
    colour: str
    seeds: Mapping[int, float]

    @property
    def interval(self) -> Interval:
        """Mean and 95 % interval over seeds."""
        return mean_interval(list(self.seeds.values()))


@dataclass(frozen=True)
class Axis:
    """What the numbers are, their unit, and whether they are differences."""

    told: str
    unit: str = ""
    zero: bool = False

    def say(self, value: float, digits: int) -> str:
        """A number with its unit."""
        unit = self.unit and f" {self.unit}"
        return f"{said(value, digits, signed=self.zero)}{unit}"


@dataclass(frozen=True, eq=False)
class _Plan:
    """Where things stand in one picture."""

    rows: Sequence[ArmRow]
    axis: Axis
    limits: tuple[float, float]
    top: float
    heights: Mapping[int, float]
    digits: int

    def x(self, value: float) -> float:
        low, high = self.limits
        return _LEFT + (_RIGHT - _LEFT) * (value - low) / (high - low)

    def y(self, row: int) -> float:
        return self.top + _ROW * (row + 0.5)

    @property
    def bottom(self) -> float:
        return self.y(len(self.rows)) - _ROW / 2

    def point(self, row: int, seed: int) -> Point:
        return self.x(self.rows[row].seeds.get(seed, 0.0)), self.y(row) + self.heights[seed]


def rows_scene(title: str, rows: Sequence[ArmRow], axis: Axis, seed: int | None = None) -> Scene:
    """One row an arm: its seeds as faint dots, equal seeds at equal heights, behind mean and interval.

    Numbers stand at the ends of rows, of differences bold where the interval excludes 0. One seed can be
    drawn strong, joined from row to row.
    """
    head = [
        Label(12, 24 + 18 * i, line, 14, INK, bold=True)
        for i, line in enumerate(fit(title, 405 / SCREEN_DPI, 14 * _POINTS, "bold").split("\n"))
    ]
    seeds = sorted({one for row in rows for one in row.seeds})
    heights = dict(zip(seeds, jitter(len(seeds), width=8.0).tolist(), strict=True))
    digits = digits_of([row.interval.mean for row in rows if row.seeds])
    plan = _Plan(rows, axis, _limits(rows, axis), 18.0 + 18.0 * len(head), heights, digits)
    marks: list[Mark] = [*head, *_frame(plan)]
    for i, row in enumerate(rows):
        marks += _row(plan, i) if row.seeds else _reference(plan, i)
    if seed in heights:
        marks += _strong(plan, seed)
    told = "; ".join(f"{row.name} {row.interval.show(signed=axis.zero)}" for row in rows if row.seeds)
    return Scene(_WIDTH, plan.bottom + 40.0, tuple(marks), f"{title}. {axis.told}: {told}.")


def _limits(rows: Sequence[ArmRow], axis: Axis) -> tuple[float, float]:
    """So far that every seed and every interval is within, and zero where it is drawn."""
    held = [0.0] if axis.zero else []
    for row in rows:
        held += row.seeds.values()
        if len(row.seeds) > 1:
            held += [row.interval.low, row.interval.high]
    return padded(held, share=0.04)


def _frame(plan: _Plan) -> list[Mark]:
    low, high = plan.limits
    marks: list[Mark] = []
    ticks = [float(at) for at in MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)]
    for at in (at for at in ticks if low <= at <= high):
        zero = plan.axis.zero and at == 0
        line = (plan.x(at), plan.top), (plan.x(at), plan.bottom)
        marks.append(Path(line, INK if zero else GRID, 1.3 if zero else 1.0))
        label = f"{at:+.6g}" if plan.axis.zero and at else f"{at:.6g}"
        marks.append(Label(plan.x(at), plan.bottom + 14, label.replace("-", "−"), 11, QUIET, "middle"))
    return [*marks, Label(_RIGHT, plan.bottom + 30, plan.axis.told, 11, QUIET, "end")]


def _name(plan: _Plan, i: int) -> list[Mark]:
    row = plan.rows[i]
    broken = fit(row.name, (_LEFT - 20) / SCREEN_DPI, 12 * _POINTS, "bold").split("\n")[:2]
    first = plan.y(i) + 4 - 7 * (len(broken) - 1)
    return [
        Label(_LEFT - 8, first + 14 * line, text, 12, row.colour, "end", bold=True)
        for line, text in enumerate(broken)
    ]


def _row(plan: _Plan, i: int) -> list[Mark]:
    row, y, found = plan.rows[i], plan.y(i), plan.rows[i].interval
    faint = max(0.14, min(0.45, 5 / len(row.seeds)))
    marks = _name(plan, i)
    for seed, value in row.seeds.items():
        told = f"{row.name}, seed {seed}: {plan.axis.say(value, plan.digits)}"
        marks.append(Dot(*plan.point(i, seed), 2.6, row.colour, faint, told=told))
    if found.n > 1:
        marks.append(Path(((plan.x(found.low), y), (plan.x(found.high), y)), row.colour, 2.6))
    told = f"{row.name}: {found.show(signed=plan.axis.zero)} ({found.n} seeds)"
    marks.append(Dot(plan.x(found.mean), y, 5.0, row.colour, told=told))
    number, bold = said(found.mean, plan.digits, signed=plan.axis.zero), plan.axis.zero and found.side != 0
    return [*marks, Label(_WIDTH - 8, y + 4, number, 12, row.colour, "end", bold)]


def _reference(plan: _Plan, i: int) -> list[Mark]:
    """The row that the zero line stands for."""
    x, y, colour = plan.x(0.0), plan.y(i), plan.rows[i].colour
    tick = Path(((x, y - 9), (x, y + 9)), colour, 3.0)
    left = x - _LEFT > _RIGHT - x  # where there is more room
    word = Label(x - 9 if left else x + 9, y + 4, "reference", 11, colour, "end" if left else "start")
    return [*_name(plan, i), tick, word]


def _strong(plan: _Plan, seed: int) -> list[Mark]:
    """One seed in every row, and the line that joins them."""
    rows = [i for i, row in enumerate(plan.rows) if seed in row.seeds or not row.seeds]
    points = [plan.point(i, seed) for i in rows]
    marks: list[Mark] = [Path(points, INK, 1.4)] if len(points) > 1 else []
    for i, point in zip(rows, points, strict=True):
        row = plan.rows[i]
        told = f"{row.name}, seed {seed}: {plan.axis.say(row.seeds.get(seed, 0.0), plan.digits)}"
        marks += [Dot(*point, 5.0, INK), Dot(*point, 3.4, row.colour, told=told)]
    return marks
