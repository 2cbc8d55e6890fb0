"""Read what a figure needs out of a tidy table, and say what is missing when it does not hold it.

A tidy table has one row per arm, role, seed, split and metric: columns study, dataset, arm, role, seed,
split, metric, value, and one more for each swept quantity. Accuracy is in percent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mmkd_lab.core.check import LabError, listing, of_type, one_of, require
from mmkd_lab.plotting import palette

COLUMNS = ("study", "dataset", "arm", "role", "seed", "split", "metric", "value")
_SHARES = (*("accuracy", "balanced_accuracy", "macro_f1", "micro_f1", "pixel_accuracy", "agreement"),)
#: metric -> what an axis calls it, its unit, and the unit of a difference; of others no unit is known.
_METRICS = {
    **dict.fromkeys(_SHARES, ("", "%", "points")),
    "miou": ("mean IoU", "%", "points"),
    "nll": ("", "nats", "nats"),
    "js": ("divergence", "nats", "nats"),
    "ece": ("calibration error", "points", "points"),
    "w1": ("Wasserstein-1", "", ""),
    "r2": ("R²", "%", "points"),
    "apart": ("difference from the teacher", "", ""),
}
_LOWER = ("nll", "js", "ece", "w1", "rmse", "mae", "apart")


@dataclass(frozen=True)
class Measure:
    """What is on the axis: `test accuracy (%)`, and of differences `difference in test accuracy (points)`.

    `points` is the unit of a difference, in brackets; `sides` are what lies below and above zero; `percent`:
    whether differences are in points, of which one is the least that is worth an axis.
    """

    metric: str
    split: str
    label: str
    difference: str
    points: str
    sides: tuple[str, str]
    percent: bool
    is_share: bool


def measure_of(metric: str, split: str = "test") -> Measure:
    """A metric on a split, with its units."""
    bare, _, part = metric.partition(" (")
    name, unit, apart = _METRICS.get(bare, ("", "", ""))
    name = f"{split} {name or bare.replace('_', ' ')}{part and f' ({part}'}"
    label, points = (f" ({one})" if one else "" for one in (unit, apart))
    sides = ("better", "worse") if bare in _LOWER else ("worse", "better")
    whole, percent, is_share = f"difference in {name}{points}", apart == "points", unit == "%"
    return Measure(metric, split, name + label, whole, points, sides, percent, is_share)


def distinct(values: Iterable[object]) -> list[str]:
    """Each once, as text, in the order of their first appearance."""
    return [str(value) for value in dict.fromkeys(values)]


def has_columns(table: object, names: Sequence[str], *, argument: str = "table") -> None:
    """Raise `LabError` unless the table is a DataFrame with rows and these columns; all missing are named."""
    found = of_type(argument, table, pd.DataFrame, "a pandas DataFrame", "A study has study.table.")
    missing = [name for name in names if name not in found.columns]
    rule = f"lacks the columns {listing(missing).replace(' or ', ' and ')}"
    require(not missing, argument, list(found.columns), rule)
    require(len(found) > 0, argument, "no rows", "must hold at least one")


def select(table: pd.DataFrame, measure: Measure, *, sweep: str | None = None) -> pd.DataFrame:
    """The rows of one metric and split.

    Raises `LabError`: columns missing (all named), no such metric or split, more than one dataset, a value
    that is not finite, a seed twice.
    """
    swept = [] if sweep is None else [sweep]
    has_columns(table, [*COLUMNS, *swept])
    one_of("metric", measure.metric, distinct(table["metric"]))
    one_of("split", measure.split, distinct(table["split"]))
    part = table[(table["metric"] == measure.metric) & (table["split"] == measure.split)]
    datasets = distinct(part["dataset"])
    require(len(datasets) == 1, "table", datasets, "must hold one dataset: draw one figure for each")
    for column in ("value", *swept):
        numbers = pd.to_numeric(part[column], errors="coerce")  # what is no number becomes NaN
        for _, row in part[~np.isfinite(numbers.to_numpy(dtype=float))].iterrows():
            rule = f"must be a finite number ({row['arm']}, {row['role']}, seed {row['seed']})"
            raise LabError(f"table[{column!r}]", row[column], rule)
    keys = ["arm", "role", "seed", *swept]
    twice = part.loc[part.duplicated(subset=keys), keys].to_dict("records")
    require(not twice, "table", twice[:1], "must hold one value per arm, role and seed")
    return part


def arms_of(part: pd.DataFrame, *, role: str = "student") -> list[str]:
    """The arms that have rows of a role, in the order of every figure."""
    return palette.ordered(part.loc[part["role"] == role, "arm"])


def by_seed(part: pd.DataFrame, arm: str, role: str = "student", sweep: str | None = None) -> pd.Series[Any]:
    """Values by seed, or by point of a sweep and seed, in their order."""
    rows = part[(part["arm"] == arm) & (part["role"] == role)]
    return rows.set_index([*([sweep] if sweep else []), "seed"])["value"].astype(float).sort_index()


def paired(
    part: pd.DataFrame, arm: str, reference: str, role: str = "student", sweep: str | None = None
) -> pd.Series[Any]:
    """`arm - reference` seed by seed. Raises `LabError` when their seeds differ."""
    treated, control = by_seed(part, arm, role, sweep), by_seed(part, reference, sweep=sweep)
    return minus(treated, control, arm, reference)


def minus(treated: pd.Series[Any], control: pd.Series[Any], name: str, reference: str) -> pd.Series[Any]:
    """One series by seed minus another. Raises `LabError` when their seeds differ."""
    shown = f"{list(treated.index)} for {name!r} and {list(control.index)} for {reference!r}"
    same = treated.index.equals(control.index)
    require(same, "seeds", shown, "both must have the same seeds", "Run the missing seeds.")
    return treated - control


def reference_arm(part: pd.DataFrame, reference: str | None, *usual: str) -> str:
    """The arm the others are compared with: as asked, else the first of the usual ones, else the first."""
    present = arms_of(part)
    require(len(present) > 0, "table", distinct(part["role"]), "must hold rows of role 'student'")
    if reference is None:
        return next((arm for arm in usual if arm in present), present[0])
    one_of("reference", reference, present)
    return reference


def seeds_note(part: pd.DataFrame) -> str:
    """What a dot, a mark and a bar mean, with n."""
    n = int(part["seed"].nunique())
    if n == 1:
        return "One seed, so there is no interval and nothing to conclude."
    return f"Faint dots: {n} seeds. Mark and bar: mean and 95 % interval."


def view_name(view: str, views: Iterable[str]) -> str:
    """`full input`, `image only`, or where several of more are kept `without image`, from labels of views."""
    kept, every = view.split("+"), sorted({name for one in views for name in one.split("+")})
    gone = [name for name in every if name not in kept]
    if not gone:
        return "full input"
    return f"without {gone[0]}" if len(gone) == 1 and len(kept) > 1 else f"{' + '.join(kept)} only"
