"""Splits as somebody gives them: none, shares, masks, positions, ids, or a column of names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmkd_lab.core.check import LabError, did_you_mean, listing, require
from mmkd_lab.core.complaints import Complaints
from mmkd_lab.data.own.divide import divide
from mmkd_lab.data.own.labels import Labels
from mmkd_lab.data.own.rows import Array, Rows, column, plain, rows_of, some
from mmkd_lab.data.task import SPLITS

_SHARES, _VAL = (0.6, 0.2, 0.2), 0.2
_MEANT = {
    **{name: name for name in SPLITS},
    "training": "train",
    **dict.fromkeys(("validation", "valid", "dev", "development"), "val"),
    **dict.fromkeys(("testing", "eval", "holdout"), "test"),
}

Splits = dict[str, Rows]


@dataclass(frozen=True, eq=False)
class Divisible:
    """What is split: labels, (N,) ids or None, (N,) groups or None."""

    labels: Labels
    ids: Array | None = None
    group: Array | None = None

    def divided(self, shares: Sequence[float], rows: Rows, seed: int) -> list[Rows]:
        """These rows in parts; see `divide`."""
        group = None if self.group is None else np.unique(self.group[rows], return_inverse=True)[1]
        labels = Labels(self.labels.target[rows], self.labels.classes, self.labels.task)
        order = np.arange(len(rows)) if self.ids is None else np.argsort(self.ids[rows], kind="stable")
        side = divide(labels, shares, group=group, order=order, seed=seed)
        return [rows[side == part] for part in range(len(shares))]


def splits_of(value: object, samples: Divisible, seed: int, wrong: Complaints) -> tuple[Splits, str]:
    """train, val and test as positions, and how they came to be; by `from_arrays`' rules.

    Whole numbers are positions, unless the ids are whole numbers. What splits must be together is checked by
    `PairedData`, but for groups, which have a name here. What is wrong is kept in `wrong`, or raised.
    """
    every = np.arange(len(samples.labels.target))
    how = f"stratified{', groups whole' * (samples.group is not None)}, seed {seed}"
    three = isinstance(value, (tuple, list)) and len(value) == 3 and all(isinstance(x, float) for x in value)
    if value is None or three:
        shares = _SHARES if value is None else tuple(value)  # type: ignore[arg-type] # three numbers
        rule = "must be the shares of train, val and test, above 0, that sum to 1"
        require(min(shares) > 0 and abs(sum(shares) - 1) < 1e-6, "split", value, rule)
        return dict(zip(SPLITS, samples.divided(shares, every, seed), strict=False)), f"splits drawn, {how}"
    found: Splits = {}
    for given, rows in (value if isinstance(value, Mapping) else _column(value, len(every))).items():
        with wrong:
            name = _meant(given)
            require(name not in found, "split", given, f"is {name!r}, which is there already")
            found[name] = _rows(f"split[{given!r}]", rows, samples)
    with wrong:
        _whole_groups(found, samples)
    way_out = "Without 'val' a part of 'train' becomes it: call the split to be reported 'test'."
    require({"train", "test"} <= set(found), "split", list(found), "must hold 'train' and 'test'", way_out)
    note = "splits as given"
    if "val" not in found and not wrong.found:
        parts = samples.divided((1 - _VAL, _VAL), found["train"], seed)
        found |= {"train": parts[0], "val": parts[1]}
        note = f"val drawn from train, {_VAL:.0%}, {how}"
    left = len(every) - sum(map(len, found.values()))
    note += f"; {left} in no split" * (left > 0)
    return {name: found[name] for name in SPLITS if name in found}, note


def _meant(name: object) -> str:
    meant = _MEANT.get(str(name).strip().lower())
    if meant is None:
        way_out = did_you_mean(str(name), list(_MEANT)) or "Give names, or {'train': mask or positions, ...}."
        raise LabError("split", name, f"must be one of {listing(SPLITS)}", way_out)
    return meant


def _column(value: object, n: int) -> dict[object, Rows]:
    names = column("split", value, n, "names")
    way_out = "Or give {'train': mask or positions, 'test': ...}."
    require(names.dtype.kind == "O", "split", names[:1], "must be one name per sample", way_out)
    return {name: np.flatnonzero(names == name) for name in dict.fromkeys(names.tolist())}


def _rows(argument: str, value: object, samples: Divisible) -> Rows:
    """Positions of a mask, of positions, or of ids."""
    n, ids = len(samples.labels.target), samples.ids
    rows = plain(argument, rows_of(argument, value), "samples")
    if rows.dtype.kind == "b":
        require(len(rows) == n, argument, tuple(rows.shape), f"must be ({n},), as it is a mask")
        require(bool(rows.any()), argument, "all False", "must hold at least one sample")
        return np.flatnonzero(rows)
    if ids is not None and rows.dtype.kind == ids.dtype.kind:
        place = {one: row for row, one in enumerate(ids.tolist())}
        unknown = [one for one in rows.tolist() if one not in place]
        require(not unknown, argument, some(unknown), "must be among `ids`", "Or give a mask.")
        rows = np.array([place[one] for one in rows.tolist()])
    require(rows.dtype.kind == "i", argument, some(rows.tolist()), "are ids, and `ids` holds no text")
    shown, rule = f"positions from {rows.min()} to {rows.max()}", f"must lie between 0 and {n - 1}"
    require(0 <= rows.min() <= rows.max() < n, argument, shown, rule)
    return rows


def _whole_groups(found: Splits, samples: Divisible) -> None:
    sides: dict[object, list[str]] = {}
    for name, rows in found.items() if samples.group is not None else ():
        for one in np.unique(samples.group[rows]).tolist():  # type: ignore[index] # there are groups
            sides.setdefault(one, []).append(name)
    torn = [one for one, names in sides.items() if len(names) > 1]
    shown = f"{some(torn)} in {listing(sides[torn[0]])}" if torn else ""
    way_out = "Divide by group (split=None does), or give no `group` if they do not matter."
    require(not torn, "group", shown, "must stand on one side of a split", way_out)
