"""What of a study's table is looked at: whose networks, which metric, split and point, which arms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any
from urllib.parse import quote, unquote

import pandas as pd

from mmkd_lab.core.check import one_of
from mmkd_lab.core.config import config
from mmkd_lab.core.stats import mean_interval
from mmkd_lab.experiments.claims import Claim
from mmkd_lab.experiments.result import Study
from mmkd_lab.experiments.summary import sweep_columns
from mmkd_lab.plotting.palette import ordered

_PERCENT = ("accuracy", "macro_f1", "micro_f1", "miou", "pixel_accuracy", "agreement", "teacher_accuracy")
_UNITS = {**dict.fromkeys(_PERCENT, "%"), "gain": "points", "ece": "points", "nll": "nats", "js": "nats"}
#: Of these more is better, or less; of others nothing is said but above and below.
MORE, LESS = ("accuracy", "macro_f1", "micro_f1", "miou", "pixel_accuracy", "gain"), ("nll", "ece")


@config
class ExploreState:
    """What of a study is looked at; what is left empty is chosen by the study.

    Args:
        study: path of a saved study; empty for the one that is given.
        role: whose networks, 'student', 'teacher' or another role of the table.
        metric, split: of the table.
        at: where in a table with views or sweeps, 'column=value' each.
        arms: those that are shown, beside the reference; all when empty.
        reference: the arm that the others are compared with.
        seed: the seed that is drawn strong; none when empty.
    """

    study: str = ""
    role: str = ""
    metric: str = ""
    split: str = ""
    at: tuple[str, ...] = ()
    arms: tuple[str, ...] = ()
    reference: str = ""
    seed: str = ""


def key_of(value: Any) -> Any:  # noqa: ANN401 - a cell of a table
    """A value of a column as it is chosen: numbers to four digits; None where the cell is empty."""
    if pd.isna(value) or value == "":
        return None
    return float(f"{value:.4g}") if isinstance(value, float) else value


def with_place(at: Sequence[str], column: str, value: object) -> tuple[str, ...]:
    """`at` with another value of a column."""
    kept = [one for one in at if one.partition("=")[0] != column]
    return (*kept, f"{column}={quote(str(value), safe=' +/')}")


Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, eq=False)
class Section:
    """A state on its study: what can be chosen, what is chosen, and the rows that this leaves.

    Args:
        options: {'role', 'metric', 'split', 'at:<column>', 'arms': what can be chosen}.
        chosen: {the same: what is}; of 'arms' the reference and the others, in the order of figures.
        reference: the arm that the others are compared with.
        values: {arm: {seed: value}}.
        table: the rows of the study's table that this is.
    """

    options: Mapping[str, tuple[Any, ...]]
    chosen: Mapping[str, Any]
    reference: str
    values: Mapping[str, Mapping[int, float]]
    table: pd.DataFrame

    @cached_property
    def gaps(self) -> dict[str, dict[int, float]]:
        """{arm: {seed: value minus the reference's}}, over the seeds that both have."""
        base = self.values[self.reference]
        found = {
            arm: {seed: value - base[seed] for seed, value in seeds.items() if seed in base}
            for arm, seeds in self.values.items()
            if arm != self.reference
        }
        return {arm: gaps for arm, gaps in found.items() if gaps}

    @cached_property
    def claims(self) -> list[Claim]:
        """Every other arm against the reference."""
        role, good = self.chosen["role"], self.chosen["metric"] in MORE
        words = role if good and role in ("student", "teacher") else "number"
        return [
            Claim(arm, self.reference, mean_interval([*gaps.values()]), words)
            for arm, gaps in self.gaps.items()
        ]

    @property
    def seeds(self) -> list[int]:
        """Of any arm that is shown."""
        return sorted({seed for seeds in self.values.values() for seed in seeds})

    @property
    def metric(self) -> str:
        """The metric, as people read it."""
        return str(self.chosen["metric"]).replace("_", " ")

    @property
    def unit(self) -> str:
        """Of the metric; empty where it is not known."""
        return _UNITS.get(self.chosen["metric"], "")

    @property
    def where(self) -> str:
        """The place in the table, in words: 'view text, ratio 0.5'."""
        places = [name for name in self.chosen if name.startswith("at:") and len(self.options[name]) > 1]
        return ", ".join(f"{name.removeprefix('at:')} {self.chosen[name]}" for name in places)


@lru_cache(maxsize=4)
def _rows(study: Study) -> Rows:
    """The table as plain rows, each with its number, cells as they are chosen but for the value."""
    table = study.table
    columns = {
        str(name): [key_of(cell) if name != "value" else cell for cell in table[name].tolist()]
        for name in table
    }
    names = list(columns)
    return [
        {"row": i, **dict(zip(names, cells, strict=True))}
        for i, cells in enumerate(zip(*columns.values(), strict=True))
    ]


@lru_cache(maxsize=16)
def cut(study: Study, state: ExploreState) -> Section:
    """What a state shows of a study; where it asks for what is not there, what the study would choose."""
    rows = _rows(study)
    options: dict[str, tuple[Any, ...]] = {}
    chosen: dict[str, Any] = {}

    def choose(column: str, *wanted: object, name: str = "") -> Rows:
        name = name or column
        keys = tuple(dict.fromkeys(row[column] for row in rows if row[column] is not None))
        if not keys:
            return rows
        texts = {str(key): key for key in keys}
        first = next((texts[str(one)] for one in wanted if str(one) in texts), keys[0])
        options[name], chosen[name] = keys, first
        swept = {row["arm"] for row in rows if row[column] is not None}
        return [row for row in rows if row[column] == first or (row["arm"] not in swept)]

    rows = choose("role", state.role, "student")
    rows = choose("metric", state.metric, study.options.get("metric"), "accuracy")
    rows = choose("split", state.split, "test")
    places = dict(one.partition("=")[::2] for one in state.at)
    for column in ("dataset", *sweep_columns(study.table)):
        rows = choose(column, unquote(places.get(column, "")), study.options.get(column), name=f"at:{column}")
    options["arms"] = tuple(ordered(row["arm"] for row in rows))
    reference = _reference(study, state, options["arms"])
    wanted = {*state.arms, reference} if set(state.arms) & set(options["arms"]) else set(options["arms"])
    chosen["arms"] = tuple(arm for arm in options["arms"] if arm in wanted)
    values: dict[str, dict[int, float]] = {arm: {} for arm in chosen["arms"]}
    for row in rows:
        if row["arm"] in values:
            values[row["arm"]][row["seed"]] = float(row["value"])
    shown = [row["row"] for row in rows if row["arm"] in values]
    return Section(options, chosen, reference, values, study.table.iloc[shown])


def _reference(study: Study, state: ExploreState, arms: Sequence[str]) -> str:
    wanted = (state.reference, study.options.get("reference"), "kd", "no_kd", "cm_kd")
    return str(next((arm for arm in wanted if arm in arms), arms[0]))


def check(study: Study, state: ExploreState) -> ExploreState:
    """The state, if it names only what the study has. Raises `LabError`."""
    table = study.table
    for name in ("role", "metric", "split"):
        if getattr(state, name):
            one_of(name, getattr(state, name), list(dict.fromkeys(table[name])))
    arms = list(dict.fromkeys(table["arm"]))
    for arm in (*state.arms, *filter(None, [state.reference])):
        one_of("arm", arm, arms)
    if state.seed:
        one_of("seed", state.seed, [str(seed) for seed in sorted(set(table["seed"]))])
    for place in state.at:
        column, _, value = place.partition("=")
        one_of("at", column, ["dataset", *sweep_columns(table)])
        known = dict.fromkeys(str(key) for key in table[column].map(key_of) if key is not None)
        one_of(column, unquote(value), list(known))
    return state
