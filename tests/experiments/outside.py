"""What somebody adds from outside the package, and the tables of all three studies with it."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import torch

from mmkd_lab import data, distill, study
from mmkd_lab.attribution import register_ranking
from mmkd_lab.core.config import Positive, config
from mmkd_lab.models import NetSpec
from mmkd_lab.training import Recipe
from mmkd_lab.training.metrics import register_metric


@distill.register_method("logit_distance")
@config
class LogitDistance(distill.Method):
    """The mean distance of logits, to a power."""

    power: Positive = 1.0

    def __call__(self, student, target, teacher, parameters):
        apart = (student.logits - teacher.logits).abs() ** self.power
        return {self.name: apart.mean(dim=(-2, -1))}


@register_ranking("quietest")
def quietest(context):
    """Keep the channels whose saliency is nearest to zero."""
    return -np.abs(context.saliency.values)


@register_metric("top_2", task=data.Task.SINGLE_LABEL)
def top_2(logits, target):
    """Percent whose class is among the two likeliest."""
    return 100.0 * (logits.topk(2).indices == target[:, None]).any(1).double().mean()


@data.register("rings")
def rings(n: int = 120, noise: float = 0.8, seed: int = 0) -> data.PairedData:
    """Three classes, seen by two modalities of six numbers."""
    rng, y, rows = np.random.default_rng(seed), np.arange(n) % 3, torch.arange(n)
    x = {m: rng.normal(size=(3, 6))[y] + noise * k * rng.normal(size=(n, 6)) for k, m in ((1, "a"), (2, "b"))}
    splits = {"train": rows[: n // 2], "val": rows[n // 2 : -30], "test": rows[-30:]}
    modalities = {name: torch.from_numpy(values) for name, values in x.items()}
    return data.PairedData("rings", modalities, torch.from_numpy(y), splits, ("x", "y", "z"))


def arm(name, teacher, *terms):
    """An arm whose loss is crossmodal KD's and more."""
    loss = (*distill.ARMS["cm_kd"].loss, *terms)
    distill.register_arm(distill.Arm(name, name, "An arm from outside.", "#aa5500", teacher, loss))


arm("near_kd", distill.TeacherKind("other"), distill.Term(LogitDistance(power=2.0), 0.5))
arm("near_all", distill.TeacherKind("all"), distill.Term("logit_distance", 0.5))
arm("quiet_kd", distill.TeacherKind("other", training="joint", ranking="quietest"))

small = {"student_model": NetSpec(width=2, features=4), "teacher_model": NetSpec(width=4, features=8)}
given = {**small, "seeds": range(2), "recipe": Recipe(epochs=2, batch_size=16, lr=0.01), "progress": False}
warnings.simplefilter("ignore", distill.UnreliableTeacher)
found = [
    study.failure_cases("rings", student="b", arms=["no_kd", "cm_kd", "near_kd"], **given),
    study.repair_teachers("rings", student="b", arms=["no_kd", "quiet_kd"], ratios=[0.5], **given),
    study.kd_vs_msd("rings", arms=["kd", "msd_uniform", "near_all"], tune=False, **given),
]
print(pd.concat([one.table for one in found]).to_csv(index=False), end="")
