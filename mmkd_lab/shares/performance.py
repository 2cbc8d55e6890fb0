"""Shares from how well each view does alone: the plain baseline.

shared = a + b - both, a's own = both - b, b's own = both - a, on some scale. A negative shared part is called
synergy. On the scale of accuracies or bits nothing guarantees that independent parts add up; on the latent
scale they do when the label is the sign of a Gaussian score (mfh.md's worlds): accuracy = 1 - arccos(rho) /
pi, and rho^2 is the share of the score's variance that a view sees.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.check import LabError, one_of, real, require
from mmkd_lab.shares.shares import ModalityShares, from_masses

Floats = npt.NDArray[np.float64]

SCALES = ("accuracy", "latent", "information")


def performance_shares(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    both: npt.ArrayLike,
    *,
    scale: str = "accuracy",
    chance: float = 50.0,
    entropy: float = 1.0,
    level: float = 0.95,
) -> ModalityShares:
    """Shares from the performance of the views a, b and both.

    Args:
        a: one value per seed (or one value): accuracy in percent, or bits when the scale is 'information'.
        b: the same of modality b.
        both: the same of a model that sees both.
        scale: 'accuracy' adds what lies above chance; 'latent' turns a two-class accuracy into rho^2 first;
            'information' adds bits.
        chance: percent; what guessing reaches. Where classes differ in size, plain accuracy has the largest
            one's share for it; balanced accuracies (the mean recall over K classes) have 100 / K.
        entropy: H(Y) in bits, for the unobserved share on the scale of bits.
        level: of the intervals, by the jackknife over seeds (none with fewer than three).

    Raises:
        LabError: values that do not pair up by seed or lie outside their range. At or below chance, nothing
            is decisive and the shares are undefined.
    """
    one_of("scale", scale, SCALES)
    real("chance", chance, at_least=0.0, at_most=99.9)
    real("level", level, above=0.0, at_most=0.9999)
    views = {
        name: np.atleast_1d(np.asarray(values, dtype=float))
        for name, values in (("a", a), ("b", b), ("both", both))
    }
    top = real("entropy", entropy, above=0.0) if scale == "information" else 100.0
    for name, values in views.items():
        paired = values.ndim == 1 and values.shape == views["a"].shape
        require(paired, name, values.shape, "must be one per seed")
        good = bool(np.isfinite(values).all() and (values >= 0).all() and (values <= top + 1e-9).all())
        require(good, name, values, f"must lie between 0 and {top:g}")
    if scale == "latent" and chance != 50.0:
        raise LabError("scale", scale, "needs two classes of equal size, so chance = 50", "Use 'accuracy'.")
    raw = np.column_stack(list(views.values()))
    n = len(raw)
    without = np.stack([np.delete(raw, i, axis=0).mean(axis=0) for i in range(n)]) if n > 2 else None
    replicates = None if without is None else _masses(without, scale, chance, top)
    masses = _masses(raw.mean(axis=0)[None], scale, chance, top)[0]
    notes = () if n > 2 else ("Fewer than three seeds: no intervals.",)
    return from_masses(
        masses,
        method=f"performance ({scale})",
        replicates=replicates,
        kind="jackknife",
        level=level,
        n=n,
        notes=notes,
    )


def _masses(views: Floats, scale: str, chance: float, top: float) -> Floats:
    """(R, 5) of (R, 3): a's own, b's own, shared, synergy, unobserved on the scale."""
    if scale == "information":
        skill, whole = views, top
    elif scale == "latent":
        skill, whole = np.sin(np.pi * np.maximum(views / 100.0 - 0.5, 0.0)) ** 2, 1.0
    else:
        skill, whole = np.maximum(views - chance, 0.0) / (100.0 - chance), 1.0
    a, b, both = skill.T
    both = np.maximum(both, np.maximum(a, b))  # a model that sees both could have ignored one
    common = a + b - both
    return np.column_stack(
        [
            np.minimum(both - b, a),
            np.minimum(both - a, b),
            np.maximum(common, 0.0),
            np.maximum(-common, 0.0),
            np.maximum(whole - both, 0.0),
        ]
    )
