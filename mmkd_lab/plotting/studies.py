"""The studies' interval figures: each is a declaration of rows, panels and the row that is the line.

All take a study's tidy table (see `tables`) and a title, the finding; `metric` and `split` say what is
compared, `reference` is the arm at zero. All raise `LabError` for columns, arms, losses, metrics or splits
that the table lacks, values that are not finite, and seeds that do not pair up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mmkd_lab.core.check import one_of, require
from mmkd_lab.core.stats import mean_interval
from mmkd_lab.plotting import palette, tables
from mmkd_lab.plotting.axes import said
from mmkd_lab.plotting.canvas import LabFigure
from mmkd_lab.plotting.figures import register_figure
from mmkd_lab.plotting.intervals import REFERENCE, Panel, Row, Values, interval_figure
from mmkd_lab.plotting.tables import Measure, arms_of, by_seed, distinct, measure_of, paired

#: What figures call the estimators of shares, in their order.
METHODS = {
    "canonical": "canonical channels",
    "commonality": "commonality",
    "count": "decisive, counted",
    "performance": "accuracies",
    "information": "information (PID)",
}
#: teacher_sees -> the colour of what decides its prediction.
_SEES = {
    "shared": palette.SHARED,
    "shared + noise": palette.SHARED,
    "shared + specific": palette.ALL,
    "specific": palette.TEACHER,
    "specific + noise": palette.TEACHER,
    "everything": palette.INK,
    "everything, swapped": palette.QUIET,
}
_RIVALS = {
    "gamma": "γ, share of what the teacher says",
    "non_target_divergence": "non-target divergence",
    "information_margin": "I(H1;H2) − I(H2;Y)",
    "teacher_accuracy": "teacher accuracy",
    "teacher_entropy": "teacher entropy",
    "cka": "linear CKA",
}
_ENCODED = {"none": "Latents are columns.", "tanh": "Latents lie behind tanh of a random rotation."}

Entries = Mapping[str, Values | str]


@register_figure("arms")
def arms_figure(
    table: pd.DataFrame,
    *,
    title: str | None = None,
    reference: str | None = None,
    metric: str = "accuracy",
    split: str = "test",
) -> LabFigure:
    """How good each arm's teacher is, how good its student is, and what the teacher was worth.

    A teacher far to the right whose student is not is the failure case of crossmodal distillation (Xue et al.
    2023, table 1). `reference` is by default unimodal KD, else no KD.
    """
    measure = measure_of(metric, split)
    part = tables.select(table, measure)
    reference = tables.reference_arm(part, reference, "um_kd", "no_kd")
    roles = [role for role in ("teacher", "student") if arms_of(part, role=role)]
    levels = [_level(role.capitalize(), part, role, measure) for role in roles]
    worth = _worth(f"Student minus {_label(reference)}", part, reference, measure)
    named, note = title or _finding(part, reference), tables.seeds_note(part)
    if _linear(part) is not None:
        kind = "ridge" if metric in ("r2", "rmse", "mae") else "logistic"
        note += f" Dotted: {kind} regression on the student's input."
    return interval_figure(_rows(arms_of(part)), [*levels, worth], title=named, note=note)


@register_figure("repair")
def repair_figure(
    table: pd.DataFrame,
    *,
    title: str | None = None,
    loss: str = "ce + kd",
    reference: str = "cm_kd",
    metric: str = "accuracy",
    split: str = "test",
) -> LabFigure:
    """Repaired teachers, and below them what their students gain, a panel for each share of channels removed.

    The table has the columns `ratio` and `loss`; `loss` says which students: 'ce + kd' or 'kd alone'.
    """
    tables.has_columns(table, ("ratio", "loss"))
    one_of("loss", loss, distinct(table["loss"]))
    mine = table[table["loss"] == loss]
    if len(set(mine["ratio"])) == 1:
        return arms_figure(mine, title=title, reference=reference, metric=metric, split=split)
    measure = measure_of(metric, split)
    part = tables.select(mine, measure, sweep="ratio")
    reference = tables.reference_arm(part, reference)
    by = {f"{float(str(at)):.0%} removed": rows for at, rows in part.groupby("ratio", sort=True)}
    shared: Any = {"scale": "students", "axis": f"difference from {_label(reference)}{measure.points}"}
    levels = [_level(f"Teacher\n{at}", rows, "teacher", measure, scale="t") for at, rows in by.items()]
    worth = [_worth(f"Student\n{at}", rows, reference, measure, **shared) for at, rows in by.items()]
    note = f"{tables.seeds_note(part)} What does not depend on the share removed is repeated. "
    note += f"Students learn by {loss}."
    named = title or f"{part['dataset'].iloc[0]}: repaired teachers and their students"
    return interval_figure(_rows(arms_of(part)), levels + worth, title=named, note=note, columns=len(by))


@register_figure("msd")
def msd_figure(
    table: pd.DataFrame,
    *,
    title: str | None = None,
    metric: str = "accuracy",
    views: Sequence[str] | None = None,
    split: str = "test",
    reference: str = "kd",
) -> LabFigure:
    """Every arm and the teacher minus KD, seed by seed, a panel for each view (column `view`).

    `metric` may also be 'js', 'agreement', 'w1', 'ece' or 'nll'; `views` are by default those of the table.
    """
    tables.has_columns(table, ("view",))
    known, measure, parts = distinct(table["view"]), measure_of(metric, split), {}
    for view in known if views is None else views:
        one_of("view", view, known)
        parts[view] = tables.select(table[table["view"] == view], measure)
    first = next(iter(parts.values()))
    reference = tables.reference_arm(first, reference)
    panels = []
    for view, part in parts.items():
        level = mean_interval(by_seed(part, reference).to_numpy()).mean
        digits = 1 if measure.percent else 3
        head = f"{tables.view_name(view, known)}\n{_label(reference)} {level:.{digits}f}"
        panels.append(_worth(head + " %" * measure.is_share, part, reference, measure, digits=digits))
    note = f"{tables.seeds_note(first)} The line is {_label(reference)} of the same seed."
    if len(set(first["seed"])) > 1:
        number = sum(isinstance(one, Values) for panel in panels for one in panel.entries.values())
        note += f" Bold: the interval excludes 0; the {number} intervals are not corrected for their number."
    named = title or f"{first['dataset'].iloc[0]}: arms against {_label(reference)}"
    return interval_figure(
        _rows(palette.ordered(first.loc[first["role"] != "baseline", "arm"])), panels, title=named, note=note
    )


@register_figure("controls")
def controls_figure(
    table: pd.DataFrame, *, title: str | None = None, baseline: str = "everything", arm: str = "cm_kd"
) -> LabFigure:
    """What a teacher was worth by what it could see (column `teacher_sees`), a panel for each `gamma`.

    Students of `arm` minus those whose teacher sees `baseline`.
    """
    tables.has_columns(table, ("gamma", "teacher_sees"))
    measure = measure_of("accuracy")
    one_of("arm", arm, distinct(table["arm"]))
    part = table[(table["arm"] == arm) & (table["role"] == "student")]
    kinds = distinct(part["teacher_sees"])
    one_of("baseline", baseline, kinds)
    by = {kind: tables.select(part[part["teacher_sees"] == kind], measure, sweep="gamma") for kind in kinds}
    values = {kind: by_seed(one, arm, sweep="gamma") for kind, one in by.items()}
    gains = {kind: tables.minus(one, values[baseline], kind, baseline) for kind, one in values.items()}
    panels = []
    for gamma in sorted(part["gamma"].unique()):
        entries = {kind: _array(one.xs(gamma)) for kind, one in gains.items()} | {baseline: REFERENCE}
        panels.append(_differences(f"γ = {gamma:.2g}", entries, measure, scale="all"))
    rows = [Row(kind, kind, _SEES.get(kind, palette.NEUTRAL)) for kind in kinds]
    note = f"Rows: what the teacher sees. Students minus those whose teacher sees {baseline}. "
    note += tables.seeds_note(part)
    named = title or "What the teacher sees, and what it is worth"
    return interval_figure(rows, panels, title=named, note=note)


@register_figure("recovery")
def recovery_figure(
    table: pd.DataFrame, *, title: str | None = None, samples: int | None = None, encoder: str = "none"
) -> LabFigure:
    """Estimated gamma by method (arm), a panel for each declared `gamma`, which is the line.

    `samples` in each world and `encoder`, 'none' or 'tanh', are for the note.
    """
    tables.has_columns(table, ("arm", "metric", "seed", "value", "gamma"))
    part = table[table["metric"] == "gamma_union"]
    require(len(part) > 0, "table", distinct(table["metric"]), "must hold rows of 'gamma_union'")
    names = methods_in(part["arm"])
    off = (part["value"] - part["gamma"]).abs().groupby(part["arm"]).mean()
    panels = []
    for gamma, worlds in part.groupby("gamma", sort=True):
        known = {str(arm): _array(one["value"]).within(0.0, 1.0) for arm, one in worlds.groupby("arm")}
        entries, declared = dict.fromkeys(names, "undefined") | known, float(str(gamma))
        look: Any = {"line": declared, "limits": (-0.06, 1.06), "digits": 2}
        panels.append(Panel(f"declared γ = {declared:.2g}", "estimated γ", entries, **look))
    rows = [Row(name, f"{METHODS.get(name, name)}\noff by {off[name]:.2f}", palette.SHARED) for name in names]
    size = f" of {samples:,} samples" if samples else ""
    note = f"Faint dots: worlds{size}, one a seed ({part['seed'].nunique()}). Mark and bar: mean and "
    note += f"95 % interval. Line: the declared truth. {_ENCODED.get(encoder, '')}"
    return interval_figure(rows, panels, title=title or "Estimated against declared gamma", note=note)


@register_figure("rivals")
def rivals_figure(table: pd.DataFrame, *, title: str | None = None, loss: str | None = None) -> LabFigure:
    """How well each rival's number orders the gains of the runs of one seed, a panel for each `loss`.

    A run is an arm, a seed, a `ratio` and a `draw`; the panel of `loss` stands first.
    """
    keys = ["arm", "seed", "ratio", "loss", "draw"]
    tables.has_columns(table, ("metric", "value", *keys))
    losses, metrics = distinct(table["loss"]), distinct(table["metric"])
    if loss is not None:
        one_of("loss", loss, losses)
        losses.sort(key=lambda one: one != loss)
    names = [name for name in metrics if name != "gain"]
    require(0 < len(names) < len(metrics), "table", metrics, "must hold the gains and at least one rival")
    known = table.assign(ratio=table["ratio"].fillna(-1.0))  # a key that is NaN equals no other
    runs = known.pivot_table(index=keys, columns="metric", values="value").reset_index()
    look: Any = {"line": 0.0, "sides": ("gain less", "gain more"), "limits": (-1.08, 1.08)}
    panels = []
    for one in losses:
        mine = runs[runs["loss"] == one]
        here = [name for name in names if mine[name].notna().any()]
        mine = mine.dropna(subset=[*here, "gain"])
        entries = {name: _correlation(mine, name) for name in here}
        head = f"Students learn by {one}\n{len(mine)} runs"
        panels.append(Panel(head, "rank correlation with the gain", entries, digits=2, signed=True, **look))
    rows = [Row(name, _RIVALS.get(name, name), palette.INK) for name in names]
    note = f"{tables.seeds_note(table)} Spearman's correlation over the runs of a seed; gains are over no "
    note += f"KD. Bold: the interval excludes zero, not corrected for {len(names)} rivals."
    return interval_figure(rows, panels, title=title or "Rival hypotheses on the same runs", note=note)


def methods_in(names: pd.Series[Any]) -> list[str]:
    """Estimators of shares: the lab's own in their order, then others as they came."""
    present = distinct(names)
    return list(dict.fromkeys([*(name for name in METHODS if name in present), *present]))


