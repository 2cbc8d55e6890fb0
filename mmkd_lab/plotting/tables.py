"""Read what a figure needs out of a tidy table, and say what is missing when it does not hold it.

A tidy table has one row per arm, role, seed, split and metric: columns study, dataset, arm, role, seed,
split, metric, value, and one more for each swept quantity. Accuracy is in percent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mmkd_lab.core.check import LabError, listing, one_of, require
from mmkd_lab.core.stats import Interval, mean_interval
from mmkd_lab.plotting import palette

COLUMNS = ("study", "dataset", "arm", "role", "seed", "split", "metric", "value")
_UNITS = {"accuracy": ("%", "points"), "nll": ("nats", "nats")}


@dataclass(frozen=True)
class Measure:
    """What is on the axis: a metric on a split, with its units."""

    metric: str
    split: str

    @property
    def label(self) -> str:
        """`test accuracy (%)`."""
        unit = _UNITS.get(self.metric, ("", ""))[0]
        return f"{self.split} {self.metric}" + (f" ({unit})" if unit else "")

    @property
    def difference(self) -> str:
        """`difference in test accuracy (points)`."""
        unit = _UNITS.get(self.metric, ("", ""))[1]
        return f"difference in {self.split} {self.metric}" + (f" ({unit})" if unit else "")

    @property
    def sides(self) -> tuple[str, str]:
        """What lies below and above zero."""
        return ("better", "worse") if self.metric == "nll" else ("worse", "better")


def select(table: pd.DataFrame, measure: Measure, *, sweep: str | None = None) -> pd.DataFrame:
    """The rows of one metric and split, checked.

    Raises `LabError`: columns missing (all named), no such metric or split, more than one dataset, an arm
    without a colour, a value that is not finite, a seed twice.
    """
    if not isinstance(table, pd.DataFrame):
        raise LabError(
            "table", type(table).__name__, "must be a pandas DataFrame", "A study has study.table."
        )
    twice = list(dict.fromkeys(table.columns[table.columns.duplicated()]))
    require(not twice, "table", twice, "must not hold a column twice")
    needed = COLUMNS if sweep is None else (*COLUMNS, sweep)
    missing = [name for name in needed if name not in table.columns]
    if missing:
        raise LabError(
            "table", list(table.columns), f"lacks the columns {_and(missing)}", "study.table has them."
        )
    require(len(table) > 0, "table", "no rows", "must hold at least one", "See the study's own table.")
    one_of("metric", measure.metric, list(dict.fromkeys(table["metric"])))
    one_of("split", measure.split, list(dict.fromkeys(table["split"])))
    part = table[(table["metric"] == measure.metric) & (table["split"] == measure.split)]
    _check(part, sweep)
    return part


def _check(part: pd.DataFrame, sweep: str | None) -> None:
    if len(part) == 0:
        raise LabError("table", "no rows", "must hold rows of this metric on this split")
    datasets = list(dict.fromkeys(part["dataset"]))
    if len(datasets) > 1:
        raise LabError("table", datasets, "must hold one dataset", "Draw one figure for each.")
    for arm in dict.fromkeys(part["arm"]):
        palette.look(str(arm))
    for column in ("value",) if sweep is None else ("value", sweep):
        numbers = pd.to_numeric(part[column], errors="coerce")  # what is no number becomes NaN
        bad = part[~np.isfinite(numbers.to_numpy(dtype=float))]
        if len(bad):
            row = bad.iloc[0]
            rule = f"must be a finite number ({row['arm']}, {row['role']}, seed {row['seed']})"
            raise LabError(f"table[{column!r}]", row[column], rule)
    keys = ["arm", "role", "seed"] if sweep is None else ["arm", "role", "seed", sweep]
    twice = part[part.duplicated(subset=keys)]
    if len(twice):
        raise LabError("table", twice.iloc[0][keys].to_dict(), "must hold one value per arm, role and seed")


def arms_of(part: pd.DataFrame, *, role: str = "student") -> list[str]:
    """The arms that have rows of a role, in the palette's order."""
    present = set(part.loc[part["role"] == role, "arm"])
    return [arm for arm in (*palette.ARMS, *palette.REPAIRS) if arm in present]


def by_seed(part: pd.DataFrame, *, arm: str, role: str = "student") -> pd.Series[Any]:
    """Values indexed by seed, in the order of the seeds."""
    rows = part[(part["arm"] == arm) & (part["role"] == role)]
    return rows.set_index("seed")["value"].astype(float).sort_index()


def paired(part: pd.DataFrame, arm: str, reference: str) -> pd.Series[Any]:
    """`arm - reference` seed by seed. Raises `LabError` when their seeds differ."""
    treated, control = by_seed(part, arm=arm), by_seed(part, arm=reference)
    if not treated.index.equals(control.index):
        shown = f"{list(treated.index)} for {arm!r} and {list(control.index)} for {reference!r}"
        raise LabError("seeds", shown, "both arms must have the same seeds", "Run the missing seeds.")
    return treated - control


def interval(values: pd.Series[Any] | npt.NDArray[np.float64]) -> Interval:
    """Mean and 95 % interval; see `base.stats.mean_interval`."""
    return mean_interval(np.asarray(values, dtype=float))


def reference_arm(part: pd.DataFrame, reference: str | None) -> str:
    """The arm the others are compared with: as asked, else unimodal KD, else no KD, else the first."""
    present = arms_of(part)
    if not present:
        raise LabError("table", sorted(set(part["role"])), "must hold rows of role 'student'")
    if reference is not None:
        one_of("reference", reference, present)
        return reference
    return next((arm for arm in ("um_kd", "no_kd") if arm in present), present[0])


def seeds_note(part: pd.DataFrame) -> str:
    """What a dot, a mark and a bar mean, with n."""
    n = int(part["seed"].nunique())
    if n == 1:
        return "One seed, so there is no interval and nothing to conclude."
    return f"Faint dots: {n} seeds. Mark and bar: mean and 95 % interval."


def _and(names: list[str]) -> str:
    return listing(names).replace(" or ", " and ")
