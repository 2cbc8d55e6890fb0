"""The objective: its terms, its weights, and replicas that are independent of each other."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from mmkd_lab.core.check import LabError
from mmkd_lab.core.fingerprint import canonical
from mmkd_lab.data.paired import Task
from mmkd_lab.distill import ARMS, Objective, arms, cross_entropy, kd_divergence


def _batch(r=3, b=8, k=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits, teacher = (torch.randn(r, b, k, generator=generator) for _ in range(2))
    return logits, torch.randint(k, (r, b), generator=generator), teacher


def test_terms_are_unweighted_and_the_loss_is_their_weighted_sum():
    logits, target, teacher = _batch()
    terms = Objective(ce=0.25, kd=0.75, temperature=4.0)(logits, target, teacher)
    assert set(terms) == {"ce", "kd", "loss"}
    assert all(term.shape == (3,) for term in terms.values())
    torch.testing.assert_close(terms["kd"], kd_divergence(logits, teacher, temperature=4.0))
    for r in range(3):
        torch.testing.assert_close(terms["ce"][r], F.cross_entropy(logits[r], target[r]))
    torch.testing.assert_close(terms["loss"], 0.25 * terms["ce"] + 0.75 * terms["kd"])


def test_arms_stack_in_one_call_and_equal_their_own_objectives():
    logits, target, teacher = _batch(r=3)
    together = Objective.of_arms(arms(["no_kd", "cm_kd", "kl_only"]), kd_weight=0.3, temperature=2.0)
    assert together.replicas == 3
    stacked = together(logits, target, teacher)
    for r, (ce, kd) in enumerate([(1.0, 0.0), (0.7, 0.3), (0.0, 1.0)]):
        alone = together[r]
        assert (alone.ce, alone.kd) == (pytest.approx(ce), pytest.approx(kd))
        rows = slice(r, r + 1)
        one = alone(logits[rows], target[rows], teacher[rows])
        torch.testing.assert_close(one["loss"], stacked["loss"][rows])


def test_a_replica_without_a_teacher_gets_exactly_the_gradient_of_the_labels():
    logits, target, teacher = _batch(r=2)
    together = logits.clone().requires_grad_(True)
    Objective(ce=torch.tensor([1.0, 0.5]), kd=torch.tensor([0.0, 0.5]))(together, target, teacher)[
        "loss"
    ].sum().backward()
    alone = logits[:1].clone().requires_grad_(True)
    Objective()(alone, target[:1])["loss"].sum().backward()
    assert torch.equal(together.grad[:1], alone.grad)


def test_labels_do_not_matter_to_kl_only():
    logits, target, teacher = _batch(r=1)
    objective = Objective.of_arms([ARMS["kl_only"]])
    first, second = (objective(logits, t, teacher)["loss"] for t in (target, (target + 1) % 4))
    assert torch.equal(first, second)


def test_uniform_outputs_cost_log_k():
    found = cross_entropy(torch.zeros(2, 5, 7), torch.zeros(2, 5, dtype=torch.int64))
    torch.testing.assert_close(found, torch.full((2,), math.log(7)))


def test_multi_label_sums_over_the_labels_of_a_sample():
    logits, target = torch.zeros(2, 3, 5), torch.ones(2, 3, 5)
    found = cross_entropy(logits, target, task=Task.MULTI_LABEL)
    torch.testing.assert_close(found, torch.full((2,), 5 * math.log(2)))


def test_dense_counts_labelled_positions_only_and_each_replica_by_itself():
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(2, 3, 4, 5, 5, generator=generator)
    target = torch.randint(4, (2, 3, 5, 5), generator=generator)
    target[0, :, :2] = -1
    found = cross_entropy(logits, target, task=Task.DENSE)
    for r in range(2):
        torch.testing.assert_close(found[r], F.cross_entropy(logits[r], target[r], ignore_index=-1))


def test_a_dense_batch_without_any_label_costs_nothing():
    found = cross_entropy(torch.randn(1, 2, 3, 4, 4), torch.full((1, 2, 4, 4), -1), task=Task.DENSE)
    assert found.tolist() == [0.0]


def test_without_teacher_kd_is_zero_and_ce_is_the_loss():
    logits, target, _ = _batch()
    terms = Objective()(logits, target)
    assert terms["kd"].tolist() == [0.0, 0.0, 0.0]
    assert torch.equal(terms["loss"], terms["ce"])


def test_description_is_plain_and_tells_objectives_apart():
    first = Objective.of_arms(arms(["no_kd", "cm_kd"]), temperature=2.0)
    second = Objective.of_arms(arms(["no_kd", "cm_kd"]), temperature=3.0)
    assert canonical(first.describe()) != canonical(second.describe())
    assert first.describe()["ce"] == [1.0, 0.5]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"ce": -1.0}, ["ce = -1.0", "at least 0"]),
        ({"kd": float("inf")}, ["kd = inf", "finite"]),
        ({"kd": torch.tensor([0.5, -0.5])}, ["kd = [0.5, -0.5]", "at least 0"]),
        ({"kd": torch.zeros(2, 2)}, ["kd = (2, 2)", "(R,)"]),
        ({"ce": 0.0, "kd": 0.0}, ["ce and kd", "must not both be 0"]),
        ({"ce": torch.ones(2), "kd": torch.ones(3)}, ["kd = '3 weights'", "2 of ce"]),
        ({"temperature": -1.0}, ["temperature = -1.0"]),
        ({"convention": "mean"}, ["convention = 'mean'", "'kl'"]),
    ],
)
def test_bad_objectives_are_named(arguments, words):
    with pytest.raises(LabError) as raised:
        Objective(**arguments)
    for word in words:
        assert word in str(raised.value)


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan")])
def test_kd_weight_outside_its_range_is_named(weight):
    with pytest.raises(LabError, match="kd_weight = "):
        Objective.of_arms(arms(["cm_kd"]), kd_weight=weight)


def test_bad_calls_are_named():
    logits, target, teacher = _batch()
    with pytest.raises(LabError, match="teacher = None: must be given"):
        Objective(kd=0.5)(logits, target)
    with pytest.raises(LabError, match=r"logits = \(3, 8, 4\): must hold 2 replicas"):
        Objective(ce=torch.ones(2))(logits, target)
    with pytest.raises(LabError, match=r"target = \(8,\): must be \(3, 8\)"):
        Objective()(logits, target[0])
    with pytest.raises(LabError, match=r"logits = \(8, 4\): must be \(R, B, K\)"):
        Objective()(logits[0], target)
    with pytest.raises(LabError, match="teacher = '\\(3, 8, 3\\)'"):
        Objective(kd=0.5)(logits, target, teacher[..., :3])
    with pytest.raises(LabError, match="r = 5: must be a replica"):
        Objective(ce=torch.ones(2))[5]


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: Objective(task="dense"), "task = 'dense'"),
        (lambda: Objective(temperature=10**400), "temperature = "),
        (lambda: Objective.of_arms(["no_kd"]), "arms = 'no_kd'"),
        (lambda: Objective.of_arms(None), "arms = None"),
        (lambda: Objective(ce=torch.ones(2))["0"], "r = '0'"),
        (lambda: Objective()(None, torch.zeros(1, 2)), "logits = None"),
        (lambda: Objective()(torch.zeros(1, 2, 2), torch.zeros(1, 2)), "target = torch.float32"),
        (lambda: cross_entropy(torch.zeros(1, 2, 2), torch.zeros(2, 2).long()), "target = (2, 2)"),
        (lambda: kd_divergence(None, torch.zeros(1, 2)), "student = None"),
        (lambda: kd_divergence(torch.zeros(1, 2), [0.0]), "teacher = [0.0]"),
        (lambda: kd_divergence(torch.zeros(1, 2), torch.zeros(1, 2), task=None), "task = None"),
        (lambda: arms(None), "arms = None"),
        (lambda: arms({"no_kd", "um_kd"}), "arms = {"),  # a set has no order
    ],
)
def test_things_of_another_kind_are_named(call, word):
    with pytest.raises(LabError) as raised:
        call()
    assert word in str(raised.value)
