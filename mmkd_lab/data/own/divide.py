"""Splits that are made: every class in its share, groups whole, the same whatever the order of the rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmkd_lab.core.check import require
from mmkd_lab.core.seed import derive
from mmkd_lab.data.own.labels import Labels
from mmkd_lab.data.own.rows import Array, Rows, some
from mmkd_lab.data.task import Task

_TRIES, _STEPS = 64, 20_000


def divide(labels: Labels, shares: Sequence[float], *, group: Rows | None, order: Rows, seed: int) -> Rows:
    """(N,) which part each sample goes to: 0, 1, ... for the `shares`, which sum to 1.

    Without groups each class is divided to within one sample of its shares, with at least one sample in every
    part; where there are several labels, the rarest that a sample has counts as its class. Whole groups, (N,)
    numbers from 0, go where they bring classes and sizes nearest to their shares: the smallest chi-square of
    up to 64 greedy divisions. `order` are the rows in an order that outlives a permutation.

    Raises `LabError` where a class has fewer samples, or groups, than there are parts.
    """
    rng, single = np.random.default_rng(derive(seed, "split")), labels.task is Task.SINGLE_LABEL
    number = np.zeros(len(order), dtype=np.int64) if group is None else group
    counts = np.zeros((int(number.max()) + 1, len(labels.classes) + 1))
    np.add.at(counts, number, np.column_stack([labels.member, np.ones(len(order))]))
    what, units = ("samples", counts[0]) if group is None else ("groups", (counts > 0).sum(axis=0))
    few = [one for one, n in zip((*labels.classes, what), units, strict=True) if n < len(shares)]
    few = few if single else few[-1:] * (few[-1:] == [what])
    way_out = "Leave such a class out, merge it with another, or give splits without it."
    rule = f"every class must have at least {len(shares)} {what}, one for each split"
    require(not few, "split", f"too few {what} of {some(few)}", rule, way_out)
    if group is None:
        return _by_rows(_strata(labels), np.asarray(shares), order, rng)
    side, lacks = _by_groups(counts, np.asarray(shares), rng)
    lacking = [one for one, absent in zip(labels.classes, lacks, strict=True) if absent and single]
    rule = f"no division of whole {what} was found that has every class in each of {len(shares)} splits"
    require(not lacking, "split", f"without {some(lacking)}", rule, way_out)
    return np.asarray(side[group])


def _strata(labels: Labels) -> Rows:
    """(N,) the class, or the rarest of a sample's labels, one above the last for none of them."""
    if labels.task is Task.SINGLE_LABEL:
        return np.asarray(labels.target)
    member = labels.member
    rank = np.argsort(np.argsort(member.sum(axis=0), kind="stable"))
    return np.asarray(np.where(member, rank, len(rank)).min(axis=1))


def _by_rows(strata: Rows, shares: Array, order: Rows, rng: np.random.Generator) -> Rows:
    side, owed = np.empty(len(strata), dtype=np.int64), np.zeros(len(shares))
    for stratum in np.unique(strata):
        rows = order[strata[order] == stratum]
        exact = shares * len(rows)
        sizes, owed = np.floor(exact + 1e-9).astype(np.int64), owed + exact
        for _ in range(len(rows) - int(sizes.sum())):  # to an empty part first, then where most is owed
            wants = owed - sizes + len(strata) * (sizes == 0)
            sizes[np.where(sizes < exact - 1e-9, wants, -np.inf).argmax()] += 1
        while sizes.min() == 0 and sizes.max() > 1:
            sizes[[sizes.argmin(), sizes.argmax()]] += (1, -1)
        owed -= sizes
        side[rng.permutation(rows)] = np.repeat(np.arange(len(shares)), sizes)
    return side


def _by_groups(counts: Array, shares: Array, rng: np.random.Generator) -> tuple[Rows, Array]:
    """(G,) the part of each group, and (K,) whether some part lacks a class; `counts` is (G, K + 1), samples
    of each class and of all."""
    whole = counts.sum(axis=0)
    wanted = np.maximum(shares[:, None] * whole, np.clip(whole, 1e-9, 1.0))  # one of a rare class, too
    labels = wanted[:, :-1].sum(axis=1) * whole[-1] / max(1.0, whole[:-1].sum())
    wanted[:, -1] = np.maximum(wanted[:, -1], labels - 1e-9)  # more than rounding
    best, found, absent = (np.inf, np.inf), np.empty(0, dtype=np.int64), np.empty(0, dtype=bool)
    for _ in range(max(1, min(_TRIES, _STEPS // len(counts)))):
        order = rng.permutation(len(counts))
        side, have = np.empty(len(counts), dtype=np.int64), np.zeros_like(wanted)
        for i in order[np.argsort(-counts[order, -1], kind="stable")]:
            side[i] = ((2 * (have - wanted) + counts[i]) * counts[i] / wanted).sum(axis=1).argmin()
            have[side[i]] += counts[i]
        lacks = have[:, :-1] == 0
        score = (float(lacks.sum()), float(((have - wanted) ** 2 / wanted).sum()))
        if score < best:
            best, found, absent = score, side, lacks.any(axis=0)
    return found, absent
