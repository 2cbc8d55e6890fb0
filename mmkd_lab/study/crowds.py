"""People as teachers: raters of CREMA-D's clips who heard the voice, saw the face, or both (Cao et al. 2014).

Their votes are soft labels, and their logarithms the logits of a teacher that is no network. The student is a
small network that reads nothing but the votes of the voice's raters: what can it be taught by its own crowd,
by the one that saw the face, and by the one that had both?
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from mmkd_lab import data as datasets
from mmkd_lab.core import check
from mmkd_lab.core.check import one_of, real, require
from mmkd_lab.data.datasets.crema_votes import SENSES, soft_labels
from mmkd_lab.data.paired import PairedData
from mmkd_lab.distill import TeacherOutputs, kd_divergence
from mmkd_lab.distill.teacher_outputs import identity_of
from mmkd_lab.experiments.build import crossmodal
from mmkd_lab.experiments.claims import claim, headline, joined, ordered
from mmkd_lab.experiments.lessons import Student, teachers_of
from mmkd_lab.experiments.plan import Plan
from mmkd_lab.experiments.report import file_name, provenance
from mmkd_lab.experiments.result import Study
from mmkd_lab.experiments.session import session
from mmkd_lab.experiments.store import ResultStore
from mmkd_lab.experiments.students import Students
from mmkd_lab.experiments.summary import summarise
from mmkd_lab.experiments.table import Table, teacher_scores
from mmkd_lab.models import NetSpec
from mmkd_lab.training.recipe import Recipe

NAME = "crowd_students"
ARMS = ("no_kd", "um_kd", "cm_kd", "mm_kd")
STUDENT = NetSpec(encoder="mlp", width=4, features=16)
RECIPE = Recipe(epochs=10, batch_size=64, lr=3e-3)
#: Votes added to every emotion, so that one that nobody named has a logit: Jeffreys' prior.
SMOOTHING = 0.5


def crowd_teacher(
    data: PairedData,
    sense: str = "audiovisual",
    *,
    smoothing: float = SMOOTHING,
    mirror: str | Path | None = None,
    path: str | Path | None = None,
) -> TeacherOutputs:
    """The raters of one sense as a teacher (R = 1) for every clip of a dataset.

    Args:
        data: clips by the sample index of `data.load("crema_votes")`, with its six emotions; the modalities
            may be your own.
        sense: 'voice', 'face' or 'audiovisual': what the raters were given.
        smoothing: votes added to every emotion. A logit is the logarithm of a smoothed share, so that at
            T = 1 `kd_divergence` is the cross-entropy with the shares less their entropy.
        mirror, path: as in `data.load`.

    Raises:
        LabError: an unknown sense, a smoothing that is not above 0, other classes, a sample that is no clip.
        DamagedFile: the file of votes is missing or damaged.
    """
    one_of("sense", sense, SENSES)
    real("smoothing", smoothing, above=0.0)
    shares = soft_labels(data.sample_index, smoothing=smoothing, mirror=mirror, path=path)
    rule = "must be the emotions that the raters could choose"
    require(data.num_classes == shares.shape[2], "data.classes", data.classes, rule)
    logits = shares[:, SENSES.index(sense)].double().log()[None]
    return TeacherOutputs(data.sample_index.cpu(), logits, identity=identity_of(data))


def crowd_students(
    *,
    student: str = "voice",
    seeds: Iterable[int] = range(5),
    mirror: str | Path | None = None,
    store: ResultStore | None = None,
    jobs: int | None = None,
    progress: bool = True,
    **options: Any,  # noqa: ANN401 - the fields of Config
) -> Study:
    """What a student of one crowd's votes learns from labels, and from each crowd besides.

    Arms: no_kd learns from labels (the emotion that the actor was asked for), um_kd also from its own crowd,
    cm_kd from the crowd of the other sense, mm_kd from the one that had both. A seed draws the split of
    actors, the student's weights and its order of samples; arms of a seed share all three.

    Args:
        student: 'voice' or 'face', whose votes it reads.
        seeds: distinct whole numbers.
        mirror: as in `data.load`.
        store, jobs, progress, options: as in `failure_cases`; temperature is 1 unless told otherwise, which
            leaves the votes as they are.

    Returns:
        a study of kind 'arms'; 'teacher' rows are the crowd itself. Beside accuracy (percent) and nll (nats)
        'divergence' is the mean KL from the audiovisual crowd's shares to the student's, or the crowd's own,
        in nats. Test actors of different seeds overlap, so that the intervals are a little too narrow.

    Raises:
        LabError: an unknown sense or option, repeated seeds, a weight or temperature out of range.
        DamagedFile: the file of votes is missing or damaged.
    """
    started = time.perf_counter()
    one_of("student", student, ("voice", "face"))
    numbers = check.seeds("seeds", seeds)
    given = {"temperature": 1.0, "recipe": RECIPE, **options}
    other = "face" if student == "voice" else "voice"
    senses = {"um_kd": student, "cm_kd": other, "mm_kd": "audiovisual"}
    folder = None if mirror is None else str(mirror)
    tables, plans, made = [], list[Plan](), dict[str, object]()
    with session(len(numbers) * len(ARMS), store=store, jobs=jobs, progress=progress) as runner:
        for seed in numbers:
            data = datasets.load("crema_votes", senses=("voice", "face"), seed=seed, mirror=folder)
            crowds = {sense: crowd_teacher(data, sense, mirror=mirror) for sense in SENSES}
            experiment = crossmodal(
                NAME,
                data,
                student=student,
                teacher=other,
                arms=(ARMS, ARMS, ()),
                seeds=[seed],
                models=(
                    STUDENT,
                    {"student": crowds[student], "other": crowds[other], "all": crowds["audiovisual"]},
                ),
                options=given,
                known=(),
            )
            plans.append(Plan(experiment, runner))
            tables.append(_table(plans[-1], crowds["audiovisual"]))
            made = provenance(experiment, dict(runner.counts), started)
    table = pd.concat(tables, ignore_index=True)
    return Study(
        name=file_name(NAME, student),
        title=headline(f"What people teach a {student} student", _claims(table, senses)),
        table=table,
        verdict=_verdict(table, student, senses, len(numbers)),
        kind="arms",
        options={"metric": "accuracy", "reference": "no_kd"},
        provenance={**made, "student": student, "seeds": list(numbers), "smoothing": SMOOTHING},
        students=Students.of_plan(*plans),
    )


def _table(plan: Plan, both: TeacherOutputs) -> pd.DataFrame:
    """One seed's rows: the crowds' own scores on the test split, and the students'."""
    experiment, data = plan.experiment, plan.experiment.data
    teachers = teachers_of(experiment.arms, experiment.seeds)
    plan.teach(one for several in teachers.values() for one in several)
    (seed,) = experiment.seeds
    wanted = [
        Student(arm, seed, experiment.plain, next(iter(teachers.get(arm.name, [])), None))
        for arm in experiment.arms
    ]
    table = Table(NAME, data)
    index = data.sample_index[data.positions("test")]
    for arm, result in zip(experiment.names, plan.students(wanted), strict=True):
        if arm in teachers:
            crowd = plan.taught[teachers[arm][0]].said
            named = teacher_scores(crowd, data)["test"]
            named["divergence"] = _divergence(both, crowd.rows(index).logits, index)
            table.add(arm, "teacher", seed, "test", named)
        table.scores(arm, "student", seed, result.metrics["scores"])
        logits = torch.from_numpy(result.tensors[f"logits/test/{experiment.full.label}"].copy())[None]
        table.add(arm, "student", seed, "test", {"divergence": _divergence(both, logits, index)})
    return table.frame()


