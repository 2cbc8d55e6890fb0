"""From evidence to a forecast: a logistic regression for the sign of a gain, a linear one for its size.

Both are ridge regressions on standardised evidence; a number that a pair does not have counts as the mean.
Every data set weighs the same, however many rows it has. Rows are learnt from with the probability that their
true gain is above zero (Student's t of the mean over seeds), so that what is not shown does not count as if
it were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from mmkd_lab.forecast.evidence import EVIDENCE
from mmkd_lab.forecast.judge import leave_set_out

Floats = npt.NDArray[np.float64]

_GAMMAS = tuple(name for name in EVIDENCE if name.startswith("gamma_"))
_SIZES = ("log_samples", "log_width_teacher", "log_width_student", "log_classes", "label_noise", "curve")
_ACCURACY = ("teacher_accuracy", "student_accuracy", "accuracy_difference", "both_accuracy")
_PILOTS = tuple(name for name in EVIDENCE if name.startswith("pilot"))
_RIVALS = ("teacher_entropy", "mfh_gamma", "information_margin", "non_target_divergence", "cka")
#: Sets of evidence between which nested leaving-out chooses; they were fixed before any was tried.
CHOICES: Mapping[str, tuple[str, ...]] = {
    "pilots": _PILOTS,
    "accuracies": _ACCURACY,
    "accuracies and pilots": (*_ACCURACY, *_PILOTS),
    "accuracies, pilots, beyond the label": (*_ACCURACY, *_PILOTS, "beyond_label", "mfh_gamma"),
    "shares and rivals": (*_GAMMAS, *_RIVALS, "beyond_label"),
    "everything": tuple(EVIDENCE),
}
STRENGTHS = (0.01, 0.1, 1.0)
_READ = ("set", "gain", "low", "high", "seeds")
#: A forecast's interval holds so many of the gains of sets that were left out.
LEVEL = 0.8


@dataclass(frozen=True, eq=False)
class Model:
    """A fitted forecast.

    Args:
        names: of the evidence it reads.
        middle, scale: (d,) of the standardisation.
        sign: (d + 1,) weights of the log-odds, the constant last.
        size: (d + 1,) weights of the gain in points.
        spread: by how many points gains of sets left out lay below and above what was expected, at `LEVEL`.
    """

    names: tuple[str, ...]
    middle: Floats
    scale: Floats
    sign: Floats
    size: Floats
    spread: tuple[float, float] = (float("nan"), float("nan"))

    def columns(self, rows: pd.DataFrame) -> Floats:
        """(n, d) standardised evidence."""
        x = (rows[list(self.names)].to_numpy(dtype=float) - self.middle) / self.scale
        return np.where(np.isfinite(x), np.clip(x, -4.0, 4.0), 0.0)

    def probability(self, rows: pd.DataFrame) -> Floats:
        """(n,) that an arm beats no KD."""
        return np.asarray(1.0 / (1.0 + np.exp(-(self.columns(rows) @ self.sign[:-1] + self.sign[-1]))))

    def gain(self, rows: pd.DataFrame) -> Floats:
        """(n,) points expected."""
        return np.asarray(self.columns(rows) @ self.size[:-1] + self.size[-1])


def likely_above(rows: pd.DataFrame) -> Floats:
    """(n,) the probability that the true gain is above zero, from its interval; 0 or 1 where it has no width,
    and one half at a gain of exactly zero."""
    from scipy.special import stdtr, stdtrit

    gain, n = rows["gain"].to_numpy(dtype=float), rows["seeds"].to_numpy(dtype=float)
    half = (rows["high"].to_numpy(dtype=float) - rows["low"].to_numpy(dtype=float)) / 2
    error = np.maximum(half / stdtrit(n - 1, 0.975), 1e-9)
    return np.asarray(stdtr(n - 1, gain / error))


def balanced(rows: pd.DataFrame) -> Floats:
    """(n,) weights with which every data set counts the same; their mean is 1."""
    _, place, sizes = np.unique(rows["set"].to_numpy(dtype=str), return_inverse=True, return_counts=True)
    weight = 1.0 / sizes[place]
    return np.asarray(weight / weight.mean())


def fitted(rows: pd.DataFrame, names: Sequence[str], strength: float) -> Model:
    """A model of these rows by this evidence; `strength` is the inverse weight of the penalty."""
    weight, x = balanced(rows), rows[list(names)].to_numpy(dtype=float)
    known = np.isfinite(x)
    mass = np.maximum((weight[:, None] * known).sum(0), 1e-12)
    middle = (weight[:, None] * np.where(known, x, 0.0)).sum(0) / mass
    scale = np.sqrt((weight[:, None] * np.where(known, x - middle, 0.0) ** 2).sum(0) / mass)
    blank = Model(tuple(names), middle, np.where(scale > 1e-9, scale, 1.0), np.zeros(0), np.zeros(0))
    one = np.column_stack([blank.columns(rows), np.ones(len(rows))])
    light = np.append(np.full(len(names), 1.0 / strength), 0.0)  # nothing holds the constants
    sign = _log_odds(one, likely_above(rows), weight, light)
    gain = rows["gain"].to_numpy(dtype=float)
    size = np.linalg.solve((one.T * weight) @ one + np.diag(light), (one.T * weight) @ gain)
    return Model(blank.names, blank.middle, blank.scale, sign, size)


def _log_odds(x: Floats, above: Floats, weight: Floats, light: Floats) -> Floats:
    """(d,) weights of columns (n, d) by Newton's method: thousands are fitted, each of a few hundred rows."""

    def cost(w: Floats) -> float:
        z = x @ w
        return float(weight @ (np.logaddexp(0.0, z) - above * z) + light @ w**2 / 2)

    found = np.zeros(x.shape[1])
    for _ in range(100):
        p = 1.0 / (1.0 + np.exp(-(x @ found)))
        slope = x.T @ (weight * (p - above)) + light * found
        step = np.linalg.solve((x.T * (weight * p * (1.0 - p))) @ x + np.diag(light), slope)
        before = cost(found)
        while cost(found - step) > before + 1e-12 * abs(before):
            step = step / 2
        found = found - step
        if np.abs(step).max() < 1e-10:
            break
    return found


