"""Attribution by modality: how much each modality counts for what a network says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import factorial
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from mmkd_lab.attribution.gradients import gradient_x_input, integrated_gradients, still
from mmkd_lab.attribution.methods import IntegratedGradients
from mmkd_lab.attribution.networks import (
    BATCH,
    Explained,
    NetInputs,
    Network,
    Numbers,
    Output,
    by_sample,
    evaluating,
    logits,
    removal_of,
    targets,
)
from mmkd_lab.attribution.tables import Attribution, Intervals, ModalityValues, tabulate
from mmkd_lab.core.check import LabError, one_of, require, whole
from mmkd_lab.core.seed import derive
from mmkd_lab.data.paired import PairedData
from mmkd_lab.models.removal import Permutation, Removal
from mmkd_lab.models.views import View, all_views

Method = Literal[
    "shapley", "ablation", "permutation", "integrated_gradients", "gradient_x_input", "perceptual_score"
]
METHODS = get_args(Method)
#: 2^12 views of every sample; beyond this exact Shapley values are no longer a matter of minutes.
MOST_MODALITIES = 12


def by_modality(
    net: Network,
    data: PairedData | Mapping[str, Tensor],
    *,
    methods: Method | IntegratedGradients | Sequence[Method | IntegratedGradients] = ("shapley",),
    target: str | int | Tensor = "predicted",
    output: Output = "logit",
    removal: str | Removal = "zeros",
    labels: Tensor | None = None,
    split: str = "test",
    draws: int = 10,
    intervals: Intervals | None = None,
    seed: int = 0,
    batch_size: int = BATCH,
) -> Attribution:
    """How much each modality counts, per sample and over a dataset, by any of six methods.

    With f the output of the target class, x a sample and x without S the same with the modalities S removed:

    * shapley: Shapley values of the game v(S) = f(x without the others), exact over all 2^M views. They add
      up to f(x) - f(everything removed). (Lundberg and Lee 2017, theorem 1)
    * ablation: f(x) - f(x without m).
    * permutation: f(x) - f(x with m permuted over samples), mean over `draws` permutations of all N samples.
      All permutations are equally likely, so that m comes from each of the N samples alike, x itself among
      them; the mean over the N - 1 others alone is N / (N - 1) times as large.
    * integrated_gradients: from the removed input to x, summed by modality. They add up as shapley's do, up
      to the error of quadrature, see `IntegratedGradients`. (Sundararajan et al. 2017, section 3)
    * gradient_x_input: Captum's, summed by modality; takes no removal, and claims no sum.
    * perceptual_score: accuracy lost when m is permuted in the same way, in points, without normalisation;
      per sample 100, 0 or -100, mean over `draws`. (Gat et al. 2021)

    Of maps f is the mean over the positions of a sample, each asked about its own class, and accuracy is that
    of its labelled positions. A `target` (N, H, W) with -1 at all other positions asks about some of them.

    Args:
        net: takes {modality: (B, ...)} and gives logits (B, K), or (B, K, H, W). An nn.Module is asked in
            evaluation mode.
        data: a dataset, of which `split` is used, or {modality: (N, ...)}.
        methods: one or more of `METHODS`, or `IntegratedGradients`.
        target: 'predicted', 'label', a class number, or (N,) int64, of maps (N, H, W).
        output: 'logit', 'probability' or 'log_probability' (nats).
        removal: how a modality goes: an operator of `nets`, or its name; 'mean' by name needs a `PairedData`.
            Integrated gradients need 'zeros' or 'mean'; 'attention' and 'learned' need a network that says
            in its attribute `removals` that it heeds their masks.
        labels: (N,) int64, or (N, H, W), for target='label' and the perceptual score; a `PairedData` brings
            its own.
        draws: permutations.
        intervals: their kind and level, and who the samples come from.
        seed: of permutations and bootstrap.
        batch_size: samples that pass through the network at once.

    Raises `LabError` for an unknown word, a removal that the network does not heed, missing labels, more than
    12 modalities, permutations of fewer than 2 samples, values that are not finite, a probability or accuracy
    of one logit, gradients that do not reach a modality on which the logits depend.
    """
    chosen = _chosen(methods)
    whole("draws", draws)
    intervals = intervals or Intervals()
    samples = NetInputs.of(net, data, labels=labels, subjects=intervals.subjects, split=split)
    operator = removal_of(removal, data, net, seed=seed)
    with evaluating(net):
        asked, z = Explained.of(net, samples, target, output, batch_size)
        integral = chosen.get("integrated_gradients") or IntegratedGradients()
        case = _Case(asked, z, samples.labels, operator, integral, draws, seed)
        found = [_METHODS[method](case) for method in chosen]
    return tabulate(found, samples, by_sample(asked.target), intervals, seed=seed)


def _chosen(
    methods: Method | IntegratedGradients | Sequence[Method | IntegratedGradients],
) -> dict[Method, IntegratedGradients | None]:
    """{method: what is set of it}."""
    listed = (methods,) if isinstance(methods, (str, IntegratedGradients)) else tuple(methods)
    chosen: dict[Method, IntegratedGradients | None] = {}
    for one in listed:
        if isinstance(one, IntegratedGradients):
            rule = "belongs to within_modality: a modality as a whole has no layer"
            require(one.layer is None, "layer", one.layer, rule)
            chosen["integrated_gradients"] = one
        else:
            one_of("methods", one, METHODS)
            chosen[one] = None
    rule = "must name at least one method, and none twice"
    require(0 < len(chosen) == len(listed), "methods", methods, rule)
    return chosen


@dataclass(eq=False)
class _Case:
    """What the methods go by. Answers that several of them need are kept."""

    asked: Explained
    z: Tensor
    labels: Tensor | None
    operator: Removal
    integral: IntegratedGradients
    draws: int
    seed: int

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.asked.x)

    @cached_property
    def permuted(self) -> dict[str, Tensor]:
        """{modality: (draws, N, K)} logits with one modality permuted over all samples."""
        operator = Permutation(seed=derive(self.seed, "attribute", "permutation"))
        return {name: self._seen(operator, View.drop(name, of=self.names), self.draws) for name in self.names}

    def views(self, views: Sequence[View]) -> dict[View, Numbers]:
        """{view: (N, D)}: the output of each view, D = 1 unless the removal is by permutation."""
        repeat = self.draws if isinstance(self.operator, Permutation) else 1
        whole_view, full = View.full(self.names), self.z.expand(repeat, *self.z.shape)
        return {
            view: self.asked.read(full if view == whole_view else self._seen(self.operator, view, repeat)).T
            for view in views
        }

    def _seen(self, operator: Removal, view: View, times: int) -> Tensor:
        """(times, N, K)."""
        x, n = self.asked.x, len(self.z)
        lone = n < 2 and isinstance(operator, Permutation)
        require(not lone, "data", f"{n} sample", "must hold at least 2 samples to permute")
        size = self.asked.batch_size
        return torch.stack(
            [logits(self.asked.net, operator.apply(x, view), batch_size=size) for _ in range(times)]
        )


def _shapley(case: _Case) -> ModalityValues:
    names, m = case.names, len(case.names)
    rule = f"must hold at most {MOST_MODALITIES} for all views"
    require(m <= MOST_MODALITIES, "data", f"{m} modalities", rule)
    v = case.views(all_views(names))
    weight = [factorial(k) * factorial(m - k - 1) / factorial(m) for k in range(m)]
    shares = dict.fromkeys(names, np.zeros_like(v[View.only()]))
    for name in names:
        for view in v:
            if name not in view:
                gain = v[View(view.kept | {name})] - v[view]
                shares[name] = shares[name] + weight[len(view)] * gain
    return ModalityValues("shapley", shares, v[View.full(names)] - v[View.only()])


def _ablation(case: _Case) -> ModalityValues:
    names, full = case.names, View.full(case.names)
    without = {name: View.drop(name, of=names) for name in names}
    v = case.views([full, *without.values()])
    return ModalityValues("ablation", {name: v[full] - v[without[name]] for name in names})


def _permutation(case: _Case) -> ModalityValues:
    before = case.asked.read(case.z)[:, None]
    return ModalityValues(
        "permutation", {name: before - case.asked.read(z).T for name, z in case.permuted.items()}
    )


def _perceptual(case: _Case) -> ModalityValues:
    if case.labels is None:
        raise LabError("labels", None, "must be given for the perceptual score, which is accuracy lost")
    way_out = "Give a network of two logits."
    require(case.z.shape[1] > 1, "net(x)", tuple(case.z.shape), "one logit has no accuracy to lose", way_out)
    truth = targets("label", case.z, case.labels)
    before = _right(case.z, truth)[:, None]
    lost = {name: 100.0 * (before - _right(z, truth).T) for name, z in case.permuted.items()}
    return ModalityValues("perceptual_score", {name: each.cpu().numpy() for name, each in lost.items()})


def _right(z: Tensor, truth: Tensor) -> Tensor:
    """(..., N, K) logits and (N,) classes -> (..., N): 1 where a sample is named right, else 0; of maps the
    share of its labelled positions."""
    right = (z.argmax(-truth.ndim) == truth).double()
    if truth.ndim == 1:
        return right
    return right.sum((-2, -1)) / (truth >= 0).sum((-2, -1)).clamp(min=1)


def _integrated(case: _Case) -> ModalityValues:
    asked = case.asked
    base = still(case.operator, asked.x, case.names)
    found = integrated_gradients(asked, base, case.integral)
    total = asked.read(case.z) - asked.value(base)
    return ModalityValues("integrated_gradients", _summed(found), total[:, None], exact=False)


def _gradient(case: _Case) -> ModalityValues:
    return ModalityValues("gradient_x_input", _summed(gradient_x_input(case.asked)))


def _summed(found: Mapping[str, Tensor]) -> dict[str, Numbers]:
    """{modality: (N, ...)} -> {modality: (N, 1)}; a modality may be one number a sample, (N,)."""
    rows = {name: each.double().reshape(len(each), -1) for name, each in found.items()}
    return {name: each.sum(1, keepdim=True).cpu().numpy() for name, each in rows.items()}


_METHODS: dict[Method, Callable[[_Case], ModalityValues]] = {
    "shapley": _shapley,
    "ablation": _ablation,
    "permutation": _permutation,
    "integrated_gradients": _integrated,
    "gradient_x_input": _gradient,
    "perceptual_score": _perceptual,
}