def _correlation(runs: pd.DataFrame, name: str) -> Values | str:
    """Spearman's correlation of a number with the gain, for every seed in which both vary."""
    varied = [rows for _, rows in runs.groupby("seed") if np.ptp(rows[[name, "gain"]], axis=0).all()]
    found = [rows[name].rank().corr(rows["gain"].rank()) for rows in varied]
    return Values(np.array(found)).within(-1.0, 1.0) if found else "does not vary"


def _array(values: pd.Series[Any], *, hollow: bool = False) -> Values:
    return Values(values.to_numpy(dtype=float), hollow=hollow)


def _rows(arms: Sequence[str]) -> list[Row]:
    return [Row(arm, *palette.style_of(arm)) for arm in arms]


def _label(arm: str) -> str:
    return palette.style_of(arm)[0]


def _level(title: str, part: pd.DataFrame, role: str, measure: Measure, scale: str | None = None) -> Panel:
    """What the networks of one role score."""
    arms, hollow = arms_of(part, role=role), role == "teacher"
    known = {arm: _array(by_seed(part, arm, role), hollow=hollow) for arm in arms}
    entries = dict.fromkeys(part["arm"], f"no {role}") | known
    digits = 1 if measure.percent else None
    mark = None if hollow else _linear(part)
    least = float(measure.percent)
    return Panel(title, measure.label, entries, scale=scale, least=least, digits=digits, mark=mark)


