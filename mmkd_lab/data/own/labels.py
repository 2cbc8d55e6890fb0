"""Labels as somebody keeps them, as class numbers, as zeros and ones, or as amounts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from mmkd_lab.core.check import flat, require
from mmkd_lab.data.own.rows import Array, Rows, complete, plain, rows_of, some
from mmkd_lab.data.task import Task

_LOST = "Leave these samples out: they teach nothing, and on them nothing can be measured."


@dataclass(frozen=True, eq=False)
class Labels:
    """(N,) int64 class numbers, (N, K) float32 of 0 and 1, or (N, K) amounts; K names; a note of what was
    decided."""

    target: Array
    classes: tuple[str, ...]
    task: Task = Task.SINGLE_LABEL
    note: str = ""

    @property
    def member(self) -> Array:
        """(N, K) whether a sample has a label; all of them where labels are amounts."""
        if self.task is Task.REGRESSION:
            return np.ones((len(self.target), len(self.classes)), dtype=bool)
        one = self.task is Task.SINGLE_LABEL
        return np.asarray(self.target[:, None] == np.arange(len(self.classes)) if one else self.target > 0)


def labels_of(argument: str, value: object, classes: object = None) -> Labels:
    """Labels by `from_arrays`' rules.

    Raises `LabError` for missing labels, labels of several kinds, infinite numbers, fewer than two classes,
    and `classes` that do not fit.
    """
    rows = rows_of(argument, value)
    rows = rows[:, 0] if rows.ndim == 2 and rows.shape[1] == 1 else rows
    lone = [isinstance(one, (str, bytes)) or not isinstance(one, Iterable) for one in rows]
    if rows.ndim == 1 and not all(lone):
        rule = "must be a list of labels in every row, [] for none"
        require(not any(lone), argument, rows[lone][:1], rule)
        return _of_lists(argument, rows, classes)
    complete(argument, rows, "every sample must have a label", _LOST)
    if rows.dtype.kind == "f" and bool((rows != np.rint(rows)).any()):
        return _amounts(argument, rows, classes)
    rule = "must be (N,), or (N, K) of 0 and 1"
    require(rows.ndim <= 2, argument, tuple(rows.shape), rule, "A label per pixel: see data.PairedData.")
    if rows.ndim == 2:
        return _of_table(argument, rows, classes)
    found, numbers = np.unique(plain(argument, rows, "classes"), return_inverse=True)
    require(len(found) >= 2, argument, f"only {some(found.tolist())}", "must have at least two classes")
    names, place = _named(argument, found, classes)
    return Labels(place[numbers], names)


def _amounts(argument: str, rows: Array, classes: object) -> Labels:
    """(N,) or (N, D) numbers with fractions: a regression."""
    fine = rows.ndim <= 2 and bool(np.isfinite(rows).all())
    rule = "must be finite numbers (N,) or (N, D), as they are amounts"
    require(fine, argument, f"{rows.dtype} {tuple(rows.shape)}", rule)
    table = rows.reshape(len(rows), -1).astype(np.float64)
    names = tuple(f"y{i or ''}" for i in range(table.shape[1])) if classes is None else _listed(classes)
    require(len(names) == table.shape[1], "classes", names, f"must name the outputs of {argument}")
    return Labels(table, names, Task.REGRESSION, "numbers with fractions are amounts: a regression")


def _of_table(argument: str, rows: Array, classes: object) -> Labels:
    """(N, K) of 0 and 1."""
    odd = [one for one in rows.ravel().tolist() if one not in (0, 1)]
    way_out = "Or give one label per sample, (N,), or a list of lists."
    require(not odd, argument, odd[:1], "must be (N, K) of 0 and 1", way_out)
    k, table = rows.shape[1], rows.astype(np.float32)
    names = tuple(map(str, range(k))) if classes is None else _listed(classes)
    require(len(names) == k, "classes", names, f"must name the {k} columns of {argument}")
    return _several(argument, table, names)


def _of_lists(argument: str, rows: Array, classes: object) -> Labels:
    sizes, every = [len(one) for one in rows], [label for one in rows for label in one]
    held = rows_of(argument, every)
    complete(argument, held, "every label must be known", _LOST)
    found, numbers = np.unique(plain(argument, held, "labels"), return_inverse=True)
    names, place = _named(argument, found, classes)
    target = np.zeros((len(rows), len(names)), dtype=np.float32)
    target[np.repeat(np.arange(len(rows)), sizes), place[numbers]] = 1.0
    return _several(argument, target, names)


def _several(argument: str, target: Array, names: tuple[str, ...]) -> Labels:
    if (target.sum(axis=1) == 1).all():
        note = "each row of labels holds a single one: one label per sample"
        return Labels(target.argmax(axis=1), names, note=note)
    nobody = [name for name, count in zip(names, target.sum(axis=0), strict=True) if count == 0]
    rule = "every label must occur"
    require(not nobody, argument, f"no sample of {some(nobody)}", rule, "Leave its column out.")
    return Labels(target, names, Task.MULTI_LABEL)


def _listed(classes: object) -> tuple[str, ...]:
    given = classes.values() if isinstance(classes, Mapping) else classes
    return tuple(map(str, flat("classes", given, "a list of class names, or {label: name}")))


def _named(argument: str, found: Array, classes: object) -> tuple[tuple[str, ...], Rows]:
    """The class names, and the place of each of the sorted labels among them."""
    labels = [str(one) for one in found.tolist()]
    names = tuple(labels) if classes is None else _listed(classes)
    keys = [str(one) for one in classes] if isinstance(classes, Mapping) else list(names)
    if not set(labels) & set(keys) and found.dtype.kind == "i" and 0 <= found[0] <= found[-1] < len(names):
        keys = list(map(str, range(len(names))))
    odd = [one for one in labels if one not in keys] + [one for one in keys if one not in labels]
    rule = f"must name every label of {argument}, and no other; see {some(odd)}"
    require(not odd and len(set(names)) == len(keys), "classes", names, rule)
    return names, np.array([keys.index(one) for one in labels], dtype=np.int64)
