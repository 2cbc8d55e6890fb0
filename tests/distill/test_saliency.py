"""Saliency against numbers worked out by hand, Shapley's axioms, and teachers that ignore a modality."""

from __future__ import annotations

from math import log

import pytest
import torch

from mmkd_lab.data.task import Task
from mmkd_lab.distill.saliency import CREDITS, DELTAS, difference, needed_views, saliency
from mmkd_lab.models import View, all_views
from tests.distill.pairs import certain, pairs, said

#: KL of (0.9, 0.1) from (0.5, 0.5).
K = log(2) + 0.9 * log(0.9) + 0.1 * log(0.1)
REDUNDANT = {(): 0.5, ("v",): 0.9, ("t",): 0.9}
SYNERGY = {(): 0.5, ("v",): 0.5, ("t",): 0.5}
UNIQUE = {(): 0.5, ("v",): 0.5, ("t",): 0.9}


def of(others, credit):
    found = saliency(certain(0.9, others=others), ["v", "t"], credit=credit)
    return pytest.approx((float(found["v"]), float(found["t"])), abs=1e-6)


def test_drop_is_blind_to_redundancy_only_to_synergy_and_shapley_to_neither():
    assert of(REDUNDANT, "drop") == (0, 0)
    assert of(REDUNDANT, "only") == (K, K)
    assert of(REDUNDANT, "shapley") == (K / 2, K / 2)
    assert of(SYNERGY, "drop") == (K, K)
    assert of(SYNERGY, "only") == (0, 0)
    assert of(SYNERGY, "shapley") == (K / 2, K / 2)


@pytest.mark.parametrize("credit", CREDITS)
def test_what_the_teacher_ignores_has_no_saliency(credit):
    assert of(UNIQUE, credit) == (0, K)


def test_the_saliency_of_one_of_two_is_read_from_the_other_alone():
    """Only the text-only output moves: that is what dropping the image does."""
    teacher = certain(0.9, others={("v",): 0.9, ("t",): 0.2})
    found = saliency(teacher, ["v", "t"])
    assert float(found["v"]) == pytest.approx(0.9 * log(0.9 / 0.2) + 0.1 * log(0.1 / 0.8), rel=1e-6)
    assert float(found["t"]) == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("delta", ["kl", "js", "tv"])
def test_outputs_that_agree_but_for_rounding_have_no_saliency(delta):
    """Weights by instance are ratios: noise of 1e-7 would become weights from 0 to M."""
    full = 3 * torch.randn(2, 500, 3, generator=torch.Generator().manual_seed(0))
    found = difference(full, full * (1 + 1e-7) - 5.0, delta=delta)
    assert float(found.min()) >= 0
    assert float(found.max()) < (1e-9 if delta != "tv" else 1e-5)


def test_deltas_by_hand():
    full, other = (torch.tensor([p, 1 - p], dtype=torch.float64).log()[None, None] for p in (0.9, 0.4))
    middle = (0.65, 0.35)
    js = 0.5 * (0.9 * log(0.9 / middle[0]) + 0.1 * log(0.1 / middle[1]))
    js += 0.5 * (0.4 * log(0.4 / middle[0]) + 0.6 * log(0.6 / middle[1]))
    target = torch.tensor([0])
    expected = {
        "kl": 0.9 * log(0.9 / 0.4) + 0.1 * log(0.1 / 0.6),
        "js": js,
        "tv": 0.5,
        "logit": (log(0.9 / 0.4) - log(0.1 / 0.6)) / 2,
        "loss": log(0.9 / 0.4),
        "correctness": 1.0,
    }
    assert set(expected) == set(DELTAS)
    for delta, value in expected.items():
        found = difference(full, other, delta=delta, target=target)
        assert found.shape == (1, 1)
        assert float(found) == pytest.approx(value, rel=1e-6), delta
    assert float(difference(other, full, delta="loss", target=target)) < 0


def test_two_classes_are_two_labels_at_half_the_logit_distance():
    """A softmax over (z, 0) is a sigmoid of z, so that one label's divergence is that of two classes."""
    z, w = torch.tensor([[[1.3]]]), torch.tensor([[[-0.4]]])
    pair = [torch.cat([x, torch.zeros_like(x)], dim=-1) for x in (z, w)]
    for delta in ("kl", "js", "tv"):
        one = difference(z, w, delta=delta, task=Task.MULTI_LABEL)
        torch.testing.assert_close(one, difference(*pair, delta=delta))


def test_dense_is_the_mean_over_positions():
    full, other = torch.randn(2, 2, 3, 4, 2, 2, generator=torch.Generator().manual_seed(0))
    target = torch.tensor([[[0, 1], [2, 3]]] * 3)
    for delta in DELTAS:
        found = difference(full, other, delta=delta, task=Task.DENSE, target=target)
        rows = [x.permute(0, 1, 3, 4, 2).reshape(2, 12, 4) for x in (full, other)]
        flat = difference(*rows, delta=delta, target=target.flatten())
        torch.testing.assert_close(found, flat.view(2, 3, 4).mean(-1))


@pytest.mark.parametrize("delta", DELTAS)
def test_shapley_values_sum_to_the_value_of_all(delta):
    data = pairs(modalities=3)
    teacher = said(data, all_views(data.modalities)[:-1])
    found = saliency(teacher, data.modalities, credit="shapley", delta=delta, data=data)
    target = teacher.targets(data)
    nothing = difference(teacher.logits, teacher.views[View.only()], delta=delta, target=target)
    torch.testing.assert_close(sum(found.values()), nothing)


def test_shapley_is_the_mean_over_all_orders():
    from itertools import permutations

    data = pairs(modalities=3)
    teacher = said(data, all_views(data.modalities)[:-1])
    names = tuple(data.modalities)

    def value(kept):
        if len(kept) == 3:
            return torch.zeros(2, len(data))
        return -difference(teacher.logits, teacher.views[View.only(*kept)], delta="js")

    found = saliency(teacher, names, credit="shapley", delta="js")
    for m in names:
        gains = [
            value({*order[: order.index(m) + 1]}) - value({*order[: order.index(m)]})
            for order in permutations(names)
        ]
        torch.testing.assert_close(found[m], torch.stack(gains).mean(0))


def test_needed_views():
    assert {v.label for v in needed_views("ab")} == {"a", "b"}
    assert {v.label for v in needed_views("abc")} == {"a+b", "a+c", "b+c"}
    assert {v.label for v in needed_views("abc", credit="only")} == {"nothing", "a", "b", "c"}
    assert len(needed_views("abc", credit="shapley")) == 7


def test_labels_go_by_sample_and_not_by_row():
    data = pairs()
    teacher = said(data, [View.only("a"), View.only("b")])
    labels = teacher.targets(data)
    for i, number in enumerate(teacher.index.tolist()):
        assert labels[i] == data.target[(data.sample_index == number).nonzero().item()]
