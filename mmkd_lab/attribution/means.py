"""Means over samples with intervals that know which samples come from one subject."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.seed import derive
from mmkd_lab.core.stats import Interval

Numbers = npt.NDArray[np.float64]

INTERVALS = ("t", "bootstrap")
RESAMPLES = 2000
#: Resampled counts held at once.
_NUMBERS = 1 << 22


@dataclass(frozen=True, eq=False)
class Means:
    """Means over samples, each with the interval that was asked for.

    Args:
        interval: 't' or 'bootstrap'.
        level: coverage.
        seed: of the bootstrap; all means share its resamples as far as they are over the same subjects.
        who: (N,) subject numbers from 0. With one sample a subject, intervals are the usual ones.
    """

    interval: str
    level: float
    seed: int
    who: npt.NDArray[np.intp]

    def __call__(self, each: Numbers, some: npt.NDArray[np.bool_]) -> Interval:
        """The mean of (N,) values over `some` samples; without an interval when they are of one subject.

        `n` counts samples.
        """
        values = each[some]
        _, who = np.unique(self.who[some], return_inverse=True)
        counts: Numbers = np.bincount(who).astype(np.float64)
        sums: Numbers = np.bincount(who, weights=values).astype(np.float64)
        mean, n, units = float(values.mean()), len(values), len(counts)
        if units < 2:
            return Interval(mean, float("nan"), float("nan"), n, self.level)
        if self.interval == "t":
            half = self._half(sums - mean * counts, n)
            return Interval(mean, mean - half, mean + half, n, self.level)
        low, high = np.quantile(self._resampled(sums, counts), [0.5 - self.level / 2, 0.5 + self.level / 2])
        return Interval(mean, float(low), float(high), n, self.level)

    def _half(self, left: Numbers, n: int) -> float:
        """Half the width of Student's interval, of the subjects' sums about the mean."""
        from scipy.special import stdtrit  # scipy.stats costs half a second to import

        units = len(left)
        error = np.sqrt(units / (units - 1) * float(np.square(left).sum())) / n
        return float(stdtrit(units - 1, 0.5 + self.level / 2) * error)

    def _resampled(self, sums: Numbers, counts: Numbers) -> Numbers:
        units = len(counts)
        draw = np.random.default_rng(derive(self.seed, "attribute", "bootstrap"))
        share, size = np.full(units, 1 / units), max(1, _NUMBERS // units)
        found = []
        for i in range(0, RESAMPLES, size):
            weights = draw.multinomial(units, share, size=min(size, RESAMPLES - i))
            found.append((weights @ sums) / (weights @ counts))
        return np.concatenate(found)
