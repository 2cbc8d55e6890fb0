"""Learning rates and strengths, chosen on the validation split with seeds that no comparison has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import torch
from torch import Tensor

from mmkd_lab.experiments.store import Result, ResultStore
from mmkd_lab.study.msd_losses import FACTORS, KD_WEIGHTS, PLAIN, Strengths, family
from mmkd_lab.study.msd_networks import Done, MsdWorkshop, Pupil
from mmkd_lab.study.msd_setting import TUNING, MsdSetting
from mmkd_lab.study.setting import teacher_seed
from mmkd_lab.training.metrics import score

#: (arm, [(rho, factor), ...]) -> the outcomes of every tuning seed, for each candidate.
Train = Callable[[str, Sequence[tuple[float, float]]], Sequence[Sequence[Result]]]
STUDENT_RATE, TEACHER_RATE, KD_WEIGHT = "student's rate", "teacher's rate", "kd"


@dataclass(frozen=True)
class Tried:
    """One candidate of one choice: means over the tuning seeds, validation split, full input.

    Args:
        choice: what is chosen, a learning rate or a method's strength.
        value: the candidate.
        metric: the task's first metric; larger is better.
        val: its mean.
        nll: the mean negative log-likelihood, which decides between equal `val`.
        n: seeds.
    """

    choice: str
    value: float
    metric: str
    val: float
    nll: float
    n: int


def best(tried: Sequence[Tried]) -> float:
    """The value with the best mean score; ties go to the lower nll, then to the one that comes first."""
    return min(tried, key=lambda one: (-one.val, one.nll)).value


def at_the_end(tried: Sequence[Tried]) -> dict[str, float]:
    """{choice: value} of what was chosen from an end of its candidates, beyond which a better one may lie."""
    choices: dict[str, list[Tried]] = {}
    for one in tried:
        choices.setdefault(one.choice, []).append(one)
    chosen = {name: (best(some), sorted(one.value for one in some)) for name, some in choices.items()}
    return {
        name: value
        for name, (value, all_) in chosen.items()
        if len(all_) > 1 and value in (all_[0], all_[-1])
    }


def untuned(setting: MsdSetting) -> Strengths:
    """As asked for, and the plain factor for every other method of the comparison."""
    asked = {"msd": setting.msd_weight, "kd_views": setting.msd_weight, "kd_drop": setting.drop}
    return Strengths(setting.kd_weight, {name: asked.get(name, PLAIN[name]) for name in families(setting)})


def tuned(setting: MsdSetting, train: Train) -> tuple[Strengths, list[Tried]]:
    """The strengths with the best mean validation score on the full input, and all that were tried.

    KD's rho first; then, at this rho, the factor of every family: MSD's on uniform weights, so that no scheme
    is favoured. What is best for the full input need not be so with a modality missing.
    """
    seen: list[Tried] = []

    def chosen(arm: str, name: str, candidates: Mapping[float, tuple[float, float]]) -> float:
        outcomes = train(arm, list(candidates.values()))
        some = [
            tried(name, value, setting, [heard(setting, one) for one in each])
            for value, each in zip(candidates, outcomes, strict=True)
        ]
        seen.extend(some)
        return best(some)

    rho = chosen("kd", KD_WEIGHT, {value: (value, 0.0) for value in KD_WEIGHTS})
    factors = {
        name: chosen(
            "msd_uniform" if name == "msd" else name, name, {value: (rho, value) for value in FACTORS[name]}
        )
        for name in families(setting)
    }
    return Strengths(rho, factors), seen


def rated(setting: MsdSetting, store: ResultStore, done: Done) -> tuple[MsdSetting, list[Tried]]:
    """The setting with the rates at which student and teacher learn best from labels alone, and all tried."""
    if not setting.rates:
        return setting, []
    students, teachers = list[Tried](), list[Tried]()
    for rate in setting.rates:
        trial = replace(
            setting,
            student_recipe=replace(setting.student_recipe, lr=rate),
            teacher_recipe=replace(setting.teacher_recipe, lr=rate),
        )
        workshop = MsdWorkshop(trial, store, done)
        small = workshop.students("no_kd", [Pupil(seed, 0.0, 0.0) for seed in TUNING])
        large = workshop.teachers([teacher_seed(seed) for seed in TUNING]).predict(trial.data, split="val")
        students.append(tried(STUDENT_RATE, rate, trial, [heard(trial, one) for one in small]))
        teachers.append(tried(TEACHER_RATE, rate, trial, list(large)))
    return replace(
        setting,
        student_recipe=replace(setting.student_recipe, lr=best(students)),
        teacher_recipe=replace(setting.teacher_recipe, lr=best(teachers)),
    ), [*students, *teachers]


def trained_for(setting: MsdSetting) -> int:
    """How many networks choosing takes."""
    strengths = (len(KD_WEIGHTS) + sum(len(FACTORS[name]) for name in families(setting))) * setting.tune
    return len(TUNING) * (setting.tune + strengths + 2 * len(setting.rates))


def families(setting: MsdSetting) -> list[str]:
    """The families with a factor that the comparison has."""
    named = [family(name) for name in setting.names]
    return [name for name in FACTORS if name in named]


def heard(setting: MsdSetting, result: Result) -> Tensor:
    """(N, K) logits on the validation split, full input."""
    return torch.from_numpy(result.tensors[f"logits/val/{setting.full.label}"].copy())


def tried(choice: str, value: float, setting: MsdSetting, logits: Sequence[Tensor]) -> Tried:
    """One candidate from what its networks, one a seed, say on the validation split."""
    target = setting.data.target[setting.data.positions("val")].cpu()
    named = score(torch.stack(list(logits)).cpu(), target, task=setting.data.task)
    metric = next(iter(named))
    return Tried(
        choice, value, metric, fmean(named[metric].tolist()), fmean(named["nll"].tolist()), len(logits)
    )
