"""Gradients, batch by batch: integrated gradients, and Captum's for inputs and token embeddings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from mmkd_lab.attribution.captum_case import CaptumCase, cases
from mmkd_lab.attribution.methods import IntegratedGradients, Nodes
from mmkd_lab.attribution.networks import Explained, Network, batches, logits, scores
from mmkd_lab.core.check import LabError, require
from mmkd_lab.models.removal import Removal
from mmkd_lab.models.views import View

Forward = Callable[..., Tensor]
_GRADING = 4


def still(operator: Removal, x: Mapping[str, Tensor], remove: Sequence[str]) -> dict[str, Tensor]:
    """`x` with the modalities in `remove` replaced by their fixed baseline, for methods that need one.

    Raises `LabError` for a removal that replaces nothing (attention, learned) or by chance (permutation).
    """
    rule = "gives no fixed value in place of a modality, which this method needs"
    fixed = operator.name in ("zeros", "mean")
    require(fixed, "removal", operator.name, rule, "Use 'zeros' or 'mean'.")
    return operator.apply(x, View.drop(*remove, of=x))


def integrated_gradients(
    asked: Explained,
    baseline: Mapping[str, Tensor],
    how: IntegratedGradients,
    *,
    explained: Sequence[str] | None = None,
) -> dict[str, Tensor]:
    """{modality: (N, ...)}: integrated gradients along the straight line from `baseline` to the samples.

    Sundararajan et al. 2017, section 3. Captum's nodes lie evenly along the path; a network that normalises
    its activations turns within the first hundredth of a path that begins at zero, where they miss most of
    the integral. 'graded' takes the fourth power of Gauss-Legendre's nodes: a third of them lie in the first
    hundredth.

    The modalities `explained`, by default all, move; the others stay. Captum's
    nodes give Captum's numbers. Raises `LabError` for integers and for modalities that `check_flow` refuses.
    """
    place, weight = _places(how.steps, how.path)

    def one(case: CaptumCase, ask: Forward, some: slice) -> tuple[Tensor, ...]:
        total, n = [torch.zeros_like(v) for v in case.inputs], len(case.inputs[0])
        base = [baseline[name][some] for name in case.names]
        together = max(1, asked.batch_size // n)
        for k in range(0, how.steps, together):
            at, by = place[k : k + together], weight[k : k + together]
            path = [_along(b, v, at) for b, v in zip(base, case.inputs, strict=True)]
            others = [v.repeat(len(at), *[1] * (v.ndim - 1)) for v in case.fixed or ()]
            slopes = torch.autograd.grad(ask(*path, *others).sum(), path)
            for share, slope, b, v in zip(total, slopes, base, case.inputs, strict=True):
                each = slope.reshape(len(at), n, *slope.shape[1:])
                share += (v - b) * torch.tensordot(by.to(each), each, dims=1)
        return tuple(total)

    return _batched(one, asked, explained)


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


def gradient_x_input(asked: Explained, *, explained: Sequence[str] | None = None) -> dict[str, Tensor]:
    """{modality: (N, ...)}: the gradient of the output, times the input (Shrikumar et al. 2016; Captum).

    Raises `LabError` as `integrated_gradients` does.
    """
    from captum.attr import InputXGradient  # a second to import

    def one(case: CaptumCase, ask: Forward, _some: slice) -> tuple[Tensor, ...]:
        # Captum asks for gradients on what it is given: copies leave the caller's tensors alone.
        leaves = tuple(values.clone().requires_grad_() for values in case.inputs)
        return tuple(InputXGradient(ask).attribute(leaves, additional_forward_args=case.fixed))

    return _batched(one, asked, explained)


def token_gradients(
    asked: Explained,
    baseline: Mapping[str, Tensor],
    how: IntegratedGradients,
    *,
    modality: str,
    layer: nn.Module,
) -> Tensor:
    """(N, L): integrated gradients of a token modality (N, L), at its embedding layer and summed over it.

    The path runs between the embeddings of `baseline` and of the samples; the other modalities stay as they
    are. (Captum's LayerIntegratedGradients.) Raises `LabError` when the layer's output has no row per token,
    or when no gradient flows back to it.
    """
    from captum.attr import LayerIntegratedGradients

    asked = replace(asked, net=_passing_copies(asked.net, layer))
    shown, way_out = type(layer).__name__, "Use method='ablation', or another layer."
    parts: list[Tensor] = []
    for case, ask, some in cases(asked, [modality], size=max(1, asked.batch_size // how.steps)):
        method = LayerIntegratedGradients(ask, layer)
        base = baseline[modality][some]
        try:
            with torch.enable_grad():
                found = method.attribute(
                    case.inputs, base, additional_forward_args=case.fixed, n_steps=how.steps, method=how.path
                )
        except (AssertionError, KeyError, RuntimeError) as error:
            rule = f"must be used, and a gradient of the logits must flow back to it: {error}"
            raise LabError("layer", shown, rule, way_out) from error
        shape = tuple(base.shape)
        fits = isinstance(found, Tensor) and tuple(found.shape[:-1]) == shape
        rule = f"its output must be one vector per token, {(*shape, 'features')}"
        require(fits, "layer", tuple(getattr(found, "shape", ())) or shown, rule)
        parts.append(found.detach().sum(-1))
    return torch.cat(parts)


def _batched(
    method: Callable[[CaptumCase, Forward, slice], tuple[Tensor, ...]],
    asked: Explained,
    explained: Sequence[str] | None,
) -> dict[str, Tensor]:
    x = asked.x
    names = tuple(x if explained is None else explained)
    for name in names:
        if not x[name].is_floating_point():
            way_out = (
                "Use shapley, ablation or permutation; for tokens, IntegratedGradients(layer=<embedding>)."
            )
            raise LabError(f"data[{name!r}]", x[name].dtype, "whole numbers have no gradient", way_out)
    check_flow(asked, names)
    parts: list[tuple[Tensor, ...]] = []
    for each in cases(asked, names):
        with torch.enable_grad():
            parts.append(tuple(one.detach() for one in method(*each)))
    return {name: torch.cat([part[k] for part in parts]) for k, name in enumerate(names)}


def check_flow(asked: Explained, names: Sequence[str]) -> None:
    """Raise `LabError` for a modality that moves the logits, but through which no gradient flows.

    Autograd would call its gradient 0, as it does that of a modality that the network ignores. Looked for in
    the first batch; a modality that is cut off on one of several ways to the logits is not found.
    """
    net, x, size = asked.net, asked.x, asked.batch_size
    first, before = next(batches(x, size)), logits(net, x, batch_size=size)
    leaves = {name: first[name].clone().requires_grad_() for name in names}
    with torch.enable_grad():
        z = scores(net, {**first, **leaves})
    for name, leaf in leaves.items():
        slope = None  # where autograd knows no way back to the leaf
        if z.requires_grad:
            weight = torch.linspace(1.0, 2.0, z.shape[1]).to(z)  # unequal, or a softmax has slope 0
            slope = torch.autograd.grad(
                (z.movedim(1, -1) * weight).sum(), leaf, retain_graph=True, allow_unused=True
            )[0]
        if slope is not None and bool(slope.any()):
            continue
        # A flat network moves with zeros too where its gradient is 0 by right; not from sample to sample.
        others = [x[name].roll(1, 0)] + ([torch.zeros_like(x[name])] if slope is None else [])
        for other in others:
            again = before + torch.inf  # logits that other values make infinite depend on them
            with suppress(LabError):
                again = logits(net, {**x, name: other}, batch_size=size)
            # By more than a rounding: kernels that add in no fixed order are no dependence.
            if (again - before).abs().max() <= 1e-6 * before.abs().max():
                continue
            rule = "the logits depend on it, but no gradient flows through it (detach, no_grad, rounding)"
            way_out = "Use ablation or another method without gradients, or let the gradient through."
            raise LabError(f"data[{name!r}]", "no gradient", rule, way_out)


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
