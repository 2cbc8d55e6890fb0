"""A small paired dataset that any network here can learn from."""

from __future__ import annotations

import torch

from mmkd_lab.data.paired import PairedData, Task

#: In double precision the order of sums does not show, whichever kernels a processor runs.
DOUBLE = {"precision": "64-true"}
CLASSES = ("zero", "one", "two", "three")


def toy(*, train=50, val=30, test=30, noise=1.0, seed=0, image=(1, 8, 8), speech=(6,)):
    """Four classes, each a random direction in both modalities, plus noise."""
    generator = torch.Generator().manual_seed(seed)
    n = train + val + test
    target = torch.arange(n) % 4
    x = {}
    for name, shape in (("image", image), ("speech", speech)):
        centre = torch.randn(4, *shape, generator=generator)
        x[name] = centre[target] + noise * torch.randn(n, *shape, generator=generator)
    where = torch.arange(n)
    splits = {"train": where[:train], "val": where[train : train + val], "test": where[train + val :]}
    return PairedData("toy", x, target, splits, CLASSES, index=1000 + where.flip(0))


def worlds(count):
    """Several datasets of equal shape, with one vector each."""
    return [toy(seed=seed, image=(3,), train=24, val=12, test=12) for seed in range(count)]


def labels():
    """Multi-label: three labels, each the sign of one entry of a vector."""
    x = torch.randn(400, 3, generator=torch.Generator().manual_seed(1))
    where = torch.arange(400)
    splits = {"train": where[:100], "val": where[100:200], "test": where[200:]}
    return PairedData("labels", {"a": x}, (x > 0).float(), splits, ("p", "q", "r"), Task.MULTI_LABEL)


def dense():
    """Dense: each pixel's class is the sign of its value; some pixels have no label."""
    x = torch.randn(40, 1, 5, 4, generator=torch.Generator().manual_seed(2))
    target = (x[:, 0] > 0).long()
    target[:, 0, 0] = -1
    where = torch.arange(40)
    splits = {"train": where[:24], "val": where[24:32], "test": where[32:]}
    return PairedData("dense", {"a": x}, target, splits, ("low", "high"), Task.DENSE)


def plain(logits, target, teacher=None):
    """Cross-entropy alone, as a function of one's own: (R, B, K) -> {'loss': (R,)}."""
    log_p = logits.log_softmax(-1).gather(-1, target[..., None])[..., 0]
    return {"loss": -log_p.mean(-1)}
