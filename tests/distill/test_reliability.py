"""Reliability by view, its warning, gates from the validation split alone; and what an XOR label does."""

from __future__ import annotations

import warnings
from math import log

import pytest
import torch

from mmkd_lab.core.check import LabError
from mmkd_lab.data.paired import PairedData
from mmkd_lab.data.task import Task
from mmkd_lab.distill.reliability import (
    UnreliableTeacher,
    calibration_error,
    gates,
    reliability,
    warn_unreliable,
)
from mmkd_lab.distill.saliency import saliency
from mmkd_lab.distill.teacher_outputs import TeacherOutputs
from mmkd_lab.distill.views import msd_views
from mmkd_lab.distill.weights import Weighting, weigh
from mmkd_lab.models import View
from tests.distill.pairs import pairs

A, B = View.only("a"), View.only("b")


def sure(target, *, right, classes=3, high=0.8):
    """Logits that give `high` to the label for a share `right` of the samples, else to the next class."""
    n = len(target)
    said = torch.where(torch.arange(n) < round(right * n), target, (target + 1) % classes)
    p = torch.full((n, classes), (1 - high) / (classes - 1))
    p[torch.arange(n), said] = high
    return p.log()


def teacher_of(data, *, a, b, full=1.0):
    """One teacher whose outputs on the validation split are right as often as is said."""
    n = len(data)
    val = data.positions("val")
    views = {}
    for view, share in ((None, full), (A, a), (B, b)):
        logits = torch.zeros(1, n, 3)
        logits[0, val] = sure(data.target[val], right=share)
        views[view] = logits
    return TeacherOutputs(data.sample_index, views.pop(None), views=views)


def test_the_table_by_hand():
    data = pairs()
    table = reliability(teacher_of(data, a=0.5, b=0.25), data)
    assert table["view"].tolist() == ["a+b", "a", "b"]
    assert table["accuracy"].tolist() == [100.0, 50.0, 25.0]
    assert table["chance"].tolist() == pytest.approx([100 / 3] * 3)
    assert table["entropy"].tolist() == pytest.approx([-0.8 * log(0.8) - 0.2 * log(0.1)] * 3, rel=1e-5)
    assert table["calibration"].tolist() == pytest.approx([20.0, 30.0, 55.0], abs=1e-4)
    assert set(table["n"]) == {12}
    assert set(table["split"]) == {"val"}


def test_multi_label_and_dense_chance_and_accuracy():
    data = pairs(task=Task.MULTI_LABEL)
    val = data.positions("val")
    logits = (8 * data.target - 4)[None]
    teacher = TeacherOutputs(data.sample_index, logits, views={A: 0 * logits + 4, B: 0 * logits - 4})
    table = reliability(teacher, data).set_index("view")
    counts = data.target[val].sum(0).sort(descending=True).values
    f1 = [200 * float(counts[:k].sum()) / (12 * k + float(counts.sum())) for k in (1, 2, 3)]
    assert table.loc["a+b", "accuracy"] == 100.0
    assert table.loc["a", "accuracy"] == pytest.approx(f1[-1], rel=1e-5)  # it says every label
    assert table.loc["b", "accuracy"] == 0.0  # and here none
    assert table.loc["a", "chance"] == pytest.approx(max(f1), rel=1e-5)  # the k commonest labels
    dense = pairs(task=Task.DENSE)
    always = torch.zeros(1, len(dense), 2, 2, 2)
    always[:, :, 1] = 1.0
    table = reliability(TeacherOutputs(dense.sample_index, always), dense)
    known = dense.target[dense.positions("val")]
    ones = 100 * float((known == 1).sum() / (known >= 0).sum())
    assert table["accuracy"].tolist() == pytest.approx([ones], rel=1e-5)
    assert table["chance"].tolist() == pytest.approx([max(ones, 100 - ones)], rel=1e-5)


def test_gates_are_the_share_of_the_way_from_chance():
    data = pairs()
    teacher = teacher_of(data, a=2 / 3, b=0.25)
    found = gates(reliability(teacher, data), teacher)
    assert float(found[A]) == pytest.approx((200 / 3 - 100 / 3) / (100 - 100 / 3))
    assert float(found[B]) == 0.0
    weighted = weigh(teacher, [A, B], Weighting(), data=data, gate=found)
    assert float(weighted.weights[A].mean()) == pytest.approx(0.5)
    assert float(weighted.weights[B].mean()) == 0.0


def test_gates_come_from_the_validation_split_alone():
    data = pairs()
    teacher = teacher_of(data, a=0.5, b=0.5)
    with pytest.raises(LabError, match=r"table = \['test'\]: must be of the split 'val' alone"):
        gates(reliability(teacher, data, split="test"), teacher)
    with pytest.raises(LabError, match=r"table = .*must be of these 2 teachers"):
        gates(reliability(teacher, data), TeacherOutputs.stack([teacher, teacher]))


