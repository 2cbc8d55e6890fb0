"""Claims: paired differences that say something, and the one renderer that puts them into words.

A difference counts when its 95 % interval excludes zero and rests on at least three seeds; otherwise it is
'not shown', which is not 'absent'. Intervals are not corrected for the number of comparisons. Every word of a
sentence is chosen by the numbers that stand beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from mmkd_lab.core.check import one_of
from mmkd_lab.core.stats import Interval
from mmkd_lab.distill import ARMS
from mmkd_lab.experiments.summary import difference, primary_metric, select


@dataclass(frozen=True)
class Claim:
    """Treated minus control, paired by seed.

    Args:
        treated, control: arms.
        found: the mean difference with its interval.
        role: whose networks are compared, 'student' or 'teacher'.
        where: where it holds, in words: 'on the full input', 'at 75 % removed', or nothing.
        names: what sentences call an arm, where not by its label.
    """

    treated: str
    control: str
    found: Interval
    role: str = "student"
    where: str = ""
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def side(self) -> int:
        """1 where treated is shown to be better, -1 where worse, 0 where neither is shown."""
        return self.found.side if self.found.n > 2 else 0

    def name(self, arm: str) -> str:
        """What sentences call an arm."""
        return self.names.get(arm) or label(arm)

    def text(self, *, digits: int = 2, unit: str = "") -> str:
        """'is better than KD (+1.20 [0.31, 2.09])', without its subject."""
        verb = {1: "is better than", 0: "is not shown to differ from", -1: "is worse than"}[self.side]
        if self.role == "teacher":
            verb = verb.replace("better", "stronger").replace("worse", "weaker")
        shown = self.found.show(signed=True, digits=digits)
        where = f" {self.where}" if self.where else ""
        return f"{verb} {self.name(self.control)} ({shown}{unit}){where}"


def label(arm: str) -> str:
    """What figures and sentences call an arm."""
    return ARMS[arm].label if arm in ARMS else arm


def claim(
    table: pd.DataFrame,
    treated: str,
    control: str,
    *,
    role: str = "student",
    metric: str | None = None,
    split: str = "test",
    at: Mapping[str, object | Sequence[object]] | None = None,
    where: str = "",
    names: Mapping[str, str] | None = None,
) -> Claim:
    """The claim about two arms of a table; over several values of a column, each seed's mean is compared.

    Args:
        table: tidy, see `summary.COLUMNS`.
        treated, control, role, where, names: see `Claim`.
        metric: the table's first, or accuracy, when None.
        split: whose rows.
        at: {column: value, or several}, for columns that the table has beside the usual ones.

    Raises:
        LabError: an arm, or a value of a column, that the table lacks; arms of unequal seeds.
    """
    metric = primary_metric(table) if metric is None else metric
    part = select(table, metric=metric, split=split)
    part = part[part["role"] == role]
    for column, value in (at or {}).items():
        values = list(value) if isinstance(value, (list, tuple)) else [value]
        for one in values:
            one_of(column, one, list(dict.fromkeys(part[column])))
        part = part[part[column].isin(values)]
    found = difference(part, treated, control, role=role, metric=metric, split=split)
    return Claim(treated, control, found, role, where, names or {})


def ordered(claims: Sequence[Claim]) -> list[Claim]:
    """Shown effects first, the largest first; then the others in the order given."""
    return sorted(claims, key=lambda one: (one.side == 0, -abs(one.found.mean) if one.side else 0.0))


def joined(parts: Sequence[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else list(parts))


def sentence(lead: str, claims: Sequence[Claim], *, digits: int = 2, unit: str = "points") -> str:
    """One sentence: the lead, then each subject with all that is claimed of it, shown effects first.

    Args:
        lead: on what, in words, without a comma at its end.
        claims: at least one.
        digits: of the numbers.
        unit: of the numbers, told once.
    """
    if claims[0].found.n < 2:
        each = [
            f"{c.name(c.treated)} − {c.name(c.control)} is {c.found.show(signed=True, digits=digits)}"
            for c in claims
        ]
        return f"{lead}, {joined(each)} {unit}: no conclusion, since one seed has no interval."
    subjects: dict[str, list[Claim]] = {}
    for one in ordered(claims):
        subjects.setdefault(one.name(one.treated), []).append(one)
    clauses = []
    for subject, some in subjects.items():
        said = joined([one.text(digits=digits) for one in some])
        clauses.append(f"{subject} {said}")
    return f"{lead}, in {unit}: {'; '.join(clauses)}."


def headline(lead: str, claims: Sequence[Claim], *, otherwise: str = "arms compared") -> str:
    """The title: the largest effect that is shown, or that none is."""
    if not claims or claims[0].found.n < 2:
        return f"{lead}: {otherwise}"
    shown = [one for one in ordered(claims) if one.side]
    if not shown:
        names = joined(list(dict.fromkeys(one.name(one.control) for one in claims)))
        subject = joined(list(dict.fromkeys(one.name(one.treated) for one in claims)))
        return f"{lead}: {subject} not shown to differ from {names}"
    first = shown[0]
    verb = "beats" if first.side > 0 else "falls short of"
    if first.role == "teacher":
        verb = "is stronger than" if first.side > 0 else "is weaker than"
    where = f" {first.where}" if first.where else ""
    gap = first.found.show(signed=True, digits=1)
    return f"{lead}: {first.name(first.treated)} {verb} {first.name(first.control)}{where} ({gap})"
