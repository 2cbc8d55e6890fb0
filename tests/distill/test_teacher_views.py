"""Outputs by sample index: whatever the order of rows, the right sample; weights that are checked."""

from __future__ import annotations

import pytest
import torch

from mmkd_lab.core.check import LabError
from mmkd_lab.distill.cache import TeacherCache
from mmkd_lab.distill.teacher_views import TeacherViews
from mmkd_lab.models import View

A, B = View.only("a"), View.only("b")
INDEX = torch.tensor([30, 10, 40, 20])


def numbered(replicas=2, classes=3):
    """Every output is 100 · replica + sample index, plus an offset of its own kind."""
    base = 100.0 * torch.arange(replicas)[:, None] + INDEX
    wide = base[..., None].expand(replicas, 4, classes)
    return TeacherViews.of(
        INDEX,
        wide,
        views={A: wide + 0.1, B: wide + 0.2},
        features=(base + 0.3)[..., None].expand(replicas, 4, 5),
        view_features={A: (base + 0.4)[..., None].expand(replicas, 4, 5)},
    )


def weighted():
    w = torch.arange(1.0, 5.0)  # of the samples 10, 20, 30, 40
    return numbered().weighted({A: w[None], B: torch.stack([w, 2 * w])})


def test_every_kind_of_row_follows_the_index():
    found = weighted().rows(torch.tensor([20, 40, 20]))
    samples = torch.tensor([20.0, 40.0, 20.0]) + torch.tensor([[0.0], [100.0]])
    for values, offset in (
        (found.logits, 0.0),
        (found.views[A], 0.1),
        (found.views[B], 0.2),
        (found.features, 0.3),
        (found.view_features[A], 0.4),
    ):
        torch.testing.assert_close(values, (samples + offset)[..., None].expand_as(values))
    assert found.weights[A].tolist() == [[2.0, 4.0, 2.0], [2.0, 4.0, 2.0]]
    assert found.weights[B].tolist() == [[2.0, 4.0, 2.0], [4.0, 8.0, 4.0]]


def test_each_teacher_may_be_asked_about_its_own_samples():
    found = weighted().rows(torch.tensor([[10, 20], [40, 30]]))
    assert found.logits[..., 0].tolist() == [[10.0, 20.0], [140.0, 130.0]]
    assert found.weights[B].tolist() == [[1.0, 2.0], [8.0, 6.0]]


def test_one_teacher_and_stacking_are_inverse():
    several = weighted()
    again = TeacherViews.stack([several[0], several[1]])
    assert len(several[1]) == 1
    for one, two in zip(_tensors(several), _tensors(again), strict=True):
        assert torch.equal(one, two)
    assert again.removal == several.removal


def test_to_keeps_everything():
    several = weighted()
    for one, two in zip(_tensors(several), _tensors(several.to("cpu")), strict=True):
        assert torch.equal(one, two)


def _tensors(teacher):
    kinds = (teacher.views, teacher.view_features, teacher.weights)
    named = [values for kind in kinds for values in kind.values()]
    return [teacher.index, teacher.logits, teacher.features, *named]


def test_stack_refuses_what_differs():
    one = numbered()
    with pytest.raises(LabError, match=r"several = 'views a, b by zeros; weights a.*must all hold"):
        TeacherViews.stack([one, one.weighted({A: torch.ones(1, 4)})])
    other = TeacherViews(one.full, one.views, one.features, one.view_features, removal="mean")
    with pytest.raises(LabError, match="several = 'views a, b by mean"):
        TeacherViews.stack([one, other])
    with pytest.raises(LabError, match="several = \\[\\]"):
        TeacherViews.stack([])


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({A: -torch.ones(1, 4)}, r"weights\[a\] = -1"),
        ({A: torch.full((1, 4), torch.nan)}, r"weights\[a\] = .*NaN"),
        ({A: torch.zeros(1, 4), B: torch.zeros(1, 4)}, r"weights = 'all 0 for teacher \[0, 1\]'"),
        ({A: torch.tensor([[0.0], [1.0]]).expand(2, 4)}, r"weights = 'all 0 for teacher \[0\]'"),
        ({A: torch.ones(1, 3)}, r"weights\[a\] = \(1, 3\): must be \(2, 4\)"),
        ({A: torch.ones(4)}, r"weights\[a\] = \(4,\)"),
        ({"a": torch.ones(1, 4)}, "weights = 'a'"),
        ({A: [1.0]}, r"weights\[a\] = \[1.0\]"),
    ],
    ids=["negative", "nan", "zero", "zero for one", "short", "flat", "name", "list"],
)
def test_bad_weights(weights, message):
    with pytest.raises(LabError, match=message):
        numbered().weighted(weights)


def test_bad_input():
    one = numbered()
    with pytest.raises(LabError, match=r"views\[a\] = \(2, 4, 2\): must be \(2, 4, 3\)"):
        TeacherViews(one.full, {A: torch.zeros(2, 4, 2)})
    with pytest.raises(LabError, match=r"features = \(2, 3, 5\): must begin with \(2, 4\)"):
        TeacherViews(one.full, features=torch.zeros(2, 3, 5))
    with pytest.raises(LabError, match=r"views\[a\] = 'NaN or infinite values'"):
        TeacherViews(one.full, {A: torch.full((2, 4, 3), torch.inf)})
    with pytest.raises(LabError, match=r"weights\[a\] = -2"):
        TeacherViews(one.full, weights={A: torch.full((2, 4), -2.0)})
    with pytest.raises(LabError, match="views = 'a'"):
        TeacherViews(one.full, {"a": torch.zeros(2, 4, 3)})
    with pytest.raises(LabError, match="full = "):
        TeacherViews(torch.zeros(2, 4, 3))
    with pytest.raises(LabError, match="sample_index = '1 unknown, first 50'"):
        one.rows(torch.tensor([10, 50]))
    with pytest.raises(LabError, match="r = 2"):
        one[2]
    assert isinstance(one.full, TeacherCache)
