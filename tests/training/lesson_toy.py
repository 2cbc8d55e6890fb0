"""Students, teachers and losses of the tests of training with more than logits."""

from __future__ import annotations

import torch
from torch import nn

from mmkd_lab.distill import KD, CrossEntropy, Distillation, LearnedWeights, Msd, msd_views, weigh
from mmkd_lab.models import ModelAdapter, NetSpec, Zeros
from mmkd_lab.training import Recipe, Replicas, fit
from tests.distill.pairs import said

MLP = NetSpec("mlp", width=2, features=4)
CONV = NetSpec("lenet", width=2, features=4)
RECIPE = Recipe(steps=7, batch_size=10, select="last", lr=0.01)
LEARNED = {
    "none": None,
    "global": LearnedWeights("global", every=2, batch_size=6, rate=0.1),
    "instance": LearnedWeights("instance", every=2, batch_size=6, hidden=4, rate=0.1),
}


def students(data, spec=MLP, seeds=(0, 1, 2)):
    data = data[0] if isinstance(data, list) else data
    return Replicas.build(spec, data, seeds=seeds, device="cpu")


def loss_of(data, *, c=1.0, removal=None, learned=None, ce=0.5, kd=0.5, **more):
    msd = Msd(msd_views(data.modalities), temperature=1.0, task=data.task, weighting=learned, **more)
    base = (ce, CrossEntropy(data.task)), (kd, KD(2.0, "kl", data.task))
    return Distillation((*base, (c, msd)), Zeros() if removal is None else removal)


def taught(data, *, replicas=3, weighting=None):
    teacher = said(data, msd_views(data.modalities), replicas=replicas)
    return teacher if weighting is None else weigh(teacher, list(teacher.views), weighting, data=data)


def trained(data, loss, teacher, *, spec=MLP, mode="stacked", recipe=RECIPE, seeds=(0, 1, 2), **more):
    return fit(
        students(data, spec, seeds), data, loss, recipe, teacher=teacher, mode=mode, progress=False, **more
    )


def assert_alike(one, two, *, atol=1e-5, rows=slice(None)):
    for name, value in one.replicas.parameters.items():
        torch.testing.assert_close(value[rows], two.replicas.parameters[name], atol=atol, rtol=1e-4)


class Half(nn.Module):
    """A network whose first layers do not learn; the head's input are its features."""

    def __init__(self, frozen):
        super().__init__()
        self.one, self.two = nn.Linear(6, 5), nn.Linear(6, 5)
        between = {"norm": nn.BatchNorm1d(10), "dropout": nn.Dropout(0.1), "no dropout": nn.Dropout(0.0)}
        self.norm = between.get(frozen, nn.Identity())
        self.head = nn.Linear(10, 3)
        self.one.requires_grad_(frozen != "one")

    def forward(self, x):
        both = torch.tanh(torch.cat([self.one(x["a"]), self.two(x["b"])], dim=-1))
        return self.head(self.norm(both))


def halves(frozen="one"):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return [ModelAdapter(Half(frozen), modalities=("a", "b"), head="head") for _ in range(3)]
