"""Who teaches and who learns: teachers of one seed, what they say, and the students of an arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmkd_lab.distill import Arm, Needs, TeacherKind, TeacherOutputs
from mmkd_lab.experiments.experiment import Experiment
from mmkd_lab.experiments.networks import Asks
from mmkd_lab.experiments.store import Result


@dataclass(frozen=True)
class Teacher:
    """One teacher of one seed: its kind and, where it loses channels, how many and by which random choice."""

    kind: TeacherKind
    seed: int
    ratio: float | None = None
    draw: int = 0


@dataclass(frozen=True, eq=False)
class Taught:
    """What a teacher says, and the key that says how that came about."""

    said: TeacherOutputs
    made: str
    result: Result | None = None


@dataclass(frozen=True, eq=False)
class Student:
    """One student to train: an arm under a seed, the strengths of its terms, and its teacher."""

    arm: Arm
    seed: int
    strengths: Mapping[str, float]
    teacher: Teacher | None


def said_in(result: Result) -> TeacherOutputs:
    """What a teacher says, out of the result of asking it."""
    said = {name: one for name, one in result.tensors.items() if not name.startswith("probe/")}
    return TeacherOutputs.from_arrays(said)


def teachers_of(
    arms: Sequence[Arm], seeds: Sequence[int], ratios: Sequence[float] = (), draws: int = 1
) -> dict[str, list[Teacher]]:
    """{arm: its teachers}: one a seed; at each ratio, where it loses channels, and for each random choice."""
    found: dict[str, list[Teacher]] = {}
    for arm in (one for one in arms if one.teacher is not None):
        kind = arm.teacher
        assert kind is not None
        at = (None,) if kind.ranking in (None, "oracle") else tuple(ratios)
        drawn = range(draws if kind.ranking == "random" else 1)
        found[arm.name] = [Teacher(kind, seed, r, d) for r in at for d in drawn for seed in seeds]
    return found


def asks_of(experiment: Experiment) -> Asks:
    """What every teacher is asked for the arms, the table and the saliency of modalities."""
    needs = Needs()
    for arm in experiment.arms:
        needs = needs | experiment.loss(arm, experiment.plain).needs
    views = [view for view in experiment.looked_at if view != experiment.full]
    for arm in experiment.arms:
        views += experiment.loss(arm, experiment.plain).asks(experiment.context)
    views = [view for view in dict.fromkeys(views) if view != experiment.full]
    return Asks(
        tuple(views),
        needs.teacher_layers,
        needs.view_features,
        experiment.config.removal,
        experiment.probe,
    )
