"""The outcome in words, from paired intervals alone.

A difference counts when its 95 % interval excludes zero; otherwise it is 'not shown', which is not 'absent'.
The intervals are not corrected for the number of comparisons. The failure case is that of Xue et al. 2023,
section 3: a teacher that is stronger than the unimodal one, and whose student is no better than the unimodal
teacher's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from mmkd_lab.core.stats import Interval, mean_interval
from mmkd_lab.distill import ARMS
from mmkd_lab.experiments.summary import difference, primary_metric, select

#: The arms with a teacher that sees more than, or something other than, what the student sees.
ACROSS = ("cm_kd", "mm_kd")


@dataclass(frozen=True)
class Comparison:
    """One arm across modalities against unimodal KD and against no KD; None where the control is absent.

    Args:
        arm: 'cm_kd' or 'mm_kd'.
        teachers: its teacher minus the unimodal teacher.
        over_um: its student minus unimodal KD's.
        over_no: its student minus no KD's.
    """

    arm: str
    teachers: Interval | None
    over_um: Interval | None
    over_no: Interval | None

    @property
    def outcome(self) -> str:
        """'failure', 'no gain', 'success', 'weaker teacher wins', 'no test' or, with one seed, 'one seed'."""
        if self.teachers is None or self.over_um is None:
            return "no test"
        if self.over_um.n < 2:
            return "one seed"
        if self.teachers.side > 0:
            return {1: "success", 0: "no gain", -1: "failure"}[self.over_um.side]
        if self.teachers.side < 0 and self.over_um.side > 0:
            return "weaker teacher wins"
        return "no test"


def comparisons(table: pd.DataFrame) -> list[Comparison]:
    """Every arm of `ACROSS` that the table has, against the controls it has."""
    metric = primary_metric(table)
    students = set(table[table["role"] == "student"]["arm"])
    found = []
    for arm in (name for name in ACROSS if name in students):
        over = {c: difference(table, arm, c, metric=metric) for c in ("um_kd", "no_kd") if c in students}
        teachers = difference(table, arm, "um_kd", role="teacher", metric=metric) if "um_kd" in over else None
        found.append(Comparison(arm, teachers, over.get("um_kd"), over.get("no_kd")))
    return found


def sentence(table: pd.DataFrame, *, student: str, views: Mapping[str, str]) -> str:
    """The verdict: one sentence with every number it rests on.

    Args:
        table: the study's tidy table.
        student: the student's modality.
        views: {arm: what its teacher sees, in words}.
    """
    metric = primary_metric(table)
    n = table["seed"].nunique()
    setting = f"{student} student, {n} seed{'s' if n > 1 else ''}, test {metric}"
    clauses = [_clause(found, student, views[found.arm]) for found in comparisons(table)]
    if not clauses:
        clauses = [_without(table, metric)]
    return f"On {table['dataset'].iloc[0]} ({setting}), {'; '.join(clauses)}."


def title(table: pd.DataFrame, *, student: str) -> str:
    """The finding in a few words: what unimodal KD's student says of each arm across modalities."""
    lead = f"{table['dataset'].iloc[0]}, {student} student"
    against = {
        ARMS[found.arm].label: found.over_um.side
        for found in comparisons(table)
        if found.over_um is not None and found.over_um.n > 1
    }
    if not against:
        return f"{lead}: arms compared"
    if len(against) == 2 and len(set(against.values())) == 1:
        first, second = against
        together = {
            1: f"{first} and {second} beat",
            0: f"neither {first} nor {second} is shown to differ from",
            -1: f"{first} and {second} fall short of",
        }
        return f"{lead}: {together[next(iter(against.values()))]} unimodal KD"
    words = {1: "beats", 0: "is not shown to differ from", -1: "falls short of"}
    parts = [f"{label} {words[which]}" for label, which in against.items()]
    return f"{lead}: " + ", ".join(f"{part} {'it' if i else 'unimodal KD'}" for i, part in enumerate(parts))


_ENDS = {
    "failure": "failure case, the stronger teacher made the worse student",
    "no gain": "no gain from the stronger teacher is shown",
    "success": "no failure case, the stronger teacher made the better student",
    "weaker teacher wins": "the weaker teacher made the better student",
    "no test": "no test of the failure case, which needs a teacher shown to be the stronger one",
    "one seed": "no conclusion, since one seed has no interval",
}


def _clause(found: Comparison, student: str, view: str) -> str:
    parts = []
    if found.teachers is not None:
        differs = words(found.teachers, "is stronger than", "is weaker than")
        parts.append(f"the {view} teacher {differs} the {student} teacher ({_shown(found.teachers)} points)")
    else:
        parts.append(f"{ARMS[found.arm].label} has a teacher that sees {view}")
    worth = [
        f"{words(over, 'is better than', 'is worse than')} {label} ({_shown(over)})"
        for over, label in ((found.over_um, "unimodal KD's"), (found.over_no, "no KD's"))
        if over is not None
    ]
    if worth:
        parts.append("its student " + " and ".join(worth))
    return f"{', '.join(parts)}: {_ENDS[found.outcome]}"


def words(found: Interval, above: str, below: str) -> str:
    """`above` or `below`, when the interval lies above or below zero, else that nothing is shown."""
    return {1: above, 0: "is not shown to differ from", -1: below}[found.side]


def _shown(found: Interval) -> str:
    return found.show(signed=True)


def _without(table: pd.DataFrame, metric: str) -> str:
    part = select(table, metric=metric, split="test")
    part = part[part["role"] == "student"]
    arms = list(dict.fromkeys(part["arm"]))
    if {"um_kd", "no_kd"} <= set(arms):
        found = difference(table, "um_kd", "no_kd", metric=metric)
        return f"unimodal KD {words(found, 'is better than', 'is worse than')} no KD ({_shown(found)} points)"
    means = ((arm, mean_interval(part[part["arm"] == arm]["value"].to_numpy(dtype=float))) for arm in arms)
    return ", ".join(f"{ARMS[arm].label} reaches {found.show()}" for arm, found in means)
