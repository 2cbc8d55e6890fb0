"""Where MSD beats KD, and whether its controls do as well: in words, from paired intervals alone.

A difference counts when its 95 % interval excludes zero and rests on at least three seeds that differ;
otherwise it is 'not shown', which is not 'absent'. Intervals are not corrected for their number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mmkd_lab.core.check import one_of, require
from mmkd_lab.core.stats import Interval, paired_interval
from mmkd_lab.distill.arms import MSD_ARMS
from mmkd_lab.experiments.summary import primary_metric, select

#: The arm that stands for the auxiliary terms as such, and the one that stands for weighing them: the first
#: of these that was trained.
PLAIN = ("msd_uniform", "msd_instance", "msd_population", "msd_global", "msd_learned")
WEIGHED = ("msd_instance", "msd_population", "msd_global", "msd_learned")
#: Controls of the terms, the closest first, and of the weights.
CONTROLS = ("kd_views", "kd_drop")
SHUFFLED = ("msd_shuffled", "msd_wrong")


@dataclass(frozen=True)
class Region:
    """MSD under some views; every difference is paired by seed and meaned over the views.

    Args:
        name: 'on the full input', or 'with a modality missing' (of more than two: 'modalities').
        over_kd: MSD minus KD.
        controls: {control: MSD minus it}, of `CONTROLS` as far as trained.
        weighed: weighed MSD minus equally weighed; None where not both were trained.
        shuffled: {control: weighed MSD minus it}, of `SHUFFLED` as far as trained.
    """

    name: str
    over_kd: Interval
    controls: Mapping[str, Interval]
    weighed: Interval | None
    shuffled: Mapping[str, Interval]

    @property
    def unbeaten(self) -> list[str]:
        """The controls of the terms that MSD is not shown to beat."""
        return [name for name, found in self.controls.items() if side(found) < 1]


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

    def over(arm: str, others: Sequence[str], some: Sequence[str]) -> dict[str, Interval]:
        return {other: paired(table, arm, other, views=some) for other in others if other in students}

    gone = "with a modality missing" if len(views) == 3 else "with modalities missing"
    named = {"on the full input": views[:1], gone: views[1:]}
    return [
        Region(
            name,
            paired(table, plain, "kd", views=some),
            over(plain, CONTROLS, some),
            None if weighed is None or plain != "msd_uniform" else paired(table, weighed, plain, views=some),
            {} if weighed is None else over(weighed, SHUFFLED, some),
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
    """The verdict, one sentence: MSD against KD on the full input and with a modality missing; there, against
    its controls, and weighed against equal weights."""
    metric, n = primary_metric(table).replace("_", " "), table["seed"].nunique()
    where = (
        f"On {table['dataset'].iloc[0]} ({n} seed{'s' if n > 1 else ''}, test {metric}, removal by {removal})"
    )
    chosen = headline(table)
    if chosen is None:
        return f"{where}, no MSD arm was trained, so that nothing is said of it."
    plain, weighed = chosen
    full, missing = regions(table, views=views)
    if full.over_kd.n < 2:
        means = " and ".join(
            f"{one.over_kd.show(signed=True, digits=1)} {one.name}" for one in (full, missing)
        )
        return f"{where}, {_label(plain)} − KD is {means}: no conclusion, since one seed has no interval."
    said = (
        f"{where}, {_label(plain)} {_compared('KD', full.over_kd, unit=' points')} {full.name} and "
        f"{_compared('KD', missing.over_kd)} {missing.name}"
    )
    parts = [_compared(_label(name), found) for name, found in missing.controls.items()]
    there = [f"it {' and '.join(parts)}"] if parts else []
    if weighed is not None and missing.weighed is not None:
        there.append(f"{_label(weighed)} {_weights(missing, plain)}")
    return f"{said}; there {', and '.join(there)}." if there else f"{said}."


def title(table: pd.DataFrame, *, views: Sequence[str]) -> str:
    """The finding in a few words."""
    lead = str(table["dataset"].iloc[0])
    found = regions(table, views=views)
    if not found or found[0].over_kd.n < 2:
        return f"{lead}: arms compared"
    words = {1: "beats", 0: "is not shown to differ from", -1: "falls short of"}
    sides = [side(one.over_kd) for one in found]
    if sides[0] == sides[1]:
        said = f"MSD {words[sides[0]]} KD on the full input and with a modality missing"
    else:
        said = "MSD " + ", ".join(
            f"{words[way]} KD {one.name}" for way, one in zip(sides, found, strict=True)
        )
    gains = [one for one in found if side(one.over_kd) == 1]
    tails = [_tail(one, one.name if len(gains) > 1 else "there") for one in gains]
    return f"{lead}: {said}{''.join(tails)}"


_WORDS = {1: "is better than", 0: "is not shown to differ from", -1: "is worse than"}


def _tail(region: Region, where: str) -> str:
    """What the controls say of a gain over KD."""
    if not region.controls:
        return ""
    if region.unbeaten:
        return f"; {where} it is not shown to beat {' or '.join(_label(one) for one in region.unbeaten)}"
    return f"; {where} it beats {' and '.join(_label(one) for one in region.controls)} too"


def _weights(region: Region, plain: str) -> str:
    """Weighed against equal weights; where that is a gain, also against the weights' own controls."""
    assert region.weighed is not None
    said = _compared(_label(plain), region.weighed)
    if side(region.weighed) < 1:
        return said
    if not region.shuffled:
        return f"{said}; no control for the weights was trained"
    return f"{said} and {' and '.join(_compared(_label(n), found) for n, found in region.shuffled.items())}"


def side(found: Interval) -> int:
    """1 above zero, -1 below, else 0; two seeds are too few to tell."""
    return found.side if found.n > 2 else 0


def _label(arm: str) -> str:
    return MSD_ARMS[arm].label


def _compared(label: str, found: Interval, *, unit: str = "") -> str:
    return f"{_WORDS[side(found)]} {label} ({found.show(signed=True, digits=1)}{unit})"
