"""Trains every encoder for a few steps and saves the logits; run in a process of its own, under other kernels."""

from __future__ import annotations

import sys
from itertools import product

import torch

from mmkd_lab.distill import Objective
from mmkd_lab.models import NetSpec
from mmkd_lab.training import Recipe, Replicas, fit
from tests.training.toy import toy

#: Widths that fill no vector of channels, and some that do.
SPECS = [
    *(NetSpec(encoder={"image": e}, width=w) for e, w in product(("lenet", "resnet"), (3, 4, 5, 8))),
    *(NetSpec(encoder=e, width=4) for e in ("mlp", "linear")),
    *(NetSpec(fusion=f, encoder={"image": "resnet"}, width=4) for f in ("mid", "attention")),
    NetSpec(fusion="single_stream"),
]


def train(spec, *, side=8):
    """Logits (1, N, K) after four steps."""
    data = toy(train=24, val=8, test=8, image=(1, side, side))
    replicas = Replicas.build(spec, data, seeds=[0], device="cpu")
    recipe = Recipe(steps=4, batch_size=12)
    return fit(replicas, data, Objective(), recipe, mode="looped", progress=False).replicas.predict(data)


def main(path):
    """All specs on small and on larger maps."""
    torch.save([train(spec, side=side) for spec in SPECS for side in (8, 18)], path)


if __name__ == "__main__":
    main(sys.argv[1])
