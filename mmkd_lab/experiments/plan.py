"""From an experiment to jobs, and their keys: networks, what teachers say, pairs and their edits, students.

A key names everything that determines an outcome: the data by their fingerprint, models by their description,
recipes, losses, seeds, and what an outcome is made from by its own key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch

from mmkd_lab.attribution import ChannelSaliency
from mmkd_lab.distill import TeacherOutputs
from mmkd_lab.distill.losses.ce import CrossEntropy
from mmkd_lab.experiments import repairs
from mmkd_lab.experiments.experiment import Experiment
from mmkd_lab.experiments.jobs import Arrays, Job
from mmkd_lab.experiments.lessons import Student, Taught, Teacher, asks_of, said_in
from mmkd_lab.experiments.networks import (
    Asks,
    NetworkTask,
    OutputsTask,
    StudentTask,
    ask_teacher,
    teacher_seed,
    train_network,
    train_student,
)
from mmkd_lab.experiments.runner import Runner
from mmkd_lab.experiments.store import Key, Result, key
from mmkd_lab.models import View
from mmkd_lab.training.recipe import Recipe
from mmkd_lab.training.sources import Source, source_of


@dataclass(eq=False)
class Plan:
    """Makes the jobs of one experiment and has them run.

    Attributes:
        taught: what the teachers say that have been asked.
        pairs: the jointly trained pairs, {(agreement, seed): pair}.
        rankings: the saliency of their teachers' channels, likewise.
        trained: the students so far, with their results.
        doubted: how many training labels a plain classifier contradicts, of how many; see `doubt.doubted`.
    """

    experiment: Experiment
    runner: Runner
    taught: dict[Teacher, Taught] = field(default_factory=dict)
    networks: dict[tuple[str, int], Result] = field(default_factory=dict)
    pairs: dict[tuple[bool, int], repairs.Pair] = field(default_factory=dict)
    rankings: dict[tuple[bool, int], ChannelSaliency] = field(default_factory=dict)
    gates: dict[int, Mapping[View, torch.Tensor]] = field(default_factory=dict)
    trained: list[tuple[Student, Result]] = field(default_factory=list)
    doubted: tuple[int, int] | None = None

    def teach(self, teachers: Iterable[Teacher]) -> None:
        """Have these teachers trained, edited and asked, as far as they have not been."""
        wanted = [one for one in dict.fromkeys(teachers) if one not in self.taught]
        self._alone([one for one in wanted if one.kind.training == "alone"])
        self._joint([one for one in wanted if one.kind.training != "alone"])

    def students(self, wanted: Sequence[Student]) -> list[Result]:
        """The results of students whose teachers have been asked."""
        results = self.runner.run([self._student_job(one) for one in wanted])
        self.trained += zip(wanted, results, strict=True)
        return results

    def features(self, sees: Sequence[str], seed: int) -> list[Result]:
        """Teachers of some kinds, trained, with what their heads read on the experiment's probe split."""
        wanted = [(one, seed) for one in sees]
        self._train(wanted)
        asked = self._ask(wanted, Asks(probe=self.experiment.probe))
        return [one.result for one in asked if one.result is not None]

    @cached_property
    def asks(self) -> Asks:
        """What every teacher is asked for the arms, the table and the saliency of modalities."""
        return asks_of(self.experiment)

    # Teachers that are trained by themselves.

    def _alone(self, wanted: Sequence[Teacher]) -> None:
        seen = dict.fromkeys((one.kind.sees, one.seed) for one in wanted)
        beside = dict.fromkeys(
            (modality, one.seed)
            for one in wanted
            if one.kind.beside == "each"
            for modality in self.experiment.modalities["student"]
        )
        self._train([*seen, *beside])
        said = dict(zip(seen, self._ask(list(seen), self.asks), strict=True))
        plain = replace(self.asks, views=(), layers=(), view_features=False, probe=None)
        others = dict(zip(beside, self._ask(list(beside), plain), strict=True))
        for one in wanted:
            taught = said[one.kind.sees, one.seed]
            if one.kind.beside == "each":
                more = [others[m, one.seed] for m in self.experiment.modalities["student"]]
                made = key(role="several", made=[taught.made, *(other.made for other in more)]).digest
                taught = replace(taught, made=made)
                self._beside[one] = [other.said for other in more]
            self.taught[one] = taught

    @cached_property
    def _beside(self) -> dict[Teacher, list[TeacherOutputs]]:
        return {}

    def _source(self, sees: str) -> Source:
        """Where a kind of teacher comes from; that of one modality, beside one that sees all, by its name."""
        experiment = self.experiment
        if sees in experiment.teachers:
            return experiment.teachers[sees]
        spec = experiment.teachers["all"].spec
        assert spec is not None
        return source_of(spec, argument="teacher_model", data=experiment.data, modalities=(sees,))

    def _recipe(self, sees: str) -> Recipe:
        recipe = self.experiment.teacher_recipe
        return recipe if sees in self.experiment.teachers else replace(recipe, modality_dropout=0.0)

    def _train(self, wanted: Sequence[tuple[str, int]]) -> None:
        """Train what is not frozen and not a table."""
        todo = [one for one in wanted if self._source(one[0]).trains and one not in self.networks]
        results = self.runner.run([self._network_job(*one) for one in todo])
        self.networks.update(zip(todo, results, strict=True))

    def _network_job(self, sees: str, seed: int) -> Job:
        experiment, source, recipe = self.experiment, self._source(sees), self._recipe(sees)
        stream = teacher_seed(seed)
        made = self._key(
            "network",
            source,
            recipe,
            seed=stream,
            removal=experiment.config.removal if recipe.modality_dropout else None,
        )
        weights, how = experiment.class_weights, (recipe, stream, experiment.device)
        task = NetworkTask(source, experiment.data, *how, experiment.removal(), weights)
        return Job(made, train_network, task, f"teacher of {experiment.seen_by(sees)}, seed {seed}")

    def _ask(self, wanted: Sequence[tuple[str, int]], asks: Asks) -> list[Taught]:
        tables = {
            i: self._source(sees) for i, (sees, _) in enumerate(wanted) if self._source(sees).kind == "table"
        }
        results = self.runner.run(
            [self._outputs_job(*one, asks) for i, one in enumerate(wanted) if i not in tables]
        )
        found, rest = [], iter(results)
        for i in range(len(wanted)):
            if i in tables:
                said = tables[i].outputs
                found.append(Taught(said, said.digest()))
            else:
                result = next(rest)
                found.append(Taught(said_in(result), result.key.digest, result))
        return found

    def _outputs_job(self, sees: str, seed: int, asks: Asks) -> Job:
        experiment, source, recipe = self.experiment, self._source(sees), self._recipe(sees)
        network = self.networks.get((sees, seed))
        kept = None if network is None else network.key.digest
        made = self._key("outputs", source, recipe, network=kept, asks=asks.describe())
        state = None if network is None else network.tensors
        how = (asks, experiment.removal(), experiment.device, state, teacher_seed(seed))
        task = OutputsTask(source, experiment.data, recipe, *how)
        return Job(made, ask_teacher, task, f"asking the teacher of {experiment.seen_by(sees)}, seed {seed}")

    # Teachers that are trained jointly with a student, and edited.

    @property
    def place(self) -> repairs.LayerPlace:
        """Where channels are removed."""
        config = self.experiment.config
        return repairs.LayerPlace(config.layer, config.side, config.axis)

    def _joint(self, wanted: Sequence[Teacher]) -> None:
        agreed = {one: self._agrees(one) for one in wanted}
        missing = [k for k in dict.fromkeys((agreed[t], t.seed) for t in wanted) if k not in self.pairs]
        jobs = [self._pair_job(*one) for one in missing]
        for one, job, result in zip(missing, jobs, self.runner.run(jobs), strict=True):
            self.pairs[one] = repairs.Pair(job.task, result.tensors)
            self._pair_keys[one] = result.key
        ranks = [self._rank_job(one) for one in missing]
        for one, result in zip(missing, self.runner.run(ranks), strict=True):
            self.rankings[one] = repairs.saliency_of(result)
        edits = [self._edit_job(teacher, (agreed[teacher], teacher.seed)) for teacher in wanted]
        for teacher, result in zip(wanted, self.runner.run(edits), strict=True):
            self.taught[teacher] = Taught(said_in(result), result.key.digest, result)

    @cached_property
    def _pair_keys(self) -> dict[tuple[bool, int], Key]:
        return {}

    def _agrees(self, teacher: Teacher) -> bool:
        return teacher.kind.training == "joint" or self.experiment.config.joint.objective.agreement == 0

    def _pair_job(self, agrees: bool, seed: int) -> Job:
        experiment, joint = self.experiment, self.experiment.config.joint
        if not agrees:
            joint = replace(joint, objective=replace(joint.objective, agreement=0.0))
        teacher = experiment.teachers["other"]
        made = self._key(
            "aligned pair",
            teacher,
            experiment.teacher_recipe,
            student=experiment.student.describe(),
            joint=joint.as_dict(),
            seed=seed,
        )
        labels = CrossEntropy(experiment.data.task, experiment.class_weights)
        how = (joint, seed, experiment.teacher_recipe, experiment.device, labels)
        task = repairs.PairTask(teacher, experiment.student, experiment.data, *how)
        return Job(
            made, repairs.train_pair, task, f"{'aligned' if agrees else 'unaligned'} pair, seed {seed}"
        )

    def _rank_job(self, which: tuple[bool, int]) -> Job:
        made = key(role="ranking", pair=self._pair_keys[which].digest, place=self.place)
        task = repairs.RankTask(self.pairs[which], self.place)
        return Job(made, repairs.rank_channels, task, f"ranking channels, seed {which[1]}")

    def _edit_job(self, teacher: Teacher, which: tuple[bool, int]) -> Job:
        experiment, kind, config = self.experiment, teacher.kind, self.experiment.config
        truth = config.truth if kind.ranking == "oracle" else None
        instead = config.replace if kind.ranking or config.replace == "retrain" else "mean"
        edit = repairs.Edit(kind.ranking, teacher.ratio or 0.0, teacher.draw, instead, truth)
        made = key(
            role="edited teacher",
            pair=self._pair_keys[which].digest,
            place=self.place,
            edit=edit,
            recipe=experiment.teacher_recipe.as_dict() if instead == "retrain" else None,
            probe=experiment.probe,
        )
        pair, ranking = self.pairs[which], self.rankings[which]
        task = repairs.EditTask(pair, self.place, edit, ranking, experiment.teacher_recipe, experiment.probe)
        return Job(
            made, repairs.ask_edited, task, f"teacher {kind.ranking or kind.training}, seed {teacher.seed}"
        )

    # Students.

    def _student_job(self, student: Student) -> Job:
        experiment, arm = self.experiment, student.arm
        loss = experiment.loss(arm, student.strengths)
        drop = arm.drop_at(student.strengths)
        recipe = experiment.student_recipe
        recipe = replace(recipe, modality_dropout=drop) if drop else recipe
        taught = None if student.teacher is None else self.taught[student.teacher]
        gate = self.gates.get(student.seed)
        others = tuple(self._beside.get(student.teacher, ())) if student.teacher else ()
        context = replace(experiment.context, gate=gate, others=others)
        probe = experiment.probe if not loss.needs_teacher else None
        pruned = None
        if arm.start == "pruned":
            assert student.teacher is not None
            large = self.networks["all", student.teacher.seed]
            pruned = (experiment.teachers["all"], large.tensors, experiment.teacher_recipe)
        live, augment = self._live(student) if loss.needs_teacher else None, experiment.augment
        made = self._key(
            "student",
            experiment.student,
            recipe,
            loss=loss.describe(),
            teacher=taught.made if taught is not None and loss.needs_teacher else None,
            pruned=large.key.digest if arm.start == "pruned" else None,
            gate=gate is not None and loss.needs_teacher,
            views=[view.label for view in experiment.looked_at],
            probe=probe,
            removal=experiment.config.removal if len(experiment.looked_at) > 1 or drop else None,
            seed=student.seed,
            keep=student.seed in experiment.seeds,
            augment=None if augment is None else [augment.describe(), live is not None],
        )
        task = StudentTask(
            experiment.student,
            experiment.data,
            loss,
            recipe,
            student.seed,
            experiment.device,
            context,
            taught.said if taught is not None and loss.needs_teacher else None,
            experiment.looked_at,
            experiment.removal(),
            probe,
            pruned,
            student.seed in experiment.seeds,
            augment,
            live,
        )
        return Job(made, train_student, task, f"student {arm.name}, seed {student.seed}")

    def _live(self, student: Student) -> tuple[Source, Arrays | None, Recipe] | None:
        """The network of a student's teacher, where it is asked in every step."""
        if student.teacher is None or self.experiment.config.teacher_sees == "clean":
            return None
        sees = student.teacher.kind.sees
        network = self.networks.get((sees, student.teacher.seed))
        return self._source(sees), None if network is None else network.tensors, self._recipe(sees)

    def _key(self, role: str, source: Source, recipe: Recipe, **parts: object) -> Key:
        return key(
            role=role,
            data=self.experiment.data.fingerprint,
            model=source.describe(),
            recipe=recipe.as_dict(),
            device=self.experiment.device.type,
            torch=torch.__version__.split("+")[0],
            class_weights=self.experiment.class_weights,
            absent=self.experiment.config.removal if self.experiment.data.present else None,
            **parts,
        )
