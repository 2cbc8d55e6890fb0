"""Figures 2 and 3 of MFH, and any other sweep over Gaussian worlds: what KD is worth as the shares change.

Source: Xue et al. 2023 (MFH), Gaussian worlds. Both figures say that the student gains with gamma, the shared
part of what decides the label, and not with the accuracy of its teacher.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from mmkd_lab.core.check import flat, mapping, of_type, one_of, real, require
from mmkd_lab.core.stats import Interval, mean_interval, paired_interval
from mmkd_lab.data.gaussian import FIGURE2, FIGURE3, World, Worlds, worlds
from mmkd_lab.distill.arms import Arm
from mmkd_lab.distill.arms import arms as named_arms
from mmkd_lab.experiments.result import Study, validate_name
from mmkd_lab.experiments.summary import COLUMNS
from mmkd_lab.experiments.report import versions
from mmkd_lab.training.worlds import WorldsFit, WorldsRecipe, fit_worlds

AXES = ("gamma", "alpha")

#: The published curves, read off the figures to 0.1 points: line -> accuracy in each world.
_PUBLISHED_2 = {
    "teacher": (71.45, 71.4, 71.2, 71.2, 71.2, 70.95),
    "no_kd": (67.94,) * 6,
    "cm_kd": (66.3, 67.1, 67.9, 68.7, 69.4, 70.1),
}
_PUBLISHED_3 = {
    "teacher": (58.0, 64.3, 71.7, 78.0, 88.5),
    "no_kd": (57.4,) * 5,
    "cm_kd": (58.6, 58.4, 58.3, 57.6, 57.3),
}
_LOSS = {"released": "the divergence halved as in the released code", "kl": "the true divergence"}


def figure2(
    seeds: Iterable[int] = range(10),
    *,
    convention: str = "released",
    arms: Sequence[str] = ("no_kd", "cm_kd"),
    n_train: int = 200,
    n_test: int = 1000,
    recipe: WorldsRecipe | None = None,
    device: torch.device | str = "cpu",
) -> Study:
    """MFH's figure 2: gamma rises while the teacher always sees half of what decides the label.

    Args:
        seeds: distinct whole numbers; seeds 0 to 9 are the released run's.
        convention: 'released' divides the divergence by the number of classes, 'kl' does not.
        arms: the student's arms, no_kd among them; kl_only shows the effect most strongly.
        n_train: training samples; the more there are, the less alpha does.
        n_test: test samples.
        recipe: how every network is trained; MFH's when None. Its convention gives way to `convention`.
        path: 'kernel', 'bmm' or 'loop', see `train.worlds`.
        device: where 'bmm' computes.

    Returns:
        a study of kind 'sweep' with columns gamma (the union convention) and alpha; accuracy in percent. The
        published curves are drawn beside ours when the settings are the published ones.

    Raises:
        LabError: as `sweep`.
    """
    trained = replace(_recipe(recipe), convention=convention)
    specs = [replace(spec, n_train=n_train, n_test=n_test) for spec in FIGURE2]
    known = _PUBLISHED_2 if _as_published(specs, FIGURE2, trained) else {}
    return sweep(
        specs, seeds, name="figure2", arms=arms, recipe=trained, published=known, device=device
    )


def figure3(
    seeds: Iterable[int] = range(10),
    *,
    convention: str = "released",
    arms: Sequence[str] = ("no_kd", "cm_kd"),
    n_train: int = 200,
    n_test: int = 1000,
    recipe: WorldsRecipe | None = None,
    device: torch.device | str = "cpu",
) -> Study:
    """MFH's figure 3: the teacher grows stronger by its own share alpha alone. Arguments as in `figure2`."""
    trained = replace(_recipe(recipe), convention=convention)
    specs = [replace(spec, n_train=n_train, n_test=n_test) for spec in FIGURE3]
    known = _PUBLISHED_3 if _as_published(specs, FIGURE3, trained) else {}
    return sweep(
        specs,
        seeds,
        x="alpha",
        name="figure3",
        arms=arms,
        recipe=trained,
        published=known,
        path=path,
        device=device,
    )


