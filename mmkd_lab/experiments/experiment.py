"""What an experiment is: data, models, arms, seeds, a configuration; checked before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch

from mmkd_lab.core.check import LabError, flat, listing, one_of, require
from mmkd_lab.data.paired import PairedData
from mmkd_lab.distill import Arm, Context, Distillation, Strength, check_arms, msd_views
from mmkd_lab.distill.losses.ce import class_weights
from mmkd_lab.experiments.config import Config
from mmkd_lab.experiments.profiles import Profile
from mmkd_lab.models import View
from mmkd_lab.models.removal import Removal, removal_named
from mmkd_lab.training.reading import Augment
from mmkd_lab.training.recipe import Recipe
from mmkd_lab.training.sources import Source, source_of

#: What a teacher may see: the student's own modality, the other one, or all.
SEES = ("student", "other", "all")


@dataclass(frozen=True, eq=False)
class Experiment:
    """One experiment.

    Args:
        study: its name.
        data: the paired samples.
        arms: in the order of the table.
        seeds: the paired seeds. Under one seed all students start alike and see their samples in one order.
        config: all that can be told.
        modalities: {'student' | 'other' | 'all': what such a network reads}.
        student: where students come from.
        teachers: {what a teacher sees: where it comes from}.
        student_recipe, teacher_recipe: how they are trained.
        device: where.
        views: those looked at beside the full input.
        probe: the split on which features are kept, or None.
        left_out: {arm: why it cannot be had here}.
    """

    study: str
    data: PairedData
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    config: Config
    modalities: Mapping[str, tuple[str, ...]]
    student: Source
    teachers: Mapping[str, Source]
    student_recipe: Recipe
    teacher_recipe: Recipe
    device: torch.device
    views: tuple[View, ...] = ()
    probe: str | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the arms."""
        return tuple(arm.name for arm in self.arms)

    @property
    def full(self) -> View:
        """All that the student reads."""
        return View.full(self.modalities["student"])

    def seen_by(self, sees: str) -> str:
        """The modalities of a kind of teacher, or that of one that is named by it."""
        return " + ".join(self.modalities.get(sees, (sees,)))

    @property
    def looked_at(self) -> tuple[View, ...]:
        """The views of the table, the full one first."""
        return tuple(dict.fromkeys([self.full, *self.views]))

    def removal(self) -> Removal:
        """A fresh operator: a permutation goes on in its stream, and no fit may depend on another."""
        return removal_named(self.config.removal, self.data)

    @cached_property
    def class_weights(self) -> tuple[float, ...] | None:
        """Those of the labels, for every network."""
        return class_weights(self.config.class_weight, self.data)

    @cached_property
    def context(self) -> Context:
        """What methods are bound to."""
        several = len(self.modalities["student"]) > 1
        return Context(
            task=self.data.task,
            temperature=self.config.temperature,
            convention=self.config.convention,
            modalities=self.modalities["student"],
            views=msd_views(self.modalities["student"], kind=self.config.aux) if several else (),
            removal=self.config.removal,
            weighting=self.config.weighting,
            learned=self.config.learned,
            class_weights=self.class_weights,
            data=self.data,
        )

    @cached_property
    def augment(self) -> Augment | None:
        """What every student sees of its samples: under one seed the same, whichever arms there are."""
        if self.config.augment is None:
            return None
        alone = self.config.teacher_sees == "clean"
        return Augment(
            self.config.augment, self.modalities["student"] if alone else tuple(self.data.modalities)
        )

    def loss(self, arm: Arm, strengths: Mapping[str, float]) -> Distillation:
        """The loss of one arm's student, every method bound."""
        return arm.distillation(self.context, strengths)

    @cached_property
    def plain(self) -> dict[str, float]:
        """Every strength of the arms where nothing is tuned: as configured, else its own plain value."""
        config = self.config
        told = {"kd": config.kd_weight, "msd": config.msd_weight, "kd_views": config.msd_weight}
        told |= {"kd_drop": config.drop}
        return {one.name: told.get(one.name, one.plain) for one in strengths_of(self.arms)}


def strengths_of(arms: Sequence[Arm]) -> tuple[Strength, ...]:
    """The strengths of some arms, each once; KD's comes first, since the others are chosen beside it."""
    found: dict[str, Strength] = {}
    for arm in arms:
        found |= arm.strengths
    return tuple(sorted(found.values(), key=lambda one: one.name != "kd"))


