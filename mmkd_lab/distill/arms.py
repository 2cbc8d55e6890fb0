"""The arms of a study, as data: who teaches, how that teacher came to be, with which loss, from which start.

What a study needs of an arm, its key, its colour and its sentences are derived from it. An arm of yours is
one more: `register_arm(Arm(...))`.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

import numpy as np

from mmkd_lab.core.check import LabError, flat, one_of, require
from mmkd_lab.core.fingerprint import canonical
from mmkd_lab.core.registry import Registry
from mmkd_lab.data.task import Task
from mmkd_lab.distill.distillation import Distillation
from mmkd_lab.distill.method import METHODS, Context, Method
from mmkd_lab.models.removal import removal_named


@dataclass(frozen=True)
class Strength:
    """A number that is chosen on the validation split; arms that name the same strength share it.

    Args:
        name: its key in tables.
        plain: its value where nothing is tuned.
        grid: what it is chosen from.
        tuned_on: the arm that it is chosen with; None for the arm that has it.
    """

    name: str
    plain: float
    grid: tuple[float, ...]
    tuned_on: str | None = None

    def at(self, strengths: Mapping[str, float]) -> float:
        """Its value among those that are known by name, or the plain one."""
        return strengths.get(self.name, self.plain)


@dataclass(frozen=True)
class Term:
    """One term of a loss.

    Args:
        method: a method, or its name among `METHODS`, with its own defaults.
        weight: a number, or a strength.
        complement: whether the weight is 1 - strength.
    """

    method: str | Method
    weight: float | Strength = 1.0
    complement: bool = False

    def made(self) -> Method:
        """The method; a new one where it is named."""
        return METHODS[self.method]() if isinstance(self.method, str) else self.method

    def weight_at(self, strengths: Mapping[str, float]) -> float:
        """The weight, with every strength that is known by name, and the plain one otherwise."""
        value = self.weight.at(strengths) if isinstance(self.weight, Strength) else self.weight
        # In single precision, as the share it completes: 1 - 0.9 is not quite 0.1 there.
        return float(np.float32(1.0) - np.float32(value)) if self.complement else value


@dataclass(frozen=True)
class TeacherKind:
    """Who teaches.

    Args:
        sees: 'student': the modalities that the student reads; 'other': the teacher modality; 'all'.
        training: 'alone', or by the recipe of joint training with a student (Xue et al. 2023, Algorithm 1,
            step 1): 'joint' with the term that makes two outputs agree, 'unaligned' without it.
        ranking: the channels that it keeps, by name among the rankings of `attribution`; None for all.
        beside: 'each': one further teacher for each modality alone.
    """

    sees: Literal["student", "other", "all"]
    training: Literal["alone", "joint", "unaligned"] = "alone"
    ranking: str | None = None
    beside: Literal["each"] | None = None


@dataclass(frozen=True)
class Arm:
    """One way to train the student.

    Args:
        name: the key used in code, tables and files.
        label: what figures and sentences call it.
        meaning: one sentence.
        colour: of its marks, with a contrast of at least 4.5 on white.
        teacher: who teaches; None for nobody.
        loss: the terms, each method once.
        drop: the rate at which a student loses modalities while it is trained.
        start: 'fresh' weights, or the teacher 'pruned' to the student's size.
        tasks: the tasks it can be had for; None for those that its methods are for.
        control: whether it is there to be compared with, and no method of its own.
        origin: the module that registered it.
    """

    name: str
    label: str
    meaning: str
    colour: str
    teacher: TeacherKind | None
    loss: tuple[Term, ...]
    drop: float | Strength = 0.0
    start: Literal["fresh", "pruned"] = "fresh"
    tasks: tuple[Task, ...] | None = None
    control: bool = False
    origin: str = field(default="", compare=False, repr=False)

    @property
    def sees(self) -> str:
        """What its teacher sees; 'none' without one."""
        return "none" if self.teacher is None else self.teacher.sees

    @property
    def labels(self) -> bool:
        """Whether the student also learns from the labels."""
        return any(term.made().name == "ce" for term in self.loss)

    @property
    def strengths(self) -> dict[str, Strength]:
        """{name: strength} of everything in it that may be tuned."""
        found = [*(term.weight for term in self.loss), self.drop]
        return {one.name: one for one in found if isinstance(one, Strength)}

    @property
    def behaviour(self) -> str:
        """All that decides how the student is trained: arms of one behaviour are one arm under two names."""
        terms = [(term.made().describe(), term.weight, term.complement) for term in self.loss]
        teacher = None if self.teacher is None else asdict(self.teacher)
        return canonical([teacher, terms, self.drop, self.start])

    def serves(self, task: Task) -> bool:
        """Whether it can be had for a task."""
        if self.tasks is not None:
            return task in self.tasks
        return all(task in term.made().tasks for term in self.loss)

    def distillation(self, context: Context, strengths: Mapping[str, float] | None = None) -> Distillation:
        """Its loss in a study, every method bound, with a fresh removal where views are compared.

        `strengths` are the chosen ones, {name: value}; the others are plain.
        """
        terms = tuple((term.weight_at(strengths or {}), term.made().bind(context)) for term in self.loss)
        compares = any(method.needs.views for _, method in terms)
        return Distillation(terms, removal_named(context.removal, context.data) if compares else None)

    def drop_at(self, strengths: Mapping[str, float]) -> float:
        """The rate of modality dropout, with the strengths that are known by name."""
        return self.drop.at(strengths) if isinstance(self.drop, Strength) else self.drop


ARMS: Registry[Arm] = Registry("arm", home=("mmkd_lab.distill.lab_arms",))


def register_arm(arm: Arm) -> Arm:
    """Register an arm; yours may be registered again. Raises `LabError` for a name of the lab's own."""
    origin = str(sys._getframe(1).f_globals.get("__name__", "__main__"))
    return ARMS.register(arm.name, replace(arm, origin=origin))


def check_arms(
    names: Sequence[str],
    task: Task = Task.SINGLE_LABEL,
    available: Collection[str] | None = None,
    *,
    cannot: Mapping[str, str] | None = None,
) -> tuple[Arm, ...]:
    """The arms of these names.

    Args:
        names: in the order of the table.
        task: what the data's target is.
        available: those that a study has; None for all that are registered.
        cannot: {name: why} of those that cannot be had here.

    Raises `LabError` for a name that is unknown, repeated or missing, an arm that cannot be had or is not for
    this task, and arms that train alike.
    """
    rule = "a list of at least one arm"
    listed = [str(name) for name in flat("arms", names, rule, "For example ['no_kd', 'cm_kd'].")]
    require(len(listed) > 0, "arms", names, f"must be {rule}")
    for name in listed:
        one_of("arms", name, list(ARMS if available is None else available))
        why = (cannot or {}).get(name)
        require(why is None, "arms", name, f"cannot be had here: {why}", "Leave it out.")
        require(ARMS[name].serves(task), "arms", name, f"is not for a {task.value} task", "Leave it out.")
    require(len(set(listed)) == len(listed), "arms", names, "must not name an arm twice")
    chosen = tuple(ARMS[name] for name in listed)
    require_distinct(chosen)
    return chosen


def require_distinct(arms: Sequence[Arm]) -> None:
    """Raise `LabError` for two arms that train exactly alike: their rows could not differ."""
    seen: dict[str, str] = {}
    for arm in arms:
        other = seen.setdefault(arm.behaviour, arm.name)
        if other != arm.name:
            raise LabError("arms", arm.name, f"trains exactly as {other!r}", "Leave one of the two out.")
