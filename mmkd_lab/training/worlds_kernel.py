"""The compiled path: one call trains all runs on one input, which stays in the cache throughout."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mmkd_lab.training.worlds_machine import Machine, Tile, machine
from mmkd_lab.training.worlds_runs import LinearRuns
from mmkd_lab.training.worlds_tiles import compiled

_CACHE_LINE = 64

Floats = npt.NDArray[np.float32]


def train(runs: LinearRuns, *, steps: int, lr: float, unit: Machine | None = None) -> Floats:
    """(R, d + 1) weights and bias of the one logit after `steps` of full-batch descent on the mean loss.

    `unit` is the vector unit to cut the tiles for; this processor's when None.
    """
    unit = unit or machine()
    n = runs.x.shape[1]
    weights = np.empty_like(runs.start)
    for x, members in zip(runs.x, runs.members(), strict=True):
        packed = _pack(x, unit.lanes)
        for some in np.array_split(members, -(-len(members) // unit.most_runs)):
            weights[some] = _train_group(packed, runs, some, unit=unit, steps=steps, rate=2.0 * lr / n)
    return weights


def _pack(x: Floats, lanes: int) -> Floats:
    """(d + 1, blocks, lanes): a feature of ones for the bias last, samples padded with zeros."""
    n, d = x.shape
    blocks = -(-n // lanes)
    packed = _aligned((d + 1, blocks * lanes))
    packed[:d, :n] = x.T
    packed[d, :n] = 1.0
    return packed.reshape(d + 1, blocks, lanes)


def _aligned(shape: tuple[int, ...]) -> Floats:
    """Zeros that begin on a cache line: a vector across two lines costs two loads."""
    size = int(np.prod(shape)) * 4
    room = np.zeros(size + _CACHE_LINE, dtype=np.uint8)
    skip = -room.ctypes.data % _CACHE_LINE
    return room[skip : skip + size].view(np.float32).reshape(shape)


def _train_group(
    packed: Floats,
    runs: LinearRuns,
    some: npt.NDArray[np.int64],
    *,
    unit: Machine,
    steps: int,
    rate: float,
) -> Floats:
    """The runs `some`, at most `unit.most_runs`, on one input."""
    features, blocks, lanes = packed.shape
    r, n = len(some), runs.x.shape[1]
    # The kernel's sigmoid comes without its half: scale * (p - 1/2) - (target - scale / 2).
    centred = np.zeros((r, blocks * lanes), dtype=np.float32)
    centred[:, :n] = runs.target[some] - runs.scale[some, None] / 2
    target = _aligned((blocks, r, lanes))
    target[:] = centred.reshape(r, blocks, lanes).transpose(1, 0, 2)
    weights = _aligned((features * r + lanes,))  # the last tile reads and writes one whole vector
    weights[: features * r] = runs.start[some].T.ravel()
    descend = compiled(Tile.fit(unit, runs=r, blocks=blocks, features=features))
    descend(
        packed.ravel(),
        weights,
        target.ravel(),
        _aligned((target.size,)),
        runs.scale[some],
        np.float32(rate),
        steps,
        blocks,
        features,
    )
    return weights[: features * r].reshape(features, r).T
