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

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]

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

    Raises:
        LabError: a share outside [0, 1], shares that do not sum to 1, one undefined share beside a defined
            one, an interval of an unknown quantity.
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
        _validate(self)

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
        return not self.defined or (self.synergy is not None and self.synergy > XOR_FROM)

    @property
    def whole(self) -> dict[str, float]:
        """Shares of all that decides the label: alpha, gamma, beta, synergy, unobserved; they sum to 1.

        What the method cannot see counts as 0, undefined shares as 0.
        """
        seen, pair = 1.0 - (self.unobserved or 0.0), self.synergy or 0.0
        single = seen * (1.0 - pair)
        parts = (self.alpha, self.gamma, self.beta) if self.defined else (0.0, 0.0, 0.0)
        named = dict(zip(("alpha", "gamma", "beta"), (single * part for part in parts), strict=True))
        return {**named, "synergy": seen * pair, "unobserved": 1.0 - seen}

    def value(self, quantity: str) -> float:
        """A quantity by name; NaN for what the method cannot see. Raises `LabError` for an unknown name."""
        one_of("quantity", quantity, QUANTITIES)
        found = getattr(self, quantity)
        return math.nan if found is None else float(found)

    def to_table(self) -> pd.DataFrame:
        """Tidy: one row per quantity with its value (a share between 0 and 1), low, high, level, n and
        method."""
        import pandas as pd

        rows = []
        for name in QUANTITIES:
            found = self.intervals.get(name)
            low, high, level = (found.low, found.high, found.level) if found else (math.nan,) * 3
            row = {"quantity": name, "value": self.value(name), "low": low, "high": high, "level": level}
            rows.append({**row, "n": self.n, "method": self.method, "notes": " ".join(self.notes)})
        return pd.DataFrame(rows)

    def __str__(self) -> str:
        head = f"{self.method}" + (f" (n = {self.n:,})" if self.n is not None else "")
        if self.defined:
            shown = ", ".join(f"{name} {self._show(name)}" for name in ("alpha", "beta", "gamma_union"))
        else:
            shown = "alpha, beta and gamma undefined"
        both = f"; gamma_a {self._show('gamma_a')}, gamma_b {self._show('gamma_b')}" if self.defined else ""
        rest = "".join(f"; {name} {self._show(name)}" for name in ("synergy", "unobserved"))
        return f"{head}: {shown}{both}{rest}" + "".join(f"\n  note: {note}" for note in self.notes)

    __repr__ = __str__

    def _show(self, name: str) -> str:
        value = self.value(name)
        if math.isnan(value):
            return "not seen" if name in ("synergy", "unobserved") else "undefined"
        found = self.intervals.get(name)
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
    notes: tuple[str, ...] = (),
) -> ModalityShares:
    """Shares from the amounts of each part.

    Args:
        masses: (4,) or (5,): a's own, b's own, shared, synergy and, if known, unobserved, in any common unit.
            A negative amount counts as 0.
        method: see `ModalityShares`.
        replicates: (R, 4) or (R, 5) amounts of R resamples, for the intervals.
        kind: 'percentile' takes the replicates' quantiles, 'basic' mirrors them at the estimate, 'recentred'
            moves them so that their mean is the estimate, 'jackknife' takes the replicates for the estimates
            without one group each, and Student's t.
        level: of the intervals.
        n: see `ModalityShares`.
        sees_synergy: False when the method says nothing about synergy; the fourth amount is then ignored.
        notes: see `ModalityShares`.

    Raises:
        LabError: amounts of another shape or not finite, an unknown kind.
    """
    amounts = np.asarray(masses, dtype=float)
    require(amounts.shape in ((4,), (5,)), "masses", amounts.shape, "must hold 4 or 5 amounts")
    require(bool(np.isfinite(amounts).all()), "masses", amounts, "must be finite")
    one_of("kind", kind, ("percentile", "basic", "recentred", "jackknife"))
    values = _values(amounts[None])[0]
    intervals = {}
    if replicates is not None:
        drawn = _values(np.atleast_2d(np.asarray(replicates, dtype=float)))
        for i, name in enumerate(QUANTITIES):
            found = _interval(values[i], drawn[:, i], kind=kind, level=level)
            if found is not None:
                intervals[name] = found
    if not sees_synergy:
        intervals.pop("synergy", None)
    known = dict(zip(QUANTITIES, (float(value) for value in values), strict=True))
    seen = 0.0 if math.isnan(known["synergy"]) else known["synergy"]  # of nothing, nothing is synergy
    synergy = seen if sees_synergy else None
    unobserved = known["unobserved"] if amounts.size == 5 else None
    said = notes + _warnings(known, synergy)
    return ModalityShares(
        known["alpha"], known["beta"], known["gamma_union"], method, synergy, unobserved, n, intervals, said
    )


def _values(amounts: Floats) -> Floats:
    """(R, 7) quantities of (R, 4 or 5) amounts; NaN where a quantity is undefined."""
    kept = np.maximum(amounts, 0.0)
    if kept.shape[1] == 4:
        kept = np.column_stack([kept, np.full(len(kept), np.nan)])
    a, b, both, synergy, unseen = kept.T
    single = a + b + both
    pair = single + synergy
    pairs = [
        (a, single),
        (b, single),
        (both, single),
        (both, both + a),
        (both, both + b),
        (synergy, pair),
        (unseen, pair + unseen),
    ]
    return np.column_stack([np.divide(x, of, out=np.full_like(x, np.nan), where=of > 0) for x, of in pairs])


def _interval(value: float, drawn: Floats, *, kind: str, level: float) -> Interval | None:
    """None where the quantity is undefined. Ends are cut at 0 and 1, which every share respects."""
    drawn = drawn[np.isfinite(drawn)]
    if not np.isfinite(value) or drawn.size < 2:
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
    return Interval(
        float(value), float(np.clip(low, 0, 1)), float(np.clip(high, 0, 1)), int(drawn.size), level
    )


def _warnings(known: Mapping[str, float], synergy: float | None) -> tuple[str, ...]:
    if math.isnan(known["gamma_union"]):
        some = "XOR-type: all of it is synergy." if synergy else "Nothing decisive was found."
        return (f"alpha, beta and gamma are undefined: no single modality tells about the label. {some}",)
    if synergy is not None and synergy > XOR_FROM:
        said = f"XOR-type: synergy dominates ({synergy:.0%} of what the pair carries)"
        return (f"{said}; alpha, beta and gamma describe only the rest.",)
    return ()


def _ratio(shared: float, own: float) -> float:
    total = shared + own
    return shared / total if total > 0 else math.nan


def _validate(shares: ModalityShares) -> None:
    trio = {name: getattr(shares, name) for name in ("alpha", "beta", "gamma")}
    missing = [name for name, value in trio.items() if math.isnan(value)]
    if missing:
        require(len(missing) == 3, missing[0], math.nan, "must be defined when the other two are")
        why = "must say why alpha, beta and gamma are undefined"
        require(len(shares.notes) > 0, "notes", shares.notes, why)
    else:
        total = sum(trio.values())
        require(abs(total - 1.0) < 1e-6, "alpha + beta + gamma", total, "must be 1")
    for name in (*(() if missing else trio), "synergy", "unobserved"):
        if getattr(shares, name) is not None:
            real(name, getattr(shares, name), at_least=-_SLIP, at_most=1.0 + _SLIP)
    for name in shares.intervals:
        one_of("interval", name, QUANTITIES)
