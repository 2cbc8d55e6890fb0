"""How well one number per run predicts what a teacher is worth: its order and its sign."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from mmkd_lab.core.check import require
from mmkd_lab.core.stats import Interval, mean_interval
from mmkd_lab.shares.hypotheses import RIVALS

Numbers = npt.NDArray[np.float64]


#: Fewer seeds, or fewer runs in each, show nothing.
SEEDS, RUNS = 3, 5


@dataclass(frozen=True)
class Prediction:
    """One rival against the gains under one loss.

    Attributes:
        rival: its name.
        loss: whose gains.
        pooled: Spearman's correlation over all runs. Its interval takes runs as independent, which those of
            one seed are not: they share their control. It is therefore too narrow.
        within: the mean over seeds of the correlation within a seed, with Student's t interval over seeds,
            cut at -1 and 1: the honest one. It says nothing about differences between seeds. n counts seeds.
        corrected: the same at a level that is Bonferroni's for the number of rivals under that loss, since
            the best of several noises looks good.
        auc: the chance that a run that gained has the larger number than one that lost, ties counting half;
            None unless there are both.
        gained, lost: how many runs of each.
        claims: the sign that the hypothesis gives the correlation; None for a rival that is not registered.
        hits: share of runs whose gain has the sign of the number, for the one that has a threshold at 0.
        base_rate: share of runs that a guess of the commoner sign for all of them hits, to compare with.
    """

    rival: str
    loss: str
    pooled: Interval
    within: Interval
    corrected: Interval
    auc: float | None
    gained: int
    lost: int
    claims: int | None = None
    hits: float | None = None
    base_rate: float | None = None

    @property
    def is_sure(self) -> bool:
        """Whether it is shown to order the gains.

        A correlation of few runs has few values, so that a handful of seeds may agree by chance: of six
        noises, the best would be 'shown' in 39 % of studies with three seeds of three runs, in 3 % of those
        with three seeds of five. The same order in every seed leaves an interval no width, and counts only
        where it is the perfect one.
        """
        enough = self.within.n >= SEEDS and self.pooled.n >= RUNS * self.within.n
        return enough and (self.corrected.side != 0 or abs(self.within.mean) > 1 - 1e-9)

    def as_dict(self) -> dict[str, object]:
        """Plain values; an interval's missing ends become None."""
        plain = asdict(self)
        for name in ("pooled", "within", "corrected"):
            plain[name] = {k: None if v != v else v for k, v in plain[name].items()}
        return plain


def spearman(x: npt.ArrayLike, y: npt.ArrayLike, *, level: float = 0.95) -> Interval:
    """Spearman's rank correlation, ties sharing their mean rank, with an interval for independent pairs.

    Fisher's z with the standard error sqrt((1 + rho²/2) / (n - 3)) of Bonett and Wright 2000. Below four
    pairs, and at a perfect correlation, where z is infinite, there is no interval: its ends are NaN.

    Raises `LabError` for lengths that differ, fewer than two pairs, or a side that does not vary.
    """
    a, b = (pd.Series(np.asarray(v, dtype=float)).rank().to_numpy() for v in (x, y))
    require(len(a) == len(b), "y", len(b), f"must be {len(a)} numbers, as x")
    require(len(a) >= 2, "x", len(a), "must hold at least two pairs")
    for name, ranks in (("x", a), ("y", b)):
        require(bool(np.ptp(ranks) > 0), name, "constant", "must vary, or there is nothing to rank")
    rho, n = float(np.clip(np.corrcoef(a, b)[0, 1], -1.0, 1.0)), len(a)
    if n < 4 or abs(rho) > 1 - 1e-12:
        return Interval(rho, float("nan"), float("nan"), n, level)
    from scipy.special import ndtri

    half = float(ndtri(0.5 + level / 2)) * np.sqrt((1 + rho**2 / 2) / (n - 3))
    low, high = np.tanh(np.arctanh(rho) - half), np.tanh(np.arctanh(rho) + half)
    return Interval(rho, float(low), float(high), n, level)


def auc(x: npt.ArrayLike, gain: npt.ArrayLike) -> float | None:
    """The chance that a run with a gain above 0 has the larger x than one below 0; None unless both exist."""
    a, g = np.asarray(x, dtype=float), np.asarray(gain, dtype=float)
    up, down = a[g > 0], a[g < 0]
    if not len(up) or not len(down):
        return None
    gap = up[:, None] - down[None, :]
    return float(((gap > 0) + 0.5 * (gap == 0)).mean())


def predictions(table: pd.DataFrame) -> list[Prediction]:
    """Every rival of a rivals' table under every loss, on the runs for which all of them have a number.

    A rival without a number for any run of a loss is left out, and so is what does not vary.
    """
    keys = ["arm", "seed", "ratio", "loss", "draw"]
    known = table.assign(ratio=table["ratio"].fillna(-1.0))  # a key that is NaN equals no other
    wide = known.pivot_table(index=keys, columns="metric", values="value").reset_index()
    names = [str(name) for name in dict.fromkeys(table["metric"]) if name != "gain"]
    found: list[Prediction] = []
    for loss in dict.fromkeys(table["loss"]):
        mine = wide[wide["loss"] == loss]
        here = [name for name in names if mine[name].notna().any()]
        part = mine.dropna(subset=[*here, "gain"])
        each = {name: _within(part, name) for name in here}
        known_here = {name: rhos for name, rhos in each.items() if rhos}
        level = 1.0 - 0.05 / max(1, len(known_here))
        found += [_prediction(part, name, str(loss), np.array(r), level) for name, r in known_here.items()]
    return found


def _within(part: pd.DataFrame, name: str) -> list[float]:
    """Spearman's correlation with the gain, for every seed in which both vary."""
    return [
        spearman(rows[name], rows["gain"]).mean
        for _, rows in part.groupby("seed")
        if _varies(rows[name]) and _varies(rows["gain"])
    ]


def _prediction(part: pd.DataFrame, name: str, loss: str, each: Numbers, level: float) -> Prediction:
    x, gain = part[name].to_numpy(dtype=float), part["gain"].to_numpy(dtype=float)
    moved, rival = gain != 0, RIVALS[name] if name in RIVALS else None  # noqa: SIM401 - get() refuses the unknown
    foretells = rival is not None and rival.foretells_sign and moved.any()
    up, down = int((gain > 0).sum()), int((gain < 0).sum())
    return Prediction(
        rival=name,
        loss=loss,
        pooled=spearman(x, gain),
        within=_bounded(mean_interval(each)),
        corrected=_bounded(mean_interval(each, level=level)),
        auc=auc(x, gain),
        gained=up,
        lost=down,
        claims=None if rival is None else rival.claims,
        hits=float((np.sign(x) == np.sign(gain))[moved].mean()) if foretells else None,
        base_rate=max(up, down) / (up + down) if foretells else None,
    )


def _bounded(found: Interval) -> Interval:
    """Student's interval knows nothing of a correlation's bounds."""
    low, high = max(-1.0, found.low), min(1.0, found.high)
    return found if found.n < 2 else replace(found, low=low, high=high)


def _varies(values: pd.Series[float]) -> bool:
    return len(values) > 1 and bool(np.ptp(values.to_numpy(dtype=float)) > 0)
