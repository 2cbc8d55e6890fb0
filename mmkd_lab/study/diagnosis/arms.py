"""The arms themselves, trained where they were asked for, each by the study that knows it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from mmkd_lab.core.check import flat, one_of
from mmkd_lab.experiments.result import Study
from mmkd_lab.experiments.summary import primary_metric
from mmkd_lab.study import failure, msd, repair
from mmkd_lab.study.diagnosis.case import Case
from mmkd_lab.study.diagnosis.finding import SectionFound

STUDENT = "student"
_STUDIES: dict[str, tuple[Callable[..., Study], tuple[str, ...], str]] = {
    "failure_cases": (failure.failure_cases, failure.ARMS, "no_kd"),
    "repair_teachers": (repair.repair_teachers, repair.ARMS, "no_kd"),
    "kd_vs_msd": (msd.kd_vs_msd, msd.ARMS, "kd"),
}


def asked_for(train: object) -> tuple[str, ...]:
    """The names of the arms to be trained: none, the usual ones for True, or those that are listed.

    Raises `LabError` for an arm that no study has.
    """
    if isinstance(train, bool):
        return failure.ARMS if train else ()
    known = list(dict.fromkeys(name for _, arms, _ in _STUDIES.values() for name in arms))
    names = tuple(map(str, flat("train", train, "True, False or a list of arms", "For example train=True.")))
    for name in names:
        one_of("train", name, known)
    return names


def trains(case: Case, found: SectionFound) -> None:
    """Every arm that was asked for, on paired seeds, by the same store: the test split is looked at here."""
    for name, arms in _shared_out(case.train).items():
        study = _run(case, name, arms)
        found.studies[name] = study
        metric = primary_metric(study.table)
        part = study.table[(study.table["split"] == "test") & (study.table["metric"] == metric)]
        part = part[part["role"].isin(("student", "teacher"))]
        keys = ["role", "arm", *(one for one in ("view", "ratio", "loss") if one in part)]
        for key, rows in part.groupby(keys, sort=False, dropna=False):
            role, arm, *at = key
            what = ", ".join([f"{name}: {role}", *map(str, at)])
            by_seed = dict(zip(rows["seed"], rows["value"], strict=True))
            found.seeds(str(arm), metric, by_seed, role=what)
        found.says.append(study.verdict)
        found.figures.append(study.plot())


def _shared_out(names: Iterable[str]) -> dict[str, list[str]]:
    """{study: its arms}, each arm by the first study that has it, its control with it."""
    found: dict[str, list[str]] = {}
    for arm in names:
        study = next(one for one, (_, arms, _) in _STUDIES.items() if arm in arms)
        found.setdefault(study, []).append(arm)
    if "no_kd" in found.get("failure_cases", []) and len(found["failure_cases"]) == 1 and len(found) > 1:
        del found["failure_cases"]  # a control alone: the other studies have their own
    return {study: list(dict.fromkeys([_STUDIES[study][2], *arms])) for study, arms in found.items()}


def _run(case: Case, name: str, arms: list[str]) -> Study:
    experiment, config = case.experiment, case.experiment.config
    told: dict[str, Any] = {
        "arms": arms,
        "seeds": experiment.seeds,
        "store": case.desk.store,
        "jobs": case.desk.jobs,
        "progress": False,
        "device": config.device,
        "profile": config.profile,
    }
    if name != "kd_vs_msd":
        models = {"student": experiment.student, **experiment.teachers}
        told |= {
            "student": case.student,
            "teacher": case.teacher,
            "student_model": models.pop("student").value,
            "teacher_model": {sees: source.value for sees, source in models.items()},
            "recipe": experiment.student_recipe,
            "teacher_recipe": experiment.teacher_recipe,
            "kd_weight": config.kd_weight,
            "temperature": config.temperature,
            "convention": config.convention,
        }
    if name == "repair_teachers":
        told |= {one: getattr(config, one) for one in ("layer", "side", "axis", "joint")}
        told |= {"ratios": (0.5,), "losses": ("ce + kd",), "draws": 1}
    return _STUDIES[name][0](case.data, **told)
