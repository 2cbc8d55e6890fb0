"""Failure case 1 of crossmodal distillation: does a stronger teacher make a better student?

Xue et al. 2023 (MFH), section 3 and table 1: a teacher that sees more than the student is stronger than a
unimodal teacher, yet its student is no better. Here on any paired data, with paired seeds and intervals.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

import pandas as pd
import torch
from tqdm.auto import tqdm

from mmkd_lab.core.check import of_type, require
from mmkd_lab.core.progress import watched
from mmkd_lab.data.paired import PairedData
from mmkd_lab.distill import ARMS, Objective, TeacherCache
from mmkd_lab.experiments.result import Study
from mmkd_lab.experiments.store import Result, ResultStore
from mmkd_lab.experiments.summary import COLUMNS, primary_metric
from mmkd_lab.models import NetSpec
from mmkd_lab.study import verdict
from mmkd_lab.study.networks import Done, Network, Workshop, cache_of
from mmkd_lab.study.profiles import profile as profile_of
from mmkd_lab.study.report import file_name, load_data, provenance, score_rows
from mmkd_lab.study.setting import Setting, settle, teacher_seed
from mmkd_lab.training.device import resolve
from mmkd_lab.training.recipe import Recipe

NAME = "failure_cases"


def failure_cases(
    dataset: str | PairedData,
    *,
    student: str,
    teacher: str | None = None,
    seeds: Iterable[int] | None = None,
    arms: Sequence[str] = tuple(ARMS),
    profile: str = "quick",
    recipe: Recipe | None = None,
    teacher_recipe: Recipe | None = None,
    student_spec: NetSpec | None = None,
    teacher_spec: NetSpec | None = None,
    kd_weight: float = 0.5,
    temperature: float = 4.0,
    convention: str = "kl",
    store: ResultStore | None = None,
    device: str = "auto",
    progress: bool = True,
) -> Study:
    """Train every arm's teacher and student on paired seeds, and say who made the better student.

    Under one seed all students start from the same weights and see the samples in the same order; only what
    they learn from differs. Temperature and weights are the same for every arm and are not tuned. The network
    of the best validation epoch is kept; the test split selects nothing.

    Args:
        dataset: a name for `data.load`, with the profile's parameters, or your own paired data, used whole.
        student: the modality the student sees.
        teacher: the modality the crossmodal teacher sees; may be left out when there are only two.
        seeds: distinct whole numbers; the profile's number of seeds by default.
        arms: names from `distill.ARMS`.
        profile: 'quick' or 'full', see `study.profiles`.
        recipe: how students are trained, and teachers too unless `teacher_recipe` is given.
        teacher_recipe: how teachers are trained.
        student_spec: the student's network; its modalities are set here.
        teacher_spec: the network of all teachers; larger than the student's by default.
        kd_weight: rho of (1 - rho) CE + rho T² KL; see `Objective.of_arms` for where 0.5 and T = 4 come from.
        temperature: T.
        convention: 'kl', or 'released' for the divergence divided by the number of classes.
        store: where finished networks are kept; the default store (see `runs.store`) when None.
        device: 'auto' or a torch device.
        progress: show a progress bar over networks.

    Returns:
        a study of kind 'arms'. Accuracy in percent, nll in nats, for every split; the verdict is about test.

    Raises:
        LabError: an unknown dataset, modality, arm or profile; fewer than two modalities; repeated seeds; a
            weight or temperature out of range; a missing split that selection or the report needs.
        DamagedFile: a stored entry, or a file of the dataset, is damaged.
    """
    started = time.perf_counter()
    size = profile_of(profile)
    setting = settle(
        load_data(dataset, size),
        size,
        student=student,
        teacher=teacher,
        arms=arms,
        seeds=seeds,
        student_spec=student_spec,
        teacher_spec=teacher_spec,
        recipe=recipe,
        teacher_recipe=teacher_recipe,
        kd_weight=kd_weight,
        temperature=temperature,
        convention=convention,
        device=resolve(of_type("device", device, (str, torch.device), "'auto' or a torch device")),
    )
    require(store is None or isinstance(store, ResultStore), "store", store, "must be a ResultStore or None")
    kept = ResultStore() if store is None else store
    counts = {"stored": 0, "trained": 0}
    total = len(setting.seeds) * (len(setting.views) + len(setting.arms))
    with tqdm(total=total, desc=NAME, unit="network", disable=not watched(progress)) as bar:

        def done(network: Network, how: str) -> None:
            counts[how] += 1
            bar.set_postfix_str(f"{network.role} {network.arm}, seed {network.seed}, {how}")
            bar.update(1)

        teachers = _teachers(setting, kept, done)
        students = _students(setting, kept, teachers, done)
    table = _table(setting, teachers, students)
    views = {
        arm.name: " + ".join(setting.views[arm.teacher]) for arm in setting.arms if arm.teacher != "none"
    }
    return Study(
        name=f"{NAME}_{file_name(setting.data.name)}_{file_name(student)}",
        title=verdict.title(table, student=student),
        table=table,
        verdict=verdict.sentence(table, student=student, views=views),
        kind="arms",
        options={"metric": primary_metric(table)},
        provenance={
            **provenance(setting, study=NAME, profile=profile),
            "student_parameters": students[0][1].metrics["parameters"],
            "teacher_parameters": {kind: found[0].metrics["parameters"] for kind, found in teachers.items()},
            "networks": counts,
            "seconds": round(time.perf_counter() - started, 3),
        },
    )


def _teachers(setting: Setting, store: ResultStore, done: Done) -> dict[str, list[Result]]:
    """{kind of teacher: one outcome per seed}."""
    found = {}
    for kind, modalities in setting.views.items():
        workshop = Workshop(
            data=setting.data,
            spec=setting.teacher_spec.on(*modalities),
            recipe=setting.teacher_recipe,
            device=setting.device,
            store=store,
            keep=tuple(setting.data.splits),
        )
        alone = Objective(task=setting.data.task)
        networks = [Network("teacher", kind, seed, teacher_seed(seed), alone) for seed in setting.seeds]
        found[kind] = workshop.train(networks, done=done)
    return found


def _students(
    setting: Setting, store: ResultStore, teachers: dict[str, list[Result]], done: Done
) -> list[tuple[Network, Result]]:
    workshop = Workshop(
        data=setting.data,
        spec=setting.student_spec.on(setting.student),
        recipe=setting.student_recipe,
        device=setting.device,
        store=store,
        keep=tuple(split for split in setting.data.splits if split != "train"),
    )
    caches: dict[str, list[TeacherCache]] = {
        kind: [cache_of(result, setting.data) for result in results] for kind, results in teachers.items()
    }
    networks = [
        Network(
            role="student",
            arm=arm.name,
            seed=seed,
            stream=seed,
            objective=setting.objective(arm),
            teacher=None if arm.teacher == "none" else caches[arm.teacher][i],
        )
        for arm in setting.arms
        for i, seed in enumerate(setting.seeds)
    ]
    return list(zip(networks, workshop.train(networks, done=done), strict=True))


def _table(
    setting: Setting, teachers: dict[str, list[Result]], students: list[tuple[Network, Result]]
) -> pd.DataFrame:
    rows: list[tuple[object, ...]] = []
    for arm in setting.arms:
        if arm.teacher != "none":
            for seed, result in zip(setting.seeds, teachers[arm.teacher], strict=True):
                rows += score_rows(NAME, setting.data.name, arm.name, "teacher", seed, result)
        for network, result in students:
            if network.arm == arm.name:
                rows += score_rows(NAME, setting.data.name, arm.name, "student", network.seed, result)
    return pd.DataFrame(rows, columns=list(COLUMNS))
