"""The atlas of crossmodal distillation: one tidy file of pairs, their evidence and what came of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from mmkd_lab.core.atomic import write_text
from mmkd_lab.core.check import DamagedFile, reading
from mmkd_lab.core.places import user_data
from mmkd_lab.data.manifest import shipped
from mmkd_lab.forecast.evidence import EVIDENCE
from mmkd_lab.forecast.judge import scores
from mmkd_lab.forecast.model import Floats, Model, balanced, final

#: What a row is about.
ABOUT = ("set", "setting", "teacher", "student", "samples", "arm")
#: What came of it: the gain over no KD in points of test accuracy, with its 95 % interval over paired seeds;
#: mean test accuracies of teacher and untaught student; steps, and the share of networks that still improved
#: in the last tenth of them; the probability and the gain that models gave it which had not seen its set.
FOUND = (
    "gain",
    "low",
    "high",
    "seeds",
    "teacher_test",
    "plain_test",
    "steps",
    "late",
    "foretold",
    "expected",
)
COLUMNS = (*ABOUT, *FOUND, *EVIDENCE)
_NAME, _AGAIN = "atlas.csv", "Remove it, or add the pairs anew."
_TEXTS = [name for name in ABOUT if name != "samples"]
_NEEDED = ["samples", "gain", "low", "high", "seeds"]


def atlas(*, yours: bool = False) -> pd.DataFrame:
    """The atlas that comes with the lab: a row for each pair, setting, number of samples and arm.

    With `yours` also the pairs that you have added (`mmkd-lab atlas --add`). Raises `DamagedFile` for a file
    that is not what it should be.
    """
    found, mine = _read(shipped(_NAME)), own_file()
    return pd.concat([found, read(mine)], ignore_index=True) if yours and mine.is_file() else found.copy()


def own_file() -> Path:
    """Where the pairs that you add are kept; the file that comes with the lab is never written."""
    return user_data() / _NAME


def add(rows: pd.DataFrame) -> Path:
    """Keep rows in your own file, in place of those about the same."""
    file = own_file()
    every = pd.concat([read(file), rows], ignore_index=True) if file.is_file() else rows
    return write_text(file, tidy(every.drop_duplicates(list(ABOUT), keep="last")))


def tidy(rows: pd.DataFrame) -> str:
    """The text of an atlas: its columns in their order, numbers to six digits."""
    ordered = rows.reindex(columns=list(COLUMNS))
    return str(ordered.to_csv(index=False, float_format="%.6g", lineterminator="\n"))


def read(file: Path) -> pd.DataFrame:
    """An atlas file. Raises `DamagedFile` for one that lacks a column, a name or a gain."""
    with reading(file, "must be an atlas: a csv file of names and numbers", _AGAIN):
        rows = pd.read_csv(file, dtype={name: str if name in _TEXTS else float for name in COLUMNS})
    lacks = [name for name in COLUMNS if name not in rows]
    if lacks:
        raise DamagedFile(str(file), f"no column {lacks[0]!r}", "must have the columns of an atlas", _AGAIN)
    bad = rows[_TEXTS].isna().to_numpy().any(1) | ~np.isfinite(rows[_NEEDED].to_numpy()).all(1)
    if bad.any() or rows.empty:
        where = f"line {int(bad.argmax()) + 2}" if bad.any() else "no row"
        raise DamagedFile(str(file), where, "must name a pair and its gain", _AGAIN)
    return rows[list(COLUMNS)]


@dataclass(frozen=True, eq=False)
class ArmForecaster:
    """What the atlas teaches about one arm.

    Args:
        model: of all its rows.
        choice: which evidence was chosen.
        record: `judge.scores` of the forecasts of sets left out; `base` is the Brier score of giving every
            row the share of gains above zero in the other sets.
        rows: the atlas, this arm alone.
    """

    model: Model
    choice: str
    record: dict[str, float]
    rows: pd.DataFrame

    def unlike(self, row: pd.DataFrame) -> bool:
        """Whether a pair is further from the nearest of the atlas, in standardised evidence, than 19 of 20 of
        its pairs are from the nearest of another set."""
        here, there = self.model.columns(row), self.model.columns(self.rows)
        sets = self.rows["set"].to_numpy()
        apart = ((there[:, None] - there[None]) ** 2).mean(-1)
        apart[sets[:, None] == sets[None]] = np.inf
        return bool(((there - here) ** 2).mean(-1).min() > np.quantile(apart.min(1), 0.95))


def learned(arm: str) -> ArmForecaster:
    """What the atlas that comes with the lab teaches about an arm."""
    return _learned(arm, shipped(_NAME))


def base_rate(rows: pd.DataFrame) -> Floats:
    """(n,) the share of gains above zero in the other data sets, each of which counts the same."""
    up, weight, sets = rows["gain"].to_numpy() > 0, balanced(rows), rows["set"].to_numpy()
    return np.array([np.average(up[sets != one], weights=weight[sets != one]) for one in sets])


@cache
def _read(file: Path) -> pd.DataFrame:
    return read(file)


@cache
def _learned(arm: str, file: Path) -> ArmForecaster:
    rows = _read(file)
    mine = rows[rows["arm"] == arm].reset_index(drop=True)
    model, choice = final(mine)
    record = scores(mine["foretold"].to_numpy(), mine)
    return ArmForecaster(model, choice, record | {"base": scores(base_rate(mine), mine)["brier"]}, mine)