def sweep(
    specs: Sequence[World],
    seeds: Iterable[int],
    *,
    x: str = "gamma",
    name: str = "worlds",
    arms: Sequence[str] = ("no_kd", "cm_kd"),
    recipe: WorldsRecipe | None = None,
    published: Mapping[str, Sequence[float]] | None = None,
    device: torch.device | str = "cpu",
) -> Study:
    """Train all arms in every world for every seed, and say how the worth of KD changes along the sweep.

    The intervals take seeds as independent. Under the stream 'figures', the published one, they are not
    quite: the test samples of seed s come from the numbers that make the training samples of seed s + 1.
    World(stream="independent") is free of that.

    Args:
        specs: at least two worlds of one shape, with distinct values of `x`.
        seeds: distinct whole numbers.
        x: 'gamma' (union convention) or 'alpha'.
        name: the study's name.
        arms: the student's arms, no_kd and at least one with a teacher among them.
        recipe: how every network is trained; MFH's when None.
        published: 'teacher' or an arm -> accuracies to draw beside ours, one for each world.
        path: 'kernel', 'bmm' or 'loop', see `train.worlds`.
        device: where 'bmm' computes.

    Raises:
        LabError: worlds that do not differ in `x` or do not agree in shape, arms without no_kd or without a
            teacher, bad seeds, and what `fit_worlds` refuses.
    """
    started = time.perf_counter()
    one_of("x", x, AXES)
    validate_name(name)
    rule = "a list of at least two worlds"
    specs = [of_type("specs", spec, World, rule) for spec in flat("specs", specs, rule)]
    recipe = _recipe(recipe)
    points = [_shares(spec)[x] for spec in specs]
    rule = f"must hold at least two worlds, each with its own {x}"
    require(len(set(points)) == len(points) > 1, "specs", points, rule)
    chosen = named_arms(arms)
    names = [arm.name for arm in chosen]
    taught = [arm for arm in chosen if arm.teacher != "none"]
    rule = "must hold 'no_kd' and an arm with a teacher"
    require("no_kd" in names and len(taught) > 0, "arms", names, rule)
    beside = _beside({} if published is None else published, points)
    drawn = worlds(specs, seeds)
    fit = fit_worlds(drawn, arms=names, recipe=recipe, device=device)
    table = _table(fit, chosen, name)
    options: dict[str, Any] = {"x": x, "reference": "no_kd"}
    if beside:
        options["published"] = beside
    return Study(
        name=name,
        title=_title(table, taught[0], x),
        table=table,
        verdict=_verdict(table, taught, x, drawn, recipe),
        kind="sweep",
        options=options,
        provenance={
            "study": "gaussian worlds",
            **_provenance(fit, specs, names),
            "recipe": asdict(recipe),
            "path": path,
            "device": str(device),
            "seconds": round(time.perf_counter() - started, 3),
        },
    )


def _recipe(given: WorldsRecipe | None) -> WorldsRecipe:
    if given is None:
        return WorldsRecipe()
    return of_type("recipe", given, WorldsRecipe, "a WorldsRecipe or None")


def _beside(
    published: Mapping[str, Sequence[float]], points: Sequence[float]
) -> dict[str, list[tuple[float, float]]]:
    """{line: [(x, accuracy), ...]}, checked before anything is trained."""
    mapping("published", published, "a mapping of lines to accuracies, or None")
    lines = {}
    for line, accuracies in published.items():
        argument = f"published[{line!r}]"
        ys = [real(argument, y) for y in flat(argument, accuracies, "a list of accuracies")]
        require(
            len(ys) == len(points), argument, accuracies, f"must hold one for each of {len(points)} worlds"
        )
        lines[line] = list(zip(points, ys, strict=True))
    return lines


