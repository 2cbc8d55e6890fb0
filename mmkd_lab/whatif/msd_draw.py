"""The pictures of the MSD panel: the students, what is said of one sample, and what of it counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mmkd_lab.core.stats import Interval, mean_interval, paired_interval
from mmkd_lab.models import View
from mmkd_lab.plotting.axes import jitter
from mmkd_lab.plotting.palette import FOR, GRID, INK, QUIET, STUDENT, TEACHER, style_of
from mmkd_lab.whatif.msd_sample import WHO, Numbers, Sample
from mmkd_lab.whatif.msd_train import Trained
from mmkd_lab.whatif.scene import Area, Dot, Label, Mark, Path, Point, Scene, lines, text_width

WIDTH = 430.0
COLOUR = {"teacher": TEACHER, "student": STUDENT}
_LEFT, _SCORES, _GAINS = 126.0, (134.0, 262.0), (298.0, 416.0)


def called(view: View, modalities: Sequence[str]) -> str:
    """A view in words: 'everything', 'image alone', 'nothing'."""
    if len(view) == len(modalities):
        return "everything"
    return f"{view.label} alone" if len(view) == 1 else view.label


def headline(text: str) -> Label:
    """What stands above a picture, smaller where it is long."""
    return Label(12, 24, text, _size(text, 14.0, WIDTH - 20), INK, bold=True)


def _size(text: str, size: float, width: float) -> float:
    """So large that the text is no wider."""
    return min(size, size * width / (1.15 * text_width(text, size)))  # bold letters are wider


def _name(arm: str, y: float, *, bold: bool) -> Label:
    label, colour = style_of(arm)
    return Label(_LEFT, y + 4, label, _size(label, 11.0, _LEFT - 8), colour, "end", bold)


# The students.


def against_kd(trained: Trained, arm: str, view: View) -> Interval:
    """An arm minus KD under a view, paired by seed, points."""
    mine, its = (trained.accuracies[one, view.label] for one in (arm, "kd"))
    return paired_interval(mine, its)


def verdict(trained: Trained, arm: str) -> str:
    """An arm against KD in words: under the view where it differs most, if any shows a difference."""
    found = {view: against_kd(trained, arm, view) for view in trained.views}
    shown = [view for view, one in found.items() if one.side]
    label = style_of(arm)[0]
    if not shown:
        return f"{label} is not shown to differ from KD"
    most = max(shown, key=lambda view: abs(found[view].mean))
    side = "better" if found[most].side > 0 else "worse"
    return f"{label} is {side} than KD given {called(most, trained.modalities)}"


def students(trained: Trained, arms: Sequence[str], shown: str) -> Scene:
    """Every arm under every view: accuracy with its interval, and its paired difference from KD."""
    views, title = trained.views, verdict(trained, shown)
    score = {(arm, view): trained.accuracies[arm, view.label] for view in views for arm in arms}
    gain = {(arm, view): score[arm, view] - score["kd", view] for arm, view in score if arm != "kd"}
    low, high = _ends(list(score.values()), 10.0)
    reach = max(map(abs, _ends(list(gain.values()), 2.0)))
    scores, gains = _Axis(_SCORES, max(low, 0.0), min(high, 100.0)), _Axis(_GAINS, -reach, reach)
    marks: list[Mark] = [headline(title)]
    y = 50.0
    for view in views:
        marks.append(Label(12, y, f"Given {called(view, trained.modalities)}", 12, INK, bold=True))
        for arm in arms:
            y += 19.0
            colour = style_of(arm)[1]
            marks.append(_name(arm, y, bold=arm == shown))
            marks += _interval(score[arm, view], y, scores, colour)
            if arm != "kd":
                marks += _interval(gain[arm, view], y, gains, colour, signed=True)
        y += 30.0
    marks = [*_axis(scores, y - 22), *_axis(gains, y - 22), *marks]
    marks.append(Label(sum(_SCORES) / 2, y + 8, "test accuracy (%)", 11, QUIET, "middle"))
    marks.append(Label(sum(_GAINS) / 2, y + 8, "minus KD, paired (points)", 11, QUIET, "middle"))
    told = [
        f"given {called(v, trained.modalities)} {against_kd(trained, shown, v).show(signed=True)}"
        for v in views
    ]
    return Scene(WIDTH, y + 20, tuple(marks), f"{title}. In points: {'; '.join(told)}.")


def _ends(several: Sequence[Numbers], step: float) -> tuple[float, float]:
    """Whole steps between which all values and their intervals lie."""
    found = [mean_interval(values) for values in several]
    every = np.concatenate([*several, [one.low for one in found], [one.high for one in found]])
    low, high = step * np.floor(np.nanmin(every) / step), step * np.ceil(np.nanmax(every) / step)
    return float(low), float(high if high > low else low + step)


class _Axis:
    """A horizontal scale."""

    def __init__(self, ends: tuple[float, float], low: float, high: float) -> None:
        self.ends, self.low, self.high = ends, low, high

    def __call__(self, value: float) -> float:
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.ends[0] + (self.ends[1] - self.ends[0]) * share


def _axis(across: _Axis, bottom: float) -> list[Mark]:
    marks: list[Mark] = []
    for at in (across.low, (across.low + across.high) / 2, across.high):
        zero = across.low < 0 and at == 0
        marks.append(
            Path(((across(at), 58), (across(at), bottom)), INK if zero else GRID, 1.2 if zero else 1.0)
        )
        shown = f"{at:+g}" if across.low < 0 and at else f"{at:g}"
        marks.append(Label(across(at), bottom + 14, shown.replace("-", "−"), 10.5, QUIET, "middle"))
    return marks


def _interval(values: Numbers, y: float, across: _Axis, colour: str, *, signed: bool = False) -> list[Mark]:
    """Seeds as faint dots, their mean with its interval."""
    unit = "points against KD" if signed else "%"
    marks: list[Mark] = [
        Dot(
            across(float(v)),
            float(h),
            2.0,
            colour,
            0.3,
            told=f"seed {seed}: {v:{'+' if signed else ''}.1f} {unit}",
        )
        for seed, (v, h) in enumerate(zip(values, y + jitter(len(values), width=4.0), strict=True))
    ]
    found = mean_interval(values)
    if found.n > 1:
        marks.append(Path(((across(found.low), y), (across(found.high), y)), colour, 2.4))
    return [*marks, Dot(across(found.mean), y, 4.0, colour, told=found.show(signed=signed))]


# What is said of it, and what counts.


def predictions(trained: Trained, sample: Sample) -> Scene:
    """Probabilities of every class under every view, teacher and student side by side."""
    classes, names = trained.data.classes, trained.modalities
    kept = [View.full(names), *(View.only(name) for name in names)]
    (who, sure), (mine, certain) = (sample.says(one, sample.seen) for one in WHO)
    title = f"Teacher: {classes[who]} {sure:.0%}. Student: {classes[mine]} {certain:.0%}"
    marks: list[Mark] = [headline(title)]
    marks += [
        Label(12, 44, "outlined: teacher", 11, TEACHER, bold=True),
        Label(130, 44, "filled: student", 11, STUDENT, bold=True),
        Label(232, 44, "numbers: percent", 11, QUIET),
    ]
    y = 66.0
    rows = [(f"Now: given {called(sample.seen, names)}", sample.seen)]
    rows += [(f"Given {called(view, names)}", view) for view in kept]
    for i, (head, view) in enumerate(rows):
        marks.append(Label(12, y, head, 12, INK, bold=i == 0))
        marks += _bars({one: sample.predictions[one][view] for one in WHO}, y + 62)
        y += 82.0
    step = (WIDTH - 40.0) / len(classes)
    for k, name in enumerate(classes):
        x, true = 20 + step * (k + 0.5), k == sample.label
        marks.append(Label(x, y + 2, name[: max(2, int(step / 7))], 11, INK, "middle", bold=true))
        if true:
            marks.append(Label(x, y + 16, "true", 10.5, FOR, "middle", bold=True))
    told = f"{title}, given {called(sample.seen, names)}; the true class is {classes[sample.label]}."
    return Scene(WIDTH, y + 24, tuple(marks), told)


def _bars(each: Mapping[str, Numbers], bottom: float) -> list[Mark]:
    """Of every class the teacher's probability, outlined, and the student's, filled."""
    classes = len(each["teacher"])
    step = (WIDTH - 40.0) / classes
    width = min(46.0, 0.42 * step)
    marks: list[Mark] = [Path(((20, bottom), (WIDTH - 20, bottom)), GRID, 1.0)]
    for who, p in each.items():
        for k, share in enumerate(p.tolist()):
            x, top = 20 + step * (k + 0.5) - (width if who == "teacher" else 0), bottom - 42.0 * share
            box = [(x + 1, bottom), (x + 1, top), (x + width - 1, top), (x + width - 1, bottom)]
            marks.append(Area(box, COLOUR[who], 0.15 if who == "teacher" else 0.9))
            if who == "teacher":
                marks.append(Path(box, TEACHER, 1.6))
            if classes <= 4 or k == int(p.argmax()):
                marks.append(Label(x + width / 2, top - 3, f"{100 * share:.0f}", 9.5, INK, "middle"))
    return marks


def modalities(trained: Trained, sample: Sample) -> Scene:
    """What each modality of the sample counts for: in the loss, for the teacher, for the student."""
    names = trained.modalities
    columns: list[tuple[str, str, str, Mapping[str, float]]] = [
        ("weight", "of its term", INK, {name: sample.weights.get(name, 0.0) for name in names}),
        ("saliency", "teacher, nats", TEACHER, sample.saliency),
        ("Shapley", "teacher, logits", TEACHER, sample.shapley["teacher"]),
        ("Shapley", "student, logits", STUDENT, sample.shapley["student"]),
    ]
    title = _most(sample)
    marks: list[Mark] = [headline(title)]
    left, step = 92.0, 84.0
    for i, (head, unit, colour, values) in enumerate(columns):
        x = left + step * i
        marks += [Label(x, 48, head, 10, colour, bold=True), Label(x, 61, unit, 10, QUIET)]
        largest = max((abs(one) for one in values.values()), default=0.0) or 1.0
        signed = min(values.values()) < 0
        for row, name in enumerate(names):
            y = 84.0 + 30 * row
            marks += _bar(values[name], (x, y), (step - 14, largest), colour, signed=signed)
    for row, name in enumerate(names):
        here, y = name in sample.seen, 84.0 + 30 * row
        marks.append(Label(12, y + 4, name, 11, INK if here else QUIET, bold=here))
        if not here:
            marks.append(Label(12, y + 16, "removed", 10, QUIET))
    note = "Shapley values add up to what the modalities together change in the logit of the true class."
    y = 84.0 + 30 * len(names)
    marks += lines(note, 12, y + 12, WIDTH - 24, size=10.5, colour=QUIET)
    return Scene(WIDTH, y + 34, tuple(marks), f"{title}.")


def _most(sample: Sample) -> str:
    """Which of the modalities that are left counts most, for good or ill."""
    if not len(sample.seen):
        return "Nothing is left that could count"
    most = [max(sample.seen, key=lambda name: abs(sample.shapley[who][name])) for who in WHO]
    if most[0] == most[1]:
        return f"For both networks {most[0]} counts most"
    return f"For the teacher {most[0]} counts most, for the student {most[1]}"


def _bar(value: float, at: Point, size: tuple[float, float], colour: str, *, signed: bool) -> list[Mark]:
    (x, y), (width, largest) = at, size
    zero, reach = (x + width / 2, width / 2) if signed else (x, width)
    end = zero + reach * value / largest
    box = [(zero, y - 5), (end, y - 5), (end, y + 3), (zero, y + 3)]
    number = f"{value:{'+' if signed else ''}.2f}".replace("-", "−")
    return [
        Area(box, colour, 0.75),
        Path(((zero, y - 8), (zero, y + 6)), INK, 1.0),
        Label(x, y + 15, number, 10, INK),
    ]


def waiting(arms: Sequence[str], title: str) -> Scene:
    """The students' table before there is anything in it."""
    marks: list[Mark] = [headline(title)]
    for i, arm in enumerate(arms):
        marks.append(_name(arm, 54.0 + 19 * i, bold=True))
        marks.append(Path(((_SCORES[0], 54.0 + 19 * i), (_GAINS[1], 54.0 + 19 * i)), GRID, 1.0, dashed=True))
    return Scene(WIDTH, 60.0 + 19 * len(arms), tuple(marks), title)
