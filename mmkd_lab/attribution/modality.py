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

from mmkd_lab.attribution.gradients import Nodes, check_nodes, gradient_x_input, integrated_gradients
from mmkd_lab.attribution.networks import (
    BATCH,
    Network,
    Numbers,
    Output,
    Samples,
    check_output,
    evaluating,
    logits,
    output_of,
    read_by,
    removal_of,
    still,
    targets,
)
from mmkd_lab.attribution.tables import Attribution, Values, tabulate
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
    methods: Method | Sequence[Method] = ("shapley",),
    target: str | int | Tensor = "predicted",
    output: Output = "logit",
    removal: str | Removal = "zeros",
    labels: Tensor | None = None,
    subjects: Tensor | None = None,
    split: str = "test",
    steps: int = 64,
    nodes: Nodes = "graded",
    draws: int = 10,
    interval: Literal["t", "bootstrap"] = "t",
    level: float = 0.95,
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
      to the error of `steps` nodes of quadrature. (Sundararajan et al. 2017, section 3)
    * gradient_x_input: Captum's, summed by modality; takes no removal, and claims no sum.
    * perceptual_score: accuracy lost when m is permuted in the same way, in points, without normalisation;
      per sample 100, 0 or -100, mean over `draws`. (Gat et al. 2021)

    Args:
        net: takes {modality: (B, ...)} and gives logits (B, K). An nn.Module is asked in evaluation mode.
        data: a dataset, of which `split` is used, or {modality: (N, ...)}.
        methods: one or more of `METHODS`.
        target: 'predicted', 'label', a class number, or (N,) int64.
        output: 'logit', 'probability' or 'log_probability' (nats).
        removal: how a modality goes: an operator of `nets`, or its name; 'mean' by name needs a `PairedData`.
            Integrated gradients need 'zeros' or 'mean'; 'attention' and 'learned' need a network that says
            in its attribute `removals` that it heeds their masks.
        labels: (N,) int64, for target='label' and the perceptual score; a `PairedData` brings its own.
        subjects: (N,) int64, who each sample comes from (a speaker); a `PairedData` brings its groups.
            Samples of one subject are not independent, and intervals are then over subjects.
        split: of a `PairedData`.
        steps: how many nodes the integral has.
        nodes: where they lie, see `gradients.integrated_gradients`: 'graded', or one of Captum's methods
            ('gausslegendre', 'riemann_left', 'riemann_right', 'riemann_middle', 'riemann_trapezoid').
        draws: permutations.
        interval: 't' or 'bootstrap', over samples or subjects, see `tables.tabulate`.
        level: coverage of the intervals.
        seed: of permutations and bootstrap.
        batch_size: samples that pass through the network at once.

    With one modality, it is given the whole sum. Raises `LabError` for an unknown method, class, output or
    removal, a removal that the network does not heed, missing labels, more than 12 modalities, permutations
    of fewer than 2 samples, values that are not finite, a probability or an accuracy of one logit, gradients
    that do not reach a modality on which the logits depend.
    """
    chosen = (methods,) if isinstance(methods, str) else tuple(methods)
    for method in chosen:
        one_of("methods", method, METHODS)
    rule = "must name at least one method, and none twice"
    require(0 < len(chosen) == len(set(chosen)), "methods", methods, rule)
    whole("draws", draws)
    check_nodes(steps, nodes)
    samples = Samples.of(data, reads=read_by(net), labels=labels, subjects=subjects, split=split)
    samples = samples.on(net)
    operator = removal_of(removal, data, net, seed=seed)
    with evaluating(net):
        case = _Case(net, samples, operator, target, output, (steps, nodes), draws, seed, batch_size)
        found = [_METHODS[method](case) for method in chosen]
    return tabulate(
        found,
        index=samples.index.tolist(),
        target=case.target.cpu().numpy(),
        classes=samples.classes,
        subjects=None if samples.subjects is None else samples.subjects.cpu().numpy(),
        interval=interval,
        level=level,
        seed=seed,
    )


@dataclass(eq=False)
class _Case:
    """One network, its samples and the output asked for. Answers that several methods need are kept."""

    net: Network
    samples: Samples
    operator: Removal
    asked: str | int | Tensor
    output: Output
    path: tuple[int, Nodes]
    draws: int
    seed: int
    batch_size: int

    def __post_init__(self) -> None:
        self.z = logits(self.net, self.samples.x, batch_size=self.batch_size)
        check_output(self.output, self.z)
        self.target = targets(self.asked, self.z, self.samples.labels)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.samples.x)

    def value(self, x: Mapping[str, Tensor]) -> Numbers:
        """(N,) the output asked for."""
        return self.read(logits(self.net, x, batch_size=self.batch_size))

    def read(self, z: Tensor) -> Numbers:
        """(..., N, K) logits -> (..., N)."""
        return output_of(z.double(), self.target, output=self.output).cpu().numpy()

    @cached_property
    def permuted(self) -> dict[str, Tensor]:
        """{modality: (draws, N, K)} logits with one modality permuted over all samples."""
        operator = Permutation(seed=derive(self.seed, "attribute", "permutation"))
        found = {}
        for name in self.names:
            view = View.drop(name, of=self.names)
            found[name] = torch.stack([self._seen(operator, view) for _ in range(self.draws)])
        return found

    def views(self, views: Sequence[View]) -> dict[View, Numbers]:
        """{view: (N, D)}: the output of each view, D = 1 unless the removal is by permutation."""
        repeat = self.draws if isinstance(self.operator, Permutation) else 1
        full, found = View.full(self.names), {}
        for view in views:
            if view == full:
                found[view] = np.repeat(self.read(self.z)[:, None], repeat, axis=1)
                continue
            each = [self.read(self._seen(self.operator, view)) for _ in range(repeat)]
            found[view] = np.stack(each, axis=1)
        return found

    def _seen(self, operator: Removal, view: View) -> Tensor:
        if isinstance(operator, Permutation):
            n = len(self.samples)
            require(n >= 2, "data", f"{n} sample", "must hold at least 2 samples to permute")
        return logits(self.net, operator.apply(self.samples.x, view), batch_size=self.batch_size)


def _shapley(case: _Case) -> Values:
    names, m = case.names, len(case.names)
    rule = f"must hold at most {MOST_MODALITIES} for all views"
    require(m <= MOST_MODALITIES, "data", f"{m} modalities", rule)
    v = case.views(all_views(names))
    shares = {}
    for name in names:
        total = np.zeros_like(v[View.only()])
        for view in v:
            if name not in view:
                weight = factorial(len(view)) * factorial(m - len(view) - 1) / factorial(m)
                total += weight * (v[View(view.kept | {name})] - v[view])
        shares[name] = total
    return Values("shapley", shares, v[View.full(names)] - v[View.only()])


def _ablation(case: _Case) -> Values:
    names, full = case.names, View.full(case.names)
    without = {name: View.drop(name, of=names) for name in names}
    v = case.views([full, *without.values()])
    return Values("ablation", {name: v[full] - v[without[name]] for name in names})


def _permutation(case: _Case) -> Values:
    before = case.read(case.z)[:, None]
    return Values("permutation", {name: before - case.read(z).T for name, z in case.permuted.items()})


def _perceptual(case: _Case) -> Values:
    labels = case.samples.labels
    if labels is None:
        raise LabError("labels", None, "must be given for the perceptual score, which is accuracy lost")
    way_out = "Give a network of two logits."
    require(case.z.shape[1] > 1, "net(x)", tuple(case.z.shape), "one logit has no accuracy to lose", way_out)
    truth = targets("label", case.z, labels)
    right = (case.z.argmax(1) == truth).double()[:, None]
    lost = {name: 100.0 * (right - (z.argmax(-1) == truth).double().T) for name, z in case.permuted.items()}
    return Values("perceptual_score", {name: each.cpu().numpy() for name, each in lost.items()})


def _integrated(case: _Case) -> Values:
    net, x, (steps, nodes), size = case.net, case.samples.x, case.path, case.batch_size
    base = still(case.operator, x, case.names)
    found = integrated_gradients(
        net, x, base, case.target, output=case.output, steps=steps, nodes=nodes, batch_size=size
    )
    total = case.read(case.z) - case.value(base)
    return Values("integrated_gradients", _summed(found), total[:, None], exact=False)


def _gradient(case: _Case) -> Values:
    x, size = case.samples.x, case.batch_size
    found = gradient_x_input(case.net, x, case.target, output=case.output, batch_size=size)
    return Values("gradient_x_input", _summed(found))


def _summed(found: Mapping[str, Tensor]) -> dict[str, Numbers]:
    """{modality: (N, ...)} -> {modality: (N, 1)}; a modality may be one number a sample, (N,)."""
    rows = {name: each.double().reshape(len(each), -1) for name, each in found.items()}
    return {name: each.sum(1, keepdim=True).cpu().numpy() for name, each in rows.items()}


_KINDS: tuple[Callable[[_Case], Values], ...] = (
    _shapley,
    _ablation,
    _permutation,
    _integrated,
    _gradient,
    _perceptual,
)
_METHODS = dict(zip(METHODS, _KINDS, strict=True))
