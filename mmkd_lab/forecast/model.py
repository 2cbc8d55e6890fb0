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
    sizes = rows.groupby("set")["set"].transform("size").to_numpy(dtype=float)
    weight = 1.0 / sizes
    return np.asarray(weight / weight.mean())


def fitted(rows: pd.DataFrame, names: Sequence[str], strength: float) -> Model:
    """A model of these rows by this evidence; `strength` is the inverse weight of the penalty."""
    from sklearn.linear_model import LogisticRegression, Ridge

    weight, x = balanced(rows), rows[list(names)].to_numpy(dtype=float)
    known = np.isfinite(x)
    mass = np.maximum((weight[:, None] * known).sum(0), 1e-12)
    middle = (weight[:, None] * np.where(known, x, 0.0)).sum(0) / mass
    scale = np.sqrt((weight[:, None] * np.where(known, x - middle, 0.0) ** 2).sum(0) / mass)
    blank = Model(tuple(names), middle, np.where(scale > 1e-9, scale, 1.0), np.zeros(0), np.zeros(0))
    columns, above = blank.columns(rows), likely_above(rows)
    twice, both = np.vstack([columns, columns]), np.repeat([1, 0], len(rows))
    sign = LogisticRegression(C=strength, solver="newton-cholesky", tol=1e-8)
    sign.fit(twice, both, sample_weight=np.concatenate([weight * above, weight * (1.0 - above)]))
    size = Ridge(alpha=1.0 / strength).fit(columns, rows["gain"].to_numpy(dtype=float), sample_weight=weight)
    return Model(
        blank.names,
        blank.middle,
        blank.scale,
        np.append(sign.coef_[0], sign.intercept_[0]),
        np.append(size.coef_, size.intercept_),
    )


@dataclass(frozen=True, eq=False)
class LeftOut:
    """What models said of rows whose data set they had not seen: (n,) each."""

    probability: Floats
    gain: Floats


def left_out(rows: pd.DataFrame, names: Sequence[str], strength: float) -> LeftOut:
    """Leave each data set out in turn."""
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


def chosen(rows: pd.DataFrame) -> tuple[str, float]:
    """The evidence and the strength with the least loss on data sets left out."""
    tried = [
        (loss(rows, left_out(rows, names, strength)), choice, strength)
        for choice, names in CHOICES.items()
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
