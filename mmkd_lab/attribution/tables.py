"""The one tidy table of attributions by modality, and its check that shares add up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mmkd_lab.core.check import LabError, one_of, real, require, whole
from mmkd_lab.core.seed import derive
from mmkd_lab.core.stats import Interval

Numbers = npt.NDArray[np.float64]
Row = tuple[str, str, str, str, float, float, float, int]

COLUMNS = ("method", "modality", "sample", "target", "value", "low", "high", "n")
ALL = "all"
#: The mean residual of an integral, relative to the values' size, that is passed without a word.
QUADRATURE = 0.05
ROUNDING = 1e-9
INTERVALS = ("t", "bootstrap")
RESAMPLES = 2000
#: Resampled counts held at once.
_NUMBERS = 1 << 22


@dataclass(frozen=True, eq=False)
class Values:
    """What one method says, before it becomes a table.

    Args:
        method: its name.
        by_modality: {modality: (N, D)}, D draws per sample; D = 1 for a method without chance.
        total: (N, D) what the modalities must add up to, or None where no theory says so.
        exact: whether they must add up exactly, or only as quadrature allows.
    """

    method: str
    by_modality: Mapping[str, Numbers]
    total: Numbers | None = None
    exact: bool = True


@dataclass(frozen=True, eq=False)
class Attribution:
    """How much each modality counts, by one or more methods.

    Attributes:
        table: columns `COLUMNS`. A row is one modality of one sample (`sample` is the sample's index as text,
            `n` the number of random draws) or of the whole set (`sample` = 'all', `n` the number of samples;
            `target` = 'all', and one row per target class when there are several). Without chance a sample's
            row has no interval: low and high are NaN; nor has a mean of one sample, or of one subject. Units:
            those of the output asked for; the perceptual score is in points of accuracy.
        sums: one row per method: whether theory says that modalities add up (`claim`: 'exact', 'quadrature',
            'none'), the mean `total` they add up to, the mean `sum` of the values, what is left between the
            two over the samples (`residual` its largest, `mean_residual` its mean absolute value), and the
            `size` that this is to be compared with: the mean over samples of the values' absolute sum, or of
            the absolute total where this is larger. NaN where there is no claim.
        shares: one row per method and modality: mean over samples of |value| / sum of |values|, with its
            interval (MM-SHAP: Parcalabescu and Frank 2023). Samples on which all modalities have
            value 0 have no share; `n` counts the others.
    """

    table: pd.DataFrame
    sums: pd.DataFrame
    shares: pd.DataFrame

    @property
    def overall(self) -> pd.DataFrame:
        """The rows over the whole set: one per method and modality."""
        rows = self.table[(self.table["sample"] == ALL) & (self.table["target"] == ALL)]
        return rows.reset_index(drop=True)

    def check(self, *, tolerance: float = 1e-4, quadrature: float = QUADRATURE) -> None:
        """Raise `LabError` unless shares add up, wherever theory says that they do.

        Args:
            tolerance: the largest residual of a sample where the claim is exact, relative to the values' size
                (see `sums`).
            quadrature: the mean residual where an integral is approximated by a sum, relative to the same.
        """
        for row in self.sums.to_dict("records"):
            exact = row["claim"] == "exact"
            kind, share = ("residual", tolerance) if exact else ("mean_residual", quadrature)
            allowed = share * float(row["size"]) + ROUNDING
            rule = f"the modalities' values must add up to within {allowed:.3g}"
            way_out = "" if exact else "Raise steps: the residual falls about as fast as they rise."
            sound = row["claim"] == "none" or float(row[kind]) <= allowed
            require(sound, f"{kind} of {row['method']}", row[kind], rule, way_out)

    def __repr__(self) -> str:
        found = self.overall
        parts = [
            f"{method}: " + ", ".join(_said(row) for row in rows.to_dict("records"))
            for method, rows in found.groupby("method", sort=False)
        ]
        for row in self.sums.to_dict("records"):
            left, size = float(row["mean_residual"]), float(row["size"])
            if row["claim"] == "quadrature" and left > QUADRATURE * size + ROUNDING:
                name, share = row["method"], left / max(size, ROUNDING)
                parts.append(f"  note: {name} misses what it must add up to by {share:.0%}; raise steps.")
        return "\n".join(parts)


def tabulate(
    found: Sequence[Values],
    *,
    index: Sequence[int],
    target: npt.NDArray[np.int64],
    classes: Sequence[str] = (),
    subjects: npt.NDArray[np.int64] | None = None,
    interval: str = "t",
    level: float = 0.95,
    seed: int = 0,
) -> Attribution:
    """Turn values into the tidy table, the check of sums and the shares.

    Args:
        found: one entry per method.
        index: N numbers that name the samples.
        target: (N,) the class each sample was asked about.
        classes: class names; without them classes go by number.
        subjects: (N,) who each sample comes from; None takes all samples as independent.
        interval: 't' (Student's) or 'bootstrap' (percentiles of 2,000 resampled means), over samples or,
            where there are several of one subject, over subjects: the variance is then that of the subjects'
            sums about the mean (Cochran 1977, section 6.3), with one degree of freedom less than subjects.
        level: the coverage of the intervals.
        seed: of the bootstrap.

    Raises:
        LabError: an unknown interval, a level outside (0, 1), values that are not finite, a class
            called 'all', a class without a name.
    """
    one_of("interval", interval, INTERVALS)
    real("level", level, above=0.0, at_most=0.9999)
    whole("seed", seed, at_least=0)
    names = _names(target, classes)
    rule = "is what the row over all classes is called"
    require(ALL not in names, "classes", ALL, rule, "Rename the class.")
    who = np.arange(len(names)) if subjects is None else np.unique(subjects, return_inverse=True)[1].ravel()
    means = Means(interval, level, seed, who)
    rows: list[Row] = []
    for values in found:
        for modality, each in values.by_modality.items():
            if not np.isfinite(each).all():
                raise LabError(f"{values.method} of {modality!r}", "NaN or infinite values", "must be finite")
            rows += _set_rows(values.method, modality, each.mean(1), np.array(names), means)
            rows += _sample_rows(values.method, modality, each, index, names, level)
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return Attribution(table, pd.DataFrame([_sum(values) for values in found]), _shares(found, means))


def _names(target: npt.NDArray[np.int64], classes: Sequence[str]) -> list[str]:
    if not classes:
        return [str(c) for c in target.tolist()]
    most = int(target.max())
    rule = f"has no name: the data have {len(classes)} classes, and the network gives more logits"
    way_out = "Give it a logit per class, or the samples as {modality: tensor}, whose classes go by number."
    require(most < len(classes), "target", most, rule, way_out)
    return [classes[c] for c in target.tolist()]


def _said(row: dict[Any, Any]) -> str:
    seen = Interval(row["value"], row["low"], row["high"], row["n"])
    return f"{row['modality']} {seen}"


def _set_rows(
    method: str, modality: str, each: Numbers, names: npt.NDArray[np.str_], means: Means
) -> Iterator[Row]:
    kinds = sorted(set(names.tolist()))
    for kind in [ALL, *(kinds if len(kinds) > 1 else [])]:
        seen = means(each, names == kind if kind != ALL else np.ones(len(each), dtype=bool))
        yield method, modality, ALL, kind, seen.mean, seen.low, seen.high, seen.n


def _sample_rows(
    method: str, modality: str, each: Numbers, index: Sequence[int], names: Sequence[str], level: float
) -> Iterator[Row]:
    from scipy.special import stdtrit  # scipy.stats costs half a second to import

    n, draws = each.shape
    half = np.full(n, np.nan)
    if draws > 1:
        half = stdtrit(draws - 1, 0.5 + level / 2) * each.std(axis=1, ddof=1) / np.sqrt(draws)
    for i, sample in enumerate(index):
        mean = float(each[i].mean())
        yield method, modality, str(sample), names[i], mean, mean - half[i], mean + half[i], draws


def _sum(values: Values) -> dict[str, object]:
    name = {"method": values.method}
    if values.total is None:
        gone = dict.fromkeys(("total", "sum", "residual", "mean_residual", "size"), float("nan"))
        return {**name, "claim": "none", **gone}
    added = np.sum(list(values.by_modality.values()), axis=0)
    left = np.abs(added - values.total)
    sizes = np.sum([np.abs(each) for each in values.by_modality.values()], axis=0)
    return {
        **name,
        "claim": "exact" if values.exact else "quadrature",
        "total": float(values.total.mean()),
        "sum": float(added.mean()),
        "residual": float(left.max()),
        "mean_residual": float(left.mean()),
        "size": float(np.maximum(sizes, np.abs(values.total)).mean()),
    }


def _shares(found: Sequence[Values], means: Means) -> pd.DataFrame:
    rows = []
    for values in found:
        sizes = {name: np.abs(each.mean(1)) for name, each in values.by_modality.items()}
        whole_size = np.sum(list(sizes.values()), axis=0)
        some = whole_size > 0
        for name, size in sizes.items():
            gone = Interval(float("nan"), float("nan"), float("nan"), 0, means.level)
            share = np.divide(size, whole_size, out=np.zeros_like(size), where=some)
            seen = means(share, some) if some.any() else gone
            rows.append((values.method, name, seen.mean, seen.low, seen.high, seen.n))
    return pd.DataFrame(rows, columns=["method", "modality", "share", "low", "high", "n"])


@dataclass(frozen=True, eq=False)
class Means:
    """Means over samples, each with the interval that was asked for.

    Args:
        interval: 't' or 'bootstrap'.
        level: coverage.
        seed: of the bootstrap; all means share its resamples as far as they are over the same subjects.
        who: (N,) subject numbers from 0. With one sample a subject, intervals are the usual ones.
    """

    interval: str
    level: float
    seed: int
    who: npt.NDArray[np.intp]

    def __call__(self, each: Numbers, some: npt.NDArray[np.bool_]) -> Interval:
        """The mean of (N,) values over `some` samples; without an interval when they are of one subject.

        `n` counts samples.
        """
        values = each[some]
        _, who = np.unique(self.who[some], return_inverse=True)
        counts: Numbers = np.bincount(who).astype(np.float64)
        sums: Numbers = np.bincount(who, weights=values).astype(np.float64)
        mean, n, units = float(values.mean()), len(values), len(counts)
        if units < 2:
            return Interval(mean, float("nan"), float("nan"), n, self.level)
        if self.interval == "t":
            half = self._half(sums - mean * counts, n)
            return Interval(mean, mean - half, mean + half, n, self.level)
        low, high = np.quantile(self._resampled(sums, counts), [0.5 - self.level / 2, 0.5 + self.level / 2])
        return Interval(mean, float(low), float(high), n, self.level)

    def _half(self, left: Numbers, n: int) -> float:
        """Half the width of Student's interval, of the subjects' sums about the mean."""
        from scipy.special import stdtrit  # scipy.stats costs half a second to import

        units = len(left)
        error = np.sqrt(units / (units - 1) * float(np.square(left).sum())) / n
        return float(stdtrit(units - 1, 0.5 + self.level / 2) * error)

    def _resampled(self, sums: Numbers, counts: Numbers) -> Numbers:
        units = len(counts)
        draw = np.random.default_rng(derive(self.seed, "attribute", "bootstrap"))
        share, size = np.full(units, 1 / units), max(1, _NUMBERS // units)
        found = []
        for i in range(0, RESAMPLES, size):
            weights = draw.multinomial(units, share, size=min(size, RESAMPLES - i))
            found.append((weights @ sums) / (weights @ counts))
        return np.concatenate(found)
