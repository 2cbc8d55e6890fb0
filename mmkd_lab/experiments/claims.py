"""Claims: paired differences that say something, and the one renderer that puts them into words.

A difference counts when its 95 % interval excludes zero and rests on at least three seeds that differ (see
`Interval.side`); otherwise it is 'not shown', which is not 'absent'. Intervals are not corrected for the
number of comparisons. Every word of a sentence is chosen by the numbers that stand beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from mmkd_lab.core.check import one_of
from mmkd_lab.core.stats import Interval
from mmkd_lab.distill import ARMS
from mmkd_lab.experiments.summary import difference, primary_metric, select
from mmkd_lab.training.metrics import METRICS


@dataclass(frozen=True)
class Claim:
    """Treated minus control, paired by seed.

    Args:
        treated, control: arms.
        found: the mean difference with its interval.
        role: whose networks are compared, 'student' or 'teacher'; 'number' where more is not better.
        where: where it holds, in words: 'on the full input', 'at 75 % removed', or nothing.
        names: what sentences call an arm, where not by its label.
        higher: whether more is better.
    """

    treated: str
    control: str
    found: Interval
    role: str = "student"
    where: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    higher: bool = True

    @property
    def side(self) -> int:
        """1 where treated is shown to be better, -1 where worse, 0 where neither is shown."""
        return self.found.side if self.higher else -self.found.side

    def name(self, arm: str) -> str:
        """What sentences call an arm."""
        return self.names.get(arm) or label(arm)

    @property
    def says(self) -> str:
        """'is better than', without whom."""
        return _SAYS[self.role][self.side]


_SAYS = {
    "student": {1: "is better than", 0: "is not shown to differ from", -1: "is worse than"},
    "teacher": {1: "is stronger than", 0: "is not shown to differ from", -1: "is weaker than"},
    "number": {1: "is above", 0: "is not shown to differ from", -1: "is below"},
}
_TITLE = {"is better than": "beats", "is worse than": "falls short of"}
#: Said once where a difference rests on one seed.
ALONE = "no conclusion, since one seed has no interval"


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
    return Claim(treated, control, found, role, where, names or {}, more_is_better(metric))


def more_is_better(metric: str) -> bool:
    """Of a metric's name; of one that nobody registered, yes."""
    name = metric.partition(" (")[0]
    return name not in METRICS or METRICS[name].higher


def called(metric: str) -> str:
    """What sentences call a metric."""
    return {"r2": "R² in percent", "miou": "mean IoU"}.get(metric, metric.replace("_", " "))


def unit_of(metric: str) -> str:
    """The unit of a difference of this metric: 'points', 'nats', ..."""
    name = metric.partition(" (")[0]
    return METRICS[name].unit if name in METRICS else "points"


def ordered(claims: Sequence[Claim]) -> list[Claim]:
    """Shown effects first, the largest first; then the others in the order given."""
    return sorted(claims, key=lambda one: (one.side == 0, -abs(one.found.mean) if one.side else 0.0))


def joined(parts: Sequence[str], last: str = "and") -> str:
    """'a', 'a and b', 'a, b and c'."""
    return f" {last} ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else list(parts))


def clauses(claims: Sequence[Claim], *, digits: int = 2) -> list[str]:
    """One clause a subject, the one of the largest shown effect first, with all that is claimed of it.

    What is said of several controls in the same place is said once: 'KD is better than A (+2.00 [1.00, 3.00])
    and B (+1.00 [0.50, 1.50]) on the full input and is not shown to differ from C (...) or D (...)'. Of a
    single seed the difference alone is told.
    """
    subjects: dict[str, dict[tuple[str, str], list[Claim]]] = {}
    for one in ordered(claims):
        mine = subjects.setdefault(one.name(one.treated), {})
        mine.setdefault((one.says if one.found.n > 1 else "", one.where), []).append(one)
    return [
        f"{subject} {joined([_said(*how, some, digits) for how, some in groups.items()])}"
        for subject, groups in subjects.items()
    ]


def _said(says: str, where: str, some: Sequence[Claim], digits: int) -> str:
    shown = [(one.name(one.control), one.found.show(signed=True, digits=digits)) for one in some]
    against = [f"{control} ({gap})" if says else f"{control} is {gap}" for control, gap in shown]
    last = "and" if some[0].side or not says else "or"
    return f"{says or 'minus'} {joined(against, last)}{f' {where}' if where else ''}"


def sentence(lead: str, claims: Sequence[Claim], *, digits: int = 2, unit: str = "points") -> str:
    """One sentence: the lead, then each subject with all that is claimed of it, shown effects first.

    Args:
        lead: on what, in words, without a comma at its end.
        claims: at least one.
        digits: of the numbers.
        unit: of the numbers, told once.
    """
    alone = [ALONE] if any(one.found.n < 2 for one in claims) else []
    return f"{lead}, in {unit}: {'; '.join([*clauses(claims, digits=digits), *alone])}."


def headline(lead: str, claims: Sequence[Claim], *, otherwise: str = "arms compared") -> str:
    """The title: the largest effect that is shown, or in few words that none is."""
    known = [one for one in ordered(claims) if one.found.n > 1]
    if not known:
        return f"{lead}: {otherwise}"
    first = known[0]
    subject, control = first.name(first.treated), first.name(first.control)
    if first.side:
        where = f" {first.where}" if first.where else ""
        gap = first.found.show(signed=True, digits=1)
        return f"{lead}: {subject} {_TITLE.get(first.says, first.says)} {control}{where} ({gap})"
    many, others = len({one.treated for one in known}), len({one.control for one in known})
    if many > 1:
        subject = f"none of {many} {first.role}s shown"
    against = control if others == 1 else f"any of {others} others"
    return f"{lead}: {subject}{'' if many > 1 else ' not shown'} to differ from {against}"
