"""Small data as somebody might bring it."""

from __future__ import annotations

import numpy as np

N = 90
NAN = float("nan")


def sensors(n=N):
    """(n, 5) numbers."""
    return np.random.default_rng(0).normal(size=(n, 5))


def labels(n=N):
    """n labels of three classes, by turns."""
    return np.array(["cat", "dog", "owl"])[np.arange(n) % 3]


def texts(n=N):
    """n short texts that repeat their words."""
    return [f"a {('small', 'big')[i % 2]} {('cat', 'dog', 'owl')[i % 3]}" for i in range(n)]


def changed(values, row, value):
    """A list of values with one of them changed."""
    found = list(values)
    found[row] = value
    return found
