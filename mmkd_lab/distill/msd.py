"""Modality-specific distillation: the student also mimics its teacher where only some modalities stay.

Source: Jin et al. 2021 (MSD, Findings of EMNLP). Its code was never published; where it leaves a choice open,
the docstrings say what is chosen here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from mmkd_lab.core.check import LabError, flat, of_type, one_of, real, require
from mmkd_lab.data.paired import Task
from mmkd_lab.distill.distances import DISTANCES, Distance
from mmkd_lab.distill.method import Method, Needs, Outputs
from mmkd_lab.models.views import View

KINDS = ("only", "drop")


def msd_views(modalities: Iterable[str], *, kind: str = "only") -> tuple[View, ...]:
    """One view per modality: 'only' keeps it alone, 'drop' keeps all but it.

    "Modality-specific prediction" (Jin et al. 2021) reads as 'only'. For two modalities both give the same
    two views; for more they differ. Raises `LabError` for fewer than two modalities or an unknown kind.
    """
    one_of("kind", kind, KINDS)
    rule = "a list of modality names"
    names = sorted(of_type("modalities", m, str, rule) for m in flat("modalities", list(modalities), rule))
    require(
        len(set(names)) == len(names) >= 2,
        "modalities",
        names,
        "must be at least two distinct names, or there is nothing to tell apart",
        "With one modality compare full outputs: Objective(kd=...).",
    )
    return tuple(View.only(m) if kind == "only" else View.drop(m, of=names) for m in names)


@dataclass(frozen=True, eq=False)
class Msd(Method):
    """sum over views v of  mean_i w_{v,i} · D(T(keep_v x_i), S(keep_v x_i)).

    The label takes no part: what a view keeps may not determine it. The weights travel with the teacher's
    outputs (`TeacherViews.weighted`); a view without weights counts 1 for every sample. They are constants
    here: no gradient reaches them.

    Args:
        views: one per modality, see `msd_views`; any list of views will do.
        distance: 'kl' (T² KL of the outputs softened by T), 'mse' (squared difference of logits over K) or
            'dist' (one minus Pearson correlation, Huang et al. 2022).
        temperature: T, one number or {view: T}; views, or their labels as in `Weighting.fixed`.
        task: what the outputs are.

    Raises:
        LabError: no view, an unknown distance, a temperature that is not above 0 or is for no view of these.
    """

    views: tuple[View, ...]
    distance: str = "kl"
    temperature: float | Mapping[View, float] | Mapping[str, float] = 1.0
    task: Task = Task.SINGLE_LABEL

    name: ClassVar[str] = "msd"

    def __post_init__(self) -> None:
        rule = "a list of at least one View"
        listed = tuple(of_type("views", view, View, rule, "See msd_views().") for view in self.views)
        require(len(listed) > 0, "views", self.views, f"must be {rule}")
        require(len(set(listed)) == len(listed), "views", [v.label for v in listed], "must be distinct")
        object.__setattr__(self, "views", listed)
        one_of("distance", self.distance, DISTANCES)
        if isinstance(self.temperature, Mapping):
            object.__setattr__(self, "temperature", _by_view(self.temperature, listed))
        for view in listed:
            real(f"temperature[{view.label}]", self.temperature_of(view), above=0.0)

    @property
    def needs(self) -> Needs:
        """The logits under its views."""
        return Needs(views=self.views)

    def temperature_of(self, view: View) -> float:
        """T of one view; 1 where a mapping leaves it out."""
        if isinstance(self.temperature, Mapping):
            named: Mapping[Any, float] = self.temperature
            return named.get(view, 1.0)
        return self.temperature

    def __call__(
        self, student: Outputs, target: Tensor, teacher: Outputs, parameters: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """'msd' and one term 'msd/<view>' per view, each (R,)."""
        parts = {f"msd/{view.label}": self.term(view, student, teacher) for view in self.views}
        return {"msd": torch.stack(list(parts.values())).sum(0), **parts}

    def term(self, view: View, student: Outputs, teacher: Outputs) -> Tensor:
        """The weighted term of one view, (R,)."""
        weights = teacher.weights.get(view)
        measure = Distance(self.distance, temperature=self.temperature_of(view), task=self.task)
        return measure(
            student.under(view), teacher.under(view), weights=None if weights is None else weights.detach()
        )

    def describe(self) -> dict[str, object]:
        """Plain JSON values that name it in a key or in provenance."""
        return {
            "method": self.name,
            "views": [view.label for view in self.views],
            "distance": self.distance,
            "temperature": {view.label: self.temperature_of(view) for view in self.views},
        }


def _by_view(given: Mapping[Any, float], views: tuple[View, ...]) -> dict[View, float]:
    """A temperature for each view that is named, by itself or by its label."""
    labelled = {view.label: view for view in views}
    found: dict[View, float] = {}
    way_out = "Name views by themselves or by their labels."
    for name, temperature in given.items():
        view = labelled.get(name) if isinstance(name, str) else name
        if view not in views:
            shown = name.label if isinstance(name, View) else name
            raise LabError("temperature", shown, f"must be for one of {list(labelled)}", way_out)
        require(view not in found, "temperature", view.label, "must name a view once")
        found[view] = temperature
    return found
