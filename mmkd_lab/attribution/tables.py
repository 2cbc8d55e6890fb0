"""The one tidy table of attributions by modality, and its check that shares add up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field
from torch import Tensor

from mmkd_lab.attribution.networks import NetInputs, Numbers
from mmkd_lab.core.check import LabError, require, whole
from mmkd_lab.core.config import Positive, config
from mmkd_lab.core.seed import derive
from mmkd_lab.core.stats import Interval

Row = tuple[str, str, str, str, float, float, float, int]

COLUMNS = ("method", "modality", "sample", "target", "value", "low", "high", "n")
ALL = "all"
#: The mean residual of an integral, relative to the values' size, that is passed without a word.
QUADRATURE = 0.05
ROUNDING = 1e-9
Kind = Literal["t", "bootstrap"]
RESAMPLES = 2000
#: Resampled counts held at once.
_NUMBERS = 1 << 22


@config
class Intervals:
    """Of means over samples, or over subjects, whose samples are not independent.

    Args:
        kind: 't' (Student's) or 'bootstrap' (percentiles of 2,000 resampled means).
        level: their coverage.
        subjects: (N,) int64, who each sample comes from (a speaker); a `PairedData` brings its groups.
    """

    kind: Kind = "t"
    level: Annotated[Positive, Field(le=0.9999)] = 0.95
    subjects: Tensor | None = None


@dataclass(frozen=True, eq=False)
class ModalityValues:
    """What one method says: {modality: (N, D)}, D draws per sample, D = 1 without chance.

    `total` (N, D) is what the modalities must add up to, exactly or as quadrature allows, or None.
    """

    method: str
    by_modality: Mapping[str, Numbers]
    total: Numbers | None = None
    exact: bool = True


@dataclass(frozen=True, eq=False)
class Attribution:
    """How much each modality counts, by one or more methods.

    Attributes:
        table: columns `COLUMNS`. A row is one modality of one sample (`sample` is its index as text, `n` the
            number of random draws) or of the whole set (`sample` = 'all', `n` the number of samples; `target`
            = 'all', and one row per target class when there are several). No interval (NaN) has a sample's
            row without chance, or a mean of one sample or subject. Units: those of the output asked for; the
            perceptual score is in points of accuracy.
        sums: one row per method: whether theory says that modalities add up (`claim`: 'exact', 'quadrature',
            'none'), the mean `total` they add up to, the mean `sum` of the values, what is left between the
            two (`residual` the largest of a sample, `mean_residual` the mean absolute one), and its measure
            `size`: the mean over samples of the values' absolute sum, or of the absolute total where this is
            larger. NaN where there is no claim.
        shares: one row per method and modality: mean over samples of |value| / sum of |values|, with its
            interval (MM-SHAP: Parcalabescu and Frank 2023), over the `n` samples that have any value.
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

        Relative to the values' size (see `sums`), `tolerance` is the largest residual of a sample where the
        claim is exact, `quadrature` the mean residual where an integral is approximated by a sum.
        """
        claimed: Any = self.sums[self.sums["claim"] != "none"]
        for row in claimed.itertuples():
            exact = row.claim == "exact"
            kind, share = ("residual", tolerance) if exact else ("mean_residual", quadrature)
            left, allowed = getattr(row, kind), share * row.size + ROUNDING
            rule = f"the modalities' values must add up to within {allowed:.3g}"
            way_out = "" if exact else "Raise steps: the residual falls about as fast as they rise."
            require(left <= allowed, f"{kind} of {row.method}", left, rule, way_out)

    def __repr__(self) -> str:
        rows: Any
        parts = []
        for method, rows in self.overall.groupby("method", sort=False):
            said = (f"{r.modality} {Interval(r.value, r.low, r.high, r.n)}" for r in rows.itertuples())
            parts.append(f"{method}: {', '.join(said)}")
        rows = self.sums[self.sums["claim"] == "quadrature"]
        for row in rows.itertuples():
            left, size = row.mean_residual, row.size
            if left > QUADRATURE * size + ROUNDING:
                share = left / max(size, ROUNDING)
                parts.append(
                    f"  note: {row.method} misses what it must add up to by {share:.0%}; raise steps."
                )
        return "\n".join(parts)


def tabulate(
    found: Sequence[ModalityValues],
    samples: NetInputs,
    target: Tensor,
    intervals: Intervals,
    *,
    seed: int = 0,
) -> Attribution:
    """Turn values into the tidy table, the check of sums and the shares.

    `target` (N,) is the class each sample was asked about. Intervals are over samples or, where there are
    several of one subject, over subjects: the variance is then that of the subjects' sums about the mean
    (Cochran 1977, section 6.3), with one degree of freedom less than subjects.

    Raises `LabError` for values that are not finite, a class called 'all', a class without a name.
    """
    from scipy.special import stdtrit  # scipy.stats costs half a second to import

    whole("seed", seed, at_least=0)
    names, index = _names(target.cpu().numpy(), samples.classes), samples.index.tolist()
    kinds = sorted(set(names.tolist()))
    require(
        ALL not in kinds, "classes", ALL, "is what the row over all classes is called", "Rename the class."
    )
    who = np.arange(len(names)) if samples.subjects is None else samples.subjects.cpu().numpy()
    level = intervals.level
    means = Means(intervals.kind, level, seed, who)
    groups = {ALL: names == names, **({kind: names == kind for kind in kinds} if len(kinds) > 1 else {})}
    rows: list[Row] = []
    for values in found:
        for modality, each in values.by_modality.items():
            if not np.isfinite(each).all():
                raise LabError(f"{values.method} of {modality!r}", "NaN or infinite values", "must be finite")
            mean, draws = each.mean(1), each.shape[1]
            for kind, some in groups.items():
                seen = means(mean, some)
                rows.append((values.method, modality, ALL, kind, seen.mean, seen.low, seen.high, seen.n))
            half = np.full(len(mean), np.nan)
            if draws > 1:
                half = stdtrit(draws - 1, 0.5 + level / 2) * each.std(axis=1, ddof=1) / np.sqrt(draws)
            ends = zip(
                index, names, mean.tolist(), (mean - half).tolist(), (mean + half).tolist(), strict=True
            )
            rows += [
                (values.method, modality, str(i), str(name), *numbers, draws) for i, name, *numbers in ends
            ]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return Attribution(table, pd.DataFrame([_sum(values) for values in found]), _shares(found, means))


def _names(target: npt.NDArray[np.int64], classes: Sequence[str]) -> npt.NDArray[np.object_]:
    most = int(target.max())
    rule = f"has no name: the data have {len(classes)} classes, and the network gives more logits"
    way_out = "Give it a logit per class, or the samples as {modality: tensor}, whose classes go by number."
    require(not classes or most < len(classes), "target", most, rule, way_out)
    return np.array(classes or [str(c) for c in range(most + 1)], dtype=object)[target]


def _sum(values: ModalityValues) -> dict[str, object]:
    if values.total is None:
        gone = dict.fromkeys(("total", "sum", "residual", "mean_residual", "size"), float("nan"))
        return {"method": values.method, "claim": "none", **gone}
    each = np.stack(list(values.by_modality.values()))
    left, size = np.abs(each.sum(0) - values.total), np.maximum(np.abs(each).sum(0), np.abs(values.total))
    found = {"total": values.total.mean(), "sum": each.sum(0).mean(), "residual": left.max()}
    claim = "exact" if values.exact else "quadrature"
    numbers = {**found, "mean_residual": left.mean(), "size": size.mean()}
    return {"method": values.method, "claim": claim, **numbers}


def _shares(found: Sequence[ModalityValues], means: Means) -> pd.DataFrame:
    rows = []
    for values in found:
        sizes = {name: np.abs(each.mean(1)) for name, each in values.by_modality.items()}
        all_of_it: Numbers = np.sum(list(sizes.values()), axis=0)
        some = all_of_it > 0
        for name, size in sizes.items():
            share = np.divide(size, all_of_it, out=np.zeros_like(size), where=some)
            seen = means(share, some)
            rows.append((values.method, name, seen.mean, seen.low, seen.high, seen.n))
    return pd.DataFrame(rows, columns=["method", "modality", "share", "low", "high", "n"])


@dataclass(frozen=True, eq=False)
class Means:
    """Means over samples with 't' or 'bootstrap' intervals over subjects, whose numbers (N,) are in `who`.

    All means share the bootstrap's resamples as far as they are over the same subjects.
    """

    interval: str
    level: float
    seed: int
    who: npt.NDArray[np.int64]

    def __call__(self, each: Numbers, some: npt.NDArray[np.bool_]) -> Interval:
        """The mean of (N,) values over `some` samples, which `n` counts.

        NaN without a sample; without an interval when all are of one subject.
        """
        from scipy.special import stdtrit

        nan, values = float("nan"), each[some]
        if not len(values):
            return Interval(nan, nan, nan, 0, self.level)
        _, who = np.unique(self.who[some], return_inverse=True)
        counts: Numbers = np.bincount(who).astype(np.float64)
        sums: Numbers = np.bincount(who, weights=values).astype(np.float64)
        mean, n, units = float(values.mean()), len(values), len(counts)
        if units < 2:
            return Interval(mean, nan, nan, n, self.level)
        if self.interval == "t":
            error = np.sqrt(units / (units - 1) * np.square(sums - mean * counts).sum()) / n
            half = float(stdtrit(units - 1, 0.5 + self.level / 2) * error)
            return Interval(mean, mean - half, mean + half, n, self.level)
        resampled = np.concatenate(list(self._resampled(sums, counts)))
        low, high = np.quantile(resampled, [0.5 - self.level / 2, 0.5 + self.level / 2])
        return Interval(mean, float(low), float(high), n, self.level)

    def _resampled(self, sums: Numbers, counts: Numbers) -> Iterator[Numbers]:
        units = len(counts)
        draw = np.random.default_rng(derive(self.seed, "attribute", "bootstrap"))
        share, size = np.full(units, 1 / units), max(1, _NUMBERS // units)
        for i in range(0, RESAMPLES, size):
            weights = draw.multinomial(units, share, size=min(size, RESAMPLES - i))
            yield (weights @ sums) / (weights @ counts)
