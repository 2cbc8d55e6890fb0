"""Gradients, batch by batch: integrated gradients, and Captum's for inputs and token embeddings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from mmkd_lab.attribution.captum_case import CaptumCase, selected
from mmkd_lab.attribution.networks import BATCH, Network, Output, logits, scores
from mmkd_lab.core.check import LabError, one_of, require, whole

#: The lab's own, then Captum's.
Nodes = Literal[
    "graded", "gausslegendre", "riemann_left", "riemann_right", "riemann_middle", "riemann_trapezoid"
]
_GRADING = 4


def integrated_gradients(
    net: Network,
    x: Mapping[str, Tensor],
    baseline: Mapping[str, Tensor],
    target: Tensor,
    *,
    explained: Sequence[str] | None = None,
    output: Output = "logit",
    steps: int = 64,
    nodes: Nodes = "graded",
    batch_size: int = BATCH,
) -> dict[str, Tensor]:
    """{modality: (N, ...)}: integrated gradients from `baseline` to `x`, along a straight line.

    Sundararajan et al. 2017, section 3. Captum's nodes lie evenly along the path; a network that normalises
    its activations turns within the first hundredth of a path that begins at zero, where they miss most of
    the integral. 'graded' takes the fourth power of Gauss-Legendre's nodes: a third of them lie in the first
    hundredth.

    Args:
        net: takes {modality: (B, ...)}, gives (B, K).
        x: {modality: (N, ...)}.
        baseline: where the path begins, shapes as x.
        target: (N,) classes.
        explained: the modalities that move; the others stay as in `x`. By default all.
        output: 'logit', 'probability' or 'log_probability'.
        steps: how many nodes.
        nodes: where they lie: 'graded', or one of Captum's methods, which gives Captum's numbers.
        batch_size: rows that pass through the network at once; a sample has one row per node.

    Raises `LabError` for modalities without a gradient: integers, and those that `check_flow` refuses.
    """
    place, weight = _places(steps, nodes)

    def one(case: CaptumCase, some: slice) -> tuple[Tensor, ...]:
        total = [torch.zeros_like(v) for v in case.inputs]
        ask, n = selected(case, target[some], output=output), len(case.inputs[0])
        base = [baseline[name][some] for name in case.names]
        together = max(1, batch_size // n)
        for k in range(0, steps, together):
            at, by = place[k : k + together], weight[k : k + together]
            path = [_along(b, v.detach(), at) for b, v in zip(base, case.inputs, strict=True)]
            others = [v.repeat(len(at), *[1] * (v.ndim - 1)) for v in case.fixed or ()]
            slopes = torch.autograd.grad(ask(*path, *others).sum(), path)
            for share, slope, b, v in zip(total, slopes, base, case.inputs, strict=True):
                each = slope.reshape(len(at), n, *slope.shape[1:])
                share += (v.detach() - b) * torch.tensordot(by.to(each), each, dims=1)
        return tuple(total)

    names = tuple(x) if explained is None else tuple(explained)
    return _batched(one, net, x, names, size=batch_size)


def check_nodes(steps: int, nodes: str, *, layer: bool = False) -> None:
    """Raise `LabError` for nodes that are none, or that Captum does not have at a layer."""
    one_of("nodes", nodes, get_args(Nodes)[1 if layer else 0 :])
    whole("steps", steps, at_least=2 if nodes == "riemann_trapezoid" else 1)


def _places(steps: int, nodes: Nodes) -> tuple[Tensor, Tensor]:
    """Places in [0, 1] and weights of the nodes."""
    if nodes != "graded":
        from captum.attr._utils.approximation_methods import approximation_parameters

        weights, places = approximation_parameters(nodes)
        return torch.tensor(places(steps)).double(), torch.tensor(weights(steps)).double()
    node, weight = np.polynomial.legendre.leggauss(steps)
    s = (node + 1) / 2
    return torch.from_numpy(s**_GRADING), torch.from_numpy(weight / 2 * _GRADING * s ** (_GRADING - 1))


def _along(base: Tensor, end: Tensor, at: Tensor) -> Tensor:
    """(B, ...) twice and (S,) places -> (S * B, ...) points on the straight path, place after place."""
    places = at.to(end).reshape(-1, *[1] * end.ndim)
    return (base + places * (end - base)).flatten(0, 1).requires_grad_()


def gradient_x_input(
    net: Network,
    x: Mapping[str, Tensor],
    target: Tensor,
    *,
    explained: Sequence[str] | None = None,
    output: Output = "logit",
    batch_size: int = BATCH,
) -> dict[str, Tensor]:
    """{modality: (N, ...)}: the gradient of the output, times the input (Shrikumar et al. 2016; Captum).

    Raises `LabError` for modalities without a gradient: integers, and those that `check_flow` refuses.
    """
    from captum.attr import InputXGradient  # a second to import

    def one(case: CaptumCase, some: slice) -> tuple[Tensor, ...]:
        method = InputXGradient(selected(case, target[some], output=output))
        return tuple(method.attribute(case.inputs, additional_forward_args=case.fixed))

    names = tuple(x) if explained is None else tuple(explained)
    return _batched(one, net, x, names, size=batch_size)


def token_gradients(
    net: Network,
    x: Mapping[str, Tensor],
    baseline: Mapping[str, Tensor],
    target: Tensor,
    *,
    modality: str,
    layer: nn.Module,
    output: Output = "logit",
    steps: int = 64,
    nodes: Nodes = "gausslegendre",
    batch_size: int = BATCH,
) -> Tensor:
    """(N, L): integrated gradients of a token modality (N, L), taken at its embedding layer and summed over
    it.

    The path runs between the embeddings of `baseline` and of `x`; the other modalities stay as they are.
    (Captum's LayerIntegratedGradients.) Raises `LabError` when the layer's output has no row per token, or
    when no gradient flows back to it.
    """
    from captum.attr import LayerIntegratedGradients

    _check_layer(net, {name: v[:batch_size] for name, v in x.items()}, layer)
    size = max(1, batch_size // steps)
    parts: list[Tensor] = []
    for i in range(0, len(target), size):
        some = slice(i, i + size)
        given = {name: v[some] for name, v in x.items()}
        case = CaptumCase.of(_passing_copies(net, layer), given, explained=[modality])
        method = LayerIntegratedGradients(selected(case, target[some], output=output), layer)
        with torch.enable_grad():
            found = method.attribute(
                case.inputs,
                baselines=baseline[modality][some],
                additional_forward_args=case.fixed,
                n_steps=steps,
                method=nodes,
            )
        shape = tuple(case.inputs[0].shape)
        fits = isinstance(found, Tensor) and tuple(found.shape[:-1]) == shape
        shown = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        require(fits, "layer", shown, f"its output must be one vector per token, {(*shape, 'features')}")
        parts.append(found.detach().sum(-1))
    return torch.cat(parts)


def _batched(
    method: Callable[[CaptumCase, slice], tuple[Tensor, ...]],
    net: Network,
    x: Mapping[str, Tensor],
    explained: tuple[str, ...],
    *,
    size: int,
) -> dict[str, Tensor]:
    for name in explained:
        if not x[name].is_floating_point():
            way_out = "Use shapley, ablation or permutation; for tokens, within_modality(layer=<embedding>)."
            raise LabError(f"data[{name!r}]", x[name].dtype, "whole numbers have no gradient", way_out)
    check_flow(net, x, explained, batch_size=size)
    parts: list[tuple[Tensor, ...]] = []
    for i in range(0, len(next(iter(x.values()))), size):
        some = slice(i, i + size)
        # Captum asks for gradients on what it is given: copies leave the caller's tensors alone.
        given = {name: v[some] for name, v in x.items()}
        given.update({name: given[name].clone().requires_grad_() for name in explained})
        with torch.enable_grad():
            found = method(CaptumCase.of(net, given, explained=explained), some)
        parts.append(tuple(one.detach() for one in found))
    return {name: torch.cat([part[k] for part in parts]) for k, name in enumerate(explained)}


def check_flow(net: Network, x: Mapping[str, Tensor], names: Sequence[str], *, batch_size: int) -> None:
    """Raise `LabError` for a modality that moves the logits, but through which no gradient flows.

    Autograd would call its gradient 0, as it does that of a modality that the network ignores. Looked for in
    the first batch; a modality that is cut off on one of several ways to the logits is not found.
    """
    first = {name: v[:batch_size] for name, v in x.items()}
    leaves = {name: first[name].detach().clone().requires_grad_() for name in names}
    with torch.enable_grad():
        z = scores(net, {**first, **leaves})
    for name, leaf in leaves.items():
        slope = _slope(z, leaf)
        if slope is not None and bool(slope.any()):
            continue
        # A flat network moves with zeros too where its gradient is 0 by right; not from sample to sample.
        others = [x[name].roll(1, 0)] + ([torch.zeros_like(x[name])] if slope is None else [])
        if any(_moves(net, x, {name: other}, batch_size=batch_size) for other in others):
            rule = "the logits depend on it, but no gradient flows through it (detach, no_grad, rounding)"
            way_out = "Use ablation or another method without gradients, or let the gradient through."
            raise LabError(f"data[{name!r}]", "no gradient", rule, way_out)


def _slope(z: Tensor, leaf: Tensor) -> Tensor | None:
    """The gradient of the logits with unequal weights; None where autograd knows no way back to the leaf."""
    if not z.requires_grad:
        return None
    weight = torch.linspace(1.0, 2.0, z.shape[1]).to(z)
    return torch.autograd.grad((z * weight).sum(), leaf, retain_graph=True, allow_unused=True)[0]


def _moves(net: Network, x: Mapping[str, Tensor], other: Mapping[str, Tensor], *, batch_size: int) -> bool:
    """Whether the logits change when a modality has other values."""
    z = logits(net, x, batch_size=batch_size)
    try:
        again = logits(net, {**x, **other}, batch_size=batch_size)
    except LabError:  # logits that other values make infinite depend on them
        return True
    # By more than a rounding: kernels that add in no fixed order are no dependence.
    return bool((again - z).abs().max() > 1e-6 * z.abs().max())


def _check_layer(net: Network, x: Mapping[str, Tensor], layer: nn.Module) -> None:
    """Raise `LabError` when a layer is not used, or when no gradient of the logits flows back to it."""
    said: list[object] = []

    def from_here(_module: nn.Module, _args: object, out: object) -> object:
        sound = isinstance(out, Tensor) and out.is_floating_point()
        said.append(out.detach().clone().requires_grad_() if isinstance(out, Tensor) and sound else out)
        return said[-1]

    hook = layer.register_forward_hook(from_here)
    try:
        with torch.enable_grad():
            z = scores(_passing_copies(net, layer), dict(x))
    finally:
        hook.remove()
    shown, way_out = type(layer).__name__, "Use method='ablation', or another layer."
    require(len(said) > 0, "layer", shown, "must be used by the network", way_out)
    leaves = [one for one in said if isinstance(one, Tensor) and one.requires_grad]
    # A layer that passes anything else is refused later on, for its shape.
    flows = not leaves or any(_slope(z, leaf) is not None for leaf in leaves)
    require(flows, "layer", shown, "no gradient of the logits flows back to it", way_out)


def _passing_copies(net: Network, layer: nn.Module) -> Network:
    """The network, where what follows a layer is given a copy of what it says and may change it in place.

    The copy is taken after the hooks that the layer has when the network is called, such as Captum's.
    """

    def forward(x: dict[str, Tensor]) -> Tensor:
        hook = layer.register_forward_hook(
            lambda _module, _args, out: out.clone() if isinstance(out, Tensor) else out
        )
        try:
            return net(x)
        finally:
            hook.remove()

    return forward
