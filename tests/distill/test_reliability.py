"""Reliability by view, its warning, gates from the validation split alone; and what an XOR label does."""

from __future__ import annotations

import warnings
from dataclasses import replace
from math import log

import pytest
import torch

from mmkd_lab.core.check import LabError
from mmkd_lab.data.paired import PairedData
from mmkd_lab.data.task import Task
from mmkd_lab.distill.reliability import UnreliableTeacher, gates, reliability, warn_unreliable
from mmkd_lab.distill.saliency import needed_views, saliency
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
    teacher = TeacherOutputs(data.sample_index, logits, views={A: torch.full_like(logits, 4.0)})
    table = reliability(teacher, data).set_index("view")
    share = data.target[val].mean(0)
    assert table.loc["a+b", "accuracy"] == 100.0
    everything = 200 * float(share.mean()) / (1 + float(share.mean()))  # F1 of saying every label
    assert table.loc["a", "accuracy"] == pytest.approx(everything, rel=1e-5)
    assert table.loc["a", "chance"] >= everything
    dense = pairs(task=Task.DENSE)
    always = torch.zeros(1, len(dense), 2, 2, 2)
    always[:, :, 1] = 1.0
    table = reliability(TeacherOutputs(dense.sample_index, always), dense)
    known = dense.target[dense.positions("val")]
    ones = 100 * float((known == 1).sum() / (known >= 0).sum())
    assert table["accuracy"].tolist() == pytest.approx([ones], rel=1e-5)
    assert table["chance"].tolist() == pytest.approx([max(ones, 100 - ones)], rel=1e-5)


def test_rare_labels_are_not_told_by_saying_none():
    """One label in twenty: saying none of them is right in 95 % of the cases, and worth nothing."""
    data = pairs(task=Task.MULTI_LABEL)
    target = torch.zeros(len(data), 20)
    target[torch.arange(len(data)), torch.arange(len(data)) % 10] = 1.0
    data = replace(data, target=target, classes=tuple(map(str, range(20))))
    most = target.clone()
    most[::2] = 0.0
    views = {A: (8 * most - 4)[None], B: torch.full((1, *target.shape), -4.0)}
    teacher = TeacherOutputs(data.sample_index, (8 * target - 4)[None], views=views)
    table = reliability(teacher, data).set_index("view")
    found = [int(most[row].sum()) for row in data.positions("val")]
    assert table.loc["a", "accuracy"] == pytest.approx(200 * sum(found) / (sum(found) + 12), rel=1e-5)
    assert table.loc["b", "accuracy"] == 0.0
    # The best constant answer says the k commonest labels; of 12 samples the n-th label has counts[n].
    counts = target[data.positions("val")].sum(0).sort(descending=True).values
    best = max(200 * float(counts[:k].sum()) / (12 * k + 12) for k in range(1, 21))
    assert table.loc["a", "chance"] == pytest.approx(best, rel=1e-5)
    shut = gates(reliability(teacher, data), teacher)
    assert 0.3 < float(shut[A]) < 0.8
    assert float(shut[B]) == 0.0


def test_gates_are_the_share_of_the_way_from_chance():
    data = pairs()
    teacher = teacher_of(data, a=2 / 3, b=0.25)
    found = gates(reliability(teacher, data), teacher)
    assert float(found[A]) == pytest.approx((200 / 3 - 100 / 3) / (100 - 100 / 3))
    assert float(found[B]) == 0.0
    weighted = weigh(teacher, [A, B], Weighting(), data=data, gate=found)
    assert float(weighted.weights[A].mean()) == pytest.approx(0.5)
    assert float(weighted.weights[B].mean()) == 0.0


def test_gates_belong_to_their_teacher():
    data = pairs()
    one, two = teacher_of(data, a=1.0, b=0.25), teacher_of(data, a=0.25, b=1.0)
    both = TeacherOutputs.stack([one, two])
    found = gates(reliability(both, data), both)
    assert found[A].tolist() == [1.0, 0.0]
    assert found[B].tolist() == [0.0, 1.0]