def _divergence(both: TeacherOutputs, logits: Tensor, index: Tensor) -> float:
    """Mean KL in nats from the audiovisual crowd's shares to the softmax of logits (1, n, K)."""
    return float(kd_divergence(logits, both.rows(index).logits.to(logits.dtype))[0])


def _claims(table: pd.DataFrame, senses: dict[str, str]) -> list[Any]:
    names = {arm: f"the {sense} crowd's student" for arm, sense in senses.items()}
    return [claim(table, arm, "no_kd", names={**names, "no_kd": "labels alone"}) for arm in senses]


def _verdict(table: pd.DataFrame, student: str, senses: dict[str, str], n: int) -> str:
    splits = f"{n} split{'s' if n > 1 else ''} of the actors"
    means = summarise(table).set_index(["role", "arm"])["mean"]
    nats = summarise(table, metric="divergence").set_index(["role", "arm"])["mean"]
    gains = [
        f"{one.found.show(signed=True)} with the {senses[one.treated]} crowd"
        for one in ordered(_claims(table, senses))
    ]
    away = [f"{nats['student', arm]:.2f} with the {sense} crowd" for arm, sense in senses.items()]
    return (
        f"On crema_votes ({student} student, {splits}, test accuracy), labels alone reach "
        f"{means['student', 'no_kd']:.2f} %; beside them, in points, {joined(gains)}. Divergence from the "
        f"audiovisual crowd, in nats: {nats['teacher', 'um_kd']:.2f} of the {student} crowd itself, "
        f"{nats['student', 'no_kd']:.2f} of the student by labels alone, {joined(away)}."
    )
