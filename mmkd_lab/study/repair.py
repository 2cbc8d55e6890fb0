"""Teacher repair: does a teacher reduced to its modality-general channels make the better student?

The modality focusing hypothesis of Xue et al. 2023 (MFH) on any paired data and any networks. Their released
code has no independent teacher among its arms, one random draw and one seed; here all of them are paired by
seed.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from torch import Tensor

from mmkd_lab.attribution import ChannelSaliency
from mmkd_lab.data.paired import PairedData
from mmkd_lab.distill import ARMS as REGISTERED
from mmkd_lab.distill import Arm, Term
from mmkd_lab.experiments.build import crossmodal
from mmkd_lab.experiments.checks import Checked, checked
from mmkd_lab.experiments.config import REPAIR_OPTIONS, WITH_LABELS
from mmkd_lab.experiments.experiment import Experiment, Names
from mmkd_lab.experiments.lessons import Student, Teacher, teachers_of
from mmkd_lab.experiments.plain import line, plain
from mmkd_lab.experiments.plan import Plan
from mmkd_lab.experiments.repairs import Pair, tried
from mmkd_lab.experiments.report import file_name, provenance
from mmkd_lab.experiments.result import Study
from mmkd_lab.experiments.session import session
from mmkd_lab.experiments.store import Result, ResultStore
from mmkd_lab.experiments.students import Students
from mmkd_lab.experiments.summary import primary_metric
from mmkd_lab.experiments.table import Table, teacher_scores
from mmkd_lab.shares.hypotheses import TaughtStudent
from mmkd_lab.study.repair_words import title, verdict

NAME = "repair"
ARMS = (
    *("no_kd", "cm_kd", "unaligned_kd", "aligned_kd", "mg_kd", "ms_kd", "random_kd", "weight_kd"),
    "oracle_kd",
)


@dataclass(frozen=True, eq=False, repr=False)
class RepairStudy(Study):
    """A study of repaired teachers, with its runs for `rival_hypotheses`; a loaded one has neither.

    `pairs` are the jointly trained teachers and students by seed, `rankings` the saliency of the teacher's
    channels by Algorithm 1.
    """

    runs: tuple[TaughtStudent, ...] = ()
    pairs: Mapping[int, Pair] = field(default_factory=dict)
    rankings: Mapping[int, ChannelSaliency] = field(default_factory=dict)


def repair_teachers(
    dataset: str | PairedData,
    *,
    student: Names,
    teacher: Names | None = None,
    arms: Sequence[str] | None = None,
    seeds: Iterable[int] | None = None,
    student_model: object = None,
    teacher_model: object = None,
    store: ResultStore | None = None,
    jobs: int | None = None,
    progress: bool = True,
    **options: Any,  # noqa: ANN401 - the fields of Config
) -> RepairStudy:
    """Train students from a crossmodal teacher before and after its repair, on paired seeds.

    Per seed one regular teacher is trained alone (cm_kd), and one jointly with a student by a recipe of
    its own (`attribution.align`; aligned_kd). A third has that recipe without the agreement (unaligned_kd):
    what the agreement does can then be told from what the recipe does. The channels of the aligned one are
    ranked on the training split by `attribution.by_channel`, in closed form at the input of the head.
    int(r d) of its d channels are removed: the least modality-general (mg_kd), the most (ms_kd), some
    at random (random_kd), those the head weighs least (weight_kd), or all but the declared ones
    (oracle_kd, whatever r). Dead channels count among the d, so that a random choice is a weaker edit
    where many are dead; `provenance['living_removed']` counts the living ones that each teacher lost.
    Nothing about the students is tuned. Source: Xue et al. 2023 (MFH), Algorithm 1. Every seed has the
    same split of the samples: intervals say what training anew would give, not what other samples or, where
    splits part people, other people would.

    Args:
        dataset, student, teacher, seeds, student_model, teacher_model, store, jobs, progress: as in
            `failure_cases`; a teacher that is a table of outputs has no channels to remove.
        arms: no_kd among them; by default `ARMS`, the oracle only with `truth`, as far as they can be had.
        options: see `experiments.Config`: those of `failure_cases`, and ratios, losses, layer, side, axis,
            replace, draws, truth, joint.

    Returns:
        a study of kind 'repair' with columns `ratio` and `loss`. Arms without a ratio stand at each of them
        and no_kd under both losses, so that everything has its control beside it; random_kd is the mean over
        its draws, one number per seed. `study.runs` has every student, but none of a dense task.

    Raises:
        LabError: what `failure_cases` refuses; a layer that does not exist (those there are, are listed); a
            ratio that removes nothing; an oracle without declared truth; 'retrain' away from the head; |W|
            where no linear head reads the layer.
        DamagedFile: a stored entry, or a file of the dataset, is damaged.
    """
    started = time.perf_counter()
    truth = options.get("truth")
    experiment = crossmodal(
        NAME,
        dataset,
        student=student,
        teacher=teacher,
        arms=(arms, ARMS if truth is not None else ARMS[:-1], ("no_kd",)),
        seeds=seeds,
        models=(student_model, teacher_model),
        options=options,
        known=REPAIR_OPTIONS,
        probe=True,
    )
    repair = Repair(experiment := tried(experiment))
    with session(repair.total, store=store, jobs=jobs, progress=progress) as runner:
        plan = Plan(experiment, runner)
        results, others = repair.train(plan), plain(plan)
    table = repair.table(plan, results, others)
    found, who = repair.checked(plan, results, others), experiment.seen_by("student")
    metric = experiment.config.metric or primary_metric(table)
    reference = "cm_kd" if "cm_kd" in experiment.names else "no_kd"
    return RepairStudy(
        name=file_name(NAME, experiment.data.name, *experiment.modalities["student"]),
        title=title(table, student=who, metric=metric) + found.caution,
        table=table,
        verdict=verdict(table, student=who, teacher=experiment.seen_by("other"), metric=metric)
        + found.beside,
        kind="repair",
        options={"metric": metric, "loss": experiment.config.losses[0], "reference": reference},
        provenance={
            **provenance(experiment, dict(runner.counts), started, *REPAIR_OPTIONS),
            **repair.edits(plan),
            "student": who,
            "teacher": experiment.seen_by("other"),
            "probe": experiment.probe,
            "notes": found.notes,
        },
        students=repair.students(results),
        runs=tuple(repair.runs(plan, results)),
        pairs={seed: pair for (agrees, seed), pair in plan.pairs.items() if agrees},
        rankings={seed: found for (agrees, seed), found in plan.rankings.items() if agrees},
    )


@dataclass(frozen=True)
class Lesson:
    """One kind of student: its arm, what its teacher lost, and its loss."""

    arm: str
    ratio: float | None
    draw: int
    loss: str


@dataclass(frozen=True, eq=False)
class Repair:
    """The students of a repair study."""

    experiment: Experiment

    def lessons(self, arm: Arm, loss: str, ratio: float) -> list[Lesson]:
        """The kinds of student that stand for an arm at a ratio: several for random channels."""
        if arm.teacher is None:
            return [Lesson(arm.name, None, 0, WITH_LABELS)]
        ranking = arm.teacher.ranking
        draws = range(self.experiment.config.draws if ranking == "random" else 1)
        at = None if ranking in (None, "oracle") else ratio
        return [Lesson(arm.name, at, draw, loss) for draw in draws]

    @property
    def every(self) -> list[Lesson]:
        """All kinds of student, each once."""
        config = self.experiment.config
        found = [
            lesson
            for arm in self.experiment.arms
            for loss in config.losses
            for ratio in config.ratios
            for lesson in self.lessons(arm, loss, ratio)
        ]
        return list(dict.fromkeys(found))

    @property
    def total(self) -> int:
        """How many jobs there are."""
        kinds = {(one.arm, one.ratio, one.draw) for one in self.every}
        return len(self.experiment.seeds) * (len(self.every) + len(kinds) + 2) + 1

    def teacher(self, lesson: Lesson, seed: int) -> Teacher | None:
        """Who teaches such a student."""
        kind = REGISTERED[lesson.arm].teacher
        return None if kind is None else Teacher(kind, seed, lesson.ratio, lesson.draw)

    def train(self, plan: Plan) -> dict[Lesson, list[Result]]:
        """Every student, one a seed."""
        experiment, config = self.experiment, self.experiment.config
        teachers = teachers_of(experiment.arms, experiment.seeds, config.ratios, config.draws)
        plan.teach(one for several in teachers.values() for one in several)
        wanted = [
            Student(
                REGISTERED[one.arm] if one.loss == WITH_LABELS else without_labels(REGISTERED[one.arm]),
                seed,
                experiment.plain,
                self.teacher(one, seed),
            )
            for one in self.every
            for seed in experiment.seeds
        ]
        results = iter(plan.students(wanted))
        return {one: [next(results) for _ in experiment.seeds] for one in self.every}

    def checked(
        self,
        plan: Plan,
        results: Mapping[Lesson, Sequence[Result]],
        others: Mapping[str, Mapping[str, Tensor]],
    ) -> Checked:
        """What is to be told of the networks: an arm's students together, whatever their teachers lost."""
        seeds = self.experiment.seeds
        taught = ((one, seed, self.teacher(one, seed)) for one in results for seed in seeds)
        return checked(
            plan,
            ((one.arm, result) for one, several in results.items() for result in several),
            ((one.arm, teacher) for one, _, teacher in taught if teacher is not None),
            others,
        )

    def table(
        self,
        plan: Plan,
        results: Mapping[Lesson, Sequence[Result]],
        others: Mapping[str, Mapping[str, Tensor]],
    ) -> pd.DataFrame:
        """Tidy, with the means over the draws of random choices."""
        experiment, config = self.experiment, self.experiment.config
        table = Table(NAME, experiment.data, ("ratio", "loss"))
        for arm in experiment.arms:
            for loss in config.losses:
                for ratio in config.ratios:
                    for lesson in self.lessons(arm, loss, ratio):
                        for i, seed in enumerate(experiment.seeds):
                            teacher = self.teacher(lesson, seed)
                            if teacher is not None:
                                scores = teacher_scores(plan.taught[teacher].said, experiment.data)
                                table.scores(arm.name, "teacher", seed, scores, ratio, loss)
                            mine = results[lesson][i].metrics["scores"]
                            table.scores(arm.name, "student", seed, mine, ratio, loss)
        for loss in config.losses:
            for ratio in config.ratios:
                table.baseline(line(others), experiment.seeds[0], ratio, loss)
        frame = table.frame()
        keys = [name for name in frame.columns if name != "value"]
        return frame.groupby(keys, sort=False)["value"].mean().reset_index()[list(frame.columns)]

    def edits(self, plan: Plan) -> dict[str, object]:
        """{'arm, ratio, draw': per seed} the channels that teachers kept, and the living ones they lost."""
        channels: dict[str, list[object]] = {}
        living: dict[str, list[object]] = {}
        for teacher, taught in plan.taught.items():
            if teacher.kind.ranking is None or taught.result is None:
                continue
            arm = next(one.name for one in self.experiment.arms if one.teacher == teacher.kind)
            name = f"{arm}, {teacher.ratio}, {teacher.draw}"
            channels.setdefault(name, []).append(taught.result.metrics["channels"])
            living.setdefault(name, []).append(taught.result.metrics["living_removed"])
        return {"channels": channels, "living_removed": living}

    def students(self, results: Mapping[Lesson, Sequence[Result]]) -> Students:
        """Every student; what its teacher lost and its loss tell those of an arm apart."""
        seeds = self.experiment.seeds
        each = ((lesson, *pair) for lesson, some in results.items() for pair in zip(seeds, some, strict=True))
        found = (
            ({"arm": one.arm, "seed": seed, "ratio": one.ratio, "loss": one.loss, "draw": one.draw}, result)
            for one, seed, result in each
        )
        return Students.of(self.experiment.student, found)

    def runs(self, plan: Plan, results: Mapping[Lesson, Sequence[Result]]) -> list[TaughtStudent]:
        """Every taught student, with what its teacher says and knows on the probe split."""
        experiment, probe, found = self.experiment, self.experiment.probe, list[TaughtStudent]()
        if probe is None:
            return found
        data, at = experiment.data, experiment.data.positions(probe)
        alone = results[Lesson("no_kd", None, 0, WITH_LABELS)]
        metric = primary_metric(pd.DataFrame({"metric": list(alone[0].metrics["scores"]["test"])}))
        for lesson, some in results.items():
            for i, (seed, result) in enumerate(zip(experiment.seeds, some, strict=True)):
                teacher = self.teacher(lesson, seed)
                taught = None if teacher is None else plan.taught[teacher]
                if taught is None or taught.result is None or f"probe/{probe}" not in taught.result.tensors:
                    continue
                gained, control = (one.metrics["scores"]["test"][metric] for one in (result, alone[i]))
                found.append(
                    TaughtStudent(
                        dataset=data.name,
                        student=experiment.seen_by("student"),
                        arm=lesson.arm,
                        loss=lesson.loss,
                        ratio=lesson.ratio,
                        draw=lesson.draw,
                        seed=seed,
                        split=probe,
                        gain=gained - control,
                        teacher_features=_doubles(taught.result, f"probe/{probe}"),
                        teacher_logits=taught.said.rows(data.sample_index[at]).logits[0].numpy(),
                        student_features=_doubles(alone[i], f"probe/{probe}"),
                        student_logits=_doubles(alone[i], f"logits/{probe}/{experiment.full.label}"),
                        target=data.target[at].cpu().numpy(),
                        task=data.task,
                    )
                )
        return found


def _doubles(result: Result, name: str) -> npt.NDArray[np.float64]:
    return np.asarray(result.tensors[name], dtype=np.float64)


def without_labels(arm: Arm) -> Arm:
    """The same arm learning from its teacher alone."""
    kept = tuple(Term(term.method, 1.0) for term in arm.loss if term.method == "kd")
    return replace(arm, loss=kept or tuple(term for term in arm.loss if term.method != "ce"))
