"""Ask trained teachers about every sample under every view, once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log

import torch
from torch import Tensor

from mmkd_lab.core.check import listing, of_type, require, whole
from mmkd_lab.data.paired import PairedData
from mmkd_lab.data.task import Task
from mmkd_lab.distill.teacher_outputs import TeacherOutputs, identity_of
from mmkd_lab.models.removal import Permutation, Removal, removal_named
from mmkd_lab.models.views import View
from mmkd_lab.training.replicas import Replicas


def teacher_outputs(
    replicas: Replicas,
    data: PairedData,
    *,
    views: Sequence[View] = (),
    removal: Removal | str = "zeros",
    layers: Sequence[str] = (),
    view_features: bool = False,
    draws: int = 1,
) -> TeacherOutputs:
    """The outputs of R teachers for all samples, by sample index: the full input and each view.

    A teacher that does not read a modality is not asked about it: a view counts by what it reads. Of a sample
    in which nothing of what it reads is there it says nothing: the outputs are then partial, without views
    and features.

    Args:
        replicas: R trained networks.
        data: the samples.
        views: which modalities to keep, beside the full input; see `distill.msd_views` and
            `distill.needed_views`.
        removal: how the others go: an operator or its name.
        layers: also keep the features of these layers on the full input; `distill.HEAD` is what the head
            reads.
        view_features: also keep what the head reads under each view.
        draws: for 'permutation', over how many draws from the modality's marginal the probabilities are
            averaged; the others are the same in every draw.

    Raises:
        LabError: a view of another dataset, or of modalities that the teachers do not read, a removal they
            cannot do.
    """
    of_type("replicas", replicas, Replicas, "Replicas")
    whole("draws", draws)
    operator = removal if isinstance(removal, Removal) else removal_named(removal, data)
    reads = replicas.modalities or tuple(data.modalities)
    for view in views:
        of_type("views", view, View, "a list of View")
        rule = f"must keep a modality that the teachers read, {listing(reads)}, or be empty"
        require(len(view) == 0 or bool(view.kept & set(reads)), "views", view.label, rule, "Leave it out.")
    named, felt = {}, {}
    for view in dict.fromkeys(views):
        afresh = _afresh(operator)
        many = draws if isinstance(operator, Permutation) else 1
        several = [_under(replicas.predict, data, view, afresh) for _ in range(many)]
        named[view] = several[0] if many == 1 else _mean_of_probabilities(several, data)
        if view_features:
            felt[view] = _under(replicas.features, data, view, _afresh(operator))
    how = {"removal": operator} if data.present else {}
    features = {layer: replicas.features(data, layer=layer, **how) for layer in layers}  # type: ignore[arg-type]
    said = data.sample_index.cpu(), replicas.predict(data, **how), named, features, felt  # type: ignore[arg-type]
    found = TeacherOutputs(*said, removal=operator.name, identity=identity_of(data))
    seen = data.seen(reads).cpu()
    return found if bool(seen.all()) else found.answering(seen)


def _afresh(removal: Removal) -> Removal:
    """With its stream at the beginning, so that the same question has the same answer."""
    return Permutation(seed=removal.seed) if isinstance(removal, Permutation) else removal


def _under(ask: Callable[..., Tensor], data: PairedData, view: View, removal: Removal) -> Tensor:
    """What `ask` says about all samples, (R, N, ...). A permutation mixes samples of one split alone: what a
    teacher says about a training sample must not depend on validation or test data.
    """
    found = ask(data, view=view, removal=removal)
    if isinstance(removal, Permutation):
        for split, positions in data.splits.items():
            found[:, positions.cpu()] = ask(data, split=split, view=view, removal=removal)
    return found


def _mean_of_probabilities(logits: list[Tensor], data: PairedData) -> Tensor:
    """Logits of the averaged prediction; averaging logits instead would weigh confident draws more."""
    several = torch.stack(logits)
    if data.task is Task.REGRESSION:
        return several.mean(0)
    if data.task is Task.MULTI_LABEL:
        return several.sigmoid().mean(0).logit(eps=1e-6)
    return several.log_softmax(3).logsumexp(0) - log(len(logits))
