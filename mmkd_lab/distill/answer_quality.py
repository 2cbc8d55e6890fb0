"""How good answers are: whether those of one sample agree, and whether their confidence can be believed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from mmkd_lab.core.seed import derive
from mmkd_lab.data.task import Task
from mmkd_lab.distill.losses.ce import cross_entropy
from mmkd_lab.distill.reliability import BINS, calibration_error

if TYPE_CHECKING:
    import pandas as pd

#: Resamples of an interval by the bootstrap, and ln T at most.
_RESAMPLES, _FAR = 200, 4.0


@dataclass(frozen=True)
class Agreement:
    """How far several answers to one sample agree.

    Args:
        alpha: Krippendorff's for nominal answers: 1 where all agree, 0 as by chance; NaN where only one class
            is ever named. `low` and `high` are its 95 % interval, by resampling samples.
        raw: the share of pairs of answers to one sample that are the same, meaned over samples, percent.
        samples, answers: how many samples have several answers, and how many these are.
    """

    alpha: float
    low: float
    high: float
    raw: float
    samples: int
    answers: int


def agreement(counts: Tensor) -> Agreement | None:
    """Of (N, K) numbers of answers by sample and class; None where no sample has two."""
    several = counts[counts.sum(1) > 1].double()
    if not len(several):
        return None
    many = several.sum(1)
    same = (several * (several - 1)).sum(1) / (many * (many - 1))
    ends = _resampled(len(several), lambda rows: krippendorff_alpha(several[rows]))
    alpha, raw = krippendorff_alpha(several), 100 * float(same.mean())
    return Agreement(alpha, *ends, raw, len(several), int(many.sum()))


def krippendorff_alpha(counts: Tensor) -> float:
    """alpha = 1 - (n - 1) · sum_u sum_{c != k} n_uc n_uk / (m_u - 1) / sum_{c != k} n_c n_k, over samples u
    of m_u > 1 answers, n in all, from (N, K) counts n_uc; n_c is their sum over these. NaN where only one
    class is named. Source: Krippendorff 2011, nominal data with missing answers."""
    some = counts[counts.sum(1) > 1].double()
    many, by_class = some.sum(1), some.sum(0)
    apart = ((many.square() - some.square().sum(1)) / (many - 1)).sum()
    chance = by_class.sum().square() - by_class.square().sum()
    return float(1 - (by_class.sum() - 1) * apart / chance) if chance > 0 else float("nan")


def _resampled(n: int, of: Callable[[Tensor], float]) -> tuple[float, float]:
    """The 95 % interval of a number of rows, by the bootstrap."""
    generator = torch.Generator().manual_seed(derive(0, "answers", "interval"))
    drawn = [of(torch.randint(n, (n,), generator=generator)) for _ in range(_RESAMPLES)]
    low, high = np.quantile([one for one in drawn if one == one] or [np.nan], [0.025, 0.975])
    return float(low), float(high)


def share(name: str, hits: float, n: float) -> dict[str, float]:
    """{name, name_low, name_high}: hits in n, percent, with Wilson's 95 % interval; NaN for n = 0."""
    from scipy.stats import binomtest

    if not n:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"), float("nan"))
    low, high = binomtest(int(hits), int(n)).proportion_ci(method="wilson")
    return {name: 100 * hits / n, f"{name}_low": 100 * float(low), f"{name}_high": 100 * float(high)}


def judged(logits: Tensor, target: Tensor, task: Task) -> dict[str, float]:
    """Answers (N, K) against labels: accuracy, percent (single label); nll, nats; ece, points of 15 bins,
    with an interval by resampling, which does not know that few samples make it too high."""

    def ece(rows: Tensor | slice) -> float:
        return float(calibration_error(logits[None, rows], target[rows], task=task)[0])

    right = logits.argmax(-1) == target if task is Task.SINGLE_LABEL else torch.zeros(0)
    low, high = _resampled(len(target), ece)
    nll = float(cross_entropy(logits[None], target[None], task=task)[0])
    told = share("accuracy", float(right.sum()), len(right))
    return {**told, "nll": nll, "ece": ece(slice(None)), "ece_low": low, "ece_high": high}


def reliability_bins(logits: Tensor, target: Tensor, task: Task) -> pd.DataFrame:
    """One row per bin of confidence that holds an answer: confidence (its mean, percent), the share that is
    right with its interval (right, right_low, right_high), n."""
    import pandas as pd

    sure, best = logits.double().softmax(-1).max(-1)
    right = best == target
    if task is Task.MULTI_LABEL:
        sure, right = logits.double().sigmoid().flatten(), (target > 0.5).flatten()
    place = (sure * BINS).long().clamp(max=BINS - 1)
    bins = [place == one for one in torch.unique(place)]
    return pd.DataFrame(
        {"confidence": 100 * float(sure[here].mean()), "n": int(here.sum())}
        | share("right", float(right[here].sum()), int(here.sum()))
        for here in bins
    )


def best_temperature(logits: Tensor, target: Tensor, task: Task) -> float | None:
    """The T by which logits (N, K) are divided that labels fit best, by nll (Guo et al. 2017, section 4.2);
    None where there is none within e^-4 and e^4, as where every answer is right."""
    from scipy.optimize import minimize_scalar

    def cost(log_t: float) -> float:
        return float(cross_entropy(logits.double()[None] / np.exp(log_t), target[None], task=task)[0])

    found = minimize_scalar(cost, bounds=(-_FAR, _FAR), method="bounded")
    ends = min(cost(-_FAR), cost(_FAR))
    return float(np.exp(found.x)) if found.fun < ends - 1e-9 else None


def opinion_threshold(score: Tensor, right: Tensor) -> float:
    """The score from which answers are accepted: that with the largest share of right answers accepted less
    the share of wrong ones (Youden's J), the lowest of several. It rests on no share of right answers."""
    options = torch.unique(score)
    accepted = score[None] >= options[:, None]
    hits = (accepted & right).sum(1) / max(1, int(right.sum()))
    false = (accepted & ~right).sum(1) / max(1, int((~right).sum()))
    return float(options[(hits - false).argmax()])
