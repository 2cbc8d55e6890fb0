"""The estimators of shares side by side: one form of question for all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mmkd_lab.base.check import require, whole
from mmkd_lab.venn import (
    ModalityShares,
    commonality_shares,
    decisive_channels,
    information_shares,
    performance_shares,
)
from mmkd_lab.venn.discrete import drop_constant, generator
from mmkd_lab.venn.probe import cross_fitted
from mmkd_lab.venn.subjects import members, subject_codes

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

#: Inverse weight of the ridge penalty of every probe.
STRENGTH = 0.1
_BINS = 5


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
    """

    a: Floats
    b: Floats
    y: Codes
    said_a: Floats
    said_b: Floats
    said_both: Floats
    subjects: Codes | None = None

    @classmethod
    def of(cls, a: Floats, b: Floats, y: Codes, *, subjects: Codes | None = None, seed: int = 0) -> Sides:
        """Columns with the predictions of cross-fitted linear probes; no subject is on both sides of a fold.

        A column that is the same for nearly all samples is left out: in a part of them it would be constant.
        Errors as `venn.probe.cross_fitted`, and a modality of which no column is left.
        """
        a, b = lively("a", a), lively("b", b)
        said = [probed(x, y, subjects=subjects, seed=seed) for x in (a, b, np.column_stack([a, b]))]
        return cls(a, b, y, said[0], said[1], said[2], subjects)


#: sides, seed, and how many resamples stand behind the intervals, 0 for none -> shares.
Estimator = Callable[[Sides, int, int], ModalityShares]


def probed(x: Floats, y: Codes, *, subjects: Codes | None, seed: int) -> Floats:
    """(n, K) log-probabilities of a linear probe, each row from a probe that has not seen its fold."""
    return cross_fitted(x, y, groups=subjects, strength=STRENGTH, seed=seed)


def lively(name: str, x: Floats) -> Floats:
    """The columns of which no one value is that of 98 % of the samples. Raises `LabError` for none."""
    kept = [
        i for i, column in enumerate(x.T) if np.unique(column, return_counts=True)[1].max() < 0.98 * len(x)
    ]
    require(len(kept) > 0, name, x.shape, "must hold a column that varies")
    return x[:, kept]


def leading(x: npt.ArrayLike, *, components: int = 50) -> Floats:
    """(n, at most `components`) columns: as they are, or their first principal components when wider.

    The components are those of all samples given; no label is looked at.
    """
    whole("components", components)
    flat = np.asarray(x, dtype=float).reshape(len(np.asarray(x)), -1)
    columns, _ = drop_constant(flat)
    if columns.shape[1] <= components:
        return columns
    centred = columns - columns.mean(0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    directions = directions[:, : -components - 1 : -1]
    largest = np.abs(directions).argmax(0)  # a direction has no sign of its own
    signs = np.sign(directions[largest, np.arange(components)])
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
        resamples=resamples,
        subjects=sides.subjects,
        seed=seed,
    ).shares


def _commonality(sides: Sides, seed: int, _: int) -> ModalityShares:
    return commonality_shares(sides.a, sides.b, sides.y, subjects=sides.subjects, seed=seed)


def _performance(sides: Sides, seed: int, _: int) -> ModalityShares:
    """Accuracies by block of samples stand for those by seed: the jackknife over them is one over samples."""
    classes, scale = sides.said_a.shape[1], "latent" if sides.said_a.shape[1] == 2 else "accuracy"
    blocks = _blocks(sides, seed)
    right = [
        np.array([100.0 * float((said[rows].argmax(1) == sides.y[rows]).mean()) for rows in blocks])
        for said in (sides.said_a, sides.said_b, sides.said_both)
    ]
    found = performance_shares(right[0], right[1], right[2], chance=100.0 / classes, scale=scale)
    return replace(found, n=len(sides.y))


def _blocks(sides: Sides, seed: int) -> list[npt.NDArray[np.intp]]:
    """At most 20 blocks of samples; those of a subject stay together."""
    n = len(sides.y)
    units = members(subject_codes(sides.subjects, n), n)
    order = generator(seed, "blocks").permutation(len(units))
    return [np.concatenate([units[i] for i in some]) for some in np.array_split(order, min(20, len(units)))]


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
