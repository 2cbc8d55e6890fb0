"""Whether teacher and student agree where they should: by who is right, by class, beyond the label."""

from __future__ import annotations

import pandas as pd
from torch import Tensor

from mmkd_lab.distill import calibration_error
from mmkd_lab.plotting import LabFigure, Panel, Row, interval_figure
from mmkd_lab.plotting.palette import NEUTRAL, QUIET, SHARED, STUDENT, TEACHER
from mmkd_lab.shares.hypotheses import non_target_divergence
from mmkd_lab.study.diagnosis.case import Case
from mmkd_lab.study.diagnosis.finding import SectionFound, share

#: Who is right, and the colour of that share.
SAME, LEADS, MISLEADS = "same answer", "teacher alone right", "student alone right"
RIGHT = {"both right": SHARED, LEADS: TEACHER, MISLEADS: STUDENT, "neither right": QUIET, SAME: NEUTRAL}
#: Roles and metrics of its numbers.
PAIR, CLASS, CALIBRATION, RECALL = "agreement", "class", "calibration", "recall, teacher minus student"
_MOST = 12  # classes on the page


def agrees(case: Case, found: SectionFound) -> None:
    """The teacher beside the student that learned from labels alone, on samples neither was trained on."""
    target, students = case.target(), case.answers(case.untaught())
    teachers = case.said(case.teachers())
    pairs = {seed: (teachers.get(seed, next(iter(teachers.values()))), one) for seed, one in students.items()}
    by_seed = {seed: _by_right(*pair, target) for seed, pair in pairs.items()}
    for name in RIGHT:
        some = {seed: one[name] for seed, one in by_seed.items()}
        if len(some) > 1:
            means = {seed: 100 * float(one.double().mean()) for seed, one in some.items()}
            found.seeds(name, "share", means, role=PAIR)
        else:
            one = next(iter(some.values()))
            found.number(name, "share", share(one, case.data, case.split), role=PAIR)
    for who, said in (("teacher", teachers), ("student", students)):
        errors = {seed: float(calibration_error(one[None], target)[0]) for seed, one in said.items()}
        found.seeds(who, "ece", errors, role=CALIBRATION)
    if case.data.num_classes > 2:
        apart = {seed: _beyond(*pair, target) for seed, pair in pairs.items()}
        found.seeds("teacher and student", "ntd", apart, role=PAIR)
    for k, name in enumerate(case.data.classes):
        if bool((mine := target == k).any()):
            gaps = {
                seed: 100
                * float(((a.argmax(-1) == k)[mine].double() - (b.argmax(-1) == k)[mine].double()).mean())
                for seed, (a, b) in pairs.items()
            }
            found.seeds(str(name), RECALL, gaps, role=CLASS)
    _say(case, found)
    found.figures.append(_figure(case, found))


def _by_right(teacher: Tensor, student: Tensor, target: Tensor) -> dict[str, Tensor]:
    """{what: (N,) where it holds}."""
    one, two = teacher.argmax(-1) == target, student.argmax(-1) == target
    same = teacher.argmax(-1) == student.argmax(-1)
    return dict(zip(RIGHT, (one & two, one & ~two, ~one & two, ~one & ~two, same), strict=True))


def _beyond(teacher: Tensor, student: Tensor, target: Tensor) -> float:
    return non_target_divergence(teacher.double().numpy(), student.double().numpy(), target.numpy())


def _say(case: Case, found: SectionFound) -> None:
    same, leads, misleads = (found.get(one, "share", PAIR).show(digits=1) for one in (SAME, LEADS, MISLEADS))
    found.says.append(
        f"Teacher and student give the same answer to {same} % of the samples. The teacher alone is right on "
        f"{leads} %, where following it would help; the student alone on {misleads} %, where it would hurt."
    )
    off = {who: found.get(who, "ece", CALIBRATION).show(digits=1) for who in ("teacher", "student")}
    found.says.append(
        f"The teacher's confidence is off by {off['teacher']} points, the student's by {off['student']} "
        f"(expected calibration error)."
    )
    if case.data.num_classes > 2:
        ntd = found.get("teacher and student", "ntd", PAIR)
        found.says.append(f"Beyond the label they are {ntd.show()} nats apart (non-target divergence).")
    names = list(dict.fromkeys(str(row["arm"]) for row in found.rows if row["role"] == CLASS))
    gaps = {name: found.get(name, RECALL, CLASS) for name in names}
    ranked = sorted(gaps, key=lambda name: -gaps[name].mean)
    first, last = ranked[0], ranked[-1]
    found.says.append(
        f"The teacher leads most on {first} ({gaps[first].show(signed=True, digits=1)} points of recall) and "
        f"least on {last} ({gaps[last].show(signed=True, digits=1)})."
    )
    kept = ranked if len(ranked) <= _MOST else [*ranked[: _MOST // 2], *ranked[-_MOST // 2 :]]
    shown = [gaps[name].show(signed=True, digits=1) for name in kept]
    table = pd.DataFrame({"class": kept, "teacher − student, points of recall": shown})
    found.tables["The classes on which the teacher leads most, and least"] = table


def _figure(case: Case, found: SectionFound) -> LabFigure:
    rows = [Row(name, name, colour) for name, colour in RIGHT.items()]
    entries = {name: found.drawn(name, "share", PAIR) for name in RIGHT}
    panel = Panel("Who is right", f"% of {case.split} samples", entries, digits=1, limits=(-2.0, 102.0))
    title = f"{case.data.name}: the {case.teacher} teacher and the {case.student} student on the same samples"
    note = "The student learned from labels alone. Lines: 95 % intervals, over seeds where there are dots."
    return interval_figure(rows, [panel], title=title, note=note)
