"""Closed-form limits of a Gaussian world: what any network can at best read from a view.

The label is the sign of a Gaussian score; a view sees a part of it whose correlation with the score is rho.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.check import real

#: The integrand is a product of two bell curves; beyond 12 of its widths it is below 1e-31.
_REACH, _POINTS = 12.0, 4001


def bayes_accuracy(rho: float) -> float:
    """Percent: 100 (1 - arccos(rho) / pi), the chance that the seen part has the sign of the score.

    Raises `LabError` unless 0 <= rho <= 1.
    """
    return 100.0 * (1.0 - float(np.arccos(_clean(rho))) / np.pi)


def information(rho: float) -> float:
    """I(Y; X_S) in bits: 1 - E[h_b(Phi(rho t / sqrt(1 - rho^2)))], t standard normal, by quadrature.

    Raises `LabError` unless 0 <= rho <= 1.
    """
    rho = _clean(rho)
    if rho in (0.0, 1.0):
        return rho
    # With u = rho t / sqrt(1 - rho^2) neither factor becomes a step as rho tends to 1.
    slope = np.sqrt(1.0 - rho * rho) / rho
    u = np.linspace(-_REACH, _REACH, _POINTS) * rho
    density = slope * np.exp(-0.5 * (slope * u) ** 2) / np.sqrt(2.0 * np.pi)
    return 1.0 - float(np.sum(_entropy(u) * density) * (u[1] - u[0]))


def _entropy(u: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Binary entropy of Phi(u), in bits; the tails keep their digits."""
    from scipy.special import log_ndtr

    total = np.zeros_like(u)
    for log_p in (log_ndtr(u), log_ndtr(-u)):
        total -= np.exp(log_p) * log_p / np.log(2.0)
    return total


def _clean(rho: float) -> float:
    # |delta_S| / |delta| may exceed 1 by a rounding error when the view sees everything.
    return min(real("rho", rho, at_least=0.0, at_most=1.0 + 1e-12), 1.0)
