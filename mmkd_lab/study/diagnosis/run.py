"""One call about one pair: what its modalities tell and share, and what to do about it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mmkd_lab.core.calling_off import CalledOff, heeding
from mmkd_lab.core.check import DamagedFile, LabError, UnreadableFile, of_type
from mmkd_lab.core.progress import jobs_progress, rough
from mmkd_lab.data.paired import PairedData
from mmkd_lab.experiments.report import file_name, provenance
from mmkd_lab.experiments.runner import NotStored
from mmkd_lab.experiments.session import session
from mmkd_lab.experiments.store import ResultStore
from mmkd_lab.experiments.summary import COLUMNS
from mmkd_lab.study.diagnosis import advice, agree, arms, curve, fits, forecasts, looks, shared, tells
from mmkd_lab.study.diagnosis.budget import Clock, Desk, seconds_of
from mmkd_lab.study.diagnosis.case import Case, called, experiment_of
from mmkd_lab.study.diagnosis.finding import MORE, SectionFound
from mmkd_lab.study.diagnosis.result import Diagnosis
from mmkd_lab.training.device import threads

NAME = "diagnose"


@dataclass(frozen=True)
class Part:
    """One section: its name, its question, how the answer is found, and what that takes.

    `takes` counts students, teachers and networks of all modalities a seed, the plain classifiers of all
    inputs, and further seconds of one core; `single` says that it needs one label a sample.
    """

    name: str
    title: str
    find: Callable[[Case, SectionFound], None]
    takes: tuple[float, float, float, float, float]
    single: bool = False

    def seconds(self, case: Case) -> float:
        """About so many."""
        students, teachers, every, classifiers, more = self.takes
        experiment = case.experiment
        times = len(case.train) if self.name == "arms" else 1.0
        if self.name == "looks":  # joint training by its own number of steps
            n = len(case.data.positions("train"))
            times += experiment.config.joint.epochs * -(-n // 64) / experiment.student_recipe.length(n)[1]
        each = students * case.seconds("student") + every * case.seconds("all")
        if teachers and experiment.teachers["other"].kind != "table":
            joint = self.name == "looks" or experiment.teachers["other"].trains
            each += teachers * case.seconds("teacher") * joint
        return more + times * each * len(experiment.seeds) + classifiers * case.plain_seconds


#: In the order of their value: what is left out when time is short comes last.
PARTS = (
    Part("fit", "Do the networks learn what there is to learn?", fits.fits, (1, 1, 0, 1, 0)),
    Part("tells", "What does each modality tell?", tells.tells, (2, 1, 1, 2, 0)),
    Part(
        "agree", "Do teacher and student agree where they should?", agree.agrees, (1, 1, 0, 0, 1), single=True
    ),
    Part("curve", "More labels, or a better teacher?", curve.learns, (0, 1, 1, 0, 5)),
    Part(
        "forecast",
        "What is to be expected of each arm?",
        forecasts.foretells,
        (0, 0, 0, 0, 10),
        single=True,
    ),
    Part("shares", "What do the modalities share?", shared.shares, (0, 0, 0, 0, 10)),
    Part("looks", "What does the teacher look at?", looks.looks, (1, 1, 1, 0, 3), single=True),
    Part("arms", "The arms, trained", arms.trains, (1, 1, 0, 0, 1)),
)


def diagnose(
    data: str | PairedData,
    *,
    student: str,
    teacher: str | None = None,
    student_model: object = None,
    teacher_model: object = None,
    layer: str | None = None,
    budget: float | str | None = "5 min",
    train: bool | Sequence[str] = False,
    seeds: Iterable[int] | None = None,
    store: ResultStore | None = None,
    jobs: int | None = None,
    progress: bool = True,
    **options: Any,  # noqa: ANN401 - the fields of Config
) -> Diagnosis:
    """One page about a pair of modalities and their networks: what is there, and what to do about it.

    Sections come in the order of their value: whether the networks learn what plain classifiers do, what
    each modality tells, whether teacher and student agree where they should, whether more labels or a better
    teacher would help more, what to expect of each arm, what both modalities share, what the teacher looks
    at and, if asked for, the arms themselves. Every number is of the validation split, or of test where there
    is no other; only trained arms are looked at on test. Nothing here is corrected for the number of
    comparisons.

    Args:
        data: a name for `data.load`, or your own paired data.
        student, teacher: the modality that each sees; the teacher's may be left out where there are only two.
        student_model, teacher_model: as in `failure_cases`: a NetSpec, a function that gives a fresh module,
            a module with its weights, for the teacher also a table of answers. The lab's own by default.
        layer: of the teacher, whose channels are ranked; None for what its head reads.
        budget: seconds, or a time such as '30 s' and '5 min'; None for no end. What is in the store costs
            nothing; a section that would not fit, or has not come to an end by then, is left out and says so,
            and what it has finished is kept: the same call again goes on from there.
        train: True for the arms of `failure_cases`, or the names of any arms of `failure_cases`,
            `repair_teachers` or `kd_vs_msd`, to have them trained at the end.
        seeds: of the networks; three by default.
        store, jobs, progress: as in `failure_cases`; the bar counts sections.
        options: see `experiments.Config`: profile, recipe, teacher_recipe, kd_weight, temperature, device,
            side, axis, joint. Without a recipe, beyond 2,048 training samples epochs shrink, so that about as
            many steps are made.

    Returns:
        a `Diagnosis`: `.advice` says what to do, `.sections` why, `.report("page.html")` writes all of it.

    Raises:
        LabError: what `failure_cases` refuses; a budget that is no time; an arm that nobody has; a layer that
            the teacher lacks; a dense task.
        DamagedFile: a stored entry, or a file of the dataset, is damaged.
    """
    clock, wanted = Clock(seconds_of(budget)), arms.asked_for(train)
    if layer is not None:
        options["layer"] = of_type("layer", layer, str, "the name of a layer of the teacher")
    experiment = experiment_of(
        data,
        pair=(student, teacher),
        models=(student_model, teacher_model),
        seeds=seeds,
        options=options,
    )
    calls = called(data, {"student_model": student_model, "teacher_model": teacher_model})
    with session(0, store=store, jobs=jobs, progress=False) as runner:
        case = Case(experiment, Desk(runner.store, runner.jobs), calls, lambda: clock.left, wanted)
    parts = [one for one in PARTS if one.name != "arms" or wanted]
    found = dict[str, SectionFound]()
    with jobs_progress(len(parts), "section", shown=progress) as bar:
        for part in parts:
            with threads(1):
                found[part.name] = _attempt(part, case, clock)
            bar.update(part.title)
    return _diagnosis(case, found, clock)


def _attempt(part: Part, case: Case, clock: Clock) -> SectionFound:
    """What a section finds: from the store at no cost, else if there is time."""
    found, begun = (
        SectionFound(part.name, part.title, (NAME, case.data.name), case.split),
        time.perf_counter(),
    )
    if part.single and not case.single:
        found.left_out = (
            f"it needs one label a sample, and {case.data.name} is {case.data.task.value}; "
            "data.one_label(...) asks of one."
        )
        return found
    try:
        try:
            case.desk.may_work = False
            part.find(case, found)
        except NotStored:
            case.desk.may_work = True
            found.clear()
            cost = part.seconds(case)
            if cost > clock.left:
                found.short = True
                found.left_out = f"it takes about {rough(cost)}, and {_time(clock.left)} are left."
                return found
            with heeding(lambda: clock.left < 0):
                part.find(case, found)
    except CalledOff:
        found.clear()
        found.short = True
        found.left_out = (
            "the budget was spent on it; what is finished is kept, and the same call goes on there."
        )
    except (DamagedFile, UnreadableFile):
        raise
    except LabError as error:
        found.clear()
        found.left_out = f"it cannot be had here: {error}"
    found.seconds = time.perf_counter() - begun
    return found


def _time(seconds: float) -> str:
    return "0 s" if seconds < 1 else rough(seconds)


def _diagnosis(case: Case, found: dict[str, SectionFound], clock: Clock) -> Diagnosis:
    experiment, rows = case.experiment, [row for one in found.values() for row in one.rows]
    if not rows:
        why = next(one.left_out for one in found.values())
        raise LabError("budget", clock.budget, f"is too short for any section: {why}", "Give it more")
    table, todo = pd.DataFrame(rows, columns=[*COLUMNS, *MORE]), advice.advise(case, found)
    title = f"{case.data.name}: {case.teacher} teacher, {case.student} student"
    return Diagnosis(
        name=file_name(NAME, case.data.name, case.teacher, case.student),
        title=title,
        table=table,
        verdict=_verdict(case, todo),
        kind="diagnosis",
        options={"metric": case.metric, "names": [case.teacher, case.student]},
        provenance={
            **provenance(experiment, dict(case.desk.counts), clock.started, "layer", "side", "axis", "joint"),
            "student": case.student,
            "teacher": case.teacher,
            "evidence": case.split,
            "train": list(case.train),
            "left_out_sections": {name: one.left_out for name, one in found.items() if one.left_out},
            "section_seconds": {name: round(one.seconds, 1) for name, one in found.items()},
            "notes": [f"{row['rank']}. {row['sentence']}" for row in todo.to_dict("records")],
        },
        sections=found,
        advice=todo,
        pairs={seed: pair for (agrees, seed), pair in case.plan().pairs.items() if agrees},
    )


def _verdict(case: Case, todo: pd.DataFrame) -> str:
    """The pair, and the first things to do."""
    n = len(case.experiment.seeds)
    lead = (
        f"On {case.data.name} ({case.teacher} teacher, {case.student} student, {n} "
        f"seed{'s' * (n > 1)}, {case.split} samples)"
    )
    said = [str(one).rstrip(".") for one in todo["sentence"].head(3)]
    return (
        f"{lead}: {'; '.join(one[0].lower() + one[1:] for one in said)}."
        if said
        else f"{lead}: nothing to do."
    )