def chosen_arms(
    asked: Sequence[str] | None,
    default: Sequence[str],
    cannot: Mapping[str, str],
    data: PairedData,
    *needed: str,
) -> tuple[tuple[Arm, ...], dict[str, str]]:
    """The arms asked for, or every default one that can be had, and {arm: why it is left out}.

    Raises `LabError` for what `distill.check_arms` refuses, or the lack of one that is needed.
    """
    names = [name for name in default if name not in cannot] if asked is None else asked
    arms = check_arms(names, data.task, cannot={} if asked is None else cannot)
    known = [arm.name for arm in arms]
    for name in needed:
        require(name in known, "arms", known, f"must hold {name!r}, with which others are compared")
    return arms, dict(cannot) if asked is None else {}


#: One modality by its name, several as names or as 'a + b'.
Names = str | Sequence[str]


def roles(data: PairedData, student: Names, teacher: Names | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What the student and its teacher read: any modalities, in the order named, and not the same ones.

    Where no teacher is named it is the one modality that the student does not read.
    """
    known = list(data.modalities)
    rule = "must have at least two modalities, one for the student and another for its teacher"
    require(len(known) >= 2, "dataset", known, rule)
    mine = read_by("student", student, known)
    others = [name for name in known if name not in mine]
    if teacher is None and len(others) != 1:
        rule = f"must be named when there are several: {listing(others)}" if others else "must be named"
        raise LabError("teacher", None, rule)
    theirs = tuple(others) if teacher is None else read_by("teacher", teacher, known)
    differ, rule = set(mine) != set(theirs), "must be another modality than the student's, or several"
    require(differ, "teacher", " + ".join(theirs), rule)
    return mine, theirs


def read_by(argument: str, given: Names, known: Sequence[str]) -> tuple[str, ...]:
    """The modalities that were named, each once."""
    apart: object = given
    if isinstance(given, str):
        apart = [given] if given in known else [one.strip() for one in given.split("+")]
    names = [str(one) for one in flat(argument, apart, "modalities, as 'a' or ('a', 'b')")]
    for name in names:
        one_of(argument, name, known)
    require(0 < len(set(names)) == len(names), argument, names, "must name a modality, none twice")
    return tuple(names)


def twins(arms: Sequence[Arm], modalities: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """{arm: why not} of those that would train as one before them: their teachers see the same modalities."""
    seen, found = dict[tuple[frozenset[str], str], str](), dict[str, str]()
    for arm in (one for one in arms if one.teacher is not None):
        kind = arm.teacher
        assert kind is not None
        way = replace(arm, teacher=replace(kind, sees="all")).behaviour
        first = seen.setdefault((frozenset(modalities[kind.sees]), way), arm.name)
        if first != arm.name:
            found[arm.name] = f"its teacher sees what that of {first!r} sees, so that both train alike"
    return found


def sources(
    data: PairedData,
    profile: Profile,
    modalities: Mapping[str, tuple[str, ...]],
    *,
    student: object,
    teacher: object,
    needed: Sequence[str],
    fixed: str,
) -> tuple[Source, dict[str, Source]]:
    """Where students and teachers come from.

    Args:
        data: the samples.
        profile: whose networks stand where none is given.
        modalities: what each kind of network reads.
        student: a model (see `training.sources`), or None.
        teacher: a model for every kind of teacher, or {what it sees: model}; a model that can serve only one
            kind, such as a trained module or a table, serves `fixed`.
        needed: the kinds of teacher that the arms need.
        fixed: see `teacher`.
    """
    own = profile.network("student", data) if student is None else student
    found = source_of(own, argument="student_model", data=data, modalities=modalities["student"])
    given = _by_kind(teacher, needed, fixed)
    teachers = {}
    for sees in needed:
        value = given.get(sees)
        value = profile.network("teacher", data) if value is None else value
        teachers[sees] = source_of(value, argument="teacher_model", data=data, modalities=modalities[sees])
    return found, teachers


def _by_kind(teacher: object, needed: Sequence[str], fixed: str) -> dict[str, object]:
    from mmkd_lab.models import NetSpec

    if teacher is None:
        return {}
    if isinstance(teacher, Mapping):
        for sees in teacher:
            one_of("teacher_model", sees, SEES)
        return dict(teacher)
    return dict.fromkeys(needed, teacher) if isinstance(teacher, NetSpec) else {fixed: teacher}


def recipes(config: Config, profile: Profile) -> tuple[Recipe, Recipe]:
    """The student's and the teacher's."""
    student = config.recipe or profile.recipe
    teacher = config.teacher_recipe or student
    if config.teacher_dropout:
        teacher = replace(teacher, modality_dropout=config.teacher_dropout)
    return student, teacher
