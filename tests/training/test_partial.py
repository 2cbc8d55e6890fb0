"""KD where there are answers alone: the gradient is that of the plain formula, without the missing terms."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mmkd_lab.core.check import LabError
from mmkd_lab.data.task import Task
from mmkd_lab.distill import KD, CrossEntropy, Distillation, TeacherOutputs
from mmkd_lab.distill.losses.dist import Dist
from mmkd_lab.distill.losses.dkd import DKD
from mmkd_lab.distill.method import Outputs
from mmkd_lab.models import NetSpec
from mmkd_lab.training import fit
from mmkd_lab.training.recipe import Recipe
from mmkd_lab.training.replicas import Replicas
from tests.distill.pairs import pairs
from tests.distill.samples import draw

DATA = pairs()
T, RHO = 3.0, 0.3
PLAIN = KD(T, "kl", Task.SINGLE_LABEL)
MIXED = Distillation(((1 - RHO, CrossEntropy(Task.SINGLE_LABEL)), (RHO, PLAIN)))
SPEC = NetSpec(width=2, features=4).on("a")


def test_the_gradient_is_that_of_the_formula():
    """(1/B) sum_i [(1 - rho)(softmax(s) - y) + rho a_i T (softmax(s/T) - softmax(t/T))] in the logits."""
    s, t = draw(2, 5, 3)
    target = torch.tensor([[0, 1, 2, 0, 1]] * 2)
    answered = torch.tensor([[True, False, True, True, False], [False] * 5])
    s.requires_grad_()
    filler = torch.where(answered[..., None], t, 1e6)
    named = MIXED(Outputs(s), target, Outputs(filler, answered=answered), {})
    (found,) = torch.autograd.grad(named["loss"].sum(), s)
    kd = T * ((s / T).softmax(-1) - (t / T).softmax(-1)) * answered[..., None]
    wanted = ((1 - RHO) * (s.softmax(-1) - torch.eye(3)[target]) + RHO * kd) / 5
    torch.testing.assert_close(found, wanted)
    each = T**2 * ((t / T).softmax(-1) * ((t / T).log_softmax(-1) - (s / T).log_softmax(-1))).sum(-1)
    torch.testing.assert_close(named["kd"], (each * answered).mean(-1))


@pytest.mark.parametrize("method", [PLAIN, DKD(T)])
def test_without_an_answer_there_is_no_loss_at_all(method):
    s, t = draw(1, 4, 3)
    s.requires_grad_()
    answered = torch.tensor([[True, True, False, False]])
    loss = Distillation(((1.0, method),))
    target = torch.tensor([[0, 1, 2, 0]])
    some = loss(Outputs(s), target, Outputs(t, answered=answered), {})["loss"].sum()
    (found,) = torch.autograd.grad(some, s)
    alone = loss(Outputs(s[:, :2]), target[:, :2], Outputs(t[:, :2]), {})["loss"].sum() / 2
    (wanted,) = torch.autograd.grad(alone, s)
    torch.testing.assert_close(found, wanted)
    assert (found[:, 2:] == 0).all()
    silent = loss(Outputs(s), target, Outputs(t, answered=answered & False), {})["loss"]
    assert silent.tolist() == [0.0]


def _teacher(*, keep=1.0, partial=True):
    index, logits = DATA.sample_index, 3.0 * draw(1, len(DATA), 3, count=1)[0]
    kept = torch.arange(len(index)) % 4 < 4 * keep
    return TeacherOutputs(index[kept], logits[:, kept], identity=DATA.identity, partial=partial)


def _trained(teacher, loss=MIXED, data=DATA, **how):
    recipe = Recipe(epochs=3, batch_size=7, lr=0.02, precision="64-true", select="last")
    nets = Replicas.build(SPEC, DATA, seeds=[0, 1], device="cpu", dtype=torch.float64)
    return fit(nets, data, loss, recipe, teacher=teacher, progress=False, **how)


def test_a_complete_table_trains_bit_for_bit_as_ever():
    one, other = (_trained(_teacher(partial=partial)).replicas.parameters for partial in (False, True))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_stacked_equals_looped_and_what_was_never_said_counts_for_nothing():
    partial = _teacher(keep=0.5)
    one, other = (_trained(partial, mode=mode).replicas.parameters for mode in ("stacked", "looped"))
    each = _trained(partial, data=[DATA, DATA]).replicas.parameters
    for name in one:
        torch.testing.assert_close(one[name], other[name])
        torch.testing.assert_close(one[name], each[name])
    few = _trained(partial).history.query("split == 'train' and metric == 'kd'")["value"]
    all_of_it = _trained(_teacher()).history.query("split == 'train' and metric == 'kd'")["value"]
    assert few.mean() < 0.75 * all_of_it.mean()


def test_outputs_that_lack_samples_are_kept_and_known():
    partial = _teacher(keep=0.5)
    again = TeacherOutputs.from_arrays(partial.arrays())
    assert again.partial
    assert again.digest() == partial.digest() != replace(partial, partial=False).digest()
    said = partial.rows(DATA.sample_index, lacking=True)
    assert said.answered.float().mean() == 0.5
    assert (said.logits[:, ~said.answered[0]] == 0).all()
    for call, words in (
        (lambda: partial.rows(DATA.sample_index), "30 unknown"),
        (lambda: _trained(replace(partial, partial=False)), "must hold the outputs for every sample"),
        (
            lambda: _trained(partial, Distillation(((1.0, Dist(T, task=Task.SINGLE_LABEL)),))),
            "must go sample by sample",
        ),
        (
            lambda: _trained(partial, lambda logits, target, said: {"loss": logits.mean((1, 2))}),
            "without an answer",
        ),
    ):
        with pytest.raises(LabError, match=words):
            call()
