"""How strongly each method pulls: chosen on the validation split, with one seed that no comparison has."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from mmkd_lab.runs.store import Result
from mmkd_lab.study.msd_losses import FACTORS, KD_WEIGHTS, Strengths, family
from mmkd_lab.study.msd_setting import MsdSetting
from mmkd_lab.train.metrics import score

#: (arm, [(rho, factor), ...]) -> one outcome each, all from the tuning seed.
Train = Callable[[str, Sequence[tuple[float, float]]], Sequence[Result]]


def untuned(setting: MsdSetting) -> Strengths:
    """As asked for, and the middle candidate for every other method of the comparison."""
    factors = {name: FACTORS[name][1] for name in families(setting)}
    asked = {"msd": setting.msd_weight, "kd_drop": setting.drop}
    factors |= {name: value for name, value in asked.items() if name in factors}
    return Strengths(setting.kd_weight, factors)


def tuned(setting: MsdSetting, train: Train) -> tuple[Strengths, list[dict[str, object]]]:
    """The strengths with the best validation score on the full input, and every score that was seen.

    KD's rho first; then, at this rho, the factor of every family: MSD's on uniform weights, so that no scheme
    is favoured. What is best for the full input need not be so with a modality missing. Ties go to the lower
    nll, then to the candidate that comes first.
    """
    seen: list[dict[str, object]] = []

    def best(arm: str, candidates: Sequence[tuple[float, float]], which: int, name: str) -> float:
        ranked: list[tuple[float, float, int, float]] = []
        for candidate, result in zip(candidates, train(arm, candidates), strict=True):
            metric, value, nll = validation(setting, result)
            seen.append(
                {"strength": name, "value": candidate[which], "metric": metric, "val": value, "nll": nll}
            )
            ranked.append((-value, nll, len(ranked), candidate[which]))
        return min(ranked)[-1]

    rho = best("kd", [(value, 0.0) for value in KD_WEIGHTS], 0, "kd")
    factors = {}
    for name in families(setting):
        arm = "msd_uniform" if name == "msd" else name
        factors[name] = best(arm, [(rho, value) for value in FACTORS[name]], 1, name)
    return Strengths(rho, factors), seen


def families(setting: MsdSetting) -> list[str]:
    """The families with a factor that the comparison has."""
    named = [family(name) for name in setting.names]
    return [name for name in FACTORS if name in named]


def validation(setting: MsdSetting, result: Result) -> tuple[str, float, float]:
    """(the task's first metric, its value, nll) on the validation split, full input."""
    logits = torch.from_numpy(result.tensors[f"logits/val/{setting.full.label}"].copy())
    target = setting.data.target[setting.data.positions("val")].cpu()
    named = {k: float(v[0]) for k, v in score(logits[None], target, task=setting.data.task).items()}
    metric = next(iter(named))
    return metric, named[metric], named["nll"]
