"""Is it worth filtering a teacher's answers? Generate, filter, teach: the shape of MIND (arXiv 2406.10701).

A filter throws answers away. Whether that helps a student is not told by its precision alone, since fewer
answers teach less: the control is as many answers drawn at random.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from mmkd_lab.core import check
from mmkd_lab.core.check import one_of
from mmkd_lab.data.paired import PairedData
from mmkd_lab.distill import ARMS, Answers, TeacherKind, TeacherOutputs, read_answers
from mmkd_lab.experiments.build import crossmodal
from mmkd_lab.experiments.checks import Checked
from mmkd_lab.experiments.claims import ALONE, claim, clauses, headline
from mmkd_lab.experiments.plan import Plan
from mmkd_lab.experiments.report import file_name, provenance
from mmkd_lab.experiments.result import Study
from mmkd_lab.experiments.session import session
from mmkd_lab.experiments.store import ResultStore
from mmkd_lab.study.failure import train

NAME = "filtered_answers"
ALL, FILTERED, RANDOM = "all answers", "filtered answers", "random answers"
NAMES = {one: f"the student of {one}" for one in (ALL, FILTERED, RANDOM)}


def filtered_answers(
    data: PairedData,
    *,
    student: str,
    answers: Answers | str | Path | pd.DataFrame,
    by: Answers | TeacherOutputs | str | Path | pd.DataFrame,
    teacher: str | None = None,
    threshold: float | None = None,
    arm: str = "cm_kd",
    seeds: Iterable[int] = range(5),
    student_model: object = None,
    store: ResultStore | None = None,
    jobs: int | None = None,
    progress: bool = True,
    **options: Any,  # noqa: ANN401 - the fields of Config
) -> Study:
    """What a student gains from answers, from those that a second opinion accepts, and from as many of them
    drawn at random, afresh for each seed.

    Args:
        data: the samples.
        student, teacher: the modality that the student reads, and what the answers were given by.
        answers: of the teacher, see `distill.read_answers`.
        by, threshold: the second opinion, see `Answers.filter`; a table is read likewise.
        arm: 'cm_kd' learns from labels too, 'kl_only' from the answers alone; any arm of a teacher of the
            other modality. Samples without an answer are left to the labels.
        seeds: distinct whole numbers.
        student_model, store, jobs, progress, options: as in `failure_cases`.

    Returns:
        a study of kind 'arms': no_kd, 'all answers', 'filtered answers', 'random answers'. The filter's
        precision and recall by split are in `provenance['filter']`.

    Raises:
        LabError: what `read_answers`, `Answers.filter` and `failure_cases` refuse, an arm of another teacher.
    """
    started, numbers = time.perf_counter(), check.seeds("seeds", seeds)
    one_of("arm", arm, [name for name, one in ARMS.items() if one.teacher == TeacherKind("other")])
    given = answers if isinstance(answers, Answers) else read_answers(answers, data)
    opinion = by if isinstance(by, (Answers, TeacherOutputs)) else read_answers(by, data)
    kept = given.filter(opinion, threshold=threshold)
    asked = [(ALL, given, numbers), (FILTERED, kept, numbers)]
    asked += [(RANDOM, given.random_like(kept, seed=seed), (seed,)) for seed in numbers]
    tables, found = list[pd.DataFrame](), list[Checked]()
    with session(4 * len(numbers) + 1, store=store, jobs=jobs, progress=progress) as runner:
        for name, said, some in asked:
            names = ["no_kd", arm] if name == ALL else [arm]
            experiment = crossmodal(
                NAME,
                data,
                student=student,
                teacher=teacher,
                arms=(names, names, ()),
                seeds=some,
                models=(student_model, {"other": said}),
                options=options,
                known=(),
            )
            table, checks = train(Plan(experiment, runner))
            rows = table if name == ALL else table[table["arm"] == arm]
            tables.append(rows.replace({"arm": {arm: name}}))
            found.append(checks)
        made = provenance(experiment, dict(runner.counts), started)
    table, several = pd.concat(tables, ignore_index=True), len(numbers) > 1
    pairs = [(FILTERED, ALL), (FILTERED, RANDOM), (FILTERED, "no_kd"), (ALL, "no_kd")]
    claims = [claim(table, *pair, names=NAMES) for pair in pairs]
    lead = f"{data.name}, {student} student"
    told = f"On {lead}, {len(numbers)} seed{'s' * several}, test accuracy in points"
    gains = "; ".join([*clauses(claims), *([] if several else [ALONE])])
    filtered = next(one for one in kept.notes if " train answers: " in one)
    assert kept.filtered is not None
    rows = kept.filtered.astype(object).where(kept.filtered.notna(), None)  # no share of nothing
    notes = dict.fromkeys([*kept.notes, *(note for one in found[:2] for note in one.notes)])
    return Study(
        name=file_name(NAME, data.name, student),
        title=headline(lead, claims[:1] if claims[0].side else claims[1:2]),
        table=table,
        verdict=f"{told}: {gains}. {filtered}{found[0].beside}",
        kind="arms",
        options={"metric": "accuracy", "reference": "no_kd"},
        provenance={
            **made,
            "arm": arm,
            "seeds": list(numbers),
            "filter": rows.to_dict("records"),
            "notes": list(notes),
        },
    )
