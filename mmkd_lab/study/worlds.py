"""Figures 2 and 3 of MFH, and any other sweep over Gaussian worlds: what KD is worth as the shares change.

Source: Xue et al. 2023 (MFH), Gaussian worlds. Both figures say that the student gains with gamma, the shared
part of what decides the label, and not with the accuracy of its teacher.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from mmkd_lab.core.check import flat, mapping, one_of, real, require
from mmkd_lab.core.stats import Interval, mean_interval, paired_interval
from mmkd_lab.data.datasets.gaussian import FIGURE2, FIGURE3, World, Worlds, worlds
from mmkd_lab.distill.arms import Arm, check_arms
from mmkd_lab.experiments.report import versions
from mmkd_lab.experiments.result import Study, validate_name
from mmkd_lab.training.descent import WorldsRecipe
from mmkd_lab.training.worlds import fit_worlds, recipe_of

Curves = Mapping[str, Sequence[float]]

#: The published curves, read off the figures to 0.1 points: line -> accuracy in each world.
_PUBLISHED: Mapping[str, Curves] = {
    "figure2": {
        "teacher": (71.45, 71.4, 71.2, 71.2, 71.2, 70.95),
        "no_kd": (67.94,) * 6,
        "cm_kd": (66.3, 67.1, 67.9, 68.7, 69.4, 70.1),
    },
    "figure3": {
        "teacher": (58.0, 64.3, 71.7, 78.0, 88.5),
        "no_kd": (57.4,) * 5,
        "cm_kd": (58.6, 58.4, 58.3, 57.6, 57.3),
    },
}
_WORTH = {1: "is worth more", 0: "is not shown to be worth more or less", -1: "is worth less"}
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
        device: where to train, the CPU or a CUDA device.

    Returns:
        a study of kind 'sweep' with columns gamma (the union convention) and alpha; accuracy in percent. The
        published curves are drawn beside ours when the settings are the published ones.

    Raises `LabError` as `sweep`.
    """
    sizes = n_train, n_test
    return _figure("figure2", "gamma", FIGURE2, sizes, seeds, convention, arms, recipe, device)


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
    sizes = n_train, n_test
    return _figure("figure3", "alpha", FIGURE3, sizes, seeds, convention, arms, recipe, device)


