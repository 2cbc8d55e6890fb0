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
from mmkd_lab.plotting.canvas import LabFigure
from mmkd_lab.plotting.figures import register_figure
from mmkd_lab.plotting.intervals import REFERENCE, Panel, Row, Values, interval_figure
from mmkd_lab.plotting.tables import Measure, arms_of, by_seed, paired

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


@register_figure("arms")
def arms_figure(
    table: pd.DataFrame,
    *,
    title: str | None = None,
    reference: str | None = None,
    metric: str = "accuracy",
    split: str = "test",
    width: float | None = None,
) -> LabFigure:
    """How good each arm's teacher is, how good its student is, and what the teacher was worth.

    A teacher far to the right whose student is not is the failure case of crossmodal distillation (Xue et al.
    2023, table 1). A narrow `width`, in inches, has the panels under each other; `reference` is by default
    unimodal KD, else no KD.
    """
    measure = Measure(metric, split)
    part = tables.select(table, measure)
    reference = tables.reference_arm(part, reference, usual=("um_kd", "no_kd"))
    panels = [
        _level("Student", part, "student", measure),
        _worth(_minus(reference), part, reference, measure),
    ]
    if (part["role"] == "teacher").any():
        panels.insert(0, _level("Teacher", part, "teacher", measure))
    named = _finding(part, reference) if title is None else title
    return interval_figure(
        _rows(arms_of(part)), panels, title=named, note=tables.seeds_note(part), width=width
    )


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
    one_of("loss", loss, list(dict.fromkeys(table["loss"])))
    mine = table[table["loss"] == loss]
    if len(set(mine["ratio"])) == 1:
        return arms_figure(mine, title=title, reference=reference, metric=metric, split=split)
    measure = Measure(metric, split)
    part = tables.select(mine, measure, sweep="ratio")
    reference = tables.reference_arm(part, reference, usual=())
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
    known = [str(view) for view in dict.fromkeys(table["view"])]
    shown = known if views is None else list(views)
    measure, parts = Measure(metric, split), {}
    for view in shown:
        one_of("view", view, known)
        parts[view] = tables.select(table[table["view"] == view], measure)
    first = next(iter(parts.values()))
    reference, full = tables.reference_arm(first, reference, usual=()), tables.fullest(known)
    panels = []
    for view, part in parts.items():
        level = mean_interval(by_seed(part, arm=reference).to_numpy()).mean
        digits = 1 if measure.percent else 3
        shown_level = f"{level:.{digits}f}{' %' * measure.is_share}"
        head = f"{tables.view_name(view, full)}\n{_label(reference)} {shown_level}"
        panels.append(_worth(head, part, reference, measure, digits=digits))
    note = f"{tables.seeds_note(first)} The line is {_label(reference)} of the same seed."
    if len(set(first["seed"])) > 1:
        number = sum(isinstance(one, Values) for panel in panels for one in panel.entries.values())
        note += f" Bold: the interval excludes 0; the {number} intervals are not corrected for their number."
    named = title or f"{first['dataset'].iloc[0]}: arms against {_label(reference)}"
    return interval_figure(_rows(palette.ordered(first["arm"])), panels, title=named, note=note)


@register_figure("controls")
def controls_figure(
    table: pd.DataFrame, *, title: str | None = None, baseline: str = "everything", arm: str = "cm_kd"
) -> LabFigure:
    """What a teacher was worth by what it could see (column `teacher_sees`), a panel for each `gamma`.

    Students of `arm` minus those whose teacher sees `baseline`.
    """
    tables.has_columns(table, ("gamma", "teacher_sees"))
    measure = Measure("accuracy")
    one_of("arm", arm, list(dict.fromkeys(table["arm"])))
    part = table[(table["arm"] == arm) & (table["role"] == "student")]
    kinds = [str(kind) for kind in dict.fromkeys(part["teacher_sees"])]
    one_of("baseline", baseline, kinds)
    by = {kind: tables.select(part[part["teacher_sees"] == kind], measure, sweep="gamma") for kind in kinds}
    values = {kind: one.set_index(["gamma", "seed"])["value"].sort_index() for kind, one in by.items()}
    gains = {kind: tables.minus(one, values[baseline], kind, baseline) for kind, one in values.items()}
    panels = []
    for gamma in sorted(part["gamma"].unique()):
        entries: dict[str, Values | str] = {kind: _array(one.xs(gamma)) for kind, one in gains.items()}
        entries[baseline] = REFERENCE
        panels.append(_differences(f"γ = {gamma:.2g}", entries, measure, scale="all"))
    rows = [Row(kind, kind, _SEES.get(kind, palette.NEUTRAL)) for kind in kinds]
    note = f"Rows: what the teacher sees. Students minus those whose teacher sees {baseline}. "
    note += tables.seeds_note(part)
    return interval_figure(
        rows, panels, title=title or "What the teacher sees, and what it is worth", note=note
    )


