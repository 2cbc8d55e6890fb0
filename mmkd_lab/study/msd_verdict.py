"""Where MSD beats KD, and whether its controls do as well: in words, from paired intervals alone.

A difference counts when its 95 % interval excludes zero; otherwise it is 'not shown', which is not 'absent'.
The intervals are not corrected for the number of comparisons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mmkd_lab.base.check import one_of, require
from mmkd_lab.base.stats import Interval, paired_interval
from mmkd_lab.distill.arms import MSD_ARMS
from mmkd_lab.study.summary import primary_metric, select
from mmkd_lab.study.verdict import side

#: The arm the verdict is about: the first of these that was trained.
HEADLINES = ("msd_instance", "msd_uniform", "msd_population", "msd_global", "msd_learned")
#: Controls, and what it means when MSD is not shown to be better than one of them.
CONTROLS: Mapping[str, str] = {
    "kd_drop": "hiding modalities from the student does as much",
    "msd_uniform": "weights add nothing that is shown",
    "msd_shuffled": "the weights of other samples do as well",
    "msd_wrong": "the weights of the wrong modality do as well",
}


@dataclass(frozen=True)
class Region:
    """MSD under some views.

    Args:
        name: 'with the full input' or 'with a modality missing'.
        over_kd: MSD minus KD, paired by seed, meaned over the views.
        over: {control: MSD minus it}.
    """

    name: str
    over_kd: Interval
    over: Mapping[str, Interval]

    @property
    def unbeaten(self) -> list[str]:
        """The controls that MSD is not shown to be better than."""
        return [name for name, found in self.over.items() if side(found) < 1]


def headline(table: pd.DataFrame) -> str | None:
    """The MSD arm that the verdict is about; None when there is none."""
    students = set(table[table["role"] == "student"]["arm"])
    return next((arm for arm in HEADLINES if arm in students), None)


def regions(table: pd.DataFrame, *, views: Sequence[str]) -> list[Region]:
    """The full input (the first view), and all others together; empty without an MSD arm."""
    arm = headline(table)
    if arm is None:
        return []
    students = set(table[table["role"] == "student"]["arm"])
    controls = [name for name in CONTROLS if name in students and name != arm]
    named = {"with the full input": views[:1], "with a modality missing": views[1:]}
    return [
        Region(
            name,
            paired(table, arm, "kd", views=some),
            {control: paired(table, arm, control, views=some) for control in controls},
        )
        for name, some in named.items()
    ]


def paired(
    table: pd.DataFrame, treated: str, control: str, *, views: Sequence[str], metric: str | None = None
) -> Interval:
    """`treated - control` on test by seed, each meaned over the views first.

    Raises `LabError` for an arm or view that the table lacks, or seeds that do not pair up.
    """
    part = select(table, metric=primary_metric(table) if metric is None else metric, split="test")
    part = part[part["role"] == "student"]
    for view in views:
        one_of("view", view, list(dict.fromkeys(part["view"])))
    part = part[part["view"].isin(list(views))]
    found = []
    for arm in (treated, control):
        one_of("arm", arm, list(dict.fromkeys(part["arm"])))
        found.append(part[part["arm"] == arm].groupby("seed")["value"].mean().sort_index())
    same = found[0].index.equals(found[1].index)
    require(same, "seeds", list(found[0].index), f"must be those of {control!r}, {list(found[1].index)}")
    return paired_interval(*(np.asarray(one, dtype=float) for one in found))


def sentence(table: pd.DataFrame, *, views: Sequence[str], removal: str) -> str:
    """The verdict: one sentence with every number it rests on."""
    metric, n = primary_metric(table).replace("_", " "), table["seed"].nunique()
    where = f"On {table['dataset'].iloc[0]} ({n} seed{'s' if n > 1 else ''}, test {metric}, removal by {removal})"
    arm = headline(table)
    if arm is None:
        return f"{where}, no MSD arm was trained, so that nothing is said of it."
    clauses = [_clause(region) for region in regions(table, views=views)]
    return f"{where}, {MSD_ARMS[arm].label} {'; '.join(clauses)}."


def title(table: pd.DataFrame, *, views: Sequence[str]) -> str:
    """The finding in a few words."""
    lead = str(table["dataset"].iloc[0])
    found = regions(table, views=views)
    if not found or found[0].over_kd.n < 2:
        return f"{lead}: arms compared"
    arm = MSD_ARMS[headline(table) or ""].label
    words = {1: "beats", 0: "is not shown to differ from", -1: "falls short of"}
    parts = [f"{words[side(one.over_kd)]} KD {one.name}" for one in found]
    if side(found[0].over_kd) == side(found[1].over_kd):
        parts = [f"{words[side(found[0].over_kd)]} KD with the full input and with a modality missing"]
    won = [one for one in found if side(one.over_kd) == 1]
    unbeaten = list(dict.fromkeys(name for one in won for name in one.unbeaten))
    tail = ""
    if won:
        labels = [MSD_ARMS[name].label for name in unbeaten]
        tail = f"; not shown to beat {' or '.join(labels)}" if labels else "; its controls do not explain it"
    return f"{lead}: {arm} {', '.join(parts)}{tail}"


_WORDS = {1: "is better than", 0: "is not shown to differ from", -1: "is worse than"}


def _clause(region: Region) -> str:
    over = region.over_kd
    said = f"{_WORDS[side(over)]} KD {region.name} ({over.show(signed=True)} points)"
    if over.n < 2:
        return f"{said}: no conclusion, since one seed has no interval"
    if side(over) < 1:
        return f"{said}: no gain"
    compared = [
        f"{_WORDS[side(found)]} {MSD_ARMS[name].label} ({found.show(signed=True)})"
        for name, found in region.over.items()
    ]
    if not compared:
        return f"{said}: no control was trained"
    means = [CONTROLS[name] for name in region.unbeaten]
    ends = " and ".join(means) if means else "its controls do not explain the gain"
    return f"{said}, {', '.join(compared)}: {ends}"
