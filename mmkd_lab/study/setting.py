"""What a failure-case study is asked to do, checked before anything is trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch

from mmkd_lab.core import check
from mmkd_lab.core.check import LabError, listing, one_of, require
from mmkd_lab.core.seed import derive
from mmkd_lab.data.paired import PairedData
from mmkd_lab.distill import ARMS, Arm, Objective
from mmkd_lab.distill import arms as arms_of
from mmkd_lab.models import NetSpec, build
from mmkd_lab.study.profiles import Profile
from mmkd_lab.training.inputs import fill_vocabulary
from mmkd_lab.training.recipe import Recipe


@dataclass(frozen=True, eq=False)
class Setting:
    """One study: who teaches whom, on what, with which networks and loss.

    Args:
        data: the paired samples, with at least two modalities and a test split.
        student: the modality the student sees.
        teacher: the other modality, which the crossmodal teacher sees.
        arms: the arms, in the order of the table.
        seeds: the paired seeds.
        student_spec, teacher_spec: architectures; the modalities they read are set here.
        student_recipe, teacher_recipe: how they are trained.
        kd_weight, temperature, convention: see `Objective.of_arms`.
        device: where the networks are trained.
    """

    data: PairedData
    student: str
    teacher: str
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    student_spec: NetSpec
    teacher_spec: NetSpec
    student_recipe: Recipe
    teacher_recipe: Recipe
    kd_weight: float
    temperature: float
    convention: str
    device: torch.device

    def objective(self, arm: Arm) -> Objective:
        """The loss of one arm's student."""
        return Objective.of_arms(
            [arm],
            kd_weight=self.kd_weight,
            temperature=self.temperature,
            convention=self.convention,
            task=self.data.task,
        )[0]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the arms."""
        return tuple(arm.name for arm in self.arms)

    @property
    def views(self) -> dict[str, tuple[str, ...]]:
        """What each kind of teacher that the arms need reads: {'student' | 'other' | 'all': modalities}."""
        reads = {"student": (self.student,), "other": (self.teacher,), "all": tuple(self.data.modalities)}
        needed = {arm.teacher for arm in self.arms}
        return {kind: names for kind, names in reads.items() if kind in needed}


def teacher_seed(seed: int) -> int:
    """A teacher's own stream: under the student's, equal networks would start from equal weights."""
    return derive(seed, "teacher")


def settle(
    data: PairedData,
    profile: Profile,
    *,
    student: str,
    teacher: str | None,
    arms: Sequence[str],
    seeds: Iterable[int] | None,
    student_spec: NetSpec | None,
    teacher_spec: NetSpec | None,
    recipe: Recipe | None,
    teacher_recipe: Recipe | None,
    kd_weight: float,
    temperature: float,
    convention: str,
    device: torch.device,
    known: Mapping[str, Arm] = ARMS,
) -> Setting:
    """The setting, or a `LabError` that names what is wrong with it; `known` are the arms of the study."""
    _is("student_spec", student_spec, NetSpec)
    _is("teacher_spec", teacher_spec, NetSpec)
    _is("recipe", recipe, Recipe)
    _is("teacher_recipe", teacher_recipe, Recipe)
    recipe = profile.recipe if recipe is None else recipe
    found = Setting(
        data=data,
        student=student,
        teacher=_other(data, student, teacher),
        arms=arms_of(arms, known=known),
        seeds=check.seeds("seeds", range(profile.seeds) if seeds is None else seeds),
        student_spec=profile.student if student_spec is None else student_spec,
        teacher_spec=profile.teacher if teacher_spec is None else teacher_spec,
        student_recipe=recipe,
        teacher_recipe=recipe if teacher_recipe is None else teacher_recipe,
        kd_weight=kd_weight,
        temperature=temperature,
        convention=convention,
        device=device,
    )
    _splits(data, "recipe", found.student_recipe)
    _splits(data, "teacher_recipe", found.teacher_recipe)
    for arm in found.arms:
        found.objective(arm)
    for spec in (found.student_spec.on(student), *(found.teacher_spec.on(*v) for v in found.views.values())):
        build(
            fill_vocabulary(spec, data), data.shapes, data.num_classes, seed=0
        )  # now, rather than after the teachers are trained
    return found


def _other(data: PairedData, student: str, teacher: str | None) -> str:
    names = list(data.modalities)
    require(
        len(names) >= 2,
        "dataset",
        names,
        "must have at least two modalities, one for the student and another for its teacher",
    )
    one_of("student", student, names)
    if teacher is not None:
        one_of("teacher", teacher, names)
        require(teacher != student, "teacher", teacher, "must be another modality than the student's")
        return teacher
    others = [name for name in names if name != student]
    if len(others) > 1:
        raise LabError("teacher", None, f"must be named when there are several: {listing(others)}")
    return others[0]


def _is(argument: str, value: object, kind: type) -> None:
    require(value is None or isinstance(value, kind), argument, value, f"must be a {kind.__name__} or None")


def _splits(data: PairedData, argument: str, recipe: Recipe) -> None:
    for split in ("train", "test"):
        require(split in data.splits, "dataset", list(data.splits), f"must have a {split!r} split")
    require(
        "val" in data.splits or recipe.select != "best_val",
        "dataset",
        list(data.splits),
        f"must have a 'val' split, since {argument} selects by it",
        "Add one, or use Recipe(select='last'). The test split never selects.",
    )
