"""Outputs by sample index: whatever the order of rows, the right sample, of the right data."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mmkd_lab.core.check import LabError
from mmkd_lab.data.identity import Identity
from mmkd_lab.distill.method import HEAD
from mmkd_lab.distill.teacher_outputs import TeacherOutputs, identity_of
from mmkd_lab.models import View
from tests.distill.pairs import pairs, said

A, B = View.only("a"), View.only("b")
INDEX = torch.tensor([30, 10, 40, 20])


def numbered(replicas=2, classes=3):
    """Every output is 100 · replica + sample index, plus an offset of its own kind."""
    base = 100.0 * torch.arange(replicas)[:, None] + INDEX
    wide = base[..., None].expand(replicas, 4, classes)
    return TeacherOutputs(
        INDEX,
        wide,
        views={A: wide + 0.1, B: wide + 0.2},
        features={HEAD: (base + 0.3)[..., None].expand(replicas, 4, 5), "conv": wide + 0.5},
        view_features={A: (base + 0.4)[..., None].expand(replicas, 4, 5)},
        identity=Identity(("x", "y", "z")[:classes], ("a", "b"), "0" * 16),
    )


def weighted():
    w = torch.arange(1.0, 5.0)  # of the samples 10, 20, 30, 40
    return numbered().weighted({A: w[None], B: torch.stack([w, 2 * w])})


def assert_same(one, two):
    first, second = one.arrays(), two.arrays()
    assert first.keys() == second.keys()
    assert all((first[name] == second[name]).all() for name in first)


def test_every_kind_of_row_follows_the_index():
    found = weighted().rows(torch.tensor([20, 40, 20]))
    samples = torch.tensor([20.0, 40.0, 20.0]) + torch.tensor([[0.0], [100.0]])
    for values, offset in (
        (found.logits, 0.0),
        (found.under(A), 0.1),
        (found.under(B), 0.2),
        (found.at(), 0.3),
        (found.at("conv"), 0.5),
        (found.features_under(A), 0.4),
    ):
        torch.testing.assert_close(values, (samples + offset)[..., None].expand_as(values))
    assert found.weights[A].tolist() == [[2.0, 4.0, 2.0], [2.0, 4.0, 2.0]]
    assert found.weights[B].tolist() == [[2.0, 4.0, 2.0], [4.0, 8.0, 4.0]]


def test_each_teacher_may_be_asked_about_its_own_samples():
    found = weighted().rows(torch.tensor([[10, 20], [40, 30]]))
    assert found.logits[..., 0].tolist() == [[10.0, 20.0], [140.0, 130.0]]
    assert found.weights[B].tolist() == [[1.0, 2.0], [8.0, 6.0]]


def test_one_teacher_and_stacking_and_storing_are_inverse():
    several = weighted()
    assert len(several[1]) == 1
    assert_same(TeacherOutputs.stack(list(several)), several)
    assert_same(several.to("cpu"), several)
    again = TeacherOutputs.from_arrays(several.arrays())
    assert_same(again, several)
    assert again.identity == several.identity
    assert again.views.keys() == several.views.keys()


def test_the_digest_sees_everything():
    one = weighted()
    changed = [
        numbered(),
        one[0],
        replace(one, removal="mean"),
        replace(one, identity=None),
        replace(one, index=one.index + 1),
        replace(one, features={**one.features, "conv": one.features["conv"] + 1}),
        replace(one, views={A: one.views[B], B: one.views[A]}),
    ]
    digests = {other.digest() for other in (one, *changed)}
    assert len(digests) == 1 + len(changed)
    order = torch.tensor([2, 0, 3, 1])
    dense = TeacherOutputs(torch.arange(4), torch.randn(1, 4, 3, 2, 2))
    assert TeacherOutputs(dense.index[order], dense.logits[:, order]).digest() == dense.digest()


def test_parts_come_together_unless_they_contradict():
    one = weighted()
    parts = [one.only(views=[A]), one.only(layers=["conv"]), one.only(views=[B], view_features=[A])]
    found = TeacherOutputs.together(parts)
    assert (set(found.views), set(found.features), set(found.weights)) == ({A, B}, {"conv"}, {A, B})
    other = replace(one.only(views=[A]), views={A: one.views[B]})
    with pytest.raises(LabError, match="must not have one teacher say two things"):
        TeacherOutputs.together([parts[0], other])


def test_outputs_serve_their_own_data_in_the_order_of_its_classes():
    data = pairs()
    teacher = replace(said(data, [A]), identity=identity_of(data))
    assert teacher.for_data(data) is teacher
    turned = replace(teacher, identity=replace(teacher.identity, classes=data.classes[::-1]))
    found = turned.for_data(data)
    assert found.identity == teacher.identity
    assert torch.equal(found.logits, teacher.logits.flip(2))
    assert torch.equal(found.views[A], teacher.views[A].flip(2))
    torch.testing.assert_close(teacher.targets(data), data.target[_positions(teacher, data)])


def _positions(teacher, data):
    return torch.stack([(data.sample_index == one).nonzero()[0, 0] for one in teacher.index])


def test_outputs_without_an_identity_need_the_samples_and_as_many_classes():
    data = pairs()
    some = data.select(data.positions("train"))
    teacher = TeacherOutputs(some.sample_index, torch.zeros(1, len(some), 3))
    assert teacher.for_data(data) is teacher
    with pytest.raises(LabError, match=r"12 samples missing, first .*every sample of pairs in 'val'"):
        teacher.for_data(data, split="val")
