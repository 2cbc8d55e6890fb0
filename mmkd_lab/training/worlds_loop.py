"""The plain path: one network after the other, two logits, autograd. Slow, and what the fast paths must
equal.

The protocol is that of Xue et al. 2023 (MFH), Gaussian experiments: Linear(d, 2), SGD without momentum,
full batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmkd_lab.training.worlds_runs import Lesson

Floats = npt.NDArray[np.float32]


def train(lessons: Sequence[Lesson], *, steps: int, lr: float) -> Floats:
    """(L, d + 1) weights and bias of the logit difference h1 - h0 after `steps` of full-batch SGD."""
    found = [train_one(lesson, steps=steps, lr=lr)[0] for lesson in lessons]
    return np.stack([_difference(network) for network in found])


def train_one(
    lesson: Lesson, *, steps: int, lr: float, watch: tuple[Floats, npt.NDArray[np.int64]] | None = None
) -> tuple[nn.Linear, Floats]:
    """Train one network.

    Args:
        lesson: what to learn.
        steps: full-batch steps.
        lr: step size.
        watch: test inputs (M, d) and labels (M,); then train and test accuracy are measured after every step.

    Returns:
        the network, and its curve (steps, 2): train and test accuracy in percent; (0, 2) without `watch`.
    """
    network = _network(lesson.start)
    x, y = torch.from_numpy(lesson.x), torch.from_numpy(lesson.y)
    soft = None if lesson.teacher is None else _two_class(torch.from_numpy(lesson.teacher))
    test = None if watch is None else (torch.from_numpy(watch[0]), torch.from_numpy(watch[1]))
    optimiser = torch.optim.SGD(network.parameters(), lr=lr)
    curve = []
    for _ in range(steps):
        optimiser.zero_grad()
        _loss(network(x), y, soft, lesson).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if test is not None:
            curve.append((_accuracy(network, x, y), _accuracy(network, *test)))
    return network, np.array(curve, dtype=np.float32).reshape(-1, 2)


def _loss(logits: Tensor, y: Tensor, soft: Tensor | None, lesson: Lesson) -> Tensor:
    total = lesson.ce * F.cross_entropy(logits, y)
    if soft is not None:
        divergence = F.kl_div(F.log_softmax(logits, dim=1), soft, reduction="batchmean")
        if lesson.convention == "released":  # nn.KLDivLoss() divides by the number of classes too
            divergence = divergence / logits.shape[1]
        total = total + lesson.kd * divergence
    return total


def _two_class(logit: Tensor) -> Tensor:
    return torch.stack([torch.zeros_like(logit), logit], dim=1).softmax(dim=1)


@torch.no_grad()
def _accuracy(network: nn.Linear, x: Tensor, y: Tensor) -> float:
    return 100.0 * float((network(x).argmax(dim=1) == y).float().mean())


@torch.no_grad()
def _network(start: Floats) -> nn.Linear:
    network = nn.Linear(start.shape[1] - 1, 2)
    network.weight.copy_(torch.from_numpy(start[:, :-1]))
    network.bias.copy_(torch.from_numpy(start[:, -1]))
    return network


@torch.no_grad()
def _difference(network: nn.Linear) -> Floats:
    both = torch.cat([network.weight, network.bias[:, None]], dim=1)
    return np.asarray((both[1] - both[0]).numpy(), dtype=np.float32)