@dataclass(frozen=True, eq=False)
class LeftOut:
    """What models said of rows whose data set they had not seen: (n,) each."""

    probability: Floats
    gain: Floats


def left_out(rows: pd.DataFrame, names: Sequence[str], strength: float) -> LeftOut:
    """Leave each data set out in turn."""
    rows = rows[[*names, *_READ]]
    said, points = np.empty(len(rows)), np.empty(len(rows))
    for known, held in leave_set_out(rows["set"].tolist()):
        model = fitted(rows[known], names, strength)
        said[held], points[held] = model.probability(rows[held]), model.gain(rows[held])
    return LeftOut(said, points)


def loss(rows: pd.DataFrame, said: LeftOut) -> float:
    """The log loss of the probabilities, in nats, every data set counting the same."""
    above = likely_above(rows)
    p = np.clip(said.probability, 1e-6, 1 - 1e-6)
    each = -(above * np.log(p) + (1 - above) * np.log(1 - p))
    return float(np.average(each, weights=balanced(rows)))


def chosen(rows: pd.DataFrame, choices: Mapping[str, tuple[str, ...]] = CHOICES) -> tuple[str, float]:
    """The evidence and the strength with the least loss on data sets left out."""
    tried = [
        (loss(rows, left_out(rows, names, strength)), choice, strength)
        for choice, names in choices.items()
        for strength in STRENGTHS
    ]
    return min(tried)[1:]


def final(rows: pd.DataFrame) -> tuple[Model, str]:
    """The model of all rows, with the spread of the gains of sets left out, and what it reads."""
    choice, strength = chosen(rows)
    missed = rows["gain"].to_numpy(dtype=float) - left_out(rows, CHOICES[choice], strength).gain
    low, high = (_quantile(missed, balanced(rows), end) for end in ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    found = fitted(rows, CHOICES[choice], strength)
    return Model(found.names, found.middle, found.scale, found.sign, found.size, (low, high)), choice


def _quantile(values: Floats, weight: Floats, share: float) -> float:
    order = np.argsort(values)
    reached = np.cumsum(weight[order]) / weight.sum()
    return float(values[order][min(int(np.searchsorted(reached, share)), len(values) - 1)])
