"""Ask trained teachers about every sample under every view, once."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mmkd_lab.base.check import flat, of_type, require
from mmkd_lab.data.paired import PairedData
from mmkd_lab.distill.teacher_views import TeacherViews
from mmkd_lab.nets.removal import Removal, removal_named
from mmkd_lab.nets.views import View
from mmkd_lab.train.replicas import Replicas


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

    A teacher that does not read a modality says under a view what it says without it.

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
        LabError: a view of another dataset, a removal the teachers cannot do.
    """
    of_type("teachers", teachers, Replicas, "Replicas")
    of_type("data", data, PairedData, "a PairedData")
    listed = [of_type("views", view, View, "a list of View") for view in flat("views", views, "a list of View")]
    require(draws >= 1, "draws", draws, "must be at least 1")
    operator = removal if isinstance(removal, Removal) else removal_named(removal, data)
    named, felt = {}, {}
    for view in dict.fromkeys(listed):
        some = [teachers.predict(data, view=view, removal=operator) for _ in range(draws)]
        named[view] = some[0] if draws == 1 else _mean_of_probabilities(some, data)
        if view_features:
            felt[view] = teachers.features(data, view=view, removal=operator)
    return TeacherViews.of(
        data.sample_index.cpu(),
        teachers.predict(data),
        views=named,
        features=teachers.features(data) if features else None,
        view_features=felt,
        removal=operator.name,
    )


def _mean_of_probabilities(logits: list[torch.Tensor], data: PairedData) -> torch.Tensor:
    """Logits of the averaged prediction; averaging logits instead would weigh confident draws more."""
    from mmkd_lab.data.task import Task

    several = torch.stack(logits)
    if data.task is Task.MULTI_LABEL:
        return several.sigmoid().mean(0).logit(eps=1e-6)
    return several.log_softmax(3).logsumexp(0) - torch.log(torch.tensor(float(len(logits))))
