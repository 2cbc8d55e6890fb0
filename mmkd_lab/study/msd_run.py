"""Run a comparison: teachers, what they say, strengths, students."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd
from torch import Tensor

from mmkd_lab.distill.reliability import UnreliableTeacher, gates, reliability, warn_unreliable
from mmkd_lab.distill.teacher_views import TeacherViews
from mmkd_lab.experiments.store import Result, ResultStore
from mmkd_lab.models import View
from mmkd_lab.study.msd_losses import Strengths, lesson
from mmkd_lab.study.msd_networks import Done, MsdWorkshop, Pupil
from mmkd_lab.study.msd_setting import TUNING, MsdSetting
from mmkd_lab.study.msd_tuning import Tried, trained_for, tuned, untuned
from mmkd_lab.study.setting import teacher_seed
from mmkd_lab.training.replicas import Replicas
from mmkd_lab.training.teach import cache_views

#: Over how many draws from the marginal a teacher's word is averaged, where modalities are permuted: a target
#: should not rest on one random partner.
DRAWS = 8


@dataclass(frozen=True, eq=False)
class School:
    """The teachers of some seeds: the networks, what they say, and what further teachers say."""

    streams: tuple[int, ...]
    networks: Replicas
    said: TeacherViews
    reliability: pd.DataFrame
    gate: Mapping[View, Tensor] | None
    others: Sequence[TeacherViews] = ()


@dataclass(frozen=True, eq=False)
class Ran:
    """What came out."""

    school: School
    strengths: Strengths
    tuning: list[Tried]
    results: dict[str, list[Result]]
    lessons: dict[str, list[TeacherViews | None]]
    unreliable: list[str] = field(default_factory=list)


def total(setting: MsdSetting) -> int:
    """How many networks a comparison has."""
    teachers = 1 + (len(setting.modalities) if "multi_teacher" in setting.names else 0)
    return trained_for(setting) + len(setting.seeds) * (teachers + len(setting.arms))


def run(setting: MsdSetting, store: ResultStore, done: Done) -> Ran:
    """Train what is not in the store. Warns of an unreliable teacher before any student is trained."""
    workshop = MsdWorkshop(setting, store, done)
    school = school_of(workshop, setting.seeds, others="multi_teacher" in setting.names)
    unreliable = _warned(school.reliability)
    strengths, seen = untuned(setting), list[Tried]()
    if setting.tune:
        strengths, seen = _tuned(workshop)
    results, lessons = {}, {}
    for arm in setting.names:
        each = range(len(setting.seeds))
        lessons[arm] = [_lesson(setting, arm, school, r) for r in each]
        pupils = [
            Pupil(
                setting.seeds[r],
                strengths.kd,
                strengths.of(arm),
                lessons[arm][r],
                school.networks[r] if arm == "pruned" else None,
            )
            for r in each
        ]
        results[arm] = workshop.students(arm, pupils)
    return Ran(school, strengths, seen, results, lessons, unreliable)


def _tuned(workshop: MsdWorkshop) -> tuple[Strengths, list[Tried]]:
    """Strengths by the tuning seeds, each with a teacher of its own."""
    setting, each = workshop.setting, range(len(TUNING))
    apart = school_of(workshop, TUNING, others=False)

    def train(arm: str, candidates: Sequence[tuple[float, float]]) -> list[list[Result]]:
        taught = [_lesson(setting, arm, apart, r) for r in each]
        pupils = [Pupil(TUNING[r], kd, factor, taught[r]) for kd, factor in candidates for r in each]
        found = workshop.students(arm, pupils)
        return [found[i : i + len(TUNING)] for i in range(0, len(found), len(TUNING))]

    return tuned(setting, train)


def school_of(workshop: MsdWorkshop, seeds: Sequence[int], *, others: bool) -> School:
    """The teachers of some seeds and what they say; with `others` those of each modality too."""
    setting = workshop.setting
    streams = [teacher_seed(seed) for seed in seeds]
    networks = workshop.teachers(streams)
    felt = {"fitnet", "rkd", "sp", "telme", "gram"} & set(setting.names)
    said = cache_views(
        networks,
        setting.data,
        views=setting.cached,
        removal=setting.operator(),
        features=bool(felt),
        view_features="gram" in setting.names,
        draws=DRAWS,
    )
    found = reliability(said, setting.data)
    gate = gates(found, said) if setting.gate else None
    more = []
    if others:
        for modality in setting.modalities:
            alone = workshop.teachers(streams, modality=modality)
            more.append(cache_views(alone, setting.data, removal=setting.operator()))
    return School(tuple(seeds), networks, said, found, gate, more)


def _lesson(setting: MsdSetting, arm: str, school: School, r: int) -> TeacherViews | None:
    gate = None if school.gate is None else {view: share[r : r + 1] for view, share in school.gate.items()}
    return lesson(
        setting,
        arm,
        school.said[r],
        stream=school.streams[r],
        gate=gate,
        others=[one.logits[r : r + 1] for one in school.others],
    )


def _warned(table: pd.DataFrame) -> list[str]:
    """Warn once, from where the study was called, of views that no student should mimic."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UnreliableTeacher)
        said = warn_unreliable(table[table["view"] != "nothing"])
    for one in caught:
        warnings.warn(str(one.message), one.category, stacklevel=5)
    return said