def _as_published(specs: Sequence[World], preset: Sequence[World], recipe: WorldsRecipe) -> bool:
    return list(specs) == list(preset) and recipe == WorldsRecipe()


def _shares(spec: World) -> dict[str, float]:
    return {"gamma": spec.gamma_union, "alpha": spec.alpha}


def _table(fit: WorldsFit, chosen: Sequence[Arm], name: str) -> pd.DataFrame:
    swept = pd.DataFrame([_shares(spec) for spec in fit.worlds.specs])
    frames = []
    for arm in chosen:
        for role in ("student",) if arm.teacher == "none" else ("teacher", "student"):
            for split in ("train", "test"):
                frame = swept.assign(
                    study=name,
                    dataset="gaussian",
                    arm=arm.name,
                    role=role,
                    seed=fit.worlds.seeds,
                    split=split,
                    metric="accuracy",
                    value=fit.accuracy(arm.name, role=role, split=split),
                )
                frames.append(frame[[*COLUMNS, *AXES]])
    return pd.concat(frames, ignore_index=True)


def _values(table: pd.DataFrame, arm: str, role: str, x: str, at: float) -> npt.NDArray[np.float64]:
    """Test accuracy by seed at one point of the sweep."""
    here = (table["arm"] == arm) & (table["role"] == role) & (table["split"] == "test") & (table[x] == at)
    return table[here].sort_values("seed")["value"].to_numpy(dtype=float)


def _ends(table: pd.DataFrame, arm: Arm, x: str) -> tuple[Interval, Interval, Interval]:
    """KD minus no KD at the smallest and the largest x, and how much it changes from one to the other."""
    low, high = (
        _values(table, arm.name, "student", x, at) - _values(table, "no_kd", "student", x, at)
        for at in (table[x].min(), table[x].max())
    )
    return mean_interval(low), mean_interval(high), paired_interval(high, low)


def _word(change: Interval, rises: str, falls: str, neither: str) -> str:
    return (rises if change.mean > 0 else falls) if change.side else neither


def _title(table: pd.DataFrame, arm: Arm, x: str) -> str:
    change, label = _ends(table, arm, x)[2], f"{arm.label[0].upper()}{arm.label[1:]}"
    worth = _word(change, "is worth more", "is worth less", "is not shown to be worth more or less")
    return f"{label} {worth} as {x} rises"


def _verdict(table: pd.DataFrame, taught: Sequence[Arm], x: str, drawn: Worlds, recipe: WorldsRecipe) -> str:
    ends = (float(table[x].min()), float(table[x].max()))
    teacher = [mean_interval(_values(table, taught[0].name, "teacher", x, at)).mean for at in ends]
    clauses = []
    for arm in taught:
        low, high, change = (found.show(signed=True) for found in _ends(table, arm, x))
        moves = "changes" if _ends(table, arm, x)[2].side else "is not shown to change,"
        clauses.append(f"{arm.label} minus no KD {moves} by {change} points, from {low} to {high}")
    seeds = len(set(drawn.seeds))
    return (
        f"As {x} goes from {ends[0]:.2f} to {ends[1]:.2f} and the teacher from {teacher[0]:.2f} to "
        f"{teacher[1]:.2f} % accuracy, {'; '.join(clauses)} ({seeds} paired seed{'s' if seeds > 1 else ''}, "
        f"{drawn.specs[0].n_train:,} training samples, {_LOSS[recipe.convention]})."
    )


def _provenance(fit: WorldsFit, specs: Sequence[World], arms: Sequence[str]) -> dict[str, object]:
    return {
        "dataset": "gaussian",
        "fingerprint": fit.worlds.fingerprint,
        "worlds": [asdict(spec) for spec in specs],
        "arms": list(arms),
        "seeds": list(dict.fromkeys(fit.worlds.seeds)),
        "networks": {"asked": fit.asked, "trained": fit.trained},
        "versions": versions("numba"),
    }
