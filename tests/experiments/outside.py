"""What somebody adds from outside the package: a method, arms, a ranking, a metric, a dataset.

python -m tests.experiments.outside <store>   prints the tables of all three studies with it.
"""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pandas as pd
import torch

from mmkd_lab import data, study
from mmkd_lab.attribution import register_ranking
from mmkd_lab.core.config import Positive, config
from mmkd_lab.data.paired import PairedData, Task
from mmkd_lab.distill import (
    ARMS,
    Arm,
    Method,
    TeacherKind,
    Term,
    UnreliableTeacher,
    register_arm,
    register_method,
)
from mmkd_lab.experiments.store import ResultStore
from mmkd_lab.models import NetSpec
from mmkd_lab.training.metrics import register_metric
from mmkd_lab.training.recipe import Recipe

KD = ARMS["cm_kd"].loss
SIZES = {"train": 60, "val": 30, "test": 30}


@register_method("logit_distance")
@config
class LogitDistance(Method):
    """The mean distance of logits, to a power."""

    power: Positive = 1.0

    def __call__(self, student, target, teacher, parameters):
        apart = (student.logits - teacher.logits).abs() ** self.power
        return {self.name: apart.mean(dim=(-2, -1))}


OTHER, EVERY = TeacherKind("other"), TeacherKind("all")
EDITED = TeacherKind("other", training="joint", ranking="quietest")


def _arm(name: str, teacher: TeacherKind, *terms: Term) -> None:
    register_arm(Arm(name, name, "An arm from outside.", "#aa5500", teacher, (*KD, *terms)))


_arm("near_kd", OTHER, Term(LogitDistance(power=2.0), 0.5))
_arm("near_all", EVERY, Term("logit_distance", 0.5))
_arm("quiet_kd", EDITED)


@register_ranking("quietest")
def quietest(context):
    """Keep the channels whose saliency is nearest to zero."""
    return -np.abs(context.saliency.values)


@register_metric("top_2", task=Task.SINGLE_LABEL)
def top_2(logits, target):
    """Percent whose class is among the two likeliest."""
    return 100.0 * (logits.topk(2).indices == target[:, None]).any(1).double().mean()


@data.register_dataset("rings")
def rings(n: int = 120, noise: float = 0.8, seed: int = 0) -> PairedData:
    """Three classes, seen by two modalities of six numbers."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    x = {m: rng.normal(size=(3, 6))[y] + noise * k * rng.normal(size=(n, 6)) for k, m in ((1, "a"), (2, "b"))}
    ends = np.cumsum([0, *SIZES.values()])
    splits = {name: torch.arange(ends[i], ends[i + 1]) for i, name in enumerate(SIZES)}
    modalities = {name: torch.from_numpy(values) for name, values in x.items()}
    return PairedData("rings", modalities, torch.from_numpy(y), splits, ("x", "y", "z"))


def run(**options):
    """All three studies with what was added."""
    failure = study.failure_cases(
        "rings", student="b", arms=["no_kd", "um_kd", "cm_kd", "near_kd"], **options
    )
    repair = study.repair_teachers(
        "rings", student="b", arms=["no_kd", "mg_kd", "quiet_kd"], ratios=[0.5], **options
    )
    return (
        failure,
        repair,
        study.kd_vs_msd("rings", arms=["kd", "msd_uniform", "near_all"], tune=False, **options),
    )


if __name__ == "__main__":
    small = {"student_model": NetSpec(width=2, features=4), "teacher_model": NetSpec(width=4, features=8)}
    recipe = Recipe(epochs=2, batch_size=16, lr=0.01)
    warnings.simplefilter("ignore", UnreliableTeacher)
    found = run(
        seeds=range(2), recipe=recipe, store=ResultStore(sys.argv[1]), device="cpu", progress=False, **small
    )
    print(pd.concat([one.table for one in found]).to_csv(index=False), end="")
