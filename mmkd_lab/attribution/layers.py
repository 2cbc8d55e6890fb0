"""A network cut at a layer: what the layer says, and the rest of the network run again from there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from mmkd_lab.attribution.networks import Network, batches, scores
from mmkd_lab.core.check import LabError, listing, one_of, require

Side = Literal["output", "input"]
#: Samples on which the rest of a network is tried before it is trusted.
_TRIAL = 4
#: What passes in and out of these has its channels along the first axis after the samples, or along the last.
#: Conv1D is GPT-2's linear layer.
_FIRST = ("Conv", "BatchNorm", "InstanceNorm", "GroupNorm", "MaxPool", "AvgPool", "Adaptive")
_LAST = ("Conv1D", "Linear", "LayerNorm", "RMSNorm", "Embedding", "Multihead", "Transformer", "LSTM", "GRU")


def user_module(net: nn.Module) -> nn.Module:
    """The module whose layer names a user knows: what a wrapper holds as its one child `module`.

    The lab's adapter holds your network so, as do torch's own wrappers (DataParallel, AveragedModel).
    """
    while [name for name, _ in net.named_children()] == ["module"]:
        net = next(net.children())
    return net


def module_named(net: Network, name: str) -> nn.Module:
    """The layer of a user's name, such as 'layer1'. Raises `LabError` that lists those that exist."""
    if not isinstance(net, nn.Module):
        raise LabError("net", type(net).__name__, "has no layers by name; give an nn.Module")
    inner = user_module(net)
    known: dict[str, nn.Module] = {found: module for found, module in inner.named_modules() if found}
    if name not in known:
        has = listing(sorted(known))
        raise LabError("layer", name, f"is no layer of this {type(inner).__name__}. It has {has}")
    return known[name]


def channel_axis(cut: Cut, passed: Tensor, axis: int | None = None) -> int:
    """The axis of the channels of what passes a cut, (N, ...), at least 1.

    With None, (N, d) and maps (N, d, H, W) have channels along axis 1, tokens (N, L, d) along the last. What
    a Linear or LayerNorm gives has them last in any shape, what a convolution gives first.

    Raises `LabError` for an axis that is none, or that of the samples; and for three axes in a network that
    has both convolutions over one axis and layers over tokens, at a layer that is neither.
    """
    if axis is not None:
        sound = isinstance(axis, int) and not isinstance(axis, bool) and -passed.ndim < axis < passed.ndim
        rule = f"must be an axis of {tuple(passed.shape)} other than 0, the samples"
        require(sound and axis != 0, "axis", axis, rule)
        return axis % passed.ndim
    kind = type(cut.module).__name__
    if passed.ndim == 2:
        return 1
    if kind.startswith(_LAST):
        return passed.ndim - 1
    if kind.startswith(_FIRST) or passed.ndim > 3:
        return 1
    convolved = any(type(one).__name__.startswith("Conv1d") for one in user_module(cut.net).modules())
    rule = f"cannot be told from the shape {tuple(passed.shape)} of {cut.layer!r}"
    require(not convolved, "axis", None, rule, "Give axis=1 or axis=-1.")
    return passed.ndim - 1


def head_of(net: Network, x: Mapping[str, Tensor]) -> str | None:
    """The name of the linear layer whose output is the network's logits; None when the head is not linear."""
    seen: dict[str, list[object]] = {}
    named = user_module(net).named_modules() if isinstance(net, nn.Module) else ()
    linear = {name: module for name, module in named if name and isinstance(module, nn.Linear)}

    hooks = [
        module.register_forward_hook(
            lambda _module, _args, out, name=name: _keep(seen.setdefault(name, []), out)
        )
        for name, module in linear.items()
    ]
    try:
        with torch.no_grad():
            z = scores(net, next(batches(x, _TRIAL)))
    finally:
        for hook in hooks:
            hook.remove()
    once = {name: outs[0] for name, outs in seen.items() if len(outs) == 1}
    ends = [name for name, out in once.items() if isinstance(out, Tensor) and torch.equal(out, z)]
    return ends[-1] if ends else None


def _keep(into: list[object], one: object) -> None:
    """A copy: an activation that works in place would change what was kept."""
    into.append(one.clone() if isinstance(one, Tensor) else one)


def layer_kinds(net: nn.Module) -> str:
    """`Conv2d, ReLU, Linear`: what a network is made of, for error messages."""
    return ", ".join(type(module).__name__ for module in net.modules() if not list(module.children()))


