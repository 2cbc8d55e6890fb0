"""What training with more than logits refuses, by name."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mmkd_lab.core.check import LabError
from mmkd_lab.data.task import Task
from mmkd_lab.distill import Distillation, Msd, TeacherOutputs
from mmkd_lab.distill.losses.dkd import DKD
from mmkd_lab.distill.losses.hints import Hints
from mmkd_lab.distill.teacher_outputs import identity_of
from mmkd_lab.models import AttentionMask, Mean, View, Zeros
from mmkd_lab.training import Replicas, fit
from tests.distill.pairs import pairs
from tests.training.lesson_toy import LEARNED, MLP, RECIPE, halves, loss_of, students, taught, trained

DATA = pairs()


def other(**changes):
    """Teachers of the toy data with something else about them."""
    return replace(taught(DATA), **changes)


REFUSED = {
    "classes": (
        lambda: trained(DATA, loss_of(DATA), taught(pairs(classes=4))),
        "teacher = '4 classes': must have the 3 classes of pairs",
    ),
    "no views": (
        lambda: trained(DATA, loss_of(DATA), taught(DATA).only()),
        r"teacher = \[\]: must know the view 'a'.*teacher_outputs",
    ),
    "another removal": (
        lambda: trained(DATA, loss_of(DATA, removal=Mean.of(DATA)), taught(DATA)),
        "removal = 'mean': must be the one behind the teacher's views, zeros",
    ),
    "no teacher": (lambda: trained(DATA, loss_of(DATA), None), "teacher = None: must be given"),
    "a tensor": (lambda: trained(DATA, loss_of(DATA), torch.zeros(2)), "teacher = .*must be TeacherOutputs"),
    "two teachers": (
        lambda: trained(DATA, loss_of(DATA), taught(DATA, replicas=2)),
        "teacher = '2 teachers': must be 1 for all, or 3",
    ),
    "two weights": (
        lambda: trained(DATA, loss_of(DATA, c=torch.ones(2)), taught(DATA)),
        "loss = 'weights for 2'",
    ),
    "a mask": (
        lambda: trained(DATA, loss_of(DATA, removal=AttentionMask()), other(removal="attention")),
        "removal = 'attention'",
    ),
    "one modality": (
        lambda: trained(DATA, loss_of(DATA), taught(DATA), spec=MLP.on("a")),
        r"views = 'b': must keep a modality that the student reads: 'a'.*one modality",
    ),
    "no features": (
        lambda: trained(DATA, Distillation(((1.0, Hints()),)), taught(DATA)),
        r"teacher = \[\]: must know the layer 'head input'.*teacher_outputs",
    ),
    "other samples": (
        lambda: trained(replace(DATA, index=DATA.sample_index + 1000), loss_of(DATA), taught(DATA)),
        "teacher = '24 samples missing",
    ),
    "other data": (
        lambda: trained(
            DATA, loss_of(DATA), other(identity=replace(identity_of(DATA), fingerprint="0123456789abcdef"))
        ),
        "teacher = '0123456789abcdef': must be of the data pairs",
    ),
    "another view": (
        lambda: trained(
            DATA,
            Distillation(((1.0, Msd((View.only("smell"),), "kl", 1.0, DATA.task)),), Zeros()),
            taught(DATA),
        ),
        r"teacher = \['a', 'b'\]: must know the view 'smell'",
    ),
    "another task": (
        lambda: trained(pairs(task=Task.MULTI_LABEL), loss_of(DATA), taught(pairs(task=Task.MULTI_LABEL))),
        r"loss.task = 'single label': must be that of pairs, multi-label",
    ),
    "a method for one label": (
        lambda: trained(
            pairs(task=Task.MULTI_LABEL),
            Distillation(((1.0, DKD(1.0)),)),
            taught(pairs(task=Task.MULTI_LABEL)),
        ),
        "loss = 'dkd': is not for a multi-label task",
    ),
    "no loss": (
        lambda: trained(DATA, None, taught(DATA)),
        "loss = None: must be a Distillation, or a function",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input(name):
    call, message = REFUSED[name]
    with pytest.raises(LabError, match=message):
        call()


def _learning(frozen, data, teacher, mode="looped"):
    """Networks of one's own whose weights of views are learned."""
    loss = loss_of(data, learned=LEARNED["global"])
    replicas = Replicas.of(halves(frozen), device="cpu")
    return fit(replicas, data, loss, RECIPE, teacher=teacher, mode=mode, progress=False)


@pytest.mark.parametrize("mode", ["looped", "stacked"])
def test_dropout_at_rate_zero_hinders_no_learning(mode):
    data = pairs()
    one, two = (_learning(frozen, data, taught(data), mode) for frozen in ("no dropout", "nothing"))
    assert one.weights is not None
    assert one.weights.equals(two.weights)


def test_bad_learning():
    data, learned = pairs(), LEARNED["global"]
    teacher = taught(data)
    with pytest.raises(LabError, match=r"mode = 'compiled': .*learned weights.*looped"):
        trained(data, loss_of(data, learned=learned), teacher, mode="compiled")
    bare = replace(data, splits={k: v for k, v in data.splits.items() if k != "meta"})
    with pytest.raises(LabError, match=r"data = .*must have a split 'meta'"):
        trained(bare, loss_of(data, learned=learned), teacher)
    for stuck in ("norm", "dropout"):
        with pytest.raises(
            LabError, match=r"learned = \['module.norm'\]: needs networks without dropout and batch"
        ):
            _learning(stuck, data, teacher)
    other = replace(pairs(splits={"train": 24, "meta": 18, "val": 12, "test": 12}))
    sets = [data, data, other]
    many = TeacherOutputs(
        torch.arange(500, 566), torch.zeros(3, 66, 3), views={v: torch.zeros(3, 66, 3) for v in teacher.views}
    )
    with pytest.raises(
        LabError, match=r"data = \[12, 18\]: every dataset must have as many samples in 'meta'"
    ):
        fit(students(data), sets, loss_of(data, learned=learned), RECIPE, teacher=many, progress=False)
