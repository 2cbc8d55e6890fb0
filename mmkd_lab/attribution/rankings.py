"""Which channels of a teacher stay: rankings by name, the lab's and yours through one door."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmkd_lab.attribution.channels import ChannelSaliency
from mmkd_lab.core import check
from mmkd_lab.core.check import LabError, real, require
from mmkd_lab.core.registry import Registry
from mmkd_lab.core.seed import derive

Channels = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class RankingContext:
    """What a ranking may go by.

    Args:
        saliency: of the teacher's channels, by Algorithm 1.
        seed: the study's.
        draw: tells several draws of a random ranking apart.
        truth: the channels declared to be shared, sorted; None where nothing is declared.
    """

    saliency: ChannelSaliency
    seed: int = 0
    draw: int = 0
    truth: Channels | None = None


#: (d,) scores: channels with the highest stay, ties by number; inf stays and -inf goes whatever the ratio.
Scores = Callable[[RankingContext], npt.ArrayLike]


@dataclass(frozen=True)
class Ranking:
    """One way to rank channels.

    Args:
        scores: of the channels.
        random: whether several draws tell more than one.
        needs_truth: whether it is defined only where the shared channels are declared.
    """

    scores: Scores
    random: bool = False
    needs_truth: bool = False

    @property
    def origin(self) -> str:
        """The module of the function, for the registry."""
        return self.scores.__module__


RANKINGS: Registry[Ranking] = Registry("ranking")


def register_ranking(
    name: str, *, random: bool = False, needs_truth: bool = False
) -> Callable[[Scores], Scores]:
    """A decorator that makes a function from a `RankingContext` to (d,) scores known by name.

    Example:
        @register_ranking("spread")
        def spread(context):
            return context.saliency.magnitude
    """

    def known(scores: Scores) -> Scores:
        RANKINGS.register(name, Ranking(scores, random, needs_truth))
        return scores

    return known


def kept_channels(name: str, context: RankingContext, ratio: float) -> Channels:
    """The channels that a ranking keeps when int(ratio * d) of d are removed, sorted.

    Raises:
        LabError: an unknown ranking, a ratio outside [0, 1), no declared truth where one is needed, |W| asked
            of a layer that does not feed a linear head, scores that are no (d,) numbers.
    """
    ranking, d = RANKINGS[name], len(context.saliency)
    require(
        real("ratio", ratio, at_least=0.0) < 1.0, "ratio", ratio, "must be below 1, or no channel is left"
    )
    if ranking.needs_truth and context.truth is None:
        raise LabError("truth", None, f"the ranking {name!r} needs the channels declared to be shared")
    scores = np.asarray(ranking.scores(context), dtype=float)
    sound = scores.shape == (d,) and not np.isnan(scores).any()
    require(bool(sound), "ranking", f"{name}: {scores.shape}", f"must give ({d},) numbers, none of them NaN")
    gone = int(ratio * d + 1e-9)  # 0.3 * 10 is 3, not 2.9999999999999996
    count = max(int(np.isposinf(scores).sum()), min(d - gone, int((~np.isneginf(scores)).sum())))
    return np.sort(np.argsort(-scores, kind="stable")[:count])


def truth_of(truth: Sequence[int], width: int) -> Channels:
    """The declared channels, sorted, or a `LabError` when they are none, repeated, or not of the layer."""
    found = [check.whole("truth", i, at_least=0) for i in truth]
    rule = f"must name channels of the layer, 0 to {width - 1}, each once"
    sound = len(found) > 0 and max(found) < width and len(set(found)) == len(found)
    require(sound, "truth", found, rule)
    return np.sort(np.array(found, dtype=np.intp))


@register_ranking("general")
def general(context: RankingContext) -> npt.ArrayLike:
    """The most modality-general by Algorithm 1 (Xue et al. 2023)."""
    return context.saliency.values


@register_ranking("specific")
def specific(context: RankingContext) -> npt.ArrayLike:
    """The least modality-general: the control of the same size."""
    return np.argsort(context.saliency.order)


@register_ranking("random", random=True)
def at_random(context: RankingContext) -> npt.ArrayLike:
    """Any; a larger ratio removes what a smaller one does, and more."""
    stream = derive(context.seed, "repair", "random", str(context.draw))
    return -np.argsort(np.random.default_rng(stream).permutation(len(context.saliency)))


@register_ranking("weight")
def weight(context: RankingContext) -> npt.ArrayLike:
    """Those with the largest |W| in the head: a baseline that knows nothing of the student."""
    saliency = context.saliency
    if saliency.magnitude is None:
        rule = f"'weight' needs a layer that feeds the linear head, and {saliency.layer!r} does not"
        raise LabError("layer", saliency.layer, rule, "Leave the ranking out, or use layer=None.")
    return saliency.magnitude


@register_ranking("oracle", needs_truth=True)
def oracle(context: RankingContext) -> npt.ArrayLike:
    """Those declared to be shared, whatever the ratio."""
    scores = np.full(len(context.saliency), -np.inf)
    scores[context.truth] = np.inf
    return scores
