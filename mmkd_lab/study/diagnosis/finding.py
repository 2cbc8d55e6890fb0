"""What a section of a diagnosis finds: rows of one tidy table, sentences made of them, figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import nan, sqrt
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mmkd_lab.attribution.tables import Means
from mmkd_lab.core.stats import Interval, mean_interval
from mmkd_lab.data.paired import PairedData, Task
from mmkd_lab.experiments.summary import COLUMNS
from mmkd_lab.plotting.intervals import Values
from mmkd_lab.shares.samples import generator, members
from mmkd_lab.training.metrics import score

if TYPE_CHECKING:
    from mmkd_lab.experiments.result import Study
    from mmkd_lab.plotting.canvas import LabFigure

#: Beside the usual ones: the section; the ends of an interval over `n` samples, where a row has its own.
MORE = ("section", "low", "high", "n")
_Z = 1.96
_AGAIN = 200  # times that samples are drawn again for the interval of a metric
#: Of these, in percent, an interval ends where the numbers do.
_PERCENT = ("accuracy", "macro_f1", "share", "share, %", "labels right")


@dataclass(eq=False)
class SectionFound:
    """One section: its numbers, what they say, its figures, or why it was left out.

    Args:
        name, title: what it is called, and its question.
        head: (study, dataset), for its rows.
        split: on which its numbers are, unless a row says otherwise.
        rows: of the table, with `COLUMNS` and `MORE`.
        says: sentences.
        figures, tables: for the page.
        studies: those that a section ran, by name.
        left_out: why there is nothing, if there is nothing.
        short: whether that is for want of time.
        seconds: what it took.
    """

    name: str
    title: str
    head: tuple[str, str] = ("diagnose", "data")
    split: str = "val"
    rows: list[dict[str, object]] = field(default_factory=list)
    says: list[str] = field(default_factory=list)
    figures: list[LabFigure] = field(default_factory=list)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    studies: dict[str, Study] = field(default_factory=dict)
    left_out: str = ""
    short: bool = False
    seconds: float = 0.0

    def clear(self) -> None:
        """Begin anew."""
        for held in (self.rows, self.says, self.figures, self.tables, self.studies):
            held.clear()

    def seeds(self, arm: str, metric: str, values: Mapping[int, float], *, role: str) -> Interval:
        """A number with a row a seed, or draw; its mean and interval over them."""
        for seed, value in values.items():
            self._row(arm, metric, role, seed, value, (nan, nan, 1))
        return self.get(arm, metric, role)

    def number(self, arm: str, metric: str, found: Interval, *, role: str) -> Interval:
        """A number whose interval is over samples: one row."""
        self._row(arm, metric, role, 0, found.mean, (found.low, found.high, found.n))
        return self.get(arm, metric, role)

    def get(self, arm: str, metric: str, role: str) -> Interval:
        """A number as the table has it: what sentences are made of."""
        return interval_of(pd.DataFrame(self.rows), arm, metric, role)

    def has(self, arm: str, metric: str, role: str) -> bool:
        """Whether there is such a number."""
        return any((row["arm"], row["metric"], row["role"]) == (arm, metric, role) for row in self.rows)

    def drawn(self, arm: str, metric: str, role: str) -> Values:
        """The same for a figure."""
        rows = [row for row in self.rows if (row["arm"], row["metric"], row["role"]) == (arm, metric, role)]
        found, seen = np.array([row["value"] for row in rows], dtype=float), self.get(arm, metric, role)
        return Values(found, (seen.low, seen.high), hollow=role == "teacher")

    def _row(
        self, arm: str, metric: str, role: str, seed: int, value: float, ends: tuple[float, float, int]
    ) -> None:
        usual = (*self.head, arm, role, seed, self.split, metric, float(value))
        row = dict(zip(COLUMNS, usual, strict=True)) | dict(zip(MORE, (self.name, *ends), strict=True))
        self.rows.append(row)


def interval_of(table: pd.DataFrame, arm: str, metric: str, role: str) -> Interval:
    """The mean over the seeds of some rows with its interval, or the interval that one row brings."""
    rows = table[(table["arm"] == arm) & (table["metric"] == metric) & (table["role"] == role)]
    values = rows["value"].to_numpy(dtype=float)
    first = rows.iloc[0]
    if len(rows) > 1 or np.isnan(first["low"]):
        seen = mean_interval(values)
        inside = metric in _PERCENT and seen.n > 1
        return replace(seen, low=max(seen.low, 0.0), high=min(seen.high, 100.0)) if inside else seen
    return Interval(float(values[0]), float(first["low"]), float(first["high"]), int(first["n"]))


def scored(
    found: SectionFound, arm: str, role: str, said: Mapping[int, Tensor], data: PairedData
) -> Interval:
    """The task's first metric of {seed: (N, K) logits}: over seeds, or of one network over samples."""
    target = data.target[data.positions(found.split)].cpu()
    by_seed, metric = {}, ""
    for seed, logits in said.items():
        named = score(logits[None].double(), target, task=data.task)
        metric = next(iter(named))
        by_seed[seed] = float(named[metric][0])
    if len(by_seed) > 1:
        return found.seeds(arm, metric, by_seed, role=role)
    if data.task is not Task.SINGLE_LABEL:
        (value,), (logits,) = by_seed.values(), said.values()
        low, high = _drawn_again(metric, logits.double(), target, data, found.split)
        return found.number(arm, metric, Interval(value, low, high, len(target)), role=role)
    right = next(iter(said.values())).argmax(-1) == target
    return found.number(arm, metric, share(right, data, found.split), role=role)


