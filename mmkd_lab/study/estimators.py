"""The estimators of shares side by side: one form of question for all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.check import require, whole
from mmkd_lab.core.stats import mean_interval
from mmkd_lab.shares import (
    ModalityShares,
    commonality_shares,
    decisive_channels,
    information_shares,
    performance_shares,
)
from mmkd_lab.shares.decisive import LEAST_SHARED
from mmkd_lab.shares.discrete import drop_constant, generator
from mmkd_lab.shares.probe import cross_fitted
from mmkd_lab.shares.shares import from_masses
from mmkd_lab.shares.subjects import LEAST, members, subject_codes

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

#: Inverse weight of the ridge penalty of every probe.
STRENGTH = 0.1
#: Folds of the cross-fitting of every probe, unless the data allow fewer.
FOLDS = 5
_BINS = 5
_RANK = 1e-12  # components with less than this share of the first one's variance are rounding
#: The latent scale is for two classes of one size: it makes 0.52 of a rho² of 0.49 at 30:70, 0.62 at 10:90.
_EVEN = 0.3


@dataclass(frozen=True, eq=False)
class Sides:
    """What the estimators are asked about: two modalities of n paired samples.

    Args:
        a: (n, d_a) columns of modality a.
        b: (n, d_b) columns of modality b.
        y: (n,) class numbers from 0.
        said_a: (n, K) log-probabilities of the classes by a alone, for samples that nothing was fitted on.
        said_b: the same by b.
        said_both: the same by both.
        subjects: (n,) numbers of what samples belong to (an actor), or None when samples are independent.
        least_shared: the R^2 from which a channel counts as shared, see `venn.decisive_channels`.
        notes: what must be said of the predictions.
    """

    a: Floats
    b: Floats
    y: Codes
    said_a: Floats
    said_b: Floats
    said_both: Floats
    subjects: Codes | None = None
    least_shared: float = LEAST_SHARED
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        a: Floats,
        b: Floats,
        y: Codes,
        *,
        subjects: Codes | None = None,
        seed: int = 0,
        names: tuple[str, str] = ("a", "b"),
        folds: int = FOLDS,
        least_shared: float = LEAST_SHARED,
    ) -> Sides:
        """Columns with the predictions of cross-fitted linear probes; no subject is on both sides of a fold.

        A column that is the same for nearly all samples is left out: in a part of them it would be constant.
        Errors call the modalities by `names`. Errors as `venn.probe.cross_fitted` and `possible_folds`, and a
        modality of which no column is left.
        """
        a, b = lively(names[0], a), lively(names[1], b)
        used, notes = possible_folds(y, subjects, folds)
        views = (a, b, np.column_stack([a, b]))
        said = [probed(x, y, subjects=subjects, folds=used, seed=seed) for x in views]
        return cls(a, b, y, said[0], said[1], said[2], subjects, least_shared, notes)


#: sides, seed, and how many resamples stand behind the intervals, 0 for none -> shares.
Estimator = Callable[[Sides, int, int], ModalityShares]


def probed(x: Floats, y: Codes, *, subjects: Codes | None, seed: int, folds: int = FOLDS) -> Floats:
    """(n, K) log-probabilities of a linear probe, each row from a probe that has not seen its fold."""
    return cross_fitted(x, y, folds=folds, groups=subjects, strength=STRENGTH, seed=seed)


def possible_folds(y: Codes, subjects: Codes | None, folds: int) -> tuple[int, tuple[str, ...]]:
    """So many folds, or as many as the rarest class has samples (or there are subjects), with a note then.

    Raises `LabError` when only one fold is possible.
    """
    rare = int(np.unique(y, return_counts=True)[1].min())
    few = rare if subjects is None else min(rare, len(np.unique(subjects)))
    what = "samples of the rarest class" if few == rare else "subjects"
    require(few > 1, what, few, "must be at least 2 to fit a probe without each", "Leave the class out.")
    if few >= folds:
        return folds, ()
    return few, (f"Probes are fitted in {few} folds, not {folds}: there are {few} {what}.",)


def lively(name: str, x: Floats) -> Floats:
    """The columns of which no one value is that of 98 % of the samples. Raises `LabError` for none."""
    kept = [
        i for i, column in enumerate(x.T) if np.unique(column, return_counts=True)[1].max() < 0.98 * len(x)
    ]
    require(len(kept) > 0, name, x.shape, "must hold a column that varies")
    return x[:, kept]


def leading(x: npt.ArrayLike, *, components: int = 50, name: str = "values") -> Floats:
    """(n, at most `components`) columns: as they are, or their first principal components when wider.

    Of fewer than four times as many samples, there are no more columns than a quarter of the samples: the
    estimators need samples beyond the columns of both modalities. The components are those of all samples
    given; no label is looked at. Raises `LabError`, by that name, when no column varies.
    """
    whole("components", components)
    flat = np.asarray(x, dtype=float).reshape(len(np.asarray(x)), -1)
    columns, _ = drop_constant(flat, name=name)
    most = min(components, max(len(flat) // 4, 1))
    if columns.shape[1] <= most:
        return columns
    centred = columns - columns.mean(0)
    squares, directions = np.linalg.eigh(centred.T @ centred)
    most = min(most, int((squares > _RANK * squares[-1]).sum()))
    directions = directions[:, : -most - 1 : -1]
    largest = np.abs(directions).argmax(0)  # a direction has no sign of its own
    signs = np.sign(directions[largest, np.arange(most)])
    return np.asarray(centred @ (directions * signs))


def _canonical(sides: Sides, seed: int, resamples: int) -> ModalityShares:
    return decisive_channels(
        sides.a,
        sides.b,
        sides.y,
        test="marginal",
        basis="canonical",
        weight="energy",
        permutations=100,
        least_shared=sides.least_shared,
        resamples=resamples,
        subjects=sides.subjects,
        seed=seed,
    ).shares


def _count(sides: Sides, seed: int, resamples: int) -> ModalityShares:
    return decisive_channels(
        sides.a,
        sides.b,
        sides.y,
        permutations=100,
        least_shared=sides.least_shared,
        resamples=resamples,
        subjects=sides.subjects,
        seed=seed,
    ).shares


def _commonality(sides: Sides, seed: int, _: int) -> ModalityShares:
    return commonality_shares(sides.a, sides.b, sides.y, subjects=sides.subjects, seed=seed)


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
    expected = np.log(counts[known])
    views = []
    for said in (sides.said_a, sides.said_b, sides.said_both):
        answers = known[(said[:, known] - expected).argmax(1)]
        views.append(np.array([_mean_recall(answers, sides.y, rows) for rows in blocks]))
    chance = 100.0 / len(known)
    scale = "latent" if len(known) == 2 and counts[known].min() >= _EVEN * n else "accuracy"
    if len(blocks) >= LEAST:  # three views are tried, so each at a third of 5 %, one-sided
        ends = [mean_interval(view, level=1.0 - 2 * 0.05 / 3).low for view in views]
        if max(ends) <= chance:
            seen = max(float(view.mean()) for view in views)
            note = (
                f"Guessing reaches {chance:.1f} % and no view is shown to exceed it (the best: {seen:.1f} %)."
            )
            nothing = np.array([0.0, 0.0, 0.0, 0.0, 1.0])
            return from_masses(nothing, method=f"performance ({scale})", n=n, notes=(note,))
    found = performance_shares(*views, chance=chance, scale=scale)
    return replace(found, n=n)


def _mean_recall(answers: Codes, y: Codes, rows: npt.NDArray[np.intp]) -> float:
    """Percent, over the classes among the rows."""
    right, counts = np.bincount(y[rows], weights=answers[rows] == y[rows]), np.bincount(y[rows])
    return float(100.0 * (right[counts > 0] / counts[counts > 0]).mean())


def _blocks(sides: Sides, seed: int) -> list[npt.NDArray[np.intp]]:
    """At most 20 blocks of samples, as many as have every class in each; those of a subject stay together."""
    n = len(sides.y)
    units = members(subject_codes(sides.subjects, n), n)
    drawn = generator(seed, "blocks").permutation(len(units))
    mostly = np.array([np.bincount(sides.y[units[i]]).argmax() for i in drawn])
    order = drawn[np.argsort(mostly, kind="stable")]  # dealt class by class
    for k in range(min(20, len(units)), 1, -1):
        blocks = [np.concatenate([units[i] for i in order[first::k]]) for first in range(k)]
        if all(len(np.unique(sides.y[rows])) == len(np.unique(sides.y)) for rows in blocks):
            return blocks
    return [np.arange(n)]


def _information(sides: Sides, seed: int, resamples: int) -> ModalityShares:
    one, two = (_answers(said) for said in (sides.said_a, sides.said_b))
    return information_shares(
        one, two, sides.y, bins=_BINS, bootstrap=resamples, subjects=sides.subjects, seed=seed
    )


def _answers(said: Floats) -> npt.NDArray[np.generic]:
    """The answer, or for two classes its log-odds: one bit would throw away how sure it is."""
    return said[:, 1] - said[:, 0] if said.shape[1] == 2 else said.argmax(1)


#: In the order of every table and figure.
ESTIMATORS: dict[str, Estimator] = {
    "canonical": _canonical,
    "commonality": _commonality,
    "count": _count,
    "performance": _performance,
    "information": _information,
}

LABELS = {
    "canonical": "canonical channels",
    "commonality": "commonality",
    "count": "counted decisive channels",
    "performance": "accuracies",
    "information": "information (PID)",
}