def test_a_teacher_at_chance_on_the_full_input_has_nothing_to_mimic():
    data = pairs()
    for full in (1 / 3, 0.25):
        teacher = teacher_of(data, a=2 / 3, b=1 / 3, full=full)
        found = gates(reliability(teacher, data), teacher)
        assert [found[view].tolist() for view in (A, B)] == [[0.0], [0.0]]
    both = TeacherOutputs.stack([teacher, teacher_of(data, a=1.0, b=0.25)])
    assert gates(reliability(both, data), both)[A].tolist() == [0.0, 1.0]


def test_a_warning_names_the_view_and_the_way_out():
    data = pairs()
    table = reliability(teacher_of(data, a=0.25, b=5 / 6), data)
    with pytest.warns(UnreliableTeacher, match="Seeing a only, the teacher reaches 25.0 %.*modality_dropout"):
        said = warn_unreliable(table)
    assert len(said) == 1
    with pytest.warns(UnreliableTeacher, match="30 points off"):
        warn_unreliable(reliability(teacher_of(data, a=0.5, b=5 / 6), data))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert warn_unreliable(reliability(teacher_of(data, a=5 / 6, b=5 / 6), data)) == []


def xor():
    """Two bits and their exclusive or; a perfect teacher, whose single-modality output is the honest half."""
    n = 64
    bits = torch.stack([torch.arange(n) % 2, torch.arange(n) // 2 % 2])
    target = bits[0] ^ bits[1]
    where = torch.arange(n)
    splits = {"train": where[:32], "val": where[32:48], "test": where[48:]}
    x = {"a": bits[0].float()[:, None], "b": bits[1].float()[:, None]}
    data = PairedData("xor", x, target, splits, ("same", "other"))
    full = 8.0 * (2 * torch.eye(2)[target] - 1)[None]
    half = torch.zeros_like(full)
    return data, TeacherOutputs(data.sample_index, full, views={A: half, B: half, View.only(): half})


def test_xor_is_seen_by_dropping_and_by_shapley_and_its_views_teach_nothing():
    data, teacher = xor()
    table = reliability(teacher, data).set_index("view")
    assert table.loc["a+b", "accuracy"] == 100.0
    assert table.loc["a", "accuracy"] == table.loc["b", "accuracy"] == table.loc["a", "chance"] == 50.0
    assert table.loc["a", "entropy"] == pytest.approx(log(2))
    drop = saliency(teacher, data.modalities)
    only = saliency(teacher, data.modalities, credit="only")
    whole = saliency(teacher, data.modalities, credit="shapley")
    for m in "ab":
        torch.testing.assert_close(drop[m], torch.full_like(drop[m], log(2)), atol=1e-4, rtol=0)
        assert float(only[m].abs().max()) < 1e-6
        torch.testing.assert_close(whole[m], drop[m] / 2)
    # What the views say is the same for all labels: mimicking them carries nothing about the label.
    assert float(teacher.views[A].std()) == 0.0
    found = gates(reliability(teacher, data), teacher)
    assert [float(found[view]) for view in msd_views(data.modalities)] == [0.0, 0.0]
    with pytest.warns(UnreliableTeacher, match="Seeing a only.*Seeing b only"):
        said = warn_unreliable(reliability(teacher, data))
    assert len(said) == 2  # nobody is warned of the empty view


def logits_of(*shares):
    return torch.tensor([[log(p), log(1 - p)] for p in shares])[None]


def test_bins_do_not_make_up_for_each_other():
    """0.95 sure and wrong, 0.55 sure and right: 95 and 45 points off, half the samples in either bin."""
    logits, target = logits_of(0.95, 0.55), torch.tensor([1, 0])
    assert float(calibration_error(logits, target)) == pytest.approx((95 + 45) / 2, abs=1e-4)


def test_labels_drawn_from_the_prediction_are_calibrated():
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(1, 20_000, 4, generator=generator)
    target = torch.multinomial(logits[0].softmax(-1), 1, generator=generator)[:, 0]
    assert float(calibration_error(logits, target)) < 1.5
    assert float(calibration_error(5 * logits, target)) > 10.0


def test_replicas_are_apart():
    logits = torch.cat([logits_of(0.8, 0.8), logits_of(0.6, 0.6)])
    found = calibration_error(logits, torch.tensor([0, 0]))
    torch.testing.assert_close(found, torch.tensor([20.0, 40.0], dtype=torch.float64), atol=1e-4, rtol=0)


def test_multi_label_counts_every_label():
    """Probabilities 0.8 of a label that is there and 0.3 of one that is not: 20 and 30 points off."""
    logits = torch.tensor([[[0.8, 0.3]]]).logit()
    found = calibration_error(logits, torch.tensor([[1.0, 0.0]]), task=Task.MULTI_LABEL)
    assert float(found) == pytest.approx(25.0, abs=1e-4)


def test_dense_leaves_out_what_has_no_label():
    logits = torch.randn(1, 2, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    target = torch.tensor([[[0, -1], [2, 1]], [[-1, 0], [1, 1]]])
    rows, known = logits.permute(0, 1, 3, 4, 2).reshape(1, 8, 3), target.flatten() >= 0
    want = calibration_error(rows[:, known], target.flatten()[known])
    torch.testing.assert_close(calibration_error(logits, target, task=Task.DENSE), want)