@dataclass(frozen=True, eq=False)
class Cut:
    """A network cut at a layer of its author's name: after it ('output'), or before it ('input')."""

    net: nn.Module
    layer: str
    side: Side = "output"
    module: nn.Module = field(init=False)

    def __post_init__(self) -> None:
        one_of("side", self.side, get_args(Side))
        object.__setattr__(self, "module", module_named(self.net, self.layer))

    def read(self, x: Mapping[str, Tensor], *, batch_size: int) -> tuple[Tensor, Tensor]:
        """(N, ...) what passes the cut, and (N, K) logits.

        Raises `LabError` when the layer is not used exactly once, or does not pass one finite tensor with a
        row per sample.
        """
        passed, said = [], []
        for some in batches(x, batch_size):
            seen: list[object] = []
            with self._hook(partial(_keep, seen)), torch.no_grad():
                said.append(scores(self.net, some))
            rule = f"must be used once; this network uses it {len(seen)} times"
            require(len(seen) == 1, "layer", self.layer, rule)
            one = seen[0]
            shown = tuple(one.shape) if isinstance(one, Tensor) else type(one).__name__
            if not isinstance(one, Tensor) or one.ndim < 2 or len(one) != len(said[-1]):
                rule = f"must pass one tensor (samples, channels, ...), not {shown}"
                raise LabError("layer", self.layer, rule)
            require(bool(torch.isfinite(one).all()), "layer", self.layer, "passes NaN or infinite values")
            passed.append(one)
        return torch.cat(passed), torch.cat(said)

    def rerun(self, x: Mapping[str, Tensor], passed: Tensor) -> Tensor:
        """(B, K) logits when the layer passes `passed` (B, ...), whatever it would have said of `x`."""
        with self._hook(lambda _: passed.clone()), torch.no_grad():
            z: Tensor = self.net({name: values.clone() for name, values in x.items()})
        return z

    def alone(self, x: Mapping[str, Tensor], passed: Tensor, z: Tensor) -> bool:
        """Whether the rest of the network needs nothing but what passes the cut.

        Then `rerun` may be given a single sample as `x`: what lies before the cut costs one sample, what lies
        after it the whole batch. Tried out on a few samples, with an input that is none of the data.
        """
        some = slice(1, 1 + _TRIAL)
        first = {name: v[:1] for name, v in x.items()}
        # Within the range of the data, which tokens must not leave.
        made_up = {name: v.amin() + v.amax() - v[:1] for name, v in x.items()}
        try:
            again, other = (self.rerun(one, passed[some]) for one in (first, made_up))
        except Exception:  # torch, or the network itself, refuses one sample beside several
            return False
        if again.shape != z[some].shape or not torch.allclose(again, z[some], rtol=1e-4, atol=1e-5):
            return False
        # A branch of one sample may also be broadcast; then the logits move with an input that is made up.
        return torch.equal(other, again)

    @contextmanager
    def _hook(self, act: Callable[[object], Tensor | None]) -> Iterator[None]:
        """`act` on what passes the cut; what it returns, unless None, passes instead."""

        def before(_: nn.Module, args: tuple[object, ...]) -> object:
            instead = act(args[0] if args else None)
            return None if instead is None else (instead, *args[1:])

        if self.side == "output":
            hook = self.module.register_forward_hook(lambda _m, _args, out: act(out))
        else:
            hook = self.module.register_forward_pre_hook(before)
        try:
            yield
        finally:
            hook.remove()


@dataclass(frozen=True, eq=False)
class Readout:
    """Logits that are a sum over channels and positions: z[n, c] = sum of weight[c, i, p] features[n, i, p].

    Both are float64, (K, d, P) and (N, d, P), P = 1 for a vector. Where the logits are `maps`, each position
    has its own, of the same weight, (K, d, 1): z[n, c, p] = sum of weight[c, i] features[n, i, p].
    """

    features: Tensor
    weight: Tensor
    maps: bool = False

    @classmethod
    def of(
        cls, cut: Cut, x: Mapping[str, Tensor], passed: Tensor, *, axis: int, batch_size: int
    ) -> Readout | None:
        """The readout of what feeds the linear head as it is, flattened, or as means over positions.

        None when the head is not linear or something else stands between.
        """
        name = head_of(cut.net, x)
        if name is None:
            return None
        fed, z = Cut(cut.net, name, "input").read(x, batch_size=batch_size)
        head = module_named(cut.net, name)
        assert isinstance(head, nn.Linear)
        weight = head.weight.detach()
        with torch.no_grad():
            if not torch.allclose(head(fed), z, rtol=1e-4, atol=1e-5):  # bent only where the trial did not go
                return None
        pooled = _positions(passed, axis)
        if z.ndim > 2:
            one = weight.unsqueeze(2).double()
            return cls(pooled.double(), one, maps=True) if torch.equal(passed, fed) else None
        if fed.shape == passed.flatten(1).shape and torch.equal(fed, passed.flatten(1)):
            by = _positions(weight.reshape(len(weight), *passed.shape[1:]), axis)
            return cls(pooled.double(), by.double())
        if fed.shape == pooled.shape[:2] and torch.allclose(fed, pooled.mean(2), rtol=1e-5, atol=1e-6):
            return cls(fed.unsqueeze(2).double(), weight.unsqueeze(2).double())
        return None

    def contributions(self, channels: slice) -> Tensor:
        """(c, N, K): what each of some channels adds to the logits."""
        return torch.einsum("nip,kip->ink", self.features[:, channels], self.weight[:, channels])


def _positions(values: Tensor, axis: int) -> Tensor:
    """(N, ...) with channels along `axis` -> (N, d, P)."""
    moved = values.movedim(axis, 1)
    return moved.unsqueeze(2) if moved.ndim == 2 else moved.flatten(2)