@register_figure("recovery")
def recovery_figure(
    table: pd.DataFrame, *, title: str | None = None, samples: int | None = None, encoder: str = "none"
) -> LabFigure:
    """Estimated gamma by method (arm), a panel for each declared `gamma`, which is the line.

    `samples` in each world and `encoder`, 'none' or 'tanh', are for the note.
    """
    tables.has_columns(table, ("arm", "metric", "seed", "value", "gamma"))
    part = table[table["metric"] == "gamma_union"]
    require(len(part) > 0, "table", sorted(set(table["metric"])), "must hold rows of 'gamma_union'")
    present = [str(arm) for arm in dict.fromkeys(part["arm"])]
    names = [
        *(name for name in METHODS if name in present),
        *(name for name in present if name not in METHODS),
    ]
    off = (part["value"] - part["gamma"]).abs().groupby(part["arm"]).mean()
    panels = []
    for gamma, worlds in part.groupby("gamma", sort=True):
        entries: dict[str, Values | str] = dict.fromkeys(names, "undefined")
        entries |= {str(arm): _array(one["value"]).within(0.0, 1.0) for arm, one in worlds.groupby("arm")}
        declared = float(str(gamma))
        panels.append(
            Panel(
                f"declared γ = {declared:.2g}",
                "estimated γ",
                entries,
                line=declared,
                limits=(-0.06, 1.06),
                digits=2,
            )
        )
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
    losses = [str(one) for one in dict.fromkeys(table["loss"])]
    if loss is not None:
        one_of("loss", loss, losses)
        losses.sort(key=lambda one: one != loss)
    names = [str(name) for name in dict.fromkeys(table["metric"]) if name != "gain"]
    require("gain" in set(table["metric"]), "table", names, "lacks the gains")
    require(len(names) > 0, "table", "gains alone", "must hold at least one rival")
    known = table.assign(ratio=table["ratio"].fillna(-1.0))  # a key that is NaN equals no other
    runs = known.pivot_table(index=keys, columns="metric", values="value").reset_index()
    panels = []
    for one in losses:
        mine = runs[runs["loss"] == one]
        here = [name for name in names if mine[name].notna().any()]
        mine = mine.dropna(subset=[*here, "gain"])
        entries = {name: _correlation(mine, name) for name in here}
        head = f"Students learn by {one}\n{len(mine)} runs"
        axis = "rank correlation with the gain"
        panels.append(
            Panel(
                head,
                axis,
                entries,
                0.0,
                ("gain less", "gain more"),
                limits=(-1.08, 1.08),
                digits=2,
                signed=True,
            )
        )
    rows = [Row(name, _RIVALS.get(name, name), palette.INK) for name in names]
    note = (
        f"{tables.seeds_note(table)} Spearman's correlation over the runs of a seed; gains are over no KD. "
    )
    note += f"Bold: the interval excludes zero, not corrected for {len(names)} rivals."
    return interval_figure(rows, panels, title=title or "Rival hypotheses on the same runs", note=note)


def _correlation(runs: pd.DataFrame, name: str) -> Values | str:
    """Spearman's correlation of a number with the gain, for every seed in which both vary."""
    found = []
    for _, rows in runs.groupby("seed"):
        x, y = rows[name].rank().to_numpy(), rows["gain"].rank().to_numpy()
        if np.ptp(x) > 0 and np.ptp(y) > 0:
            found.append(float(np.corrcoef(x, y)[0, 1]))
    return Values(np.array(found)).within(-1.0, 1.0) if found else "does not vary"


def _array(values: pd.Series[Any], *, hollow: bool = False) -> Values:
    return Values(values.to_numpy(dtype=float), hollow=hollow)


def _rows(arms: Sequence[str]) -> list[Row]:
    return [Row(arm, *palette.style_of(arm)) for arm in arms]


def _label(arm: str) -> str:
    return palette.style_of(arm)[0]


def _minus(reference: str) -> str:
    return f"Student minus {_label(reference)}"


def _level(title: str, part: pd.DataFrame, role: str, measure: Measure, *, scale: str | None = None) -> Panel:
    """What the networks of one role score."""
    present, hollow = arms_of(part, role=role), role == "teacher"
    entries: dict[str, Values | str] = dict.fromkeys(part["arm"].unique(), f"no {role}")
    entries |= {arm: _array(by_seed(part, arm=arm, role=role), hollow=hollow) for arm in present}
    digits = 1 if measure.percent else None
    return Panel(title, measure.label, entries, scale=scale, least=float(measure.percent), digits=digits)


def _worth(
    title: str,
    part: pd.DataFrame,
    reference: str,
    measure: Measure,
    **options: Any,  # noqa: ANN401
) -> Panel:
    """Each student, or a teacher that is a row of its own, minus the reference's student of the same seed."""
    entries: dict[str, Values | str] = dict.fromkeys(part["arm"].unique(), "no student")
    for arm in entries:
        alone = arm == "teacher"
        if arm == reference:
            entries[arm] = REFERENCE
        elif alone or arm in arms_of(part):
            role = "teacher" if alone else "student"
            entries[arm] = _array(paired(part, arm, reference, role=role), hollow=alone)
    return _differences(title, entries, measure, **options)


def _differences(
    title: str,
    entries: Mapping[str, Values | str],
    measure: Measure,
    **options: Any,  # noqa: ANN401
) -> Panel:
    usual = {
        "axis": measure.difference,
        "digits": 1 if measure.percent else None,
        "least": float(measure.percent),
    }
    return Panel(title, entries=entries, line=0.0, signed=True, sides=measure.sides, **{**usual, **options})


def _finding(part: pd.DataFrame, reference: str) -> str:
    """What a figure without a title says: the best other teacher, and what it was worth to its student."""
    head, taught = f"{part['dataset'].iloc[0]}: ", arms_of(part, role="teacher")
    means = {
        arm: float(by_seed(part, arm=arm, role="teacher").mean()) for arm in taught if arm in arms_of(part)
    }
    others = [arm for arm in means if arm != reference]
    if not others:
        return f"{head}students by arm, against {_label(reference)}"
    best = max(others, key=lambda arm: means[arm])
    teacher = (
        f"{means[best] - means[reference]:+.1f}".replace("-", "−")
        if reference in means
        else f"{means[best]:.1f}"
    )
    worth = mean_interval(paired(part, best, reference).to_numpy()).show(signed=True, digits=1)
    return f"{head}{_label(best)} against {_label(reference)}: teacher {teacher}, student {worth}"
