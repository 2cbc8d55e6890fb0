"""Modality-specific distillation: the student also mimics its teacher where only some modalities stay.

Source: Jin et al. 2021 (MSD, Findings of EMNLP). Its code was never published; where it leaves a choice open,
the docstrings say what is chosen here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor

from mmkd_lab.core.check import LabError, require
from mmkd_lab.core.config import config
from mmkd_lab.data.task import Task
from mmkd_lab.distill.distance import Distance, DistanceKind
from mmkd_lab.distill.learned import LearnedWeights
from mmkd_lab.distill.method import OPEN, Context, Method, Needs, Open, Outputs, Tensors, register_method
from mmkd_lab.distill.saliency import needed_views
from mmkd_lab.distill.teacher_outputs import TeacherOutputs
from mmkd_lab.distill.weights import Weighting, weigh
from mmkd_lab.models.views import View

#: How an arm's weights differ from the study's own scheme; see `Msd`.
Scheme = Literal["uniform", "population", "instance", "shuffled", "wrong", "global", "learned"]


@register_method("msd")
@config
class Msd(Method):
    """sum over views v of  mean_i w_{v,i} · D(T(keep_v x_i), S(keep_v x_i)), and each as 'msd/<view>'.

    The label takes no part: what a view keeps may not determine it. The weights travel with the teacher's
    outputs, where `prepare` puts them; a view without weights counts 1 for every sample. They are constants
    here: no gradient reaches them.

    Args:
        views: one per modality, see `msd_views`; any list of views will do.
        distance: 'kl' (T² KL of the outputs softened by T), 'mse' (squared difference of logits over K) or
            'dist' (one minus Pearson correlation, Huang et al. 2022).
        temperature: T, one number or {view: T}; views, or their labels as in `Weighting.fixed`.
        task: what the outputs are.
        weighting: a `Weighting`; `LearnedWeights`, for weights that the training learns; or how to change the
            study's own scheme: 'instance' as it is, 'uniform' 1 for all, 'population' means, 'shuffled' and
            'wrong' the controls, 'global' and 'learned' (by instance) learned beside the student. None: the
            study's; without a study, what the teacher's outputs bring along.
        target: 'view': the teacher's output under the same view. 'full': the control, its output on the full
            input under every view.

    Raises `LabError` for no view, an unknown distance, a temperature that is not above 0 or is for no view of
    these, weights learned by instance with 'dist'.
    """

    views: Open[tuple[View, ...]] = OPEN
    distance: DistanceKind = "kl"
    temperature: Any = OPEN
    task: Open[Task] = OPEN
    weighting: Weighting | LearnedWeights | Scheme | None = None
    target: Literal["view", "full"] = "view"

    def __post_init__(self) -> None:
        if self.views is not None:
            shown = [view.label for view in self.views]
            require(len(set(shown)) == len(shown) > 0, "views", shown, "must be at least one, each once")
            if isinstance(self.temperature, Mapping):
                object.__setattr__(self, "temperature", _by_view(self.temperature, self.views))
            if self.temperature is not None and self.task is not None:
                for view in self.views:
                    self.measure(view)
        require(
            self.learned is None or self.learned.level == "global" or self.distance != "dist",
            "distance",
            self.distance,
            "compares whole batches, so that no sample has a gradient of its own",
            "Use LearnedWeights(level='global'), or distance='kl'.",
        )

    @property
    def needs(self) -> Needs:
        """The logits under its views."""
        return Needs(views=self.views)

    @property
    def learned(self) -> LearnedWeights | None:
        """How its weights are learned; None where they are given."""
        return self.weighting if isinstance(self.weighting, LearnedWeights) else None

    def bind(self, context: Context) -> Msd:
        """With what the context knows, and a scheme in the place of a scheme's name."""
        bound = super().bind(context)
        if not isinstance(bound.weighting, str):
            return bound
        own = context.weighting or Weighting("normalised")
        learned = context.learned or LearnedWeights()
        schemes: dict[str, Weighting | LearnedWeights] = {
            "uniform": Weighting("uniform"),
            "population": replace(own, scheme="population"),
            "instance": own,
            "shuffled": replace(own, control="shuffled"),
            "wrong": replace(own, control="wrong"),
            "global": replace(learned, level="global"),
            "learned": replace(learned, level="instance"),
        }
        return replace(bound, weighting=schemes[bound.weighting])

    def asks(self, context: Context) -> tuple[View, ...]:
        """Its views, and those that saliency reads."""
        if not isinstance(self.weighting, Weighting) or self.weighting.scheme in ("uniform", "fixed"):
            return self.views
        read = needed_views(context.modalities, credit=self.weighting.credit)
        return tuple(dict.fromkeys((*self.views, *read)))

    def prepare(self, teacher: TeacherOutputs, context: Context, *, seed: int) -> TeacherOutputs:
        """The teacher under the views, with a weight for every sample; see `weigh` and `target`."""
        kept = super().prepare(teacher, context, seed=seed)
        if self.target == "full":
            kept = replace(kept, views=dict.fromkeys(self.views, kept.logits))
        if self.weighting is None:
            return kept
        if context.data is None:
            raise LabError("context.data", None, "must be given, since weights are means over its samples")
        given = self.weighting if isinstance(self.weighting, Weighting) else Weighting("uniform")
        gate = None if context.gate is None else {view: context.gate[view] for view in self.views}
        found = weigh(teacher, self.views, given, data=context.data, seed=seed, gate=gate)
        return replace(kept, weights=found.weights)

    def measure(self, view: View) -> Distance:
        """The distance under one view; T is 1 where a mapping leaves it out."""
        t = self.temperature.get(view, 1.0) if isinstance(self.temperature, Mapping) else self.temperature
        return Distance(self.distance, temperature=t, task=self.task)

    def __call__(self, student: Outputs, target: Tensor, teacher: Outputs, parameters: Tensors) -> Tensors:
        """'msd' and one term 'msd/<view>' per view."""
        parts = {f"{self.name}/{view.label}": self.term(view, student, teacher) for view in self.views}
        return {self.name: torch.stack(list(parts.values())).sum(0), **parts}

    def term(self, view: View, student: Outputs, teacher: Outputs) -> Tensor:
        """The weighted term of one view, (R,)."""
        return self.measure(view)(student.under(view), teacher.under(view), weights=teacher.weights.get(view))


def _by_view(given: Mapping[Any, float], views: tuple[View, ...]) -> dict[View, float]:
    """A temperature for each view that is named, by itself or by its label."""
    labelled = {view.label: view for view in views}
    found: dict[View, float] = {}
    for name, temperature in given.items():
        view = labelled.get(name, name) if isinstance(name, str) else name
        if view not in views or view in found:
            rule = f"must be for one of {list(labelled)}, by itself or its label, each named once"
            raise LabError("temperature", getattr(name, "label", name), rule)
        found[view] = temperature
    return found
