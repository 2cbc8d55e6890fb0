"""The estimators of shares side by side: one form of question for all of them, the lab's and yours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from mmkd_lab.core.registry import Registry
from mmkd_lab.core.stats import mean_interval
from mmkd_lab.shares.commonality import commonality_shares
from mmkd_lab.shares.criteria import Criteria, Test
from mmkd_lab.shares.decisive import decisive_channels
from mmkd_lab.shares.information import information_shares
from mmkd_lab.shares.performance import performance_shares
from mmkd_lab.shares.samples import LEAST, Codes, generator, members, subject_codes
from mmkd_lab.shares.shares import ModalityShares, from_masses
from mmkd_lab.shares.sides import Sides

#: Sides, seed, and how many resamples stand behind the intervals, 0 for none -> shares.
Estimate = Callable[[Sides, int, int], ModalityShares]
E = TypeVar("E", bound=Estimate)

_BINS = 5
#: The latent scale is for two classes of one size: it makes 0.52 of a rho² of 0.49 at 30:70, 0.62 at 10:90.
_EVEN = 0.3


@dataclass(frozen=True)
class Estimator:
    """A way to estimate shares, and what tables and sentences call it."""

    estimate: Estimate
    label: str

    @property
    def origin(self) -> str:
        """The module of the function, for the registry."""
        return self.estimate.__module__

    def __call__(self, sides: Sides, seed: int = 0, resamples: int = 0) -> ModalityShares:
        """The shares of two sides."""
        return self.estimate(sides, seed, resamples)


#: In the order of every table and figure.
ESTIMATORS: Registry[Estimator] = Registry("method")


def register_estimator(name: str, *, label: str = "") -> Callable[[E], E]:
    """A decorator that makes a function from (sides, seed, resamples) to shares known by name."""

    def known(estimate: E) -> E:
        ESTIMATORS.register(name, Estimator(estimate, label or name.replace("_", " ")))
        return estimate

    return known


@register_estimator("canonical", label="canonical channels")
def _canonical(sides: Sides, seed: int, resamples: int) -> ModalityShares:
    return _decisive(sides, seed, resamples, test="marginal", basis="canonical", weight="energy")


@register_estimator("commonality")
def _commonality(sides: Sides, seed: int, _: int) -> ModalityShares:
    return commonality_shares(sides.a, sides.b, sides.y, subjects=sides.subjects, seed=seed)


@register_estimator("count", label="counted decisive channels")
def _decisive(
    sides: Sides,
    seed: int,
    resamples: int,
    test: Test = "probe",
    **how: Any,  # noqa: ANN401 - see `decisive_channels`
) -> ModalityShares:
    how |= {"resamples": resamples, "subjects": sides.subjects, "seed": seed}
    criteria = Criteria(test, permutations=100, least_shared=sides.least_shared)
    return decisive_channels(sides.a, sides.b, sides.y, criteria=criteria, **how).shares


@register_estimator("performance", label="accuracies")
def _performance(sides: Sides, seed: int, _: int) -> ModalityShares:
    """Shares from balanced accuracies: mean recall, where guessing has 100 / K whatever the classes' sizes.

    The answer is the class that is likeliest beside its own frequency, which is Bayes' rule for the mean
    recall; with classes of equal size it is the likeliest. Recalls by block of samples stand for those by
    seed, so that the jackknife over them is one over samples. Two classes use the latent scale unless they
    differ much in size. Undefined, with a note, where no view is shown to beat guessing.
    """
    blocks, n = _blocks(sides, seed), len(sides.y)
    counts = np.bincount(sides.y, minlength=sides.said_a.shape[1])
    known = np.flatnonzero(counts)
    views = []
    for said in (sides.said_a, sides.said_b, sides.said_both):
        answers = known[(said[:, known] - np.log(counts[known])).argmax(1)]
        views.append(np.array([_mean_recall(answers, sides.y, rows) for rows in blocks]))
    chance = 100.0 / len(known)
    scale = "latent" if len(known) == 2 and counts[known].min() >= _EVEN * n else "accuracy"
    # Three views are tried, so each at a third of 5 %, one-sided.
    if len(blocks) >= LEAST and all(mean_interval(v, level=1.0 - 2 * 0.05 / 3).low <= chance for v in views):
        best = f"(the best: {max(float(view.mean()) for view in views):.1f} %)"
        note = f"Guessing reaches {chance:.1f} % and no view is shown to exceed it {best}."
        nothing = [0.0, 0.0, 0.0, 0.0, 1.0]
        return from_masses(nothing, method=f"performance ({scale})", n=n, notes=(note,))
    return replace(performance_shares(*views, chance=chance, scale=scale), n=n)


def _mean_recall(answers: Codes, y: Codes, rows: Codes) -> float:
    """Percent, over the classes among the rows."""
    right, counts = np.bincount(y[rows], weights=answers[rows] == y[rows]), np.bincount(y[rows])
    return float(100.0 * (right[counts > 0] / counts[counts > 0]).mean())


def _blocks(sides: Sides, seed: int) -> list[Codes]:
    """At most 20 blocks of samples, as many as have every class in each; those of a subject stay together."""
    n, classes = len(sides.y), len(np.unique(sides.y))
    units = members(subject_codes(sides.subjects, n), n)
    drawn = generator(seed, "blocks").permutation(len(units))
    mostly = np.array([np.bincount(sides.y[units[i]]).argmax() for i in drawn])
    order = drawn[np.argsort(mostly, kind="stable")]  # dealt class by class
    for k in range(min(20, len(units)), 1, -1):
        blocks = [np.concatenate([units[i] for i in order[first::k]]) for first in range(k)]
        if all(len(np.unique(sides.y[rows])) == classes for rows in blocks):
            return blocks
    return [np.arange(n)]


@register_estimator("information", label="information (PID)")
def _information(sides: Sides, seed: int, resamples: int) -> ModalityShares:
    # The answer, or for two classes its log-odds: one bit would throw away how sure it is.
    both = sides.said_a, sides.said_b
    one, two = (said[:, 1] - said[:, 0] if said.shape[1] == 2 else said.argmax(1) for said in both)
    return information_shares(
        one, two, sides.y, bins=_BINS, bootstrap=resamples, subjects=sides.subjects, seed=seed
    )
