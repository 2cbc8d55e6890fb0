"""A network of one's own, through the adapter."""

from __future__ import annotations

import torch
from torch import nn

from mmkd_lab.models import ModelAdapter


class Sum(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(3, 4)
        self.fc = nn.Linear(4, 2)

    def forward(self, x):
        return self.fc(torch.tanh(self.body(x["a"] + x.get("b", 0))))


def test_the_adapter_hands_over_what_the_module_reads():
    own = Sum()
    x = {"a": torch.randn(5, 3), "b": torch.randn(5, 3)}
    assert torch.equal(ModelAdapter(own)(x), own(x))
    assert torch.equal(ModelAdapter(own, modalities=("a",))(x), own({"a": x["a"]}))


def test_features_are_what_reaches_the_head():
    own = Sum()
    x = {"a": torch.randn(5, 3)}
    features = ModelAdapter(own, head="fc").features(x)
    assert torch.equal(features, torch.tanh(own.body(x["a"])))
    assert torch.equal(own.fc(features), own(x))
    assert not own.fc._forward_pre_hooks
