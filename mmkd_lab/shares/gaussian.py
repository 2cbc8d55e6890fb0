"""Gaussian worlds in closed form: two truths that must not be mixed up.

The declared truth says who sees the latents that decide the label: shares of them by count, or by energy, the
squared weights delta_i^2 of the hyperplane. This is MFH's alpha, beta and gamma (Xue et al. 2023, section 3).

The PID truth says how much information each modality holds about the label, whatever carries it. In these
worlds the label is the sign of a Gaussian score and modality m sees a Gaussian part of it with correlation
rho_m. The weaker modality is then a noisier copy of the stronger one as far as (X_m, Y) goes (add noise to
the stronger one's score), so that its unique information is 0 in every decomposition that respects
Blackwell's order, BROJA included:
    R = min(I_a, I_b),  U_a = I_a - R,  U_b = I_b - R,  S = I_ab - max(I_a, I_b).
This is the minimum-mutual-information form of Barrett 2015, section IV, for a label instead of a Gaussian
target. It follows that with alpha = beta the PID's R / (R + U_a + U_b) is 1 whatever the declared gamma: two
modalities that see different latents equally well are fully redundant in the sense of PID. PID does not
measure MFH's gamma there, and no better estimator of PID can.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.check import one_of, require
from mmkd_lab.data.datasets.gaussian import World
from mmkd_lab.data.datasets.gaussian_world import information
from mmkd_lab.shares.pid import PID
from mmkd_lab.shares.shares import ModalityShares, from_masses


def declared(world: World, *, hyperplane: npt.ArrayLike | None = None, by: str = "count") -> ModalityShares:
    """The shares a world declares.

    Args:
        world: the world.
        hyperplane: (latents,) the actual delta, in the order specific_b, shared, specific_a, hidden; needed
            by 'energy', where None takes every latent to weigh alike.
        by: 'count' counts decisive latents, 'energy' weighs each by delta_i^2.

    Raises:
        LabError: an unknown `by`, a hyperplane of another length.
    """
    one_of("by", by, ("count", "energy"))
    b, both, a, hidden = _energies(world, None if by == "count" else hyperplane)
    return from_masses([a, b, both, 0.0, hidden], method=f"declared by {by}")


def world_pid(world: World, *, hyperplane: npt.ArrayLike | None = None) -> PID:
    """The exact decomposition of a world, in bits; a stands for source 1, b for source 2.

    Arguments and errors as in `declared`.
    """
    b, both, a, hidden = _energies(world, hyperplane)
    total = a + b + both + hidden
    i_a, i_b, i_ab = (
        information(float(np.sqrt(seen / total))) for seen in (a + both, b + both, a + b + both)
    )
    return _least(i_a, i_b, i_ab, entropy=1.0)


def gaussian_pid(covariance: npt.ArrayLike, *, width_a: int) -> PID:
    """The decomposition for jointly Gaussian X_a, X_b and scalar Y, in bits (Barrett 2015, section IV).

    Args:
        covariance: (d, d) of the columns of a, then those of b, then Y; positive definite.
        width_a: how many columns a has.

    `entropy` is NaN: that of a continuous target has no meaning here.

    Raises:
        LabError: a matrix that is not such a covariance, or no column for a or for b.
    """
    sigma = np.asarray(covariance, dtype=float)
    square = sigma.ndim == 2 and sigma.shape[0] == sigma.shape[1] and np.allclose(sigma, sigma.T)
    require(bool(square), "covariance", sigma.shape, "must be a symmetric matrix")
    rule = "must leave at least one column to a, one to b and one to the target"
    require(1 <= width_a <= len(sigma) - 2, "width_a", width_a, rule)
    least = float(np.linalg.eigvalsh(sigma)[0])
    require(least > 0, "covariance", least, "must be positive definite: this is its smallest eigenvalue")
    a, b = np.arange(width_a), np.arange(width_a, len(sigma) - 1)
    return _least(
        *(_gaussian_information(sigma, seen) for seen in (a, b, np.concatenate([a, b]))), entropy=np.nan
    )


def _least(i_a: float, i_b: float, i_ab: float, *, entropy: float) -> PID:
    shared = min(i_a, i_b)
    return PID(shared, i_a - shared, i_b - shared, max(i_ab - max(i_a, i_b), 0.0), entropy, 0.0)


def _gaussian_information(sigma: npt.NDArray[np.float64], seen: npt.NDArray[np.intp]) -> float:
    cross = sigma[seen, -1]
    explained = float(cross @ np.linalg.solve(sigma[np.ix_(seen, seen)], cross)) / float(sigma[-1, -1])
    return -0.5 * float(np.log2(1.0 - explained))


def _energies(world: World, hyperplane: npt.ArrayLike | None) -> tuple[float, float, float, float]:
    """Weight of b's own, the shared, a's own and the hidden latents."""
    counts = (world.specific_b, world.shared, world.specific_a, world.hidden)
    latents = sum(counts)
    weights = np.ones(latents) if hyperplane is None else np.asarray(hyperplane, dtype=float) ** 2
    rule = f"must have one coordinate per latent, ({latents},)"
    require(weights.shape == (latents,), "hyperplane", weights.shape, rule)
    b, both, a, hidden = (float(part.sum()) for part in np.split(weights, np.cumsum(counts)[:-1]))
    return b, both, a, hidden
