"""Trains every encoder for a few steps and saves the logits."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import torch

from mmkd_lab.models import NetSpec
from mmkd_lab.training import Recipe, Replicas, fit
from tests.training.toy import plain, toy

#: Widths that fill no vector of channels, and some that do.
SPECS = [
    *(NetSpec(encoder={"image": e}, width=w) for e, w in product(("lenet", "resnet"), (3, 5, 8))),
    *(NetSpec(encoder=e, width=4) for e in ("mlp", "linear")),
    *(NetSpec(fusion=f, encoder={"image": "resnet"}, width=4) for f in ("mid", "attention")),
    NetSpec(fusion="single_stream"),
]


def train(spec, *, side=8, precision="64-true"):
    """Logits (1, N, K) after four steps, from a start and on data that no processor rounds otherwise."""
    data = toy(train=24, val=8, test=8, image=(1, side, side))
    exact = {name: (64 * value).round() / 64 for name, value in data.modalities.items()}
    data = replace(data, modalities=exact)
    replicas = Replicas.build(spec, data, seeds=[0], device="cpu", dtype=torch.float64)
    recipe = Recipe(steps=4, batch_size=12, precision=precision)
    return fit(replicas, data, plain, recipe, mode="looped", progress=False).replicas.predict(data)


def main(path):
    """All specs in double precision, and the convolutions in single."""
    found = [train(spec) for spec in SPECS]
    single = [train(spec, side=18, precision="32-true") for spec in SPECS[:6]]
    torch.save({"double": found, "single": single}, path)
