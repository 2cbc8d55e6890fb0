"""One Gaussian world by its declared dimensions, and the worlds of the paper.

A world has independent standard normal latents z and labels y = 1[delta . z > 0]. Each decisive latent is
seen by both modalities (shared), by one (specific), or by none (hidden: label noise no network can remove).
Every other column of a modality is standard normal noise. Source: Xue et al. 2023 (MFH), Gaussian worlds.
The closed-form limits: the label is the sign of a Gaussian score, and a view sees a part of it whose
correlation with the score is rho.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.check import LabError, one_of, real, require
from mmkd_lab.core.config import config
from mmkd_lab.data.datasets.recipes import Dimensions

#: What can be looked at: a modality, both, or only what both see.
VIEWS = ("a", "b", "ab", "shared")
PARTS = ("shared", "specific", "noise")
#: The integrand is a product of two bell curves; beyond 12 of its widths it is below 1e-31.
_REACH, _POINTS = 12.0, 4001


@config
class World(Dimensions):
    """A synthetic world by its declared dimensions.

    The latents stand in the order specific_b, shared, specific_a, hidden. Modality b holds its decisive
    latents in its first columns, modality a from column `offset_a` on; the other columns are noise.

    Args:
        shared: decisive latents that both modalities see.
        specific_a: decisive latents that only modality a sees.
        specific_b: decisive latents that only modality b sees.
        hidden: decisive latents that neither sees.
        width_a: columns of modality a.
        width_b: columns of modality b.
        hyperplane: 'random' draws delta from a standard normal; 'ones' weighs every latent alike.
        n_train: training samples.
        n_val: validation samples; 0 for none.
        n_test: test samples.
        offset_a: the column of modality a in which its decisive latents begin.
        stream: which random numbers are drawn. 'figures' replays figures 2 and 3 (the test set of seed s
            comes from seed s + 1, whose training set shares its numbers), 'table2' replays Table 2,
            'independent' is as 'figures' with a test stream that no training set shares.

    Raises:
        LabError: a dimension that is not a whole number, nothing that a modality could see, a width too
            small for its decisive latents, an unknown hyperplane or stream.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """What worlds must agree in to be stacked: width_a, width_b, n_train, n_val, n_test."""
        return self.width_a, self.width_b, self.n_train, self.n_val, self.n_test

    @property
    def latents(self) -> int:
        """The number of latents that decide the label, hidden ones included."""
        return self._union + self.hidden

    @property
    def _union(self) -> int:
        return self.shared + self.specific_a + self.specific_b

    @property
    def alpha(self) -> float:
        """Share of a's own among the decisive latents that at least one modality sees."""
        return self.specific_a / self._union

    @property
    def beta(self) -> float:
        """Share of b's own among the decisive latents that at least one modality sees."""
        return self.specific_b / self._union

    @property
    def gamma_union(self) -> float:
        """Shared among the decisive latents that at least one sees: alpha + beta + gamma_union = 1."""
        return self.shared / self._union

    @property
    def gamma_a(self) -> float:
        """Shared among the decisive latents that a sees; NaN when it sees none."""
        seen = self.shared + self.specific_a
        return self.shared / seen if seen else float("nan")

    @property
    def gamma_b(self) -> float:
        """Shared among the decisive latents that b sees; NaN when it sees none."""
        seen = self.shared + self.specific_b
        return self.shared / seen if seen else float("nan")

    @property
    def unobserved(self) -> float:
        """Share of the hidden among all latents that decide the label."""
        return self.hidden / self.latents

    def seen(self, view: str) -> slice:
        """The latents that a view sees. Views: 'a', 'b', 'ab' (both modalities), 'shared'."""
        one_of("view", view, VIEWS)
        first = 0 if view in ("b", "ab") else self.specific_b
        last = self._union if view in ("a", "ab") else self.specific_b + self.shared
        return slice(first, last)

    def rho(self, view: str, hyperplane: npt.ArrayLike | None = None) -> float:
        """Correlation of the label's score with the part of it that a view sees: |delta_S| / |delta|.

        Args:
            view: 'a', 'b', 'ab' or 'shared'.
            hyperplane: (latents,) the actual delta; None takes every latent to weigh alike.

        Raises `LabError` for an unknown view or a hyperplane of another length.
        """
        rule = f"must have one finite coordinate per latent, ({self.latents},), and not be 0"
        try:
            delta = np.ones(self.latents) if hyperplane is None else np.asarray(hyperplane, dtype=np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise LabError("hyperplane", hyperplane, rule) from error
        require(delta.shape == (self.latents,), "hyperplane", delta.shape, rule)
        require(bool(np.isfinite(delta).all() and delta.any()), "hyperplane", delta.tolist(), rule)
        return float(np.linalg.norm(delta[self.seen(view)]) / np.linalg.norm(delta))

    def bayes_accuracy(self, view: str, hyperplane: npt.ArrayLike | None = None) -> float:
        """The best accuracy any network can reach from a view, in percent. Arguments as in `rho`."""
        return bayes_accuracy(self.rho(view, hyperplane))

    def information(self, view: str, hyperplane: npt.ArrayLike | None = None) -> float:
        """I(Y; X_view) in bits. Arguments as in `rho`."""
        return information(self.rho(view, hyperplane))

    def columns(self, modality: str, part: str) -> npt.NDArray[np.intp]:
        """The columns of modality 'a' or 'b' that are 'shared', 'specific' or 'noise'."""
        one_of("modality", modality, ("a", "b"))
        one_of("part", part, PARTS)
        if modality == "a":
            first, width = self.offset_a, self.width_a
            labels = ["shared"] * self.shared + ["specific"] * self.specific_a
        else:
            first, width = 0, self.width_b
            labels = ["specific"] * self.specific_b + ["shared"] * self.shared
        every = np.full(width, "noise", dtype="<U8")
        every[first : first + len(labels)] = labels
        return np.flatnonzero(every == part)


def _figure2(overlap: int) -> World:
    own = 10 - overlap
    return World(overlap, own, own, hidden=overlap, width_a=25, width_b=50, offset_a=own)


def _figure3(own: int) -> World:
    return World(10, own, 0, hidden=40 - own, width_a=50, width_b=50)


def _table2(own: int, shared: int) -> World:
    return World(shared, own, 0, hidden=0, width_a=50, width_b=50, hyperplane="ones", stream="table2")


#: Figure 2: gamma rises while each modality always sees 10 of the 20 decisive latents.
FIGURE2: Sequence[World] = tuple(_figure2(overlap) for overlap in (0, 2, 4, 6, 8, 10))
#: Figure 3: the teacher's own share alpha rises; 50 latents decide the label, b sees 10 of them.
FIGURE3: Sequence[World] = tuple(_figure3(own) for own in (0, 10, 20, 30, 40))
#: Table 2: equal weights and nothing hidden; (specific_a, shared) by rising gamma.
TABLE2: Sequence[World] = tuple(_table2(*pair) for pair in ((30, 10), (10, 5), (10, 10), (10, 20), (10, 30)))


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
