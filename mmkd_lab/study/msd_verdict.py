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

#: The arm that stands for the auxiliary terms as such, and the one that stands for weighing them: the first
#: of these that was trained.
PLAIN = ("msd_uniform", "msd_instance", "msd_population", "msd_global", "msd_learned")
WEIGHED = ("msd_instance", "msd_population", "msd_global", "msd_learned")
SHUFFLED = ("msd_shuffled", "msd_wrong")


@dataclass(frozen=True)
class Region:
    """MSD under some views; every difference is paired by seed and meaned over the views.

    Args:
        name: 'with the full input' or 'with a modality missing'.
        over_kd: MSD minus KD.
        over_drop: MSD minus KD with modality drop; None where that was not trained.
        weighed: {control: weighed MSD minus it}, for uniform, shuffled and wrong weights as far as trained.
    """

    name: str
    over_kd: Interval
    over_drop: Interval | None
    weighed: Mapping[str, Interval]

    @property
    def terms(self) -> str:
        """What is to be thought of the terms: 'more', 'augmentation', 'better', 'none' or 'worse'."""
        if side(self.over_kd) < 1:
            return "none" if side(self.over_kd) == 0 else "worse"
        if self.over_drop is None:
            return "better"
        return "more" if side(self.over_drop) == 1 else "augmentation"

    @property
    def weights(self) -> str:
        """What is to be thought of weighing them: 'help', 'explained', 'none', 'hurt', '' without test."""
        against = self.weighed.get("msd_uniform")
        if against is None:
            return ""
        if side(against) < 1:
            return "none" if side(against) == 0 else "hurt"
        controls = [found for name, found in self.weighed.items() if name in SHUFFLED]
        return "help" if all(side(found) == 1 for found in controls) else "explained"


def headline(table: pd.DataFrame) -> tuple[str, str | None] | None:
    """(the arm for the terms, the arm for weighing them or None); None where no MSD was trained."""
    students = set(table[table["role"] == "student"]["arm"])
    plain = next((arm for arm in PLAIN if arm in students), None)
    if plain is None:
        return None
    return plain, next((arm for arm in WEIGHED if arm in students and arm != plain), None)


def regions(table: pd.DataFrame, *, views: Sequence[str]) -> list[Region]:
    """The full input (the first view), and all others together; empty where no MSD was trained."""
    chosen = headline(table)
    if chosen is None:
        return []
    plain, weighed = chosen
    students = set(table[table["role"] == "student"]["arm"])
    controls = [] if weighed is None else [arm for arm in (plain, *SHUFFLED) if arm in students]
    named = {"with the full input": views[:1], "with a modality missing": views[1:]}
    return [
        Region(
            name,
            paired(table, plain, "kd", views=some),
            paired(table, plain, "kd_drop", views=some) if "kd_drop" in students else None,
            {control: paired(table, weighed or "", control, views=some) for control in controls},
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
    where = (
        f"On {table['dataset'].iloc[0]} ({n} seed{'s' if n > 1 else ''}, test {metric}, removal by {removal})"
    )
    chosen = headline(table)
    if chosen is None:
        return f"{where}, no MSD arm was trained, so that nothing is said of it."
    return f"{where}, {'; '.join(_clause(region, *chosen) for region in regions(table, views=views))}."


def title(table: pd.DataFrame, *, views: Sequence[str]) -> str:
    """The finding in a few words."""
    lead = str(table["dataset"].iloc[0])
    found = regions(table, views=views)
    if not found or found[0].over_kd.n < 2:
        return f"{lead}: arms compared"
    words = {1: "beats", 0: "is not shown to differ from", -1: "falls short of"}
    sides = [side(one.over_kd) for one in found]
    if sides[0] == sides[1]:
        said = f"MSD {words[sides[0]]} KD with the full input and with a modality missing"
    else:
        said = "MSD " + ", ".join(
            f"{words[way]} KD {one.name}" for way, one in zip(sides, found, strict=True)
        )
    explained = [one.name for one in found if one.terms == "augmentation"]
    tail = f"; {' and '.join(explained)} no more than modality drop is shown" if explained else ""
    return f"{lead}: {said}{tail}"


_WORDS = {1: "is better than", 0: "is not shown to differ from", -1: "is worse than"}
_TERMS = {
    "more": "the teacher's word on single modalities is worth more than hiding them",
    "augmentation": "hiding modalities from the student is not shown to do less",
    "better": "no control for mere augmentation was trained",
    "none": "no gain is shown",
    "worse": "the terms cost accuracy",
}
_WEIGHTS = {
    "help": "the weights help, and not by chance",
    "explained": "weights help, but so do those of another sample or modality",
    "none": "no gain from weights is shown",
    "hurt": "the weights hurt",
}


def _clause(region: Region, plain: str, weighed: str | None) -> str:
    said = f"{region.name} {MSD_ARMS[plain].label} {_compared('KD', region.over_kd, unit=' points')}"
    if region.over_kd.n < 2:
        return f"{said}: no conclusion, since one seed has no interval"
    if region.over_drop is not None:
        said += f" and {_compared(MSD_ARMS['kd_drop'].label, region.over_drop)}"
    said += f": {_TERMS[region.terms]}"
    if weighed is None or not region.weights:
        return said
    parts = [_compared(MSD_ARMS[name].label, found) for name, found in region.weighed.items()]
    return f"{said}, and {MSD_ARMS[weighed].label} {', '.join(parts)}: {_WEIGHTS[region.weights]}"


def _compared(label: str, found: Interval, *, unit: str = "") -> str:
    return f"{_WORDS[side(found)]} {label} ({found.show(signed=True)}{unit})"
