"""From one row per seed to means with intervals, and to paired differences between arms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mmkd_lab.core.check import LabError, listing, one_of, require
from mmkd_lab.core.stats import Interval, mean_interval, paired_interval
from mmkd_lab.training.metrics import METRICS

#: The columns every study's table has; any other column is a sweep (alpha, gamma, ...).
COLUMNS = ("study", "dataset", "arm", "role", "seed", "split", "metric", "value")


def sweep_columns(table: pd.DataFrame) -> list[str]:
    """The columns beyond `COLUMNS`, in order."""
    return [str(name) for name in table.columns if name not in COLUMNS]


def validate(table: pd.DataFrame) -> None:
    """Raise `LabError` unless the table is tidy: all of `COLUMNS`, rows, and no row twice."""
    require(isinstance(table, pd.DataFrame), "table", type(table).__name__, "must be a pandas DataFrame")
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise LabError("table", list(table.columns), f"must have the columns {listing(missing)}")
    require(len(table) > 0, "table", "no rows", "must hold at least one row")
    _validate_numbers(table)
    keys = [name for name in table.columns if name != "value"]
    twice = table[table.duplicated(subset=keys)]
    if len(twice):
        first = twice.iloc[0][keys].to_dict()
        raise LabError("table", first, "must hold one row per arm, role, seed, split and metric")


def _validate_numbers(table: pd.DataFrame) -> None:
    value, seed = table["value"], table["seed"]
    require(seed.dtype.kind in "iu", "table['seed']", seed.dtype, "must hold whole numbers")
    require(value.dtype.kind in "fiu", "table['value']", value.dtype, "must hold numbers")
    wrong = value[~np.isfinite(value.to_numpy(dtype=float))]
    require(wrong.empty, "table['value']", wrong.tolist(), "must be finite")


def primary_metric(table: pd.DataFrame) -> str:
    """The metric a study is about: accuracy where there is one, else the table's first in the order in which
    metrics were registered."""
    found = list(dict.fromkeys(table["metric"]))
    known = next((name for name in METRICS if name in found), found[0])
    return "accuracy" if "accuracy" in found else str(known)


def summarise(table: pd.DataFrame, *, metric: str | None = None, split: str = "test") -> pd.DataFrame:
    """Mean, 95 % interval and n over seeds, one row per role, arm and sweep point.

    Columns: role, arm, the sweep columns, metric, mean, low, high, n; in the units of the metric, by default
    `primary_metric`. With one seed `low` and `high` are NaN. Raises `LabError` for a metric or split that
    the table does not have.
    """
    metric = primary_metric(table) if metric is None else metric
    part = select(table, metric=metric, split=split)
    rows = []
    keys = ["role", "arm", *sweep_columns(table)]
    for key, group in part.groupby(keys, sort=False, dropna=False):
        found = mean_interval(group["value"].to_numpy(dtype=float))
        rows.append({**dict(zip(keys, key, strict=True)), "metric": metric, **_fields(found)})
    return pd.DataFrame(rows)


def difference(
    table: pd.DataFrame,
    treated: str,
    control: str,
    *,
    role: str = "student",
    metric: str | None = None,
    split: str = "test",
) -> Interval:
    """Paired difference `treated - control` over the seeds; a seed's rows, of several views, are meaned.

    Raises `LabError` when an arm is absent or the two arms do not have the same seeds.
    """
    metric = primary_metric(table) if metric is None else metric
    part = select(table, metric=metric, split=split)
    part = part[part["role"] == role]
    values = {}
    for name in (treated, control):
        one_of("arm", name, list(dict.fromkeys(part["arm"])))
        values[name] = part[part["arm"] == name].groupby("seed")["value"].mean().sort_index()
    a, b = values[treated], values[control]
    require(
        a.index.equals(b.index),
        "seeds",
        f"{list(a.index)} for {treated!r} and {list(b.index)} for {control!r}",
        "both arms must have the same seeds, each once",
    )
    return paired_interval(a.to_numpy(dtype=float), b.to_numpy(dtype=float))


def differences(
    table: pd.DataFrame,
    *,
    against: Sequence[str] = ("no_kd", "um_kd"),
    metric: str | None = None,
    split: str = "test",
) -> pd.DataFrame:
    """Every student arm against each control that the table has: arm, against, mean, low, high, n.

    In points for accuracy, nats for nll. Sweep points are compared one by one. Raises `LabError` for a metric
    or split that the table does not have, and for arms of unequal seeds.
    """
    metric = primary_metric(table) if metric is None else metric
    select(table, metric=metric, split=split)
    sweep = sweep_columns(table)
    rows: list[dict[str, object]] = []
    groups = table.groupby(sweep, sort=False, dropna=False) if sweep else [((), table)]
    for point, group in groups:
        where = dict(zip(sweep, point, strict=True))
        students = list(dict.fromkeys(group[group["role"] == "student"]["arm"]))
        for control in (name for name in against if name in students):
            for arm in (name for name in students if name != control):
                found = difference(group, arm, control, metric=metric, split=split)
                rows.append({"arm": arm, "against": control, **where, "metric": metric, **_fields(found)})
    return pd.DataFrame(rows, columns=["arm", "against", *sweep, "metric", "mean", "low", "high", "n"])


def select(table: pd.DataFrame, *, metric: str, split: str) -> pd.DataFrame:
    """The rows of one metric and split. Raises `LabError` when there are none."""
    one_of("metric", metric, list(dict.fromkeys(table["metric"])))
    one_of("split", split, list(dict.fromkeys(table["split"])))
    return table[(table["metric"] == metric) & (table["split"] == split)]


def _fields(interval: Interval) -> dict[str, float]:
    return {"mean": interval.mean, "low": interval.low, "high": interval.high, "n": interval.n}
