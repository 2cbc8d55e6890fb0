"""What one run of the loop trains, on what, and how; and what a loss asks for before its first step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from torch import Tensor

from mmkd_lab.core.check import listing, require
from mmkd_lab.data.paired import PairedData
from mmkd_lab.data.task import META
from mmkd_lab.distill.distillation import Distillation
from mmkd_lab.distill.method import Method
from mmkd_lab.models.removal import Permutation, Removal, Zeros
from mmkd_lab.training.batch import DataParallel
from mmkd_lab.training.inputs import Resident
from mmkd_lab.training.learner import WeightLearner
from mmkd_lab.training.lessons import Lessons, Live
from mmkd_lab.training.order import ViewDraw
from mmkd_lab.training.recipe import Recipe
from mmkd_lab.training.replicas import Replicas
from mmkd_lab.training.stacking import obstacles


@dataclass(frozen=True)
class HistoryRow:
    """One line of history for R replicas: `alive` says whose training had not yet been stopped."""

    epoch: int
    split: str
    metric: str
    value: list[float]
    alive: list[bool]


@dataclass(frozen=True, eq=False)
class Fitting:
    """What one run of the loop trains, on what, and how. A looped fit has one job per replica."""

    replicas: Replicas
    resident: Resident
    sets: Sequence[PairedData]
    loss: Distillation
    teacher: Lessons | Live | None
    recipe: Recipe
    dropout: Removal | None
    fabric: Any
    bar: Any
    absent: Removal = field(default_factory=Zeros)
    rows: list[HistoryRow] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        loss = self.loss.to(self.replicas.device)
        if isinstance(loss.removal, Permutation):
            # A stream that begins here: nobody who is trained before or beside it moves it on.
            loss = replace(loss, removal=Permutation(seed=loss.removal.seed))
        object.__setattr__(self, "loss", loss)

    @cached_property
    def learner(self) -> WeightLearner | None:
        """Learns the weights of views, where the loss wants them learned."""
        if self.loss.learned is None:
            return None
        return WeightLearner(self.loss, self.sets, self.replicas, self.fabric.autocast)

    @cached_property
    def views(self) -> ViewDraw | None:
        """Draws what modality dropout removes."""
        names, rate = sorted(self.resident.names), self.recipe.modality_dropout
        return ViewDraw(self.replicas.seeds, names, rate) if self.dropout else None

    @property
    def share(self) -> DataParallel:
        """This process's part of every batch."""
        return DataParallel(self.fabric.global_rank, self.fabric.world_size)

    def alone(self, r: int) -> Fitting:
        """The job of replica `r` alone, with streams of its own."""
        return replace(
            self,
            replicas=self.replicas[r],
            resident=self.resident.of(r),
            sets=[self.sets[r]] if len(self.sets) > 1 else self.sets,
            loss=self.loss[r],
            teacher=None if self.teacher is None else self.teacher.alone(r),
        )

    def extras(self) -> dict[str, Tensor]:
        """The parameters of the methods, {name: (R, ...)}, on the replicas' device."""
        layers = self.loss.needs.student_layers
        if not layers or self.teacher is None:
            return {}
        student = self.replicas.feature_lengths(self.sets[0], layers)
        made = self.loss.parameters(student, self.teacher.widths, seeds=self.replicas.seeds)
        return {name: value.to(self.replicas.device, self.replicas.dtype) for name, value in made.items()}

    def require_fits(self) -> None:
        """Raise `LabError` unless the teacher said, and the students can say, what the loss compares."""
        loss, task, names = self.loss, self.resident.task, tuple(sorted(self.resident.names))
        known, rule = self.teacher is not None or not loss.needs_teacher, "must be given, to compare with"
        require(known, "teacher", None, rule, "See training.teacher_outputs().")
        rule = f"must be that of {self.sets[0].name}, {task.value}"
        require(loss.task in (None, task), "loss.task", loss.task and loss.task.value, rule)
        for _, method in loss.terms:
            require(task in method.tasks, "loss", method.name, f"is not for a {task.value} task")
        if isinstance(self.teacher, Live):
            why = not_live(loss)
            why = why or "it says nothing where it sees nothing" * bool(self.resident.present)
            require(not why, "teacher", "networks, asked live", why, "Ask first: training.teacher_outputs().")
        elif self.teacher is not None:
            _teacher_knows(self.teacher, loss)
        for view in loss.needs.views:
            kept = len(view) == 0 or any(name in names for name in view)
            rule = f"must keep a modality that the student reads: {listing(names)}"
            way_out = "A student of one modality has no other views; compare full outputs, with KD."
            require(kept, "views", view.label, rule, "Leave it out." if len(names) > 1 else way_out)
        rule, mixes = "cannot stand in for what a sample lacks", isinstance(self.absent, Permutation)
        require(not self.resident.present or not mixes, "removal", "permutation", rule, "Use zeros or mean.")
        if loss.learned is not None:
            self._require_learnable()

    def _require_learnable(self) -> None:
        learned, precision, stuck = self.loss.learned, self.recipe.precision, obstacles(self.replicas.net)
        for one in self.sets:
            rule = f"must have a split {META!r}, on which the weights are learned"
            way_out = "See data.set_aside(): neither the validation nor the test split may serve."
            require(META in one.splits, "data", list(one.splits), rule, way_out)
        alone = self.fabric.world_size == 1
        require(alone, "learned", learned, "needs one process, and there are several")
        rule = "scales gradients, which learned weights compare"
        require(precision != "16-mixed", "recipe.precision", precision, rule, "Use bf16-mixed.")
        rule = "needs networks without dropout and batch statistics, which looking ahead would disturb"
        way_out = "Use LayerNorm or GroupNorm, or weights that are not learned."
        require(not stuck, "learned", stuck, rule, way_out)


def not_live(loss: Distillation) -> str:
    """Why the teacher of a loss cannot be asked as the students learn; '' where it can."""
    for _, method in loss.terms:
        if method.needs.teacher and (method.needs.views or type(method).prepare is not Method.prepare):
            return f"{method.name!r} prepares what its teacher says of all samples before training begins"
    return ""


def _teacher_knows(teacher: Lessons, loss: Distillation) -> None:
    said, needs = teacher.outputs, loss.needs
    for _, method in loss.terms if said.answered is not None else ():
        rule = "must go sample by sample (by_sample): the teacher has not answered for every one"
        require(method.by_sample or not method.needs.teacher, "loss", method.name, rule, "Use KD.")
    if needs.views and loss.removal is not None:
        rule = f"must be the one behind the teacher's views, {teacher.removal}"
        same, way_out = teacher.removal == loss.removal.name, "Ask the teacher with the student's operator."
        require(same, "removal", loss.removal.name, rule, way_out)
    for what, known, wanted in (
        ("view", said.views, needs.views),
        ("layer", said.features, needs.teacher_layers),
        ("features under", said.view_features, needs.views if needs.view_features else ()),
    ):
        at_hand = [getattr(name, "label", name) for name in known]
        for label in (getattr(one, "label", one) for one in wanted):
            rule = f"must know the {what} {label!r}"
            require(label in at_hand, "teacher", at_hand, rule, "Ask it: training.teacher_outputs().")
