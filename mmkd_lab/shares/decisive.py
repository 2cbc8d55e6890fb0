"""Shares by channels: which decide the label, and which of these the other modality has too.

A channel is decisive when a permutation test links it to the label, and modality-general when the other
modality predicts it, both with false discoveries under control (Benjamini and Hochberg 1995). alpha, beta and
gamma are then shares of decisive channels (by count), which is how MFH declares them (Xue et al. 2023,
section 3), or of the variance they explain (by energy).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.check import one_of
from mmkd_lab.core.config import Natural, config
from mmkd_lab.shares import channels
from mmkd_lab.shares.channels import discoveries, pooled_p_values
from mmkd_lab.shares.criteria import Criteria
from mmkd_lab.shares.samples import Bools, Codes, Floats, Samples, generator
from mmkd_lab.shares.shares import ModalityShares, from_masses
from mmkd_lab.shares.synergy import product_variance

if TYPE_CHECKING:
    import pandas as pd

Basis = Literal["channels", "canonical"]
Weight = Literal["count", "energy"]

#: The verdict hangs on that threshold where one so many times lower or higher moves gamma by more than this.
_FACTOR, _MOVES = 3.0, 0.05


@dataclass(frozen=True, eq=False)
class Decisive:
    """Which channels are decisive and which are modality-general, and the shares that follow.

    Args:
        shares: see `ModalityShares`.
        table: one row per channel that is examined: modality, channel, variance (share of the label's
            variance, freed of chance), p, decisive, predicted (adjusted R^2 from the other modality),
            p_general, linked (more predicted than chance makes), general (linked, and predicted by at least
            `least_shared`). In canonical coordinates a channel is a canonical variate, and predicted its
            squared canonical correlation.
    """

    shares: ModalityShares
    table: pd.DataFrame

    def channels(self, modality: str, *, general: bool | None = None) -> Codes:
        """The decisive channels of 'a' or 'b'; only the general or only the specific ones when asked."""
        one_of("modality", modality, ("a", "b"))
        rows = self.table[(self.table["modality"] == modality) & self.table["decisive"]]
        if general is not None:
            rows = rows[rows["general"] == general]
        return rows["channel"].to_numpy(dtype=np.intp)

    def __repr__(self) -> str:
        counts = [
            f"{len(self.channels(m))} of {m} ({len(self.channels(m, general=True))} general)" for m in "ab"
        ]
        return f"decisive channels: {', '.join(counts)}\n{self.shares}"


@config
class _Plan:
    """Arguments that several steps go by."""

    criteria: Criteria
    basis: Basis
    weight: Weight
    resamples: Natural


@dataclass(frozen=True, eq=False)
class _Found:
    """By channel of one modality, see the table of `Decisive`."""

    variance: Floats
    p: Floats
    decisive: Bools
    predicted: Floats
    p_general: Floats
    linked: Bools
    general: Bools


#: Permuted statistics of the label and of prediction, each for a and b, and the threshold of correlations.
_Nulls = tuple[list[Floats], list[Floats], float]


def decisive_channels(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    criteria: Criteria | None = None,
    basis: Basis = "channels",
    weight: Weight = "count",
    ranks: bool = False,
    products: bool = True,
    resamples: int = 100,
    level: float = 0.95,
    subjects: npt.ArrayLike | None = None,
    seed: int = 0,
) -> Decisive:
    """Test every channel of two paired modalities.

    Args:
        a: (n, d_a) channels of modality a.
        b: (n, d_b) channels of modality b.
        y: (n,) class numbers.
        criteria: of a decisive and of a shared channel.
        basis: 'channels' takes them as they are, but for those that are linear combinations of the ones
            before them, which are left out, and those that nearly are, which count by what they have of their
            own (`channels.independent` has the tolerances; a note says how many); 'canonical' turns both
            modalities into canonical coordinates first, which undoes linear mixing of shared with specific
            latents (use it with weight 'energy': after mixing, the number of decisive directions has no
            meaning).
        weight: 'count' counts decisive channels; 'energy' adds up explained variance over all channels,
            decisive or not, since each is freed of what chance explains.
        ranks: turn columns into normal scores first.
        products: search products of a channel of a and one of b for synergy (`synergy.product_variance`); its
            share is one of explained variance, whatever the weight.
        resamples: half-samples behind the intervals; 0 for none. An interval is the spread of the
            half-samples (whose variance about the full sample estimates the full sample's own; Politis and
            Romano 1994), centred on the estimate.
        level: of the intervals.
        subjects: (n,) names of what samples belong to (a speaker): halves are then halves of the subjects.
            The permutation tests take samples as independent all the same.
        seed: of permutations and half-samples.

    Raises `LabError` for unpaired sets, constant channels or label, fewer samples than channels (with
    'probe', fewer than 40 samples beyond them), fewer than three subjects, wrong options.
    """
    criteria = criteria or Criteria()
    plan = _Plan(criteria, basis, weight, resamples)
    given = Samples.of(a, b, y, subjects=subjects, ranks=ranks)
    sides, target, kept = list(given.sides), given.target, None
    collinear: tuple[str, ...] = ()
    if basis == "channels":
        widths = [x.shape[1] for x in sides]
        sides, kept, reduced = map(list, zip(*map(channels.independent, sides), strict=True))
        left_out = [width - len(some) for width, some in zip(widths, kept, strict=True)]
        collinear = _counted("are combinations of others are left out", left_out)
        collinear += _counted("nearly are count by what they have of their own", reduced)
    found, _ = _examine(sides, target, plan, seed, None)
    masses, notes = _masses(found, weight), _uneven(found, weight) + _hanging(found, plan) + collinear
    if criteria.test == "probe":
        notes += _hidden(sides, np.eye(int(target.max()) + 1)[target], found, criteria.rate)
    if products:
        masses[3] = _pairs(found, masses, product_variance(sides[0], sides[1], target, seed=seed))
    notes += given.too_sure
    replicates = _replicates(sides, target, plan, seed, given.units)
    if resamples and replicates is None:
        notes += ("No intervals: a half of the samples is too small to test.",)
    shares = from_masses(
        masses,
        method=f"decisive channels ({criteria.test}, {basis}, by {weight})",
        replicates=replicates,
        kind="recentred",
        level=level,
        n=len(target),
        sees_synergy=products,
        no_interval=("synergy",),  # the search for products is not repeated on halves
        notes=notes,
    )
    return Decisive(shares, _table(found, kept))


def _examine(
    sides: list[Floats], target: Codes, plan: _Plan, seed: int, nulls: _Nulls | None
) -> tuple[list[_Found], _Nulls]:
    """Both modalities; `nulls` of an earlier sample of the same size spare the permutations."""
    stream, indicators = generator(seed, "decisive"), np.eye(int(target.max()) + 1)[target]
    asked = plan.criteria
    probe, count, rate = asked.test == "probe", asked.permutations, asked.rate
    threshold, correlations = 0.0, np.empty(0)
    if canonical := plan.basis == "canonical":
        threshold = (
            channels.canonical_threshold(*sides, permutations=count, quantile=1.0 - rate, stream=stream)
            if nulls is None
            else nulls[2]
        )
        one, two, correlations = channels.canonical_columns(*sides)
        sides = [one, two]
        if nulls is not None and any(x.shape[1] != n.shape[1] for x, n in zip(sides, nulls[0], strict=True)):
            nulls = None  # in this sample fewer channels are independent: it needs permutations of its own
    rounds = count if nulls is None else 0
    effects = [
        channels.label_effects(x, indicators, probe=probe, permutations=rounds, stream=stream) for x in sides
    ]
    if nulls is None:
        ways = [] if canonical else [sides, sides[::-1]]
        others = [channels.prediction_null(x, y, permutations=count, stream=stream) for x, y in ways]
        nulls = [null for _, null, _ in effects], others, threshold
    found = []
    for side, (x, other, (statistic, _, variance)) in enumerate(
        zip(sides, sides[::-1], effects, strict=True)
    ):
        if canonical:
            padded = np.zeros(x.shape[1])
            padded[: len(correlations)] = correlations[: x.shape[1]]
            predicted, linked = padded**2, padded > threshold
            p_general = np.where(linked, rate, 1.0)
        else:
            predicted = channels.predicted_share(x, other)
            p_general = pooled_p_values(predicted, nulls[1][side])
            linked = discoveries(p_general, rate=rate)
        p = pooled_p_values(statistic, nulls[0][side])
        decisive, general = discoveries(p, rate=rate), linked & (predicted >= asked.least_shared)
        found.append(_Found(variance, p, decisive, predicted, p_general, linked, general))
    return found, nulls


def _amounts(found: list[_Found], weight: Weight) -> list[tuple[float, float]]:
    """(own, general) of a and of b: counts of decisive channels, or sums of explained variance."""
    if not any(one.decisive.any() for one in found):  # what variance there is, is chance
        return [(0.0, 0.0)] * 2
    amounts = [one.decisive.astype(float) if weight == "count" else one.variance for one in found]
    return [
        (float(x[~f.general].sum()), float(x[f.general].sum())) for x, f in zip(amounts, found, strict=True)
    ]


def _masses(found: list[_Found], weight: Weight) -> Floats:
    """(4,) a's own, b's own, shared, and 0 for synergy."""
    (a, one), (b, two) = _amounts(found, weight)
    return np.array([a, b, (one + two) / 2, 0.0])


def _counted(what: str, counts: list[int]) -> tuple[str, ...]:
    """The note of channels that are not taken as they are."""
    which = " and ".join(f"{k} of {name}" for name, k in zip("ab", counts, strict=True) if k)
    return (f"Channels that {what}: {which}.",) if which else ()


def _hidden(sides: list[Floats], indicators: Floats, found: list[_Found], rate: float) -> tuple[str, ...]:
    """A note for a modality that tells the label though none of its channels adds to the others."""
    return tuple(
        f"No channel of {name} is decisive beside the others, though together they tell the label: they hide "
        "one another, so basis='canonical' is the safer reading."
        for name, x, one in zip("ab", sides, found, strict=True)
        if not one.decisive.any() and channels.together(x, indicators) <= rate
    )


def _uneven(found: list[_Found], weight: Weight) -> tuple[str, ...]:
    (_, one), (_, two) = _amounts(found, weight)
    if weight == "energy" or abs(one - two) <= 0.5 * max(one, two):
        return ()
    return (
        f"The general channels are {one:.0f} in a and {two:.0f} in b: one latent may stand "
        "behind several channels, so weight='energy' is the safer reading.",
    )


def _hanging(found: list[_Found], plan: _Plan) -> tuple[str, ...]:
    """The note of a gamma that another threshold on R^2 would move."""
    least = plan.criteria.least_shared
    ends = least / _FACTOR, least, min(least * _FACTOR, 1.0)
    gammas = []
    for end in ends:
        moved = [replace(one, general=one.linked & (one.predicted >= end)) for one in found]
        gammas.append(from_masses(_masses(moved, plan.weight), method="gamma").gamma)
    low, here, high = gammas
    if not max(abs(low - here), abs(high - here)) > _MOVES:  # undefined ones are NaN and move nothing
        return ()
    return (
        f"gamma hangs on where shared begins: {here:.2f} with R^2 from {ends[1]:.2g} on (least_shared), "
        f"{low:.2f} from {ends[0]:.2g}, {high:.2f} from {ends[2]:.2g}.",
    )


def _pairs(found: list[_Found], masses: Floats, variance: float) -> float:
    """The amount of synergy beside these masses that makes its share that of the explained variance."""
    alone = float(np.maximum(_masses(found, "energy")[:3], 0.0).sum())
    amount = float(masses[:3].sum())
    return variance * amount / alone if alone > 0 and amount > 0 else variance


def _replicates(
    sides: list[Floats], target: Codes, plan: _Plan, seed: int, units: list[Codes]
) -> Floats | None:
    """(R, 4) masses of half-samples; None when a half is too small to test."""
    stream, nulls, drawn = generator(seed, "halves"), None, []
    least = max(x.shape[1] for x in sides) + 1 + (channels.FREEDOM if plan.criteria.test == "probe" else 1)
    if np.bincount(target).min() < 4:
        return None
    for _ in range(plan.resamples):
        rows = np.concatenate([units[i] for i in stream.permutation(len(units))[: len(units) // 2]])
        if len(rows) < least or len(np.unique(target[rows])) < target.max() + 1:
            continue
        some = [x[rows] for x in sides]
        if any((np.ptp(x, axis=0) == 0).any() for x in some):
            continue
        found, nulls = _examine(some, target[rows], plan, seed, nulls)
        drawn.append(_masses(found, plan.weight))
    return np.stack(drawn) if len(drawn) > 1 else None


def _table(found: list[_Found], numbers: list[Codes] | None) -> pd.DataFrame:
    import pandas as pd

    parts = []
    for i, (name, one) in enumerate(zip("ab", found, strict=True)):
        known = np.arange(len(one.p)) if numbers is None else numbers[i]
        parts.append(pd.DataFrame({"modality": name, "channel": known, **vars(one)}))
    return pd.concat(parts, ignore_index=True)