def _linear(part: pd.DataFrame) -> float | None:
    """What logistic regression on the student's input scores, where the table has it."""
    known = part.loc[part["role"] == "baseline", "value"]
    return None if known.empty else float(known.iloc[0])


def _worth(title: str, part: pd.DataFrame, reference: str, measure: Measure, **look: Any) -> Panel:  # noqa: ANN401
    """Each student, or a teacher that is a row of its own, minus the reference's student of the same seed."""
    known = {arm: _array(paired(part, arm, reference)) for arm in arms_of(part)}
    if "teacher" in set(part["arm"]):
        known["teacher"] = _array(paired(part, "teacher", reference, "teacher"), hollow=True)
    entries = dict.fromkeys(part["arm"], "no student") | known | {reference: REFERENCE}
    return _differences(title, entries, measure, **look)


def _differences(title: str, entries: Entries, measure: Measure, **look: Any) -> Panel:  # noqa: ANN401
    usual = {"axis": measure.difference, "digits": 1 if measure.percent else None}
    least, sides = float(measure.percent), measure.sides
    return Panel(title, entries=entries, line=0.0, signed=True, sides=sides, least=least, **{**usual, **look})


def _finding(part: pd.DataFrame, reference: str) -> str:
    """What a figure without a title says: the best other teacher, and what it was worth to its student."""
    head, students = f"{part['dataset'].iloc[0]}: ", arms_of(part)
    taught = [arm for arm in arms_of(part, role="teacher") if arm in students]
    means = {arm: float(by_seed(part, arm, "teacher").mean()) for arm in taught}
    others = [arm for arm in taught if arm != reference]
    if not others:
        return f"{head}students by arm, against {_label(reference)}"
    best = max(others, key=lambda arm: means[arm])
    teacher = said(round(means[best] - means.get(reference, 0.0), 1), 1, signed=reference in means)
    worth = mean_interval(paired(part, best, reference).to_numpy()).show(signed=True, digits=1)
    return f"{head}{_label(best)} against {_label(reference)}: teacher {teacher}, student {worth}"
