"""The samples of the MSD panel: their order, and all that is shown of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mmkd_lab.attribution import by_modality, within_modality
from mmkd_lab.attribution.within import MapMethod
from mmkd_lab.distill.saliency import Delta, difference
from mmkd_lab.distill.weights import EPSILON
from mmkd_lab.models import View
from mmkd_lab.models.removal import Mean
from mmkd_lab.whatif.msd_state import MsdState
from mmkd_lab.whatif.msd_train import Trained, mixed

Numbers = npt.NDArray[np.float64]
WHO = ("teacher", "student")


def apart(one: Tensor, other: Tensor, delta: Delta, target: Tensor | None = None) -> Numbers:
    """(N,) how far two networks' logits (N, K) are apart; see `distill.saliency`."""
    found: Numbers = difference(one[None], other[None], delta=delta, target=target)[0].double().numpy()
    return found


def measure(trained: Trained, sort: str, by: str) -> Numbers:
    """(N,) the number by which test samples are sorted.

    'disagreement': Jensen-Shannon divergence of teacher and student on the full input, nats. 'saliency': KL
    divergence of the teacher without the modality `by` from the teacher with it, nats. 'loss': how much the
    student's cross-entropy rises without it, nats.
    """
    full, without = View.full(trained.modalities), View.drop(by, of=trained.modalities)
    teacher, student = (trained.said[who] for who in WHO)
    if sort == "disagreement":
        return apart(teacher[full], student[full], "js")
    if sort == "saliency":
        return apart(teacher[full], teacher[without], "kl")
    return apart(student[full], student[without], "loss", trained.target)


def order(values: Numbers) -> npt.NDArray[np.int64]:
    """Samples, the largest value first; equal ones as they come."""
    found: npt.NDArray[np.int64] = np.argsort(-values, kind="stable")
    return found


class StandIn(Mean):
    """Puts what stands in for each modality of one sample in its place, of a text too."""

    def _instead(self, values: Tensor, name: str, stays: Tensor) -> Tensor:
        return self.means[name].to(values)


@dataclass(frozen=True, eq=False)
class Sample:
    """One test sample, as it is once some of its modalities are removed.

    Attributes:
        row: its place in the test split.
        place, of: its place in the order, from 1, and how many there are.
        value: what it was sorted by.
        label: its class.
        seen: the view of what is left.
        given: {modality: (...)} all of it, before anything was removed.
        x: the same as the networks read it.
        predictions: {'teacher' | 'student': {view: (K,) probabilities}}: of what is left, of all, of each
            modality alone.
        saliency: {modality: how far the teacher's word moves when it goes from what is left, nats}.
        weights: {modality: weight of its term}.
        shapley: {'teacher' | 'student': {modality: Shapley value in the logit of the true class}}.
        maps: {'teacher' | 'student': {modality: (...) attributions to the same logit}}, of what is left.
    """

    row: int
    place: int
    of: int
    value: float
    label: int
    seen: View
    given: Mapping[str, Numbers]
    x: Mapping[str, Numbers]
    predictions: Mapping[str, Mapping[View, Numbers]]
    saliency: Mapping[str, float]
    weights: Mapping[str, float]
    shapley: Mapping[str, Mapping[str, float]]
    maps: Mapping[str, Mapping[str, Numbers]]

    def says(self, who: str, view: View) -> tuple[int, float]:
        """The class that a network takes under a view, and its probability."""
        p = self.predictions[who][view]
        return int(p.argmax()), float(p.max())


def sample(trained: Trained, state: MsdState, by: str) -> Sample:
    """The sample that a state looks at: by what it is sorted, and with what is left of it."""
    names = trained.modalities
    values = measure(trained, state.sort, by)
    row = int(order(values)[state.place - 1])
    one, other = (
        {name: x[row : row + 1] for name, x in each.items()} for each in (trained.inputs, trained.instead)
    )
    seen = View.drop(*state.removed, of=names)
    x, label = mixed(one, other, seen), trained.target[row : row + 1]
    views = dict.fromkeys([seen, View.full(names), *(View.only(name) for name in names)])
    operator = StandIn({name: values[0] for name, values in other.items()})
    said, saliency = trained.said, _saliency(trained, row, seen)
    return Sample(
        row=row,
        place=state.place,
        of=len(values),
        value=float(values[row]),
        label=int(label),
        seen=seen,
        given={name: values[0].numpy() for name, values in one.items()},
        x={name: values[0].numpy() for name, values in x.items()},
        predictions={who: {v: said[who][v][row].softmax(-1).numpy() for v in views} for who in WHO},
        saliency=saliency,
        weights=_weights(trained, state, row, saliency),
        shapley={who: _shapley(trained, who, x, label, operator) for who in WHO},
        maps={who: {name: _map(trained, who, x, label, operator, name) for name in seen} for who in WHO},
    )


def _saliency(trained: Trained, row: int, seen: View) -> dict[str, float]:
    teacher = trained.said["teacher"]
    return {
        name: float(apart(teacher[seen][row][None], teacher[View.drop(name, of=seen)][row][None], "kl")[0])
        if name in seen
        else 0.0
        for name in trained.modalities
    }


def _weights(trained: Trained, state: MsdState, row: int, saliency: Mapping[str, float]) -> dict[str, float]:
    """The weights of the whole sample; where they go by its saliency, of what is left of it."""
    total = sum(saliency.values())
    if state.scheme != "instance" or not state.removed or total < EPSILON:
        return {view: float(each[row]) for view, each in trained.weights.items()}
    return {name: len(saliency) * one / total for name, one in saliency.items()}


def _shapley(
    trained: Trained, who: str, x: Mapping[str, Tensor], label: Tensor, operator: StandIn
) -> dict[str, float]:
    found = by_modality(trained.nets[who], x, target=label, removal=operator).overall
    return {str(row.modality): float(row.value) for row in found.itertuples()}  # type: ignore[arg-type]


def _map(
    trained: Trained, who: str, x: Mapping[str, Tensor], label: Tensor, operator: StandIn, name: str
) -> Numbers:
    """Integrated gradients; of token ids, which have no gradient, what goes with each token."""
    how: MapMethod = "integrated_gradients" if torch.is_floating_point(x[name]) else "ablation"
    net = trained.nets[who]
    found = within_modality(net, x, modality=name, method=how, target=label, removal=operator)
    values: Numbers = found.values[0]
    return values
