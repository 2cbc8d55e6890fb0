"""Pilots: students that cost milliseconds. Ridge regression in closed form, on labels and on softened ones.

A student of strength lambda solves min |T - X B|^2 + lambda |B|^2 on centred columns X (n, d) and targets
T (n, K): one-hot labels, or (1 - rho) labels + rho teacher probabilities. With X = U S V' its fit is
U f U' T, f = S^2 / (S^2 + lambda), and what it would say of a sample that it had not seen is exact, too
(Allen 1974): (fit - h t) / (1 - h), h the diagonal of U f U'. Of every student lambda is chosen by that, with
the labels as the truth; no network and no validation sample plays a part in the choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mmkd_lab.shares.samples import generator

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]

#: lambda / n of standardised columns, the weakest penalty first.
STRENGTHS = tuple(float(10.0 ** (k / 2)) for k in range(-8, 5))
#: Units of the random layer that stands for a small network.
UNITS = 256
_RANK = 1e-12  # of eigenvalues: what is below is rounding


@dataclass(frozen=True, eq=False)
class Ridge:
    """Ridge regression of any target on the same n columns: one decomposition for all of them."""

    mean: Floats
    left: Floats
    size: Floats
    right: Floats

    @classmethod
    def on(cls, x: Floats) -> Ridge:
        """Of (n, d) training columns."""
        mean, wide = x.mean(0), x.shape[1] > len(x)
        centred = x - mean
        squares, one = np.linalg.eigh(centred @ centred.T if wide else centred.T @ centred)
        kept = squares > _RANK * max(squares[-1], 1e-300)
        size, one = np.sqrt(squares[kept]), one[:, kept]
        other = (centred.T if wide else centred) @ one / size
        return cls(mean, *((one, size, other) if wide else (other, size, one)))

    def answers(self, target: Floats, held: Floats, strength: float) -> Floats:
        """(m, K) of columns (m, d), by a student of the targets (n, K)."""
        centre = target.mean(0)
        shrunk = self.size / (self.size**2 + strength * len(target))
        weights = self.right @ (shrunk[:, None] * (self.left.T @ (target - centre)))
        return np.asarray((held - self.mean) @ weights + centre)

    def unseen(self, target: Floats, strengths: Sequence[float]) -> Floats:
        """(S, n, K) what the student of all others, at each strength, would say of each training sample."""
        n, classes, centre = len(target), target.shape[1], target.mean(0)
        kept = self.size[:, None] ** 2 / (self.size[:, None] ** 2 + n * np.asarray(strengths))
        hat = (self.squares @ kept + 1.0 / n).T[:, :, None]
        inner = kept[:, :, None] * (self.left.T @ (target - centre))[:, None]
        fit = (self.left @ inner.reshape(len(inner), -1)).reshape(n, -1, classes).swapaxes(0, 1) + centre
        return np.asarray((fit - hat * target) / np.maximum(1.0 - hat, 1e-9))

    @cached_property
    def squares(self) -> Floats:
        """(n, r) of `left`, entry by entry."""
        return np.asarray(self.left**2)

    def best(self, target: Floats, labels: Floats) -> float:
        """The strength with the least squared error on the labels (n, K) of samples that were not seen."""
        errors = ((self.unseen(target, STRENGTHS) - labels) ** 2).mean((1, 2))
        return STRENGTHS[int(np.argmin(errors))]


@dataclass(frozen=True)
class Pilot:
    """Two students on validation: accuracy of that of the labels, what the teacher brings in points, and by
    how many percent it lowers the squared error."""

    plain: float
    gain: float
    error: float


def pilot(ridge: Ridge, y: Codes, held: tuple[Floats, Codes], soft: Floats, *, rho: float = 0.5) -> Pilot:
    """Train both students and ask them.

    Args:
        ridge: of the training columns.
        y: (n,) their classes.
        held: (m, d) columns and (m,) classes of validation.
        soft: (n, K) teacher probabilities of the training samples.
        rho: their weight beside the labels.
    """
    x_held, y_held = held
    labels, truth = np.eye(soft.shape[1])[y], np.eye(soft.shape[1])[y_held]
    right, error = [], []
    for target in (labels, (1.0 - rho) * labels + rho * soft):
        said = ridge.answers(target, x_held, ridge.best(target, labels))
        right.append(100.0 * float((said.argmax(1) == y_held).mean()))
        error.append(float(((said - truth) ** 2).mean()))
    return Pilot(right[0], right[1] - right[0], 100.0 * (1.0 - error[1] / max(error[0], 1e-12)))


def subsets(y: Codes, size: int, count: int, *, seed: int) -> list[Codes]:
    """`count` random subsets of so many samples, every class in its share and with at least one."""
    stream, classes = generator(seed, "pilots", str(size)), np.unique(y)
    found = []
    for _ in range(count):
        order = stream.permutation(len(y))
        firsts = np.array([order[y[order] == one][0] for one in classes])
        rest = order[~np.isin(order, firsts)]
        found.append(np.sort(np.concatenate([firsts, rest[: max(0, size - len(firsts))]])))
    return found


def random_layer(width: int, *, seed: int) -> Floats:
    """(width, `UNITS`) frozen weights: a student's hidden layer before any training."""
    return np.asarray(generator(seed, "layer").standard_normal((width, UNITS)) / np.sqrt(width))
