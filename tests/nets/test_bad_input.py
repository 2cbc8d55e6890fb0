"""Wrong arguments: each error names the argument and shows its value."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mmkd_lab.base.check import LabError
from mmkd_lab.nets import (
    AttentionMask,
    Learned,
    NetSpec,
    OwnNet,
    Permutation,
    View,
    Zeros,
    build,
    removal_named,
)

X = {"a": torch.zeros(4, 3), "b": torch.zeros(4, 3)}
SHAPES = {"a": (3,), "b": (3,)}


def net(**settings):
    return build(NetSpec(**settings), SHAPES, 2, seed=0)


CASES = {
    "unknown encoder": (lambda: NetSpec("lenett"), "encoder = 'lenett'", "'lenet'"),
    "unknown encoder of one": (lambda: NetSpec({"a": "cnn"}), "encoder['a'] = 'cnn'", "one of"),
    "encoder of no sort": (lambda: NetSpec(7), "encoder = 7", "{modality: name}"),
    "unknown fusion": (lambda: NetSpec(fusion="early"), "fusion = 'early'", "'attention'"),
    "no width": (lambda: NetSpec(width=0), "width = 0", "at least 1"),
    "no features": (lambda: NetSpec(features=2.5), "features = 2.5", "whole number"),
    "joint without late": (lambda: NetSpec(fusion="mid", joint=3), "joint = 3", "late"),
    "modality twice": (lambda: NetSpec(modalities=("a", "a")), "modalities = ('a', 'a')", "twice"),
    "modalities a string": (lambda: NetSpec(modalities="image"), "modalities = 'image'", "sequence"),
    "no modality": (lambda: NetSpec(modalities=()), "modalities = ()", "at least one"),
    "unknown field": (lambda: NetSpec.from_dict({"depth": 3}), "field of NetSpec = 'depth'", "one of"),
    "modality not there": (lambda: net(modalities=("speech",)), "modalities = 'speech'", "'a' or 'b'"),
    "encoder for nobody": (lambda: net(encoder={"image": "mlp"}), "encoder = 'image'", "'a' or 'b'"),
    "no shapes": (lambda: build(NetSpec(), {}, 2, seed=0), "shapes = {}", "at least one"),
    "empty side": (lambda: build(NetSpec(), {"a": (0,)}, 2, seed=0), "shapes['a'] = (0,)", "at least 1"),
    "too small": (lambda: build(NetSpec(), {"a": (1, 7, 9)}, 2, seed=0), "shape = (1, 7, 9)", "8 to 112"),
    "lenet on a vector": (lambda: net(encoder="lenet"), "shape = (3,)", "'mlp'"),
    "no outputs": (lambda: build(NetSpec(), SHAPES, 0, seed=0), "num_outputs = 0", "at least 1"),
    "bad seed": (lambda: build(NetSpec(), SHAPES, 2, seed=-1), "seed = -1", "at least 0"),
    "input missing": (lambda: net()({"a": X["a"]}), "x = ['a']", "'a' or 'b'"),
    "input of another shape": (lambda: net()({**X, "a": torch.zeros(4, 5)}), "x['a'] = (4, 5)", "(batch, 3)"),
    "scale of another shape": (
        lambda: net().set_scale("a", torch.zeros(()), torch.ones(())),
        "shift_0 = ()",
        "(3,)",
    ),
    "view of the unknown": (lambda: Zeros().apply(X, View.only("image")), "view = 'image'", "'a' or 'b'"),
    "drop the unknown": (lambda: View.drop("c", of=("a", "b")), "modality = 'c'", "'a' or 'b'"),
    "view of a string": (lambda: View("image"), "kept = 'image'", "View.only"),
    "view of numbers": (lambda: View(frozenset([3])), "kept = 3", "names"),
    "unknown removal": (lambda: removal_named("zero"), "removal = 'zero'", "Did you mean 'zeros'?"),
    "mean without data": (lambda: removal_named("mean"), "data = None", "training mean"),
    "attention where there is none": (
        lambda: net()(AttentionMask().apply(X, View.only("a"))),
        "removal = 'attention'",
        "fusion='late'",
    ),
    "learned where nothing was": (
        lambda: net()(Learned().apply(X, View.only("a"))),
        "removal = 'learned'",
        "baseline=True",
    ),
    "permutation by sample": (
        lambda: Permutation().apply_where(X, {"a": torch.ones(4, dtype=torch.bool)}),
        "removal = 'permutation'",
        "whole modalities",
    ),
    "mask of another length": (
        lambda: Zeros().apply_where(X, {"a": torch.ones(3, dtype=torch.bool)}),
        "stays['a'] = (3,)",
        "(4,)",
    ),
    "masks for an own net": (
        lambda: OwnNet(nn.Identity())(AttentionMask().apply(X, View.only("a"))),
        "removal = ['b kept for attention']",
        "permutation",
    ),
    "own without module": (lambda: OwnNet(print), "module = 'builtin_function_or_method'", "nn.Module"),
    "own with unknown head": (lambda: OwnNet(nn.Sequential(nn.ReLU()), head="fc"), "head = 'fc'", "'0'"),
    "own without head": (lambda: OwnNet(nn.Identity()).features(X), "head = None", "features"),
}


@pytest.mark.parametrize("case", CASES)
def test_wrong_arguments_are_named(case):
    call, *wanted = CASES[case]
    with pytest.raises(LabError) as caught:
        call()
    for text in wanted:
        assert text in str(caught.value)
