"""Small data of several modalities, and teachers whose outputs are written down."""

from __future__ import annotations

import torch

from mmkd_lab.data.paired import PairedData
from mmkd_lab.data.task import Task
from mmkd_lab.distill.teacher_outputs import TeacherOutputs
from mmkd_lab.models import View

NAMES = ("a", "b", "c")
SPLITS = {"train": 24, "meta": 12, "val": 12, "test": 12}


def pairs(*, modalities=2, task=Task.SINGLE_LABEL, seed=0, classes=3, image=False, splits=SPLITS):
    """Vectors (6,), or 8x8 maps; the label is the largest of the first entries of all modalities summed."""
    generator = torch.Generator().manual_seed(seed)
    n = sum(splits.values())
    shape = (1, 8, 8) if image or task is Task.DENSE else (6,)
    x = {m: torch.randn(n, *shape, generator=generator) for m in NAMES[:modalities]}
    score = sum(x.values())
    if task is Task.DENSE:
        target = (score[:, 0, ::4, ::4] > 0).long()
        target[:, 0, 0] = -1
        classes = 2
    elif task is Task.MULTI_LABEL:
        target = (score.flatten(1)[:, :classes] > 0).float()
    else:
        target = torch.arange(n) % classes
        for values in x.values():
            values.view(n, -1)[torch.arange(n), target] += 1.0
    ends = torch.tensor([0, *splits.values()]).cumsum(0).tolist()
    order = torch.randperm(n, generator=generator) if task is not Task.SINGLE_LABEL else torch.arange(n)
    where = {name: order[ends[i] : ends[i + 1]] for i, name in enumerate(splits)}
    index = 500 + torch.randperm(n, generator=generator)
    names = tuple("class " + str(k) for k in range(classes))
    return PairedData("pairs", x, target, where, names, task, index)


def said(data, views, *, replicas=2, seed=0, scale=1.0):
    """Random outputs of teachers for all samples of `data`, in an order of their own."""
    generator = torch.Generator().manual_seed(seed)
    n, k = len(data), data.num_classes
    more = (2, 2) if data.task is Task.DENSE else ()
    order = torch.randperm(n, generator=generator)

    def draw():
        return scale * torch.randn(replicas, n, k, *more, generator=generator)

    return TeacherOutputs(data.sample_index[order], draw(), views={view: draw() for view in views})


def certain(p, *, others):
    """One teacher, one sample, two classes: probability `p` on the full input, and others under views."""

    def logits(share):
        return torch.tensor([share, 1 - share], dtype=torch.float64).log()[None, None]

    views = {View(frozenset(names)): logits(share) for names, share in others.items()}
    return TeacherOutputs(torch.tensor([7]), logits(p), views=views)