def sweep(
    specs: Sequence[World],
    seeds: Iterable[int],
    *,
    x: str = "gamma",
    name: str = "worlds",
    arms: Sequence[str] = ("no_kd", "cm_kd"),
    recipe: WorldsRecipe | None = None,
    published: Curves | None = None,
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
        device: where to train, the CPU or a CUDA device.

    Raises `LabError` for worlds that do not differ in `x` or do not agree in shape, arms without no_kd or
    without a teacher, bad seeds, and what `fit_worlds` refuses.
    """
    started = time.perf_counter()
    one_of("x", x, ("gamma", "alpha"))
    validate_name(name)
    drawn, recipe, chosen = worlds(specs, seeds), recipe_of(recipe), check_arms(arms)
    count = len(set(drawn.seeds))
    points = [spec.gamma_union if x == "gamma" else spec.alpha for spec in drawn.specs[::count]]
    rule = f"must hold at least two worlds, each with its own {x}"
    require(len(set(points)) == len(points) > 1, "specs", points, rule)
    names, taught = [arm.name for arm in chosen], [arm for arm in chosen if arm.teacher is not None]
    rule = "must hold 'no_kd' and an arm with a teacher"
    require("no_kd" in names and len(taught) > 0, "arms", names, rule)
    beside = _beside({} if published is None else published, points)
    fit = fit_worlds(drawn, arms=names, recipe=recipe, device=device)
    alpha = [spec.alpha for spec in drawn.specs]
    tables = [
        rows(drawn, name, arm.name, role, fit.accuracy(arm.name, role=role, split=split), split, alpha=alpha)
        for arm in chosen
        for role in (("teacher", "student") if arm in taught else ("student",))
        for split in ("train", "test")
    ]
    table = pd.concat(tables, ignore_index=True)
    first, last = min(points), max(points)
    found = {arm.label: _ends(table, arm, x, first, last) for arm in taught}
    order = sorted(found, key=lambda name: -abs(found[name][2].side * found[name][2].mean))
    teacher = [_test(table, taught[0].name, "teacher", x, at).mean() for at in (first, last)]
    label, worth = order[0], _WORTH[found[order[0]][2].side]
    whose = f" of {taught[0].label}" if len(taught) > 1 else ""
    networks = {"asked": fit.asked, "trained": fit.trained}
    return Study(
        name=name,
        title=f"{label[0].upper()}{label[1:]} {worth} as {x} rises",
        table=table,
        verdict=(
            f"As {x} goes from {first:.2f} to {last:.2f} and the teacher{whose} from {teacher[0]:.2f} "
            f"to {teacher[1]:.2f} % accuracy, {'; '.join(_clause(name, found[name]) for name in order)} "
            f"({count} paired seed{'s' if count > 1 else ''}, "
            f"{drawn.specs[0].n_train:,} training samples, {_LOSS[recipe.convention]})."
        ),
        kind="sweep",
        options={"x": x, "reference": "no_kd", **({"published": beside} if beside else {})},
        provenance=provenance(
            "gaussian worlds",
            drawn,
            started,
            arms=names,
            networks=networks,
            recipe=asdict(recipe),
            device=str(device),
        ),
    )


def rows(
    drawn: Worlds,
    study: str,
    arm: str,
    role: str,
    value: npt.NDArray[np.float64],
    split: str = "test",
    *,
    metric: str = "accuracy",
    **sweep: object,
) -> pd.DataFrame:
    """One tidy row per world and seed, with its gamma and any other column of the sweep."""
    fixed: dict[str, object] = {"study": study, "dataset": "gaussian", "arm": arm, "role": role}
    gamma = [spec.gamma_union for spec in drawn.specs]
    named = {"seed": drawn.seeds, "split": split, "metric": metric, "value": value, "gamma": gamma}
    return pd.DataFrame(fixed | named | sweep)


def provenance(study: str, drawn: Worlds, started: float, **more: object) -> dict[str, object]:
    """What determined the outcome, and the seconds since `started`."""
    return {
        "study": study,
        "dataset": "gaussian",
        "fingerprint": drawn.fingerprint,
        "worlds": [asdict(spec) for spec in dict.fromkeys(drawn.specs)],
        "seeds": list(dict.fromkeys(drawn.seeds)),
        **more,
        "versions": versions("numba"),
        "seconds": round(time.perf_counter() - started, 3),
    }


def _figure(
    name: str,
    x: str,
    preset: Sequence[World],
    sizes: tuple[int, int],
    seeds: Iterable[int],
    convention: str,
    arms: Sequence[str],
    recipe: WorldsRecipe | None,
    device: torch.device | str,
) -> Study:
    """A sweep beside its published curves, which belong to the published worlds and recipe alone."""
    specs = [replace(spec, n_train=sizes[0], n_test=sizes[1]) for spec in preset]
    trained, plain = replace(recipe_of(recipe), convention=convention), WorldsRecipe()  # type: ignore[arg-type]
    same = specs == list(preset) and replace(trained, precision=plain.precision) == plain
    known = _PUBLISHED[name] if same else None
    return sweep(specs, seeds, x=x, name=name, arms=arms, recipe=trained, published=known, device=device)


def _beside(published: Curves, points: Sequence[float]) -> dict[str, list[tuple[float, float]]]:
    """{line: [(x, accuracy), ...]}, checked before anything is trained."""
    lines = {}
    for line, accuracies in mapping("published", published, "a mapping of lines to accuracies").items():
        argument, rule = f"published[{line!r}]", f"must hold one for each of {len(points)} worlds"
        ys = [real(argument, y) for y in flat(argument, accuracies, "a list of accuracies")]
        require(len(ys) == len(points), argument, accuracies, rule)
        lines[line] = list(zip(points, ys, strict=True))
    return lines


def _test(table: pd.DataFrame, arm: str, role: str, x: str, at: float) -> npt.NDArray[np.float64]:
    """Test accuracy by seed at one point of the sweep."""
    here = (table["arm"] == arm) & (table["role"] == role) & (table["split"] == "test") & (table[x] == at)
    return table[here].sort_values("seed")["value"].to_numpy(dtype=float)


def _ends(
    table: pd.DataFrame, arm: Arm, x: str, first: float, last: float
) -> tuple[Interval, Interval, Interval]:
    """KD minus no KD at the smallest and the largest x, and how much it changes from one to the other."""
    low, high = (
        _test(table, arm.name, "student", x, at) - _test(table, "no_kd", "student", x, at)
        for at in (first, last)
    )
    return mean_interval(low), mean_interval(high), paired_interval(high, low)


def _clause(label: str, ends: tuple[Interval, Interval, Interval]) -> str:
    low, high, change = (found.show(signed=True) for found in ends)
    moves = "changes" if ends[2].side else "is not shown to change,"
    return f"{label} minus no KD {moves} by {change} points, from {low} to {high}"
