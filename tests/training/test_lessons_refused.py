"""What training with more than logits refuses, by name."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mmkd_lab.core.check import LabError
from mmkd_lab.data.paired import Task
from mmkd_lab.distill import Distillation, Hints, Msd, Objective, TeacherViews
from mmkd_lab.models import AttentionMask, Mean, View
from mmkd_lab.training import Replicas, fit
from tests.distill.pairs import pairs
from tests.training.lesson_toy import LEARNED, MLP, RECIPE, halves, loss_of, students, taught, trained


def test_bad_input():
    data = pairs()
    teacher, loss = taught(data), loss_of(data)
    other = TeacherViews.of(
        data.sample_index, torch.zeros(3, 60, 4), views={v: torch.zeros(3, 60, 4) for v in teacher.views}
    )
    with pytest.raises(LabError, match="teacher = '4 classes': must have the 3 classes of pairs"):
        trained(data, loss, other)
    with pytest.raises(LabError, match=r"teacher = \[\]: must know the view 'a'.*cache_views"):
        trained(data, loss, TeacherViews(teacher.full))
    with pytest.raises(LabError, match=r"teacher = \[\]: must know the view 'a'"):
        trained(data, loss, teacher.full)
    with pytest.raises(LabError, match="removal = 'mean': must be the one behind the teacher's views, zeros"):
        trained(data, loss_of(data, removal=Mean.of(data)), teacher)
    with pytest.raises(LabError, match="teacher = None: must be given"):
        trained(data, loss, None)
    with pytest.raises(LabError, match="teacher = '2 teachers': must be 1 for all, or 3"):
        trained(data, loss, taught(data, replicas=2))
    with pytest.raises(LabError, match="objective = 'weights for 2'"):
        trained(data, loss_of(data, c=torch.ones(2)), teacher)
    with pytest.raises(LabError, match="removal = 'attention'"):
        trained(data, loss_of(data, removal=AttentionMask()), replace(teacher, removal="attention"))
    with pytest.raises(
        LabError, match=r"views = 'b': must keep a modality that the student reads: 'a'.*one modality"
    ):
        trained(data, loss, teacher, spec=MLP.on("a"))
    with pytest.raises(LabError, match=r"teacher = 'no features'.*features=True"):
        trained(data, Distillation(Objective(), ((1.0, Hints()),)), teacher)
    with pytest.raises(LabError, match="sample_index = '24 unknown"):
        trained(replace(data, index=data.sample_index + 1000), loss, teacher)
    strange = Msd((View.only("a"), View.only("smell")))
    with pytest.raises(LabError, match=r"teacher = \['a', 'b'\]: must know the view 'smell'"):
        trained(data, replace(loss, methods=((1.0, strange),)), teacher)


def test_bad_tasks():
    labels = pairs(task=Task.MULTI_LABEL)
    loss = loss_of(pairs())
    with pytest.raises(
        LabError, match=r"objective.task = 'single label': must be that of pairs, multi-label"
    ):
        trained(labels, loss, taught(labels))


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
    many = TeacherViews.of(
        torch.arange(500, 566), torch.zeros(3, 66, 3), views={v: torch.zeros(3, 66, 3) for v in teacher.views}
    )
    with pytest.raises(
        LabError, match=r"data = \[12, 18\]: every dataset must have as many samples in 'meta'"
    ):
        fit(students(data), sets, loss_of(data, learned=learned), RECIPE, teacher=many, progress=False)
