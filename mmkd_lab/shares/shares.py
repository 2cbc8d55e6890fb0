"""The result every estimator returns: alpha, beta, gamma, and what the Venn diagram has no room for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.check import one_of, real, require
from mmkd_lab.core.stats import Interval
from mmkd_lab.shares.samples import Floats

if TYPE_CHECKING:
    import pandas as pd

#: Every quantity of a table of shares, in its order.
QUANTITIES = ("alpha", "beta", "gamma_union", "gamma_a", "gamma_b", "synergy", "unobserved")
#: From this share on, synergy is more than everything a Venn diagram can draw.
XOR_FROM = 0.5
_SLIP = 1e-9


@dataclass(frozen=True)
class ModalityShares:
    """Who carries what decides the label.

    alpha, beta and gamma are shares of the decisive part that at least one modality carries on its own
    account: alpha only a, beta only b, gamma both; they sum to 1 (the union convention). synergy is the share
    of all that a and b carry together which neither carries alone (XOR). unobserved is the share of all that
    decides the label which a and b do not carry, even together. Source: Xue et al. 2023 (MFH), section 3,
    extended.

    Args:
        alpha: share of a's own; NaN, with beta and gamma, when nothing is carried by single modalities.
        beta: share of b's own.
        gamma: share of what both carry, the same as gamma_union.
        method: what produced the shares.
        synergy: between 0 and 1; None when the method cannot see it.
        unobserved: between 0 and 1; None when the method cannot see it.
        n: samples, channels or seeds behind the estimate (the method says which); None for a declared truth.
        intervals: by quantity, see `QUANTITIES`.
        notes: warnings that belong to the numbers.

    Raises `LabError` for a share outside [0, 1], shares that do not sum to 1, one undefined share beside a
    defined one, an interval of an unknown quantity.
    """

    alpha: float
    beta: float
    gamma: float
    method: str
    synergy: float | None = None
    unobserved: float | None = None
    n: int | None = None
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "intervals", MappingProxyType(dict(self.intervals)))
        object.__setattr__(self, "notes", tuple(self.notes))
        trio = {"alpha": self.alpha, "beta": self.beta, "gamma": self.gamma}
        missing = [name for name, value in trio.items() if math.isnan(value)]
        if missing:
            require(len(missing) == 3, missing[0], math.nan, "must be defined when the other two are")
            require(len(self.notes) > 0, "notes", (), "must say why alpha, beta and gamma are undefined")
        else:
            total = sum(trio.values())
            require(abs(total - 1.0) < 1e-6, "alpha + beta + gamma", total, "must be 1")
        for name in ("alpha", "beta", "gamma", "synergy", "unobserved"):
            value = getattr(self, name)
            if value is not None and not math.isnan(value):
                real(name, value, at_least=-_SLIP, at_most=1.0 + _SLIP)
        for name in self.intervals:
            one_of("interval", name, QUANTITIES)

    @property
    def defined(self) -> bool:
        """False when single modalities carry nothing, so that alpha, beta and gamma have no meaning."""
        return not math.isnan(self.gamma)

    @property
    def gamma_union(self) -> float:
        """|A and B| / |A or B|: alpha + beta + gamma_union = 1."""
        return self.gamma

    @property
    def gamma_a(self) -> float:
        """|A and B| / |A|; NaN when a carries nothing."""
        return _ratio(self.gamma, self.alpha)

    @property
    def gamma_b(self) -> float:
        """|A and B| / |B|; NaN when b carries nothing."""
        return _ratio(self.gamma, self.beta)

    @property
    def xor_type(self) -> bool:
        """True when a Venn diagram would mislead: most, or all, of what the pair carries is synergy."""
        return not self.defined or (self.synergy or 0.0) > XOR_FROM

    @property
    def whole(self) -> dict[str, float]:
        """Shares of all that decides the label: alpha, gamma, beta, synergy, unobserved; they sum to 1.

        What the method cannot see counts as 0, undefined shares as 0.
        """
        seen, pair = 1.0 - (self.unobserved or 0.0), self.synergy or 0.0
        single = seen * (1.0 - pair) if self.defined else math.nan
        parts = {"alpha": self.alpha, "gamma": self.gamma, "beta": self.beta}
        named = {name: single * part if self.defined else 0.0 for name, part in parts.items()}
        return {**named, "synergy": seen * pair, "unobserved": 1.0 - seen}

    def value(self, quantity: str) -> float:
        """A quantity by name; NaN for what the method cannot see. Raises `LabError` for an unknown name."""
        one_of("quantity", quantity, QUANTITIES)
        found = getattr(self, quantity)
        return math.nan if found is None else float(found)

    def to_table(self) -> pd.DataFrame:
        """Tidy: a row per quantity with value (a share, 0 to 1), low, high, level, n, method, notes."""
        import pandas as pd

        nothing = Interval(math.nan, math.nan, math.nan, 0, math.nan)
        rows = []
        for name in QUANTITIES:
            ends = self.intervals.get(name, nothing)
            row = {"quantity": name, "value": self.value(name), "low": ends.low, "high": ends.high}
            more = {"level": ends.level, "n": self.n, "method": self.method, "notes": " ".join(self.notes)}
            rows.append(row | more)
        return pd.DataFrame(rows)

    def __str__(self) -> str:
        shown = {name: f"{name} {self._show(name)}" for name in QUANTITIES}
        single = "alpha, beta and gamma undefined"
        if self.defined:
            single = f"{shown['alpha']}, {shown['beta']}, {shown['gamma_union']}; "
            single += f"{shown['gamma_a']}, {shown['gamma_b']}"
        head = self.method if self.n is None else f"{self.method} (n = {self.n:,})"
        notes = "".join(f"\n  note: {note}" for note in self.notes)
        return f"{head}: {single}; {shown['synergy']}; {shown['unobserved']}{notes}"

    __repr__ = __str__

    def _show(self, name: str) -> str:
        value, found = self.value(name), self.intervals.get(name)
        if math.isnan(value):
            return "not seen" if name in ("synergy", "unobserved") else "undefined"
        ends = f" [{found.low:.2f}, {found.high:.2f}]" if found and not math.isnan(found.low) else ""
        return f"{value:.2f}{ends}"


def from_masses(
    masses: npt.ArrayLike,
    *,
    method: str,
    replicates: npt.ArrayLike | None = None,
    kind: str = "percentile",
    level: float = 0.95,
    n: int | None = None,
    sees_synergy: bool = True,
    no_interval: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
) -> ModalityShares:
    """Shares from the amounts of each part.

    Args:
        masses: (4,) or (5,): a's own, b's own, shared, synergy and, if known, unobserved, in any common unit.
            A negative amount counts as 0.
        method, n, notes: see `ModalityShares`.
        replicates: (R, 4) or (R, 5) amounts of R resamples, for the intervals.
        kind: 'percentile' takes the replicates' quantiles, 'basic' mirrors them at the estimate, 'recentred'
            moves them so that their mean is the estimate, 'jackknife' takes the replicates for the estimates
            without one group each, and Student's t.
        level: of the intervals.
        sees_synergy: False when the method says nothing about synergy; the fourth amount is then ignored.
        no_interval: quantities whose spread the replicates do not show.

    Raises `LabError` for amounts of another shape or not finite, an unknown kind, a wrong level.
    """
    amounts = np.asarray(masses, dtype=float)
    require(amounts.shape in ((4,), (5,)), "masses", amounts.shape, "must hold 4 or 5 amounts")
    require(bool(np.isfinite(amounts).all()), "masses", amounts, "must be finite")
    one_of("kind", kind, ("percentile", "basic", "recentred", "jackknife"))
    real("level", level, above=0.0, at_most=0.9999)
    known = dict(zip(QUANTITIES, map(float, _values(amounts[None])[0]), strict=True))
    hidden = {*no_interval, *(() if sees_synergy else ("synergy",))}
    intervals = {}
    if replicates is not None:
        drawn = _values(np.atleast_2d(np.asarray(replicates, dtype=float))).T
        found = {name: _interval(known[name], x, kind, level) for name, x in zip(known, drawn, strict=True)}
        intervals = {name: ends for name, ends in found.items() if ends is not None and name not in hidden}
    seen = 0.0 if math.isnan(known["synergy"]) else known["synergy"]  # of nothing, nothing is synergy
    synergy = seen if sees_synergy else None
    unobserved = known["unobserved"] if amounts.size == 5 else None
    if math.isnan(known["gamma_union"]):
        some = "XOR-type: all of it is synergy." if synergy else "Nothing decisive was found."
        said = f"alpha, beta and gamma are undefined: no single modality tells about the label. {some}"
        notes = (*notes, said)
    elif synergy is not None and synergy > XOR_FROM:
        said = f"XOR-type: synergy dominates ({synergy:.0%} of what the pair carries)"
        notes = (*notes, f"{said}; alpha, beta and gamma describe only the rest.")
    trio = known["alpha"], known["beta"], known["gamma_union"]
    return ModalityShares(*trio, method, synergy, unobserved, n, intervals, notes)


def _values(amounts: Floats) -> Floats:
    """(R, 7) quantities of (R, 4 or 5) amounts; NaN where a quantity is undefined."""
    a, b, both, synergy, *rest = np.maximum(amounts, 0.0).T
    unseen = rest[0] if rest else np.full(len(a), np.nan)
    single = a + b + both
    pair = single + synergy
    parts = np.stack([a, b, both, both, both, synergy, unseen])
    of = np.stack([single, single, single, both + a, both + b, pair, pair + unseen])
    return np.asarray(np.divide(parts, of, out=np.full_like(parts, np.nan), where=of > 0).T)


def _interval(value: float, drawn: Floats, kind: str, level: float) -> Interval | None:
    """None where the quantity is undefined. Ends are cut at 0 and 1, which every share respects."""
    drawn = drawn[np.isfinite(drawn)]
    if math.isnan(value) or drawn.size < 2:
        return None
    if kind == "jackknife":
        from scipy.special import stdtrit

        error = math.sqrt((drawn.size - 1) * float(np.mean((drawn - drawn.mean()) ** 2)))
        half = float(stdtrit(drawn.size - 1, 0.5 + level / 2)) * error
        low, high = value - half, value + half
    else:
        low, high = (float(np.quantile(drawn, end)) for end in (0.5 - level / 2, 0.5 + level / 2))
        if kind == "recentred":
            low, high = low + value - float(drawn.mean()), high + value - float(drawn.mean())
        if kind == "basic":
            low, high = 2 * value - high, 2 * value - low
    return Interval(value, float(np.clip(low, 0, 1)), float(np.clip(high, 0, 1)), drawn.size, level)


def _ratio(shared: float, own: float) -> float:
    total = shared + own
    return shared / total if total > 0 else math.nan
