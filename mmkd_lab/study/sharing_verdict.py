"""What a study of shares found, in words."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mmkd_lab.core.check import one_of
from mmkd_lab.core.stats import Interval
from mmkd_lab.shares.estimators import ESTIMATORS
from mmkd_lab.shares.shares import QUANTITIES, XOR_FROM

#: gamma comes first: it is what a study of shares is about.
ORDER = ("gamma_union", *(name for name in QUANTITIES if name != "gamma_union"))
#: {method: {seed: what it says about its numbers}}.
Notes = dict[str, dict[str, list[str]]]


def shares_of(table: pd.DataFrame, method: str) -> dict[str, Interval]:
    """{quantity: share and interval} of one method: the mean over seeds, and the ends that hold every seed's.

    A quantity without an interval has NaN ends. Raises `LabError` for a method that the table lacks.
    """
    one_of("method", method, list(dict.fromkeys(table["arm"])))
    part = table[table["arm"] == method]
    values = {name: group["value"].to_numpy(dtype=float) for name, group in part.groupby("metric")}
    found = {}
    for name in (name for name in ORDER if name in values):
        low, high = (values.get(f"{name} {end}", np.array([np.nan])) for end in ("low", "high"))
        n = len(values[name])
        found[name] = Interval(float(values[name].mean()), float(low.min()), float(high.max()), n)
    return found


def title(table: pd.DataFrame, estimator: str, names: tuple[str, str]) -> str:
    """The finding in a few words."""
    found, head = shares_of(table, estimator), table["dataset"].iloc[0]
    synergy = found["synergy"].mean if "synergy" in found else 0.0
    if "gamma_union" not in found:
        what = "XOR-type label" if synergy else "nothing decisive"
        return f"{head}, by {_label(estimator)}: {what}, {names[0]} and {names[1]} by themselves tell nothing"
    if synergy > XOR_FROM:
        return f"{head}, by {_label(estimator)}: XOR-type, {synergy:.0%} of what the pair carries is synergy"
    shown = found["gamma_union"]
    ends = "" if np.isnan(shown.low) else f" [{100 * shown.low:.0f}, {100 * shown.high:.0f}]"
    share = f"{shown.mean:.0%}{ends}"
    return f"{head}, by {_label(estimator)}: {share} of what {names[0]} or {names[1]} carries is in both"


def sentence(table: pd.DataFrame, estimator: str, names: tuple[str, str], n: int, layer: str) -> str:
    """The verdict: one estimator's shares, and gamma by the others."""
    head = f"On {table['dataset'].iloc[0]} ({names[0]} and {names[1]}, {layer}, {n:,} samples)"
    by = {str(method): shares_of(table, str(method)) for method in dict.fromkeys(table["arm"])}
    seeds, mine = int(table["seed"].nunique()), by.pop(estimator)
    if "gamma_union" in mine:
        said = [
            f"gamma {_shown(mine['gamma_union'], seeds)}",
            f"only {names[0]} {_shown(mine['alpha'], seeds)}",
        ]
        said += [f"only {names[1]} {_shown(mine['beta'], seeds)}"]
    else:
        said = ["alpha, beta and gamma are undefined"]
    said += [f"{name} {_shown(mine[name], seeds)}" for name in ("synergy", "unobserved") if name in mine]
    sentence = f"{head}, by {_label(estimator)}: {', '.join(said)}"
    others = [
        f"{_shown(one['gamma_union'], seeds) if 'gamma_union' in one else 'undefined'} by {_label(method)}"
        for method, one in by.items()
    ]
    return f"{sentence}; gamma is {', '.join(others)}." if others else f"{sentence}."


def noted(notes: Notes, seeds: int) -> str:
    """Every note once, with its method, and with its seeds where not all of them have it.

    What the verdict has said already, that shares are undefined, is not said again.
    """
    said = []
    for method, by_seed in notes.items():
        texts = dict.fromkeys(one for each in by_seed.values() for one in each)
        for note in (one for one in texts if not one.startswith("alpha, beta and gamma are undefined")):
            where = [seed for seed, each in by_seed.items() if note in each]
            which = f" (seed{'s' if len(where) > 1 else ''} {', '.join(where)})" if len(where) < seeds else ""
            said.append(f" By {_label(method)}{which}: {note}")
    return "".join(said)


def _label(method: str) -> str:
    return ESTIMATORS[method].label


def _shown(found: Interval, seeds: int) -> str:
    ends = "" if np.isnan(found.low) else f" [{found.low:.2f}, {found.high:.2f}]"
    part = "" if found.n == seeds else f" (undefined in {seeds - found.n} of {seeds} seeds)"
    return f"{found.mean:.2f}{ends}{part}"
