"""From an arm to its loss, and to what its teacher brings along: weights, features, further teachers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mmkd_lab.data.paired import PairedData
from mmkd_lab.distill.dist import Dist
from mmkd_lab.distill.distillation import Distillation
from mmkd_lab.distill.dkd import DKD
from mmkd_lab.distill.gram import ModalityGram
from mmkd_lab.distill.hints import Hints
from mmkd_lab.distill.method import Method
from mmkd_lab.distill.msd import Msd
from mmkd_lab.distill.multi_teacher import mix_teachers, trust
from mmkd_lab.distill.objective import Objective
from mmkd_lab.distill.relations import RKD, SimilarityPreserving
from mmkd_lab.distill.teacher_views import TeacherViews
from mmkd_lab.distill.telme import Telme
from mmkd_lab.distill.weights import Weighting, controlled, weigh
from mmkd_lab.models.views import View
from mmkd_lab.study.msd_setting import MsdSetting

#: What KD's rho is chosen from.
KD_WEIGHTS = (0.1, 0.25, 0.5, 0.75, 0.9)
#: The factor of each method where nothing is tuned: MSD's own c = 1, 3,000 for SP (Tung and Mori 2019), and 1
#: for the others, whose inner weights are the published ones. That of kd_drop is the rate of dropping.
PLAIN: Mapping[str, float] = {
    "kd_drop": 0.3,
    "kd_views": 1.0,
    "msd": 1.0,
    "fitnet": 1.0,
    "rkd": 1.0,
    "sp": 3000.0,
    "gram": 1.0,
    "dkd": 1.0,
    "dist": 1.0,
    "telme": 1.0,
}
#: What a factor is chosen from, as multiples of the plain one: as many candidates as KD has.
MULTIPLES = (1 / 64, 1 / 16, 1 / 4, 1.0, 4.0)
DROPS = (0.05, 0.1, 0.2, 0.3, 0.5)
FACTORS: Mapping[str, tuple[float, ...]] = {
    name: DROPS if name == "kd_drop" else tuple(plain * one for one in MULTIPLES)
    for name, plain in PLAIN.items()
}
#: Those that stand in the place of KD, beside the labels.
INSTEAD = ("dkd", "dist", "telme")
LEARNED = {"msd_global": "global", "msd_learned": "instance"}


@dataclass(frozen=True)
class Strengths:
    """KD's rho, and the factor of every method, {family: factor}."""

    kd: float
    factors: Mapping[str, float]

    def of(self, arm: str) -> float:
        """The factor of an arm's method; 0 where it has none."""
        return self.factors.get(family(arm), 0.0)

    def describe(self) -> dict[str, float]:
        """Plain values."""
        return {"kd": self.kd, **self.factors}


def family(arm: str) -> str:
    """'msd' for all MSD arms: they share one factor, so that strength is not confounded with the scheme."""
    return "msd" if arm.startswith("msd_") else arm


def loss(setting: MsdSetting, arm: str, *, kd: Sequence[float], factor: Sequence[float]) -> Distillation:
    """The loss of one arm for R students, one rho and one factor each."""
    rho = torch.tensor(kd, dtype=torch.float32)
    task, temperature = setting.data.task, setting.temperature
    plain = arm == "no_kd" or family(arm) in INSTEAD
    base = Objective(
        ce=torch.ones_like(rho) if plain else 1.0 - rho,
        kd=torch.zeros_like(rho) if plain else rho,
        temperature=temperature,
        task=task,
    )
    method = _method(setting, family(arm))
    if method is None:
        return Distillation(base)
    return Distillation(
        base,
        ((torch.tensor(factor, dtype=torch.float32), method),),
        setting.operator() if method.needs.views else None,
        replace(setting.learned, level=LEARNED[arm]) if arm in LEARNED else None,
    )


def _method(setting: MsdSetting, kind: str) -> Method | None:
    task, temperature = setting.data.task, setting.temperature
    if kind in ("msd", "kd_views"):
        return Msd(setting.views, temperature=temperature, task=task)
    if kind == "gram":
        return ModalityGram(setting.views)
    if kind == "dkd":
        return DKD(temperature=temperature)
    if kind == "dist":
        return Dist(temperature=temperature, task=task)
    if kind == "telme":
        return Telme(temperature=temperature, task=task)
    plain: dict[str, Method] = {"fitnet": Hints(), "rkd": RKD(), "sp": SimilarityPreserving()}
    return plain.get(kind)


def weighting_of(setting: MsdSetting, arm: str) -> Weighting | None:
    """The scheme that weighs an MSD arm's terms; None for arms without such terms."""
    if family(arm) not in ("msd", "kd_views"):
        return None
    by_sample = setting.weighting
    if arm in ("kd_views", "msd_uniform", *LEARNED):
        return Weighting("uniform")
    if arm == "msd_population":
        return replace(by_sample, scheme="population")
    control = {"msd_shuffled": "shuffled", "msd_wrong": "wrong"}.get(arm)
    return by_sample if control is None else controlled(by_sample, control)


def lesson(
    setting: MsdSetting,
    arm: str,
    teacher: TeacherViews,
    *,
    stream: int,
    gate: Mapping[View, Tensor] | None,
    others: Sequence[Tensor] = (),
) -> TeacherViews | None:
    """What one student's teacher (R = 1) hands to it: only what the arm reads.

    Args:
        setting: the study's.
        arm: its name.
        teacher: everything it said, with features.
        stream: the student's own seed, for shuffled weights.
        gate: {view: (1,)} or None.
        others: logits (1, N, K) of further teachers, for multi_teacher.
    """
    if arm in ("no_kd", "pruned"):
        return None
    bare = TeacherViews(teacher.full, removal=teacher.removal)
    if arm == "multi_teacher":
        every = [teacher.logits, *others]
        share = trust(every, by="confidence", task=setting.data.task)
        mixed = mix_teachers(every, weights=share, temperature=setting.temperature, task=setting.data.task)
        return TeacherViews.of(teacher.index, mixed, removal=teacher.removal)
    weighting = weighting_of(setting, arm)
    if weighting is not None:
        found = _weighed(setting, weighting, teacher, stream, gate)
        return replace(found, views=dict.fromkeys(found.views, found.logits)) if arm == "kd_views" else found
    method = _method(setting, arm)
    if method is None or not (method.needs.features or method.needs.views):
        return bare
    needs = method.needs
    return replace(
        bare,
        views={view: teacher.views[view] for view in needs.views},
        features=teacher.features,
        view_features={v: teacher.view_features[v] for v in needs.views} if needs.view_features else {},
    )


def _weighed(
    setting: MsdSetting,
    weighting: Weighting,
    teacher: TeacherViews,
    stream: int,
    gate: Mapping[View, Tensor] | None,
) -> TeacherViews:
    data: PairedData = setting.data
    known = None if gate is None else {view: gate[view] for view in setting.views}
    found = weigh(teacher, setting.views, weighting, data=data, seed=stream, gate=known)
    views = {view: teacher.views[view] for view in setting.views}
    return replace(found, views=views, features=None, view_features={})