def _drawn_again(
    metric: str, logits: Tensor, target: Tensor, data: PairedData, split: str
) -> tuple[float, float]:
    """The ends of 95 % of a metric on samples, or groups of them, drawn again with replacement."""
    group = None if data.group is None else data.group[data.positions(split)].cpu().numpy()
    codes = None if group is None else np.unique(group, return_inverse=True)[1]
    units, draw = members(codes, len(target)), generator(0, "diagnose", "metric")
    seen = []
    for _ in range(_AGAIN):
        rows = np.concatenate([units[i] for i in draw.integers(len(units), size=len(units))])
        seen.append(float(score(logits[None, rows], target[rows], task=data.task)[metric][0]))
    low, high = np.quantile(seen, [0.025, 0.975])
    return float(low), float(high)


def share(some: Tensor, data: PairedData, split: str) -> Interval:
    """Percent of (N,) truth values, with Wilson's interval; where samples belong to groups, over groups."""
    values = 100.0 * some.double().cpu().numpy()
    n = len(values)
    if data.group is not None:
        who = data.group[data.positions(split)].cpu().numpy()
        seen = Means("t", 0.95, 0, who)(values, np.ones(n, dtype=bool))
        return replace(seen, low=max(seen.low, 0.0), high=min(seen.high, 100.0))
    p, shrink = float(values.mean()) / 100, 1 + _Z**2 / n
    middle = (p + _Z**2 / (2 * n)) / shrink
    half = _Z * sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2)) / shrink
    return Interval(100 * p, 100 * min(p, middle - half), 100 * max(p, middle + half), n)


def apart(values: Tensor, data: PairedData, split: str) -> Interval:
    """The mean of (N,) differences, Student's t over samples, or over groups."""
    n = len(values)
    who = np.arange(n) if data.group is None else data.group[data.positions(split)].cpu().numpy()
    return Means("t", 0.95, 0, who)(values.double().cpu().numpy(), np.ones(n, dtype=bool))


def softened(logits: Tensor, task: Task, temperature: float) -> Tensor:
    """What a student is told at a temperature: probabilities (N, K)."""
    scaled = logits.double() / temperature
    return torch.sigmoid(scaled) if task is Task.MULTI_LABEL else scaled.softmax(-1)


def listed(parts: Sequence[str]) -> str:
    """'a, b and c'."""
    from mmkd_lab.experiments.claims import joined

    return joined(list(parts))
