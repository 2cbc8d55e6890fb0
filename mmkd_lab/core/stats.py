"""Means with intervals, and paired differences over seeds. Never a lone number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.check import LabError, real, require

_ZERO = 1e-9  # what is left of zero after rounding


@dataclass(frozen=True)
class Interval:
    """A mean and its confidence interval, in the units of what was averaged.

    With one value there is no interval: `low` and `high` are NaN.
    """

    mean: float
    low: float
    high: float
    n: int
    level: float = 0.95

    @property
    def wide(self) -> bool:
        """Whether the values differ by more than their rounding: else there is no spread to judge by."""
        return self.high - self.low > max(1e-9 * abs(self.mean), 1e-12)

    @property
    def side(self) -> int:
        """1 when the whole interval lies above zero, -1 below, else 0.

        Fewer than three values, or values without a spread, show nothing: 0.
        """
        judged = self.wide and self.n > 2
        return int(judged and self.low > 0) - int(judged and self.high < 0)

    def show(self, *, signed: bool = False, digits: int = 2) -> str:
        """`+1.20 [0.31, 2.09]`; without an interval, the mean alone and `(n = 1)`.

        What is compared with zero is `signed`: where the interval alone would not tell why it shows nothing
        (see `side`), it says so. There are so many more digits that no end reads as a zero that it is not.
        """
        ends = [abs(end) for end in (self.low, self.high) if abs(end) > _ZERO]
        while any(round(end, digits) == 0 for end in ends):
            digits += 1
        mean = f"{self.mean:{'+' if signed else ''}.{digits}f}".replace("-", "−")
        if self.n < 2:
            return f"{mean} (n = {self.n})"
        if signed and not self.wide:
            return f"{mean}, the same in all {self.n}"
        why = ", of 2 only" if signed and self.n == 2 and (self.low > 0 or self.high < 0) else ""
        shown = f"[{self.low:.{digits}f}, {self.high:.{digits}f}]".replace("-", "−")
        return f"{mean} {shown}{why}"

    def __str__(self) -> str:
        return self.show()


def mean_interval(values: Sequence[float] | npt.NDArray[np.floating], *, level: float = 0.95) -> Interval:
    """Student's t interval of the mean of independent values (seeds), finite numbers, at least one.

    Raises `LabError` for other values, or a `level` that is not above 0 and at most 0.9999.
    """
    real("level", level, above=0.0, at_most=0.9999)
    data = _numbers("values", values)
    rule = "must be a flat sequence of at least one number"
    require(data.ndim == 1 and data.size > 0, "values", values, rule)
    require(bool(np.isfinite(data).all()), "values", values, "must be finite")
    mean, n = float(data.mean()), int(data.size)
    if n < 2:
        return Interval(mean, float("nan"), float("nan"), n, level)
    from scipy.special import stdtrit  # the one function needed; scipy.stats costs half a second to import

    half = float(stdtrit(n - 1, 0.5 + level / 2)) * float(data.std(ddof=1)) / np.sqrt(n)
    return Interval(mean, mean - half, mean + half, n, level)


def paired_interval(
    treated: Sequence[float] | npt.NDArray[np.floating],
    control: Sequence[float] | npt.NDArray[np.floating],
    *,
    level: float = 0.95,
) -> Interval:
    """Student's t interval of `treated - control`, seed by seed. Raises `LabError` unless they pair up."""
    a, b = _numbers("treated", treated), _numbers("control", control)
    rule = "both must hold one value per seed, in the same order"
    require(a.shape == b.shape, "treated", f"{a.shape} against {b.shape}", rule)
    return mean_interval(a - b, level=level)


def _numbers(argument: str, values: object) -> npt.NDArray[np.float64]:
    rule = "must be a sequence of numbers"
    try:
        found = np.asarray(values)
    except (TypeError, ValueError, OverflowError) as error:  # rows of unequal length
        raise LabError(argument, values, rule) from error
    require(found.dtype.kind in "iuf", argument, values, rule)
    return found.astype(np.float64)
