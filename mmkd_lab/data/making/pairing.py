"""Pairs of equal label by a stated seed: which image goes with which recording."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.check import LabError

Rows = npt.NDArray[np.int64]


def balanced_labels(n: int, num_classes: int, rng: np.random.Generator) -> Rows:
    """(n,) labels in random order, each class n / num_classes times, rounded up or down."""
    return rng.permutation(np.arange(n, dtype=np.int64) % num_classes)


def draw(labels: Rows, pool: Rows, pool_labels: Rows, rng: np.random.Generator) -> Rows:
    """For each label one row of `pool` that has it, every row used equally often to within one.

    Args:
        labels: (n,) wanted labels.
        pool: (m,) item numbers to choose from.
        pool_labels: (m,) the labels of `pool`.
        rng: the stream that orders the items; each time a class has been used up it is shuffled anew.

    Returns:
        (n,) item numbers.

    Raises:
        LabError: a wanted label has no item in the pool.
    """
    chosen = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        slots, items = np.flatnonzero(labels == label), pool[pool_labels == label]
        if len(items) == 0:
            raise LabError("labels", int(label), "must have at least one item in the pool to be paired with")
        rounds = -(-len(slots) // len(items))
        chosen[slots] = np.concatenate([rng.permutation(items) for _ in range(rounds)])[: len(slots)]
    return chosen


def cut(items: Rows, shares: tuple[float, ...], rng: np.random.Generator) -> list[Rows]:
    """Shuffle items and cut them into disjoint parts of these shares (the last takes the rest)."""
    order = rng.permutation(items)
    ends = np.rint(np.cumsum(shares)[:-1] * len(items)).astype(int)
    return [np.sort(part) for part in np.split(order, ends)]


def stratified_order(labels: Rows, rng: np.random.Generator) -> Rows:
    """A random order of all items in which every stretch has the classes in nearly their overall shares."""
    place = np.empty(len(labels))
    for label in np.unique(labels):
        slots = rng.permutation(np.flatnonzero(labels == label))
        place[slots] = (np.arange(len(slots)) + rng.random(len(slots))) / len(slots)
    return np.argsort(place, kind="stable")
