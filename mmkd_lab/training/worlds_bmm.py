"""The batched torch path: all runs advance together by two batched products a step, on CPU or CUDA."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from mmkd_lab.training.worlds_runs import LinearRuns

Floats = npt.NDArray[np.float32]


@torch.no_grad()
def train(runs: LinearRuns, *, steps: int, lr: float, device: torch.device | str = "cpu") -> Floats:
    """(R, d + 1) weights and bias of the one logit after `steps` of full-batch descent on the mean loss.

    The runs on one input are the columns of one product; inputs with fewer runs get columns that stay at 0.
    """
    n = runs.x.shape[1]
    slot = _slots(runs)
    x = F.pad(torch.from_numpy(runs.x), (0, 1), value=1.0).to(device)
    weights = _by_group(runs.start, runs, slot).to(device)
    target = _by_group(runs.target, runs, slot).to(device)
    scale = _by_group(runs.scale[:, None], runs, slot).to(device)
    backward = x.mT.contiguous()
    for _ in range(steps):
        residual = torch.bmm(x, weights).sigmoid_().mul_(scale).sub_(target)
        weights.baddbmm_(backward, residual, alpha=-2.0 * lr / n)
    return weights.cpu().numpy()[runs.group, :, slot]


def _slots(runs: LinearRuns) -> npt.NDArray[np.int64]:
    """(R,) the column of each run within its input's product."""
    slot = np.empty(len(runs), dtype=np.int64)
    for members in runs.members():
        slot[members] = np.arange(len(members))
    return slot


def _by_group(values: Floats, runs: LinearRuns, slot: npt.NDArray[np.int64]) -> torch.Tensor:
    """(R, M) -> (G, M, K): run r becomes column slot[r] of its group."""
    stacked = np.zeros((len(runs.x), values.shape[1], int(slot.max()) + 1), dtype=np.float32)
    stacked[runs.group, :, slot] = values
    return torch.from_numpy(stacked)
