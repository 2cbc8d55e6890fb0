"""What may be wrong with the networks of a study, told beside its numbers: one table of checks.

Each check looks at the networks of one arm and role, of all seeds, and gives the numbers of what is wrong, or
nothing. Thresholds follow from chance: the sampling error of a split, one epoch in ten, a constant answer. A
check selects nothing and leaves nothing out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, sqrt
from statistics import fmean

import pandas as pd
import torch
from torch import Tensor

from mmkd_lab.core.stats import mean_interval
from mmkd_lab.data.paired import PairedData, Task
from mmkd_lab.experiments.claims import joined, label
from mmkd_lab.experiments.doubt import remark
from mmkd_lab.experiments.experiment import Experiment
from mmkd_lab.experiments.lacking import lacking
from mmkd_lab.experiments.lessons import Teacher
from mmkd_lab.experiments.plain import too_large
from mmkd_lab.experiments.plan import Plan
from mmkd_lab.experiments.store import Result
from mmkd_lab.experiments.table import teacher_said, teacher_scores
from mmkd_lab.training.metrics import cost_of, first_of, score
from mmkd_lab.training.recipe import Recipe

#: Validation and test agree within so many standard errors but once in 400; some twenty rows are looked at.
_ERRORS = 3.0
#: An estimate and a constant agree within so many standard errors in 95 of 100.
_USUAL = 1.96
#: Points that no seed's luck excuses.
_FAR = 3.0


@dataclass(frozen=True, eq=False)
class Network:
    """What the record of one trained network says.

    Args:
        scores: {split: the task's first metric, percent}.
        labels: how many classes it names on test; None for other tasks than single-label.
        losses: the validation loss by epoch, where it was looked at.
        epochs: those of the whole schedule.
        same_input: whether it reads what the students read, and all of its channels.
    """

    scores: dict[str, float]
    labels: int | None = None
    losses: dict[int, float] = field(default_factory=dict)
    epochs: int = 0
    same_input: bool = True

    @property
    def falling(self) -> bool:
        """Whether the validation loss was lowest within the last tenth of the schedule."""
        return bool(self.losses) and min(self.losses, key=self.losses.__getitem__) > 0.9 * self.epochs


@dataclass(frozen=True)
class Facts:
    """What the networks are held against.

    Args:
        chance: {split: the score of the best constant answer}, percent.
        sizes: {split: samples}.
        plain: {classifier: {split: score}} of plain classifiers on the student's input, see `plain.plain`.
        counted: whether a score is a share of samples, whose sampling error is known; R2 and mean IoU are
            none.
    """

    chance: dict[str, float]
    sizes: dict[str, int]
    plain: dict[str, dict[str, float]] = field(default_factory=dict)
    counted: bool = True


Check = Callable[[Sequence[Network], Facts], str | None]


def _mean(some: Sequence[Network], split: str) -> float | None:
    found = [one.scores[split] for one in some if split in one.scores]
    return fmean(found) if found else None


def _error(percent: float, n: int) -> float:
    """The standard error of a share of n samples, both in percent."""
    return sqrt(max(0.0, percent * (100 - percent)) / n)


def falling(some: Sequence[Network], facts: Facts) -> str | None:
    """The best of all epochs is among the last tenth, in half of the networks: by chance in one of ten."""
    late, known = sum(one.falling for one in some), sum(bool(one.losses) for one in some)
    return f"{late} of {known} networks" if known and 2 * late >= known else None


def near_chance(some: Sequence[Network], facts: Facts) -> str | None:
    """Its training score is that of a constant answer, within the sampling error of the training split."""
    mean, chance = _mean(some, "train"), facts.chance["train"]
    if mean is None or mean > chance + _USUAL * _error(chance, facts.sizes["train"]):
        return None
    return f"{mean:.1f} against {chance:.1f}"


def memorised(some: Sequence[Network], facts: Facts) -> str | None:
    """Of what it gains over a constant answer in training, less than half is left on validation."""
    train, val = _mean(some, "train"), _mean(some, "val")
    if train is None or val is None or near_chance(some, facts):
        return None
    far = val - facts.chance["val"] < (train - facts.chance["train"]) / 2
    return f"{train:.1f} and {val:.1f}" if far else None


def splits_apart(some: Sequence[Network], facts: Facts) -> str | None:
    """Validation and test differ by more than their sampling errors."""
    val, test = _mean(some, "val"), _mean(some, "test")
    if val is None or test is None or not facts.counted:
        return None
    error = sqrt(_error(val, facts.sizes["val"]) ** 2 + _error(test, facts.sizes["test"]) ** 2)
    return f"{val:.1f} and {test:.1f}" if abs(val - test) > _ERRORS * error else None


def one_class(some: Sequence[Network], facts: Facts) -> str | None:
    """It names one class for every test sample."""
    found = sum(one.labels == 1 for one in some)
    return f"{found} of {len(some)} networks" if found else None


def below_chance(some: Sequence[Network], facts: Facts) -> str | None:
    """Its test score is below that of a constant answer."""
    mean, chance = _mean(some, "test"), facts.chance["test"]
    return f"{mean:.1f} against {chance:.1f}" if mean is not None and mean < chance else None


def below_plain(some: Sequence[Network], facts: Facts) -> str | None:
    """The better of the plain classifiers lies above the interval of the seeds, above the score of the only
    one, or more than `_FAR` points above the mean; on validation, by which all of them were chosen."""
    split = "val" if "val" in facts.sizes else "test"
    found = [one.scores[split] for one in some if one.same_input and split in one.scores]
    if not found or not facts.plain:
        return None
    seen, best = mean_interval(found), max(facts.plain, key=lambda one: facts.plain[one][split])
    gap = facts.plain[best][split] - seen.mean
    beaten = gap > min(_FAR, 0.0 if seen.n < 2 else seen.high - seen.mean)
    return f"{seen.mean:.1f} against {facts.plain[best][split]:.1f} by {best}" if beaten else None


#: What each check says, before the networks that it is said of with their numbers.
CHECKS: dict[str, Check] = {
    "The validation loss was still falling when training ended": falling,
    "The training score is that of always giving the same answer": near_chance,
    "Training and validation scores are far apart": memorised,
    "Validation and test scores are further apart than samples of their sizes explain": splits_apart,
    "One class is named for every test sample": one_class,
    "The test score is below that of always giving the same answer": below_chance,
    "A plain classifier on the same input has the better score": below_plain,
}


@dataclass(frozen=True, eq=False)
class Checked:
    """The checks of a study: its students and teachers by arm, and what they are held against.

    `raised` says where a recipe's floor of steps was reached by more epochs and what there was no room for,
    `partial` whose teachers lack training samples, `told` what else there is to know of tables of answers.
    """

    students: dict[str, list[Network]]
    teachers: dict[str, list[Network]]
    facts: Facts
    raised: list[str] = field(default_factory=list)
    partial: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    @property
    def notes(self) -> list[str]:
        """A sentence for each check that finds something, with the networks and their numbers."""
        told = list(self.raised)
        for says, check in CHECKS.items():
            groups = {f"students of {arm}": some for arm, some in self.students.items()}
            groups |= {f"teachers of {arm}": some for arm, some in self.teachers.items()}
            found = {who: said for who, some in groups.items() if (said := check(some, self.facts))}
            if found:
                told.append(f"{says}: {joined([f'{who} ({said})' for who, said in found.items()])}.")
        return [*self.told, *told]

    @property
    def caution(self) -> str:
        """What a title must not leave out, or nothing: that no student is better than a constant answer."""
        low = all(below_chance(some, self.facts) for some in self.students.values())
        same = f"{self.facts.chance['test']:.1f} %"
        return f" All students do worse than always giving the same answer ({same})." if low else ""

    @property
    def beside(self) -> str:
        """What stands behind a verdict: what teachers lack, the caution, and that there are notes."""
        n = len(self.notes) - len(self.told)
        see = f" {n} check{'s' * (n > 1)} of these networks found something: see provenance['notes']."
        return "".join(f" {one}" for one in self.partial) + self.caution + see * bool(n)


def checked(
    plan: Plan,
    students: Iterable[tuple[str, Result]],
    teachers: Iterable[tuple[str, Teacher]],
    plain: Mapping[str, Mapping[str, Tensor]],
) -> Checked:
    """The checks of an experiment.

    Args:
        plan: which has trained and asked the networks.
        students: (arm, result) of each.
        teachers: (arm, teacher) of each that was asked; one of several arms counts for the first.
        plain: what plain classifiers say, see `plain.plain`.
    """
    experiment, of_students, of_teachers = plan.experiment, _Groups(), _Groups()
    data, test = experiment.data, f"logits/test/{experiment.full.label}"
    for arm, result in students:
        said, scores = torch.from_numpy(result.tensors[test].copy()), result.metrics["scores"]
        one = _network(scores, said, result, experiment.student_recipe, data)
        of_students.setdefault(label(arm), []).append(one)
    whose: dict[Teacher, str] = {}
    for arm, teacher in teachers:
        whose.setdefault(teacher, arm)
    for teacher, arm in whose.items():
        spoken = plan.taught[teacher].said
        scores = teacher_scores(spoken, data)
        if "test" not in scores:
            continue
        alone = teacher.kind.training == "alone"
        trained = plan.networks.get((teacher.kind.sees, teacher.seed)) if alone else None
        said = teacher_said(spoken, data, "test")[0][0]
        one = _network(scores, said, trained, experiment.teacher_recipe, data)
        same = experiment.modalities[teacher.kind.sees] == experiment.modalities["student"]
        one = replace(one, same_input=same and teacher.kind.ranking is None)
        of_teachers.setdefault(label(arm), []).append(one)
    found = {
        name: {split: _first(logits, data, split) for split, logits in said.items()}
        for name, said in plain.items()
    }
    chance = {split: _first(_constant(data, split), data, split) for split in data.splits}
    sizes = {split: len(where) for split, where in data.splits.items()}
    facts = Facts(chance, sizes, found, data.task not in (Task.REGRESSION, Task.DENSE))
    partial, told = _answered(experiment)
    told += [*lacking(experiment), *remark(plan.doubted)]
    return Checked(of_students, of_teachers, facts, [*_raised(experiment), *too_large(plan)], partial, told)


_Groups = dict[str, list[Network]]


def _network(
    scores: Mapping[str, Mapping[str, float]],
    said: Tensor,
    trained: Result | None,
    recipe: Recipe,
    data: PairedData,
) -> Network:
    losses: dict[int, float] = {}
    if trained is not None:
        history = pd.DataFrame(trained.metrics["history"])
        looks = history[(history["split"] == "val") & (history["metric"] == cost_of(data.task))]
        losses = dict(zip(looks["epoch"].astype(int), looks["value"].astype(float), strict=True))
    per_epoch, total = recipe.length(len(data.positions("train")))
    labels = int(said.argmax(-1).bincount().count_nonzero()) if data.task is Task.SINGLE_LABEL else None
    first = {split: float(named[first_of(data.task)]) for split, named in scores.items()}
    return Network(first, labels, losses, ceil(total / per_epoch))


def _first(logits: Tensor, data: PairedData, split: str) -> float:
    """The task's first metric of logits (N, K, ...)."""
    named = score(logits[None], data.target[data.positions(split)].cpu(), task=data.task)
    return float(next(iter(named.values())))


def _constant(data: PairedData, split: str) -> Tensor:
    """Logits (N, K, ...) of the training split's most common class; of all labels where there are several; in
    a regression the training mean."""
    target, train = data.target[data.positions(split)].cpu(), data.target[data.positions("train")].cpu()
    if data.task is Task.MULTI_LABEL:
        return torch.ones(target.shape)
    if data.task is Task.REGRESSION:
        return train.double().mean(0).expand(target.shape)
    common = int(train[train >= 0].bincount(minlength=data.num_classes).argmax())
    found = torch.zeros(len(target), data.num_classes, *target.shape[1:])
    found[:, common] = 1.0
    return found


def _answered(experiment: Experiment) -> tuple[list[str], list[str]]:
    """What a verdict must tell of teachers that lack training samples, and notes on all that are tables."""
    partial, told = list[str](), list[str]()
    for sees, source in experiment.teachers.items():
        if source.kind != "table":
            continue
        who = f"The {' + '.join(experiment.modalities[sees])} teacher is a table with answers for"
        covers = source.outputs.coverage(experiment.data)
        parts = [f"{many:,} of {samples:,} {split}" for split, (many, samples) in covers.items()]
        if source.outputs.partial:
            partial.append(f"{who} {parts[list(covers).index('train')]} samples.")
        if any(many < samples for many, samples in covers.values()):
            how = "a sample without one is not distilled, and the teacher's scores are over the others"
            told.append(f"{who} {joined(parts)} samples: {how}.")
        told += () if source.answers is None else source.answers.notes
    return partial, told


def _raised(experiment: Experiment) -> list[str]:
    samples = len(experiment.data.positions("train"))
    told = []
    for who, recipe in (("Students", experiment.student_recipe), ("Teachers", experiment.teacher_recipe)):
        run = recipe.raised(samples)
        if run != recipe and (who == "Students" or experiment.teachers):
            per_epoch, total = run.length(samples)
            told.append(
                f"{who} train for {run.epochs} epochs instead of {recipe.epochs}: with {samples} samples an "
                f"epoch has {per_epoch} steps, and {recipe.min_steps} are to be made, {total} in all."
            )
    return told
