"""Read what a figure needs out of a tidy table, and say what is missing when it does not hold it.

A tidy table has one row per arm, role, seed, split and metric: columns study, dataset, arm, role, seed,
split, metric, value, and one more for each swept quantity. Accuracy is in percent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mmkd_lab.core.check import LabError, listing, one_of, require
from mmkd_lab.plotting import palette

COLUMNS = ("study", "dataset", "arm", "role", "seed", "split", "metric", "value")
#: metric -> what an axis calls it, its unit, and the unit of a difference; of others no unit is known.
_METRICS = {
    **dict.fromkeys(
        ("accuracy", "macro_f1", "micro_f1", "miou", "pixel_accuracy", "agreement"), ("", "%", "points")
    ),
    "nll": ("", "nats", "nats"),
    "js": ("divergence", "nats", "nats"),
    "ece": ("calibration error", "points", "points"),
    "w1": ("Wasserstein-1", "", ""),
}
_LOWER = ("nll", "js", "ece", "w1")


@dataclass(frozen=True)
class Measure:
    """What is on the axis: a metric on a split, with its units."""

    metric: str
    split: str = "test"

    @property
    def label(self) -> str:
        """`test accuracy (%)`."""
        name, unit, _ = self._told
        return f"{self.split} {name}{f' ({unit})' if unit else ''}"

    @property
    def difference(self) -> str:
        """`difference in test accuracy (points)`."""
        return f"difference in {self.split} {self._told[0]}{self.points}"

    @property
    def points(self) -> str:
        """The unit of a difference, in brackets: ` (points)`."""
        return f" ({self._told[2]})" if self._told[2] else ""

    @property
    def sides(self) -> tuple[str, str]:
        """What lies below and above zero."""
        return ("better", "worse") if self.metric in _LOWER else ("worse", "better")

    @property
    def percent(self) -> bool:
        """Whether differences are in points, of which one is the least that is worth an axis."""
        return self._told[2] == "points"

    @property
    def is_share(self) -> bool:
        """Whether its values are in percent."""
        return self._told[1] == "%"

    @property
    def _told(self) -> tuple[str, str, str]:
        name, unit, difference = _METRICS.get(self.metric, ("", "", ""))
        return name or self.metric.replace("_", " "), unit, difference


def has_columns(table: object, names: Sequence[str], *, argument: str = "table") -> pd.DataFrame:
    """The table, if it is a DataFrame with rows and these columns. Raises `LabError` naming all missing."""
    if not isinstance(table, pd.DataFrame):
        raise LabError(
            argument, type(table).__name__, "must be a pandas DataFrame", "A study has study.table."
        )
    twice = list(dict.fromkeys(table.columns[table.columns.duplicated()]))
    require(not twice, argument, twice, "must not hold a column twice")
    missing = [name for name in names if name not in table.columns]
    rule = f"lacks the columns {listing(missing).replace(' or ', ' and ')}"
    require(not missing, argument, list(table.columns), rule)
    require(len(table) > 0, argument, "no rows", "must hold at least one")
    return table


def select(table: pd.DataFrame, measure: Measure, *, sweep: str | None = None) -> pd.DataFrame:
    """The rows of one metric and split, checked.

    Raises `LabError`: columns missing (all named), no such metric or split, more than one dataset, a value
    that is not finite, a seed twice.
    """
    has_columns(table, COLUMNS if sweep is None else (*COLUMNS, sweep))
    one_of("metric", measure.metric, list(dict.fromkeys(table["metric"])))
    one_of("split", measure.split, list(dict.fromkeys(table["split"])))
    part = table[(table["metric"] == measure.metric) & (table["split"] == measure.split)]
    require(len(part) > 0, "table", "no rows", "must hold rows of this metric on this split")
    datasets = list(dict.fromkeys(part["dataset"]))
    require(len(datasets) == 1, "table", datasets, "must hold one dataset: draw one figure for each")
    for column in ("value",) if sweep is None else ("value", sweep):
        numbers = pd.to_numeric(part[column], errors="coerce")  # what is no number becomes NaN
        bad = part[~np.isfinite(numbers.to_numpy(dtype=float))]
        if len(bad):
            row = bad.iloc[0]
            rule = f"must be a finite number ({row['arm']}, {row['role']}, seed {row['seed']})"
            raise LabError(f"table[{column!r}]", row[column], rule)
    keys = ["arm", "role", "seed", *([sweep] if sweep else [])]
    twice = part[part.duplicated(subset=keys)]
    if len(twice):
        raise LabError("table", twice.iloc[0][keys].to_dict(), "must hold one value per arm, role and seed")
    return part


def arms_of(part: pd.DataFrame, *, role: str = "student") -> list[str]:
    """The arms that have rows of a role, in the order of every figure."""
    return palette.ordered(part.loc[part["role"] == role, "arm"])


def by_seed(part: pd.DataFrame, *, arm: str, role: str = "student") -> pd.Series[Any]:
    """Values indexed by seed, in the order of the seeds."""
    rows = part[(part["arm"] == arm) & (part["role"] == role)]
    return rows.set_index("seed")["value"].astype(float).sort_index()


def paired(part: pd.DataFrame, arm: str, reference: str, *, role: str = "student") -> pd.Series[Any]:
    """`arm - reference` seed by seed. Raises `LabError` when their seeds differ."""
    return minus(by_seed(part, arm=arm, role=role), by_seed(part, arm=reference), arm, reference)


def minus(treated: pd.Series[Any], control: pd.Series[Any], name: str, reference: str) -> pd.Series[Any]:
    """One series by seed minus another. Raises `LabError` when their seeds differ."""
    if not treated.index.equals(control.index):
        shown = f"{list(treated.index)} for {name!r} and {list(control.index)} for {reference!r}"
        raise LabError("seeds", shown, "both must have the same seeds", "Run the missing seeds.")
    return treated - control


def reference_arm(part: pd.DataFrame, reference: str | None, *, usual: Sequence[str]) -> str:
    """The arm the others are compared with: as asked, else the first of the usual ones, else the first."""
    present = arms_of(part)
    require(len(present) > 0, "table", sorted(set(part["role"])), "must hold rows of role 'student'")
    if reference is not None:
        one_of("reference", reference, present)
        return reference
    return next((arm for arm in usual if arm in present), present[0])


def seeds_note(part: pd.DataFrame) -> str:
    """What a dot, a mark and a bar mean, with n."""
    n = int(part["seed"].nunique())
    if n == 1:
        return "One seed, so there is no interval and nothing to conclude."
    return f"Faint dots: {n} seeds. Mark and bar: mean and 95 % interval."


def view_name(view: str, full: str) -> str:
    """`full input`, `image only`, or where several of more are kept `without image`, from labels of views."""
    kept, every = view.split("+"), full.split("+")
    gone = [name for name in every if name not in kept]
    if not gone:
        return "full input"
    return f"without {gone[0]}" if len(gone) == 1 and len(kept) > 1 else f"{' + '.join(kept)} only"


def fullest(views: Sequence[str]) -> str:
    """The label of the view that keeps what any of them keeps."""
    return "+".join(sorted({name for view in views for name in view.split("+")}))