def test_gates_come_from_the_validation_split_alone():
    data = pairs()
    teacher = teacher_of(data, a=0.5, b=0.5)
    for split in ("test", "train", "meta"):
        table = reliability(teacher, data, split=split)
        with pytest.raises(LabError, match=rf"table = \['{split}'\]: must be of the split 'val' alone"):
            gates(table, teacher)
    with pytest.raises(LabError, match=r"table = .*must be of these 2 teachers"):
        gates(reliability(teacher, data), TeacherOutputs.stack([teacher, teacher]))
    with pytest.raises(LabError, match=r"table = .*must be what reliability"):
        gates(reliability(teacher, data)[["view"]], teacher)


def test_a_teacher_at_chance_on_the_full_input_has_nothing_to_mimic():
    data = pairs()
    for full in (1 / 3, 0.25):
        teacher = teacher_of(data, a=2 / 3, b=1 / 3, full=full)
        found = gates(reliability(teacher, data), teacher)
        assert [found[view].tolist() for view in (A, B)] == [[0.0], [0.0]]
    both = TeacherOutputs.stack([teacher, teacher_of(data, a=1.0, b=0.25)])
    assert gates(reliability(both, data), both)[A].tolist() == [0.0, 1.0]


def test_a_multi_label_teacher_at_chance_has_nothing_to_mimic():
    data = pairs(task=Task.MULTI_LABEL)
    val = data.positions("val")
    target = data.target.clone()
    target[val] = torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0]]).repeat(6, 1)
    data = replace(data, target=target)
    always = torch.full((1, *target.shape), 4.0)
    teacher = TeacherOutputs(data.sample_index, always, views={A: (8 * target - 4)[None], B: always})
    found = gates(reliability(teacher, data), teacher)
    assert [found[view].tolist() for view in (A, B)] == [[0.0], [0.0]]


def test_gates_of_views_that_only_saliency_reads_are_ignored():
    """What the warning advises works for a teacher that was asked for Shapley values too."""
    data = pairs()
    teacher = teacher_of(data, a=1.0, b=2 / 3)
    asked = (*msd_views("ab"), *needed_views("ab", credit="shapley"))
    said = {view: teacher.views.get(view, torch.zeros(1, len(data), 3)) for view in asked}
    teacher = replace(teacher, views=said)
    table = reliability(teacher, data)
    found = gates(table, teacher)
    weighting = Weighting("normalised", credit="shapley")
    gated = weigh(teacher, msd_views("ab"), weighting, data=data, gate=found)
    plain = weigh(teacher, msd_views("ab"), weighting, data=data)
    assert set(gated.weights) == {A, B}
    for view in (A, B):
        torch.testing.assert_close(gated.weights[view], plain.weights[view] * found[view])
    with pytest.raises(LabError, match=r"gate = 'c': must be for one of \['a', 'b', 'nothing'\]"):
        weigh(teacher, msd_views("ab"), weighting, data=data, gate={View.only("c"): torch.ones(1)})


def test_nobody_is_warned_of_the_empty_view():
    data = pairs()
    teacher = teacher_of(data, a=5 / 6, b=5 / 6)
    teacher = replace(teacher, views={**teacher.views, View.only(): torch.zeros(1, len(data), 3)})
    table = reliability(teacher, data)
    assert "nothing" in set(table["view"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert warn_unreliable(table) == []


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


def test_bad_input():
    data = pairs()
    table = reliability(teacher_of(data, a=0.5, b=0.5), data)
    with pytest.raises(LabError, match="margin = -1"):
        warn_unreliable(table, margin=-1.0)
    with pytest.raises(LabError, match="calibration = -1"):
        warn_unreliable(table, calibration=-1.0)
    with pytest.raises(LabError, match=r"table = .*must be what reliability"):
        warn_unreliable({"view": ["a"]})
    with pytest.raises(LabError, match="split = 'dev'"):
        reliability(teacher_of(data, a=0.5, b=0.5), data, split="dev")
    some = data.select(data.positions("train"))
    with pytest.raises(LabError, match=r"samples missing.*'val'"):
        reliability(TeacherOutputs(some.sample_index, torch.zeros(1, len(some), 3)), data)


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
        warn_unreliable(reliability(teacher, data))
