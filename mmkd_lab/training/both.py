"""Logits and features of a network in one call, under one view or several."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from mmkd_lab.core.check import LabError
from mmkd_lab.models.network import MultimodalNet
from mmkd_lab.models.own import OwnNet
from mmkd_lab.models.shared_parts import SharedParts, features_of_views


class Both(nn.Module):
    """A network whose `forward` gives (logits (B, K), features (B, F)); (V * B, ...) for V views.

    Raises `LabError` in use for a module that does not say where its features are.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Mapping[str, Tensor], asked: SharedParts | None = None) -> tuple[Tensor, Tensor]:
        """{modality: (B, ...)} -> (logits, features); with `asked`, `x` is as `with_removed` gave it."""
        if isinstance(self.net, MultimodalNet):
            features = self.net.features(x) if asked is None else features_of_views(self.net, x, asked)
            return self.net.head(features), features
        if isinstance(self.net, OwnNet):
            return _caught(self.net, x)
        way_out = "Wrap it: OwnNet(module, head='fc')."
        raise LabError("net", type(self.net).__name__, "has no features", way_out)


class Alone(nn.Module):
    """A network in the place of `Both`, asked for its logits alone."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Mapping[str, Tensor], asked: None = None) -> tuple[Tensor]:
        """{modality: (B, ...)} -> (logits,)."""
        return (self.net(x),)


def _caught(net: OwnNet, x: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    if net.head_name is None:
        rule, way_out = "name the head's submodule to get features", "OwnNet(module, head='fc')."
        raise LabError("head", None, rule, way_out)
    caught: list[Tensor] = []
    head = net.module.get_submodule(net.head_name)
    hook = head.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    try:
        logits = net(x)
    finally:
        hook.remove()
    if len(caught) != 1:
        raise LabError("head", net.head_name, f"must run once per call, and ran {len(caught)} times")
    return logits, caught[0]
