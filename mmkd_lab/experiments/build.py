"""From what a study was asked to an experiment, checked: the boundary behind which everything is trusted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mmkd_lab.core import check
from mmkd_lab.core.check import LabError, one_of, require
from mmkd_lab.data.meta import set_aside
from mmkd_lab.data.paired import PairedData, Task
from mmkd_lab.data.task import META
from mmkd_lab.distill import ARMS, msd_views
from mmkd_lab.experiments.cannot import cannot_be_had
from mmkd_lab.experiments.config import MSD_OPTIONS, Config, splits_needed
from mmkd_lab.experiments.experiment import (
    Experiment,
    Names,
    chosen_arms,
    recipes,
    roles,
    sources,
    twins,
)
from mmkd_lab.experiments.profiles import MAPS, MULTIMODAL, PROFILES, Profile
from mmkd_lab.experiments.report import load_data
from mmkd_lab.models import View
from mmkd_lab.models.removal import removal_named
from mmkd_lab.training.device import resolve
from mmkd_lab.training.metrics import names_of
from mmkd_lab.training.recipe import Recipe

#: (asked for, the study's own, those that are needed).
Chosen = tuple[Sequence[str] | None, Sequence[str], Sequence[str]]


def crossmodal(
    study: str,
    dataset: object,
    *,
    student: Names,
    teacher: Names | None,
    arms: Chosen,
    seeds: Iterable[int] | None,
    models: tuple[object, object],
    options: Mapping[str, Any],
    known: Sequence[str],
    probe: bool = False,
) -> Experiment:
    """An experiment whose students and teachers read what is named; arguments as in `study.failure_cases`.

    Args:
        arms: see `Chosen`.
        models: the student's and the teacher's.
        options: what was told of the configuration.
        known: the options that this study knows beside the common ones.
        probe: whether features are kept on validation data; never of a dense task, where they are maps.
    """
    config = Config.of(study, known, options)
    profile = PROFILES[config.profile]
    data = load_data(dataset, profile)
    profile = MAPS[config.profile] if data.task is Task.DENSE else profile
    mine, theirs = roles(data, student, teacher)
    reads = {"student": mine, "other": theirs, "all": tuple(data.modalities)}
    kept = "val" if "val" in data.splits else "train"
    where = kept if probe and data.task is not Task.DENSE else None
    return _built(study, data, reads, arms, seeds, models, config, profile, fixed="other", probe=where)


def multimodal(
    study: str,
    dataset: object,
    *,
    arms: Chosen,
    seeds: Iterable[int] | None,
    models: tuple[object, object],
    options: Mapping[str, Any],
) -> Experiment:
    """An experiment whose student reads every modality, as its teacher does."""
    config = Config.of(study, MSD_OPTIONS, options, temperature=2.0)
    profile = MULTIMODAL[config.profile]
    data = load_data(dataset, profile)
    names = list(data.modalities)
    require(len(names) >= 2, "dataset", names, "must have at least two modalities", "MSD compares views.")
    profile = MAPS[config.profile] if data.task is Task.DENSE else profile
    known = data if META in data.splits else set_aside(data, share=config.meta_share)
    every = tuple(sorted(names))
    reads = dict.fromkeys(("student", "all"), every)
    alone = [View.only(name) for name in every]
    views = tuple(dict.fromkeys([*alone, *msd_views(every, kind=config.aux)]))
    found = _built(study, known, reads, arms, seeds, models, config, profile, fixed="all", views=views)
    _can_remove(found)
    for argument, source in _teachers(found):
        whole = source.kind != "table" or not source.outputs.partial
        rule = "must answer for every sample here, where views of a sample are compared"
        require(whole, argument, "a table that lacks samples", rule, "See study.failure_cases.")
    return found


def _built(
    study: str,
    data: PairedData,
    reads: Mapping[str, tuple[str, ...]],
    arms: Chosen,
    seeds: Iterable[int] | None,
    models: tuple[object, object],
    config: Config,
    profile: Profile,
    *,
    fixed: str,
    views: tuple[View, ...] = (),
    probe: str | None = None,
) -> Experiment:
    student_recipe, teacher_recipe = recipes(config, profile)
    splits_needed(
        data,
        {"recipe": student_recipe, "teacher_recipe": teacher_recipe},
        *(["val"] if fixed == "all" else []),
    )
    _known_metrics(data, config, {"recipe": student_recipe, "teacher_recipe": teacher_recipe})
    asked, default, needed = arms
    names = list(default) if asked is None else check.flat("arms", asked, "a list of arms")
    kinds = [ARMS[str(name)].teacher for name in names if str(name) in ARMS]
    sees = list(dict.fromkeys(kind.sees for kind in kinds if kind is not None))
    for one in sees:
        one_of("what the teacher of an arm sees", one, list(reads))
    student, teachers = sources(
        data, profile, reads, student=models[0], teacher=models[1], needed=sees, fixed=fixed
    )
    require(
        student.kind != "table", "student_model", "a table", "must be a network: a table cannot be taught"
    )
    table = config.teacher_sees == "same" and any(one.kind == "table" for one in teachers.values())
    rule = "cannot be had of a table of answers, which has none about an augmented sample"
    require(not table, "teacher_sees", config.teacher_sees, rule, "Use 'clean'.")
    found = Experiment(
        study=study,
        data=data,
        arms=(),
        seeds=check.seeds("seeds", range(profile.seeds) if seeds is None else seeds),
        config=config,
        modalities=reads,
        student=student,
        teachers=teachers,
        student_recipe=student_recipe,
        teacher_recipe=teacher_recipe,
        device=resolve(config.device),
        views=views,
        probe=probe,
    )
    known = [str(name) for name in names if str(name) in ARMS]
    everything = replace(found, arms=tuple(ARMS[name] for name in known))
    losses = {name: everything.loss(ARMS[name], everything.plain) for name in known}
    cannot = cannot_be_had(
        known,
        losses,
        data=data,
        student=student,
        teachers=teachers,
        recipe=student_recipe,
        config=config,
    )
    cannot = {**twins(everything.arms, reads), **cannot}
    chosen, left_out = chosen_arms(asked, default, cannot, data, *needed)
    kept = {one.teacher.sees for one in chosen if one.teacher is not None}
    return replace(
        found,
        arms=chosen,
        left_out=left_out,
        teachers={sees: source for sees, source in teachers.items() if sees in kept},
    )


def _known_metrics(data: PairedData, config: Config, recipes: Mapping[str, Recipe]) -> None:
    known = names_of(data.task, data.metrics)
    parts = [f"{name} ({part})" for name in known for part in ("complete", "incomplete") if data.present]
    told = {"metric": config.metric} | {f"{k}.select_metric": r.select_metric for k, r in recipes.items()}
    for argument, name in told.items():
        if name is not None:
            one_of(argument, name, [*known, *parts] if argument == "metric" else known)


def _can_remove(experiment: Experiment) -> None:
    """Refuse now what would fail after the teachers are trained."""
    data, removal = experiment.data, experiment.config.removal
    sample = data.batch(data.positions("train")[:2], tuple(data.modalities))
    for view in experiment.views:
        removal_named(removal, data).apply(sample, view)
    own = "teacher_dropout" if experiment.config.teacher_dropout else "teacher_recipe.modality_dropout"
    recipes = {"recipe.modality_dropout": experiment.student_recipe, own: experiment.teacher_recipe}
    for name, recipe in recipes.items():
        clash = recipe.modality_dropout > 0 and removal == "permutation"
        rule = "cannot be had with removal='permutation', which removes whole modalities"
        require(not clash, name, recipe.modality_dropout, rule)
    for argument, source in (("student_model", experiment.student), *_teachers(experiment)):
        known = source.removals
        if known is not None and removal not in known:
            rule = f"{argument} cannot do it; it can do {', '.join(known)}"
            raise LabError("removal", removal, rule, "See models.NetSpec.")


def _teachers(experiment: Experiment) -> list[tuple[str, Any]]:
    return [("teacher_model", source) for source in experiment.teachers.values()]
