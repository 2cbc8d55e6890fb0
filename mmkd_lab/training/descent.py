"""Full-batch descent of many one-logit networks: how, and the two ways to do it, compiled and in batches."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from mmkd_lab.core.config import Count, NonNegative, Positive, config

Doubles = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.floating]


@config
class WorldsRecipe:
    """How every network is trained. The defaults are MFH's.

    Args:
        ce: weight of the cross-entropy beside a teacher. Without a teacher it is 1, in the arm kl_only 0.
        kd: weight of the divergence from the teacher.
        temperature: T, by which both logits are divided; the divergence is multiplied by T^2.
        convention: 'released' divides the divergence by the two classes, as the released code does; 'kl' does
            not.
        steps: full-batch steps.
        lr: step size of plain SGD.
        precision: of the compiled loop. On other processors weights agree to 1e-6 in '32-true', so that one
            sample in millions may fall to the other side, and to 1e-14 in '64-true', in twice the time.
    """

    ce: NonNegative = 1.0
    kd: NonNegative = 1.0
    temperature: Positive = 1.0
    convention: Literal["kl", "released"] = "released"
    steps: Count = 1000
    lr: Positive = 0.1
    precision: Literal["32-true", "64-true"] = "32-true"

    @property
    def pull(self) -> float:
        """The weight of the teacher in the slope of the one logit."""
        return self.temperature * (self.kd / 2.0 if self.convention == "released" else self.kd)


def compiled(
    x: Numbers,
    members: Sequence[npt.NDArray[np.int64]],
    runs: tuple[Doubles, Doubles, Doubles],
    recipe: WorldsRecipe,
    threads: int,
) -> Doubles:
    """(R, d + 1) networks: `members` are the runs on each of the inputs x (G, N, d)."""
    from mmkd_lab.training import linear_kernel  # numba takes a second to import

    target, scale, start = runs
    weights, dtype = np.empty_like(start), np.float64 if recipe.precision == "64-true" else np.float32

    def one_input(g: int) -> None:
        packed, mine = linear_kernel.by_feature(x[g], dtype), members[g]
        w = np.zeros((len(mine), len(packed)), dtype)
        w[:, : start.shape[1]] = start[mine]
        pulled, weight = target[mine].astype(dtype), scale[mine].astype(dtype)
        linear_kernel.descend(packed, w, pulled, weight, recipe.temperature, 2.0 * recipe.lr, recipe.steps)
        weights[mine] = w[:, : start.shape[1]]

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one_input, range(len(x))))
    return weights


@torch.no_grad()
def batched(
    x: Numbers,
    members: Sequence[npt.NDArray[np.int64]],
    runs: tuple[Doubles, Doubles, Doubles],
    recipe: WorldsRecipe,
    device: torch.device,
) -> Doubles:
    """The same by two batched products a step; inputs with fewer runs get columns that stay at 0."""
    slots = max(map(len, members))
    group = np.repeat(np.arange(len(x)), [len(each) for each in members])
    slot = np.concatenate([np.arange(len(each)) for each in members])
    order = np.concatenate(members)

    def columns(values: Doubles) -> torch.Tensor:  # (R, M) -> (G, M, slots)
        stacked = np.zeros((len(x), values.shape[1], slots))
        stacked[group, :, slot] = values[order]
        return torch.from_numpy(stacked).to(device)

    target, plain, soft = columns(runs[0]), columns(runs[1][:, :1]), columns(runs[1][:, 1:])
    weights, tempered = columns(runs[2]), bool(runs[1][:, 1].any())
    padded = torch.nn.functional.pad(torch.from_numpy(x).double(), (0, 1), value=1.0).to(device)
    backward = padded.mT.contiguous()
    for _ in range(recipe.steps):
        z = torch.bmm(padded, weights)
        slope = z.sigmoid().mul_(plain).sub_(target)
        if tempered:
            slope += z.div_(recipe.temperature).sigmoid_().mul_(soft)
        weights.baddbmm_(backward, slope, alpha=-2.0 * recipe.lr / x.shape[1])
    found = np.empty_like(runs[2])
    found[order] = weights.cpu().numpy()[group, :, slot]
    return found
