"""Shares from how well each view does alone: the plain baseline.

shared = a + b - both, a's own = both - b, b's own = both - a, on some scale. A negative shared part is called
synergy. On the scale of accuracies nothing guarantees that independent parts add up; on the latent
scale they do when the label is the sign of a Gaussian score (as in MFH's worlds): accuracy = 1 - arccos(rho)
/ pi, and rho^2 is the share of the score's variance that a view sees.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.check import one_of, real, require
from mmkd_lab.shares.samples import Floats
from mmkd_lab.shares.shares import ModalityShares, from_masses


def performance_shares(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    both: npt.ArrayLike,
    *,
    scale: str = "accuracy",
    chance: float = 50.0,
    level: float = 0.95,
) -> ModalityShares:
    """Shares from the performance of the views a, b and both.

    Args:
        a: one value per seed (or one value): accuracy in percent.
        b: the same of modality b.
        both: the same of a model that sees both.
        scale: 'accuracy' adds what lies above chance; 'latent' turns a two-class accuracy into rho^2 first.
        chance: percent; what guessing reaches. Where classes differ in size, plain accuracy has the largest
            one's share for it; balanced accuracies (the mean recall over K classes) have 100 / K.
        level: of the intervals, by the jackknife over seeds (none with fewer than three).

    Raises `LabError` for values that do not pair up by seed or lie outside their range. At or below chance,
    nothing is decisive and the shares are undefined.
    """
    one_of("scale", scale, ("accuracy", "latent"))
    real("chance", chance, at_least=0.0, at_most=99.9)
    views = [np.atleast_1d(np.asarray(values, dtype=float)) for values in (a, b, both)]
    for name, values in zip(("a", "b", "both"), views, strict=True):
        alike = values.ndim == 1 and values.shape == views[0].shape
        require(alike, name, values.shape, "must be one per seed")
        good = bool(((values >= 0) & (values <= 100.0 + 1e-9)).all())
        require(good, name, values, "must lie between 0 and 100")
    fits = scale != "latent" or chance == 50.0
    require(fits, "scale", scale, "needs two classes of equal size, so chance = 50", "Use 'accuracy'.")
    raw = np.column_stack(views)
    n, replicates = len(raw), None
    if n > 2:
        without = np.stack([np.delete(raw, i, axis=0).mean(axis=0) for i in range(n)])
        replicates = _masses(without, scale, chance)
    return from_masses(
        _masses(raw.mean(axis=0)[None], scale, chance)[0],
        method=f"performance ({scale})",
        replicates=replicates,
        kind="jackknife",
        level=level,
        n=n,
        notes=() if n > 2 else ("Fewer than three seeds: no intervals.",),
    )


def _masses(views: Floats, scale: str, chance: float) -> Floats:
    """(R, 5) of (R, 3): a's own, b's own, shared, synergy, unobserved on the scale."""
    skill = np.maximum(views - chance, 0.0) / (100.0 - chance)
    if scale == "latent":
        skill = np.sin(np.pi * np.maximum(views / 100.0 - 0.5, 0.0)) ** 2
    a, b, both = skill.T
    both = np.maximum(both, np.maximum(a, b))  # a model that sees both could have ignored one
    common = a + b - both
    own_a, own_b = np.minimum(both - b, a), np.minimum(both - a, b)
    return np.column_stack([own_a, own_b, *np.maximum([common, -common, 1.0 - both], 0.0)])
