"""Ask trained teachers about every sample under every view, once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmkd_lab.core.check import flat, listing, of_type, require, whole
from mmkd_lab.data.paired import PairedData, Task
from mmkd_lab.distill.teacher_views import TeacherViews
from mmkd_lab.models.removal import Permutation, Removal, removal_named
from mmkd_lab.models.views import View
from mmkd_lab.training.replicas import Replicas


def cache_views(
    teachers: Replicas,
    data: PairedData,
    *,
    views: Sequence[View] = (),
    removal: Removal | str = "zeros",
    features: bool = False,
    view_features: bool = False,
    draws: int = 1,
) -> TeacherViews:
    """The outputs of R teachers for all samples, by sample index: the full input and each view.

    A teacher that does not read a modality is not asked about it: a view counts by what it reads.

    Args:
        teachers: R trained networks.
        data: the samples.
        views: which modalities to keep, beside the full input; see `distill.msd_views` and
            `distill.needed_views`.
        removal: how the others go: an operator or its name.
        features: also keep the features of the full input.
        view_features: also keep them under each view.
        draws: for 'permutation', over how many draws from the modality's marginal the probabilities are
            averaged; the others are the same in every draw.

    Raises:
        LabError: a view of another dataset, or of modalities that the teachers do not read, a removal they
            cannot do.
    """
    of_type("teachers", teachers, Replicas, "Replicas")
    of_type("data", data, PairedData, "a PairedData")
    listed = [
        of_type("views", view, View, "a list of View") for view in flat("views", views, "a list of View")
    ]
    whole("draws", draws)
    operator = removal if isinstance(removal, Removal) else removal_named(removal, data)
    for view in listed:
        reads = teachers.modalities or tuple(data.modalities)
        rule = f"must keep a modality that the teachers read, {listing(reads)}, or be empty"
        require(len(view) == 0 or bool(view.kept & set(reads)), "views", view.label, rule, "Leave it out.")
    named, felt = {}, {}
    for view in dict.fromkeys(listed):
        ask = _Asked(data, view, _afresh(operator))
        several = [ask.of(teachers.predict) for _ in range(draws if isinstance(operator, Permutation) else 1)]
        named[view] = several[0] if len(several) == 1 else _mean_of_probabilities(several, data)
        if view_features:
            felt[view] = _Asked(data, view, _afresh(operator)).of(teachers.features)
    return TeacherViews.of(
        data.sample_index.cpu(),
        teachers.predict(data),
        views=named,
        features=teachers.features(data) if features else None,
        view_features=felt,
        removal=operator.name,
    )


@dataclass(frozen=True)
class _Asked:
    data: PairedData
    view: View
    removal: Removal

    def of(self, ask: Callable[..., Tensor]) -> Tensor:
        """What `ask` says about all samples, (R, N, ...). A permutation mixes samples of one split alone:
        what a teacher says about a training sample must not depend on validation or test data.
        """
        found = ask(self.data, view=self.view, removal=self.removal)
        if isinstance(self.removal, Permutation):
            for split, positions in self.data.splits.items():
                found[:, positions.cpu()] = ask(self.data, split=split, view=self.view, removal=self.removal)
        return found


def _afresh(removal: Removal) -> Removal:
    """With its stream at the beginning, so that the same question has the same answer."""
    return Permutation(seed=removal.seed) if isinstance(removal, Permutation) else removal


def _mean_of_probabilities(logits: list[Tensor], data: PairedData) -> Tensor:
    """Logits of the averaged prediction; averaging logits instead would weigh confident draws more."""
    several = torch.stack(logits)
    if data.task is Task.MULTI_LABEL:
        return several.sigmoid().mean(0).logit(eps=1e-6)
    return several.log_softmax(3).logsumexp(0) - torch.log(torch.tensor(float(len(logits))))
