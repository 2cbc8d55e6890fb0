"""The three pictures of the world panel: the diagram to scale, the students, the map of gains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mmkd_lab.core.stats import Interval, mean_interval
from mmkd_lab.data.datasets.gaussian import World
from mmkd_lab.plotting.axes import jitter
from mmkd_lab.plotting.palette import AGAINST, FOR, GRID, INK, QUIET, SHARED, STUDENT, TEACHER, style_of
from mmkd_lab.whatif.scene import Area, Dot, Label, Mark, Path, Point, Scene

if TYPE_CHECKING:
    from mmkd_lab.whatif.world_train import Truth

_WIDTH, _HEIGHT = 430.0, 340.0
_FROM, _TO = 50.0, 100.0  # percent: the axis never moves, so that what moves is the network
_LEFT, _RIGHT = 120.0, 410.0
#: What a teacher sees: the view of the world, and its name.
_SEEN = {"other": ("a", "a"), "both": ("ab", "a + b"), "shared": ("shared", "γ")}
_VERDICT = {1: " helps", 0: ": no effect shown", -1: " hurts"}


def diagram(world: World) -> Scene:
    """Two circles whose areas are what a and b know, and a bar with room for what neither sees."""
    shares = world.alpha, world.gamma_union, world.beta
    title = f"Of what a or b knows, both know {world.gamma_union:.0%} (γ)"
    marks: list[Mark] = [Label(12, 24, title, 14, INK, bold=True)]
    marks += _circles(shares)
    marks += _bar(world)
    told = ", ".join(
        f"{name} {part:.0%}" for name, part in zip(("only a", "both", "only b"), shares, strict=True)
    )
    return Scene(
        _WIDTH, _HEIGHT, tuple(marks), f"Venn diagram to scale: {told}; unobserved {world.unobserved:.0%}."
    )


def _circles(shares: tuple[float, float, float]) -> list[Mark]:
    from matplotlib_venn.layout.venn2 import DefaultLayoutAlgorithm

    alpha, gamma, beta = shares
    found = DefaultLayoutAlgorithm(normalize_to=1.0)((alpha, beta, gamma))
    scale, middle, height = 152.0, _WIDTH / 2, 148.0
    (left, right), radii = found.centers, [radius * scale for radius in found.radii]
    shift = (
        (left.x - found.radii[0] + right.x + found.radii[1]) / 2 if alpha + gamma and beta + gamma else 0.0
    )
    centres = [(middle + (centre.x - shift) * scale, height) for centre in (left, right)]
    marks: list[Mark] = []
    if alpha + gamma > 0:
        marks.append(Area(_arc(centres[0], radii[0], 0, 2 * np.pi), TEACHER, 0.62))
    if beta + gamma > 0:
        marks.append(Area(_arc(centres[1], radii[1], 0, 2 * np.pi), "#FFFFFF"))
        marks.append(Area(_arc(centres[1], radii[1], 0, 2 * np.pi), STUDENT, 0.62))
    if gamma > 0:
        lens = _lens(centres, radii)
        marks += [Area(lens, "#FFFFFF"), Area(lens, SHARED, 0.75)]
    rows = (
        ("only a", alpha, TEACHER, 70.0),
        ("both", gamma, SHARED, middle),
        ("only b", beta, STUDENT, 360.0),
    )
    for name, share, colour, x in rows:
        marks.append(Label(x, 250, f"{name} {share:.0%}", 13, colour, "middle", bold=True))
    return marks


def _arc(centre: Point, radius: float, start: float, end: float) -> list[Point]:
    angles = np.linspace(start, end, 72)
    return [(centre[0] + radius * float(np.cos(t)), centre[1] + radius * float(np.sin(t))) for t in angles]


def _lens(centres: Sequence[Point], radii: Sequence[float]) -> list[Point]:
    """What two circles on one height have in common."""
    (x0, _), (x1, _) = centres
    r0, r1 = radii
    apart = x1 - x0
    if apart <= abs(r0 - r1) + 1e-9:  # one lies inside the other
        inner = 0 if r0 <= r1 else 1
        return _arc(centres[inner], radii[inner], 0, 2 * np.pi)
    half0 = float(np.arccos(np.clip((apart**2 + r0**2 - r1**2) / (2 * apart * r0), -1, 1)))
    half1 = float(np.arccos(np.clip((apart**2 + r1**2 - r0**2) / (2 * apart * r1), -1, 1)))
    return _arc(centres[0], r0, -half0, half0) + _arc(centres[1], r1, np.pi - half1, np.pi + half1)


def _bar(world: World) -> list[Mark]:
    seen = 1.0 - world.unobserved
    parts = (
        (world.alpha * seen, TEACHER, 0.62),
        (world.gamma_union * seen, SHARED, 0.75),
        (world.beta * seen, STUDENT, 0.62),
    )
    x, width, top, bottom = 20.0, _WIDTH - 40.0, 286.0, 306.0
    marks: list[Mark] = [Label(x, 278, "all that decides the label: in a, in both, in b", 11, QUIET)]
    for share, colour, opacity in parts:
        marks.append(Area(_box(x, top, x + width * share, bottom), colour, opacity))
        x += width * share
    if world.unobserved > 0:
        end = 20.0 + width
        marks.append(Area(_box(x, top, end, bottom), QUIET, 0.25))
        ticks = np.arange(x + 6, end - 4, 9)
        marks += [Path(((float(at), bottom - 2), (float(at) + 5, top + 2)), QUIET, 0.8) for at in ticks]
        marks.append(Label(end, 322, f"in neither {world.unobserved:.0%} (unobserved)", 11, QUIET, "end"))
    return marks


def _box(left: float, top: float, right: float, bottom: float) -> list[Point]:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def students(world: World, truth: Truth | None, *, teacher: str = "other", faint: bool = False) -> Scene:
    """Teacher and students on a fixed axis, the best that can be reached, and the paired gain below it.

    `teacher` is what the teacher sees, see `WorldState`.
    """
    marks: list[Mark] = [*_accuracy_axis()]
    seen, name = _SEEN[teacher]
    rows = (
        ("teacher", "teacher", TEACHER, seen),
        ("no KD", "no_kd", style_of("no_kd")[1], "b"),
        ("KD from b", "um_kd", style_of("um_kd")[1], "b"),
        (f"KD from {name}", "kd", style_of("cm_kd")[1], "b"),
    )
    for i, (label, arm, colour, view) in enumerate(rows):
        y = 58.0 + 32.0 * i
        best = _across(world.bayes_accuracy(view))
        marks.append(Path(((best, y - 10), (best, y + 10)), QUIET, 1.2, dashed=True))
        marks.append(Label(_LEFT - 10, y + 4, label, 12, colour, "end", bold=True))
        if truth is not None:
            marks += _row(getattr(truth, arm), y, colour, faint=faint, hollow=arm == "teacher")
    title = "Training …"
    if truth is not None:
        marks += _gain(truth, name, faint=faint)
        title = f"KD from {name}{_VERDICT[truth.gain.side]} ({truth.gain.n} paired seeds)"
    marks.insert(0, Label(12, 24, title, 14, INK, bold=True))
    told = "" if truth is None else f" KD from {name} minus no KD: {truth.gain.show(signed=True)} points."
    return Scene(_WIDTH, _HEIGHT, tuple(marks), f"{title}.{told}")


def _across(accuracy: float) -> float:
    return _LEFT + (_RIGHT - _LEFT) * (min(max(accuracy, _FROM), _TO) - _FROM) / (_TO - _FROM)


def _accuracy_axis() -> list[Mark]:
    marks: list[Mark] = []
    for at in (50, 60, 70, 80, 90, 100):
        x = _across(at)
        marks += [Path(((x, 42), (x, 168)), GRID, 1.0), Label(x, 182, str(at), 11, QUIET, "middle")]
    marks.append(
        Label(_RIGHT, 197, "test accuracy (%); bar: 95 %; dashed: the best on average", 11, QUIET, "end")
    )
    return marks


def _row(values: np.ndarray, y: float, colour: str, *, faint: bool, hollow: bool = False) -> list[Mark]:
    """Seeds as faint dots; their mean with its interval, strong once all seeds are there."""
    ys = y + jitter(len(values), width=7.0)
    marks: list[Mark] = [
        Dot(_across(float(v)), float(h), 2.0, colour, 0.28, told=f"seed {seed}: {v:.1f} %")
        for seed, (v, h) in enumerate(zip(values, ys, strict=True))
    ]
    found = mean_interval(values)
    if found.n > 1:
        marks.append(Path(((_across(found.low), y), (_across(found.high), y)), colour, 2.6))
    marks.append(Dot(_across(found.mean), y, 5.0, colour, 0.55 if faint else 1.0, hollow or faint))
    return marks


def _gain(truth: Truth, name: str, *, faint: bool) -> list[Mark]:
    """KD minus no KD, and minus KD from its own modality, seed by seed."""
    pairs = (("against no KD", truth.kd - truth.no_kd), ("KD from b", truth.kd - truth.um_kd))
    gains = [mean_interval(values) for _, values in pairs]
    ends = [abs(end) for one in gains if one.n > 1 for end in (one.low, one.high)]
    largest = max([*ends, *(float(np.abs(values).max()) for _, values in pairs)])
    reach = next(r for r in (4, 8, 16, 32, 64, 128) if largest <= r or r == 128)
    middle, colour = (_LEFT + _RIGHT) / 2, style_of("cm_kd")[1]

    def across(points: float) -> float:
        return middle + (_RIGHT - _LEFT) / 2 * min(max(points / reach, -1.0), 1.0)

    marks: list[Mark] = [
        Label(12, 222, f"What KD from {name} gains, seed by seed (points)", 12, INK, bold=True)
    ]
    for at in (-reach, -reach / 2, 0, reach / 2, reach):
        x, label = across(at), f"{at:+g}".replace("-", "−") if at else "0"
        marks.append(Path(((x, 232), (x, 304)), INK if at == 0 else GRID, 1.2 if at == 0 else 1.0))
        marks.append(Label(x, 318, label, 11, QUIET, "middle"))
    for i, (label, values) in enumerate(pairs):
        y, found = 248.0 + 36.0 * i, mean_interval(values)
        marks.append(Label(_LEFT - 10, y + 4, label, 12, colour, "end", bold=True))
        heights = y + jitter(len(values), width=8.0)
        marks += [
            Dot(across(float(v)), float(h), 2.0, colour, 0.28, told=f"seed {seed}: {v:+.1f} points")
            for seed, (v, h) in enumerate(zip(values, heights, strict=True))
        ]
        if found.n > 1:
            marks.append(Path(((across(found.low), y), (across(found.high), y)), colour, 2.6))
        marks.append(Dot(across(found.mean), y, 5.0, colour, 0.55 if faint else 1.0, faint))
    return marks


def gain_map(
    grids: Mapping[str, Sequence[float]],
    gains: Mapping[tuple[int, int], Interval],
    at: Mapping[str, float],
    names: Sequence[str],
) -> Scene:
    """KD minus no KD over two axes of the state, the zero line, and the present state as a dot."""
    (xs, ys), (x, y) = grids.values(), at.values()
    left, right, top, bottom = 62.0, 410.0, 44.0, 288.0
    wide, high = (right - left) / len(xs), (bottom - top) / len(ys)
    marks: list[Mark] = [Label(12, 24, "Where KD helps: KD minus no KD (points)", 14, INK, bold=True)]
    for i in range(len(xs)):
        for j in range(len(ys)):
            cell = _box(
                left + wide * i, bottom - high * (j + 1), left + wide * (i + 1) - 1, bottom - high * j - 1
            )
            gain = gains.get((i, j))
            marks.append(Area(cell, *(_shade(gain.mean) if gain else (GRID, 0.5))))
            if gain is not None:
                middle = left + wide * (i + 0.5), bottom - high * (j + 0.5) + 4
                text, bold = f"{gain.mean:+.1f}".replace("-", "−"), gain.side != 0
                marks.append(Label(*middle, text, 11, INK, "middle", bold))
    marks += _zero_line(gains, (left, bottom), (wide, high))
    dot = left + wide * (_place(xs, x) + 0.5), bottom - high * (_place(ys, y) + 0.5)
    marks += [Dot(*dot, 9.0, INK, hollow=True, told="the present state"), Dot(*dot, 3.0, INK)]
    for i, value in enumerate(xs):
        marks.append(Label(left + wide * (i + 0.5), bottom + 14, f"{value:g}", 11, QUIET, "middle"))
    for j, value in enumerate(ys):
        marks.append(Label(left - 6, bottom - high * (j + 0.5) + 4, f"{value:g}", 11, QUIET, "end"))
    marks.append(Label((left + right) / 2, bottom + 30, names[0], 12, INK, "middle"))
    marks.append(Label(12, top - 5, f"up: {names[1]}", 12, INK))
    note = "bold: 95 % interval excludes 0 (8 seeds); line: no gain; circle: the sliders"
    marks.append(Label(12, bottom + 48, note, 10.5, QUIET))
    told = f"Map of KD minus no KD over {names[0]} and {names[1]}; the present state is at {x:g}, {y:g}."
    return Scene(_WIDTH, _HEIGHT, tuple(marks), told)


def _shade(gain: float) -> tuple[str, float]:
    return (FOR if gain > 0 else AGAINST), 0.08 + 0.5 * min(abs(gain) / 4.0, 1.0)


def _place(values: Sequence[float], value: float) -> float:
    """Where a value stands among an axis's cells."""
    return float(np.interp(value, values, np.arange(len(values))))


def _zero_line(
    gains: Mapping[tuple[int, int], Interval],
    origin: Point,
    cell: tuple[float, float],
) -> list[Mark]:
    """Between cells of a gain and cells of a loss, where both are known."""
    (left, bottom), (wide, high) = origin, cell
    drawn: list[Mark] = []
    for (i, j), gain in gains.items():
        for di, dj in ((1, 0), (0, 1)):
            beside = gains.get((i + di, j + dj))
            if beside is not None and (gain.mean > 0) != (beside.mean > 0):
                x, y = left + wide * (i + di) - 0.5, bottom - high * (j + dj) - 0.5
                end = (x, y - high) if di else (x + wide, y)
                drawn.append(Path(((x, y), end), INK, 2.0))
    return drawn
