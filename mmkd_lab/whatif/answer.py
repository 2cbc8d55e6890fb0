"""What a panel shows of a state: pictures, a sentence, a table, the few numbers that are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from mmkd_lab.core.atomic import write_bytes, write_text
from mmkd_lab.core.check import one_of, require, writing
from mmkd_lab.core.check import path as checked_path
from mmkd_lab.core.places import results_folder
from mmkd_lab.core.stats import Interval, mean_interval, paired_interval
from mmkd_lab.plotting.canvas import LabFigure
from mmkd_lab.whatif.scene import Scene, grid

Kind = Literal["png", "svg", "csv"]
KINDS = ("png", "svg", "csv")


@dataclass(frozen=True)
class Progress:
    """How far work has come: `done` of `total` things called `what`."""

    done: int
    total: int
    what: str


@dataclass(frozen=True, eq=False)
class Answer:
    """One state, shown.

    Args:
        scenes: {name: picture}, in the order in which they are shown.
        sentence: what they say.
        table: tidy, with a study's columns (see `experiments.summary`); what CSV files hold.
        numbers: {what it is called: values by seed}, each with its unit in the name; what pinned states are
            compared by.
        notes: what else should be known, a line each.
        doing: what is still being worked on; None when this is the final answer.
        settled: whether the numbers will not change any more; later answers add pictures and words.
    """

    scenes: Mapping[str, Scene]
    sentence: str
    table: pd.DataFrame
    numbers: Mapping[str, np.ndarray] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    doing: Progress | None = None
    settled: bool = False

    def scene(self) -> Scene:
        """All pictures in one, side by side, two in a row."""
        return grid(list(self.scenes.values()), columns=2, told=self.sentence)

    def figure(self) -> LabFigure:
        """All pictures by matplotlib."""
        return self.scene().figure()

    def save(self, name: str, kind: Kind, folder: Path | str | None = None) -> Path:
        """Write the pictures ('png', 'svg') or the table ('csv') as `name.kind`, atomically; returns where.

        Without a folder it goes where results go (MMKD_LAB_RESULTS, or runs/results). Raises `LabError` for
        another kind, or a folder that cannot be written.
        """
        one_of("kind", kind, KINDS)
        folder = results_folder() if folder is None else checked_path("folder", folder)
        where = folder / f"{name}.{kind}"
        with writing("folder", folder):
            folder.mkdir(parents=True, exist_ok=True)
            if kind == "csv":
                return write_text(where, self.table.to_csv(index=False, lineterminator="\n"))
            if kind == "svg":
                return write_text(where, self.scene().svg())
            return write_bytes(where, self.figure().png())

    def __repr__(self) -> str:
        return self.sentence


def compare(pinned: Answer, now: Answer) -> pd.DataFrame:
    """One row a number that both answers have: pinned, now, and the difference with its interval.

    Where both rest on the same number of seeds the difference is paired, seed by seed.
    """
    shared = [name for name in now.numbers if name in pinned.numbers]
    require(len(shared) > 0, "pinned", list(pinned.numbers), "must have a number in common with the answer")
    rows = []
    for name in shared:
        before, after = (np.asarray(one.numbers[name], dtype=float) for one in (pinned, now))
        rows.append(
            {
                "number": name,
                "pinned": _shown(mean_interval(before)),
                "now": _shown(mean_interval(after)),
                "difference": _difference(before, after),
            }
        )
    return pd.DataFrame(rows)


def _shown(found: Interval) -> str:
    return found.show() if found.n > 1 else f"{found.mean:.2f}".replace("-", "−")


def _difference(before: np.ndarray, after: np.ndarray) -> str:
    if len(before) == len(after) > 1:
        return paired_interval(after, before).show(signed=True)
    return f"{after.mean() - before.mean():+.2f}, not paired".replace("-", "−")
