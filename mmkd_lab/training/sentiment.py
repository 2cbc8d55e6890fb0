"""What is reported of scores of sentiment from -3 to 3: CMU-MOSI and CMU-MOSEI.

Zadeh et al. 2016 and 2018; as the code of Yu et al. 2021 (Self-MM) counts them.
"""

from __future__ import annotations

from torch import Tensor

from mmkd_lab.data.task import Task
from mmkd_lab.training.metrics import register_metric


@register_metric("pearson", task=Task.REGRESSION, unit="units of correlation", asked=True)
def pearson(logits: Tensor, target: Tensor) -> Tensor:
    """Correlation of what is said with what is true, the mean over outputs; 0 where either never changes."""
    said, true = logits - logits.mean(0), target - target.mean(0)
    most = said.square().sum(0).sqrt() * true.square().sum(0).sqrt()
    return ((said * true).sum(0) / most.clamp(min=1e-12)).mean()


@register_metric("acc_7", task=Task.REGRESSION, asked=True)
def acc_7(logits: Tensor, target: Tensor) -> Tensor:
    """Scores of sentiment, -3 to 3, that agree once cut to that range and rounded, in percent."""
    return 100.0 * (logits.clamp(-3, 3).round() == target.clamp(-3, 3).round()).double().mean()


@register_metric("acc_2", task=Task.REGRESSION, asked=True)
def acc_2(logits: Tensor, target: Tensor) -> Tensor:
    """Scores on the right side, negative or not (0 is not), in percent."""
    return 100.0 * ((logits >= 0) == (target >= 0)).double().mean()


@register_metric("acc_2_nonzero", task=Task.REGRESSION, asked=True)
def acc_2_nonzero(logits: Tensor, target: Tensor) -> Tensor:
    """Scores on the right side, negative or positive, of the samples whose truth is not 0, in percent."""
    some = target != 0
    return 100.0 * ((logits > 0) == (target > 0))[some].double().sum() / some.sum().clamp(min=1)
