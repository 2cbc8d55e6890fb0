"""crema_votes: what human raters heard and saw in CREMA-D's 7,442 clips (Cao et al. 2014).

Each clip was rated from the voice alone, from the face alone and from both. The shares of the votes are soft
labels by modality, and the raters a "network" whose shared and specific parts are real. ODbL 1.0.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mmkd_lab.core.check import LabError, real, require
from mmkd_lab.core.fingerprint import digest
from mmkd_lab.core.seed import derive
from mmkd_lab.data import manifest
from mmkd_lab.data.arrays import Arrays
from mmkd_lab.data.content import read_arrays
from mmkd_lab.data.files import locate
from mmkd_lab.data.paired import PairedData

#: What the raters were given, in the order of the votes.
SENSES = ("voice", "face", "audiovisual")
ACTORS = 91


def build(
    *,
    senses: tuple[str, ...],
    val_actors: int,
    test_actors: int,
    seed: int,
    mirror: str | None,
    path: str | None,
) -> PairedData:
    """The dataset. Use `data.load("crema_votes", ...)`, which checks the parameters and knows the defaults.

    Each sense: (N, 6) float32, the share of its raters (4 to 12 a clip) that chose each emotion.
    target: the emotion that the actor was asked for. index: the row in the file. group: the actor.

    Raises:
        LabError: fewer than two senses, or no actor left for training.
        DamagedFile: the file is missing or damaged.
    """
    require(len(senses) >= 2, "senses", senses, "must name at least two, the modalities of each pair")
    held = val_actors + test_actors
    require(held < ACTORS, "val_actors + test_actors", held, f"must leave at least one of {ACTORS} actors")
    arrays, file = _read(mirror, path)
    actor = arrays["actor"].astype(np.int64)
    order = np.random.default_rng(derive(seed, "crema_votes", "actors")).permutation(np.unique(actor))
    parts = dict(zip(("val", "test", "train"), np.split(order, [val_actors, held]), strict=True))
    facts = {
        "senses": senses,
        "val_actors": val_actors,
        "test_actors": test_actors,
        "seed": seed,
        "files": {file.name: file.sha256},
    }
    shares = _shares(arrays, 0.0)
    return PairedData(
        name="crema_votes",
        modalities={name: shares[:, SENSES.index(name)].contiguous() for name in senses},
        target=torch.from_numpy(arrays["y"].astype(np.int64)),
        splits={
            name: torch.from_numpy(np.flatnonzero(np.isin(actor, parts[name])))
            for name in ("train", "val", "test")
        },
        classes=tuple(map(str, arrays["classes"])),
        group=torch.from_numpy(actor),
        recipe={**facts, "hash": digest(facts)},
    )


def soft_labels(
    index: Tensor | None = None,
    *,
    smoothing: float = 0.0,
    mirror: str | Path | None = None,
    path: str | Path | None = None,
) -> Tensor:
    """The raters as teachers: (N, 3, 6) float32 shares of voice, face and audiovisual votes; rows sum to 1.

    Args:
        index: (N,) int64 sample indices of `data.load("crema_votes")`, in any order; default: all, 0 to 7441.
        smoothing: votes added to every emotion, so that with any above 0 the logarithm of a share, the logit
            of a teacher, is finite.
        mirror, path: as in `data.load`.

    Raises:
        LabError: an unknown sample index, or a negative smoothing.
        DamagedFile: the file is missing or damaged.
    """
    smoothing = real("smoothing", smoothing, at_least=0.0)
    arrays, _ = _read(mirror, path)
    shares = _shares(arrays, smoothing)
    if index is None:
        return shares
    shown = f"{index.dtype} {tuple(index.shape)}" if isinstance(index, Tensor) else type(index).__name__
    plain = isinstance(index, Tensor) and index.ndim == 1 and index.dtype == torch.int64 and len(index) > 0
    require(plain, "index", shown, "must be a non-empty int64 tensor (N,) of sample indices")
    low, high = int(index.min()), int(index.max())
    if low < 0 or high >= len(shares):
        raise LabError(
            "index", f"indices {low} to {high}", f"must lie between 0 and {len(shares) - 1}, the clips"
        )
    return shares[index.cpu()]


def _shares(arrays: Arrays, smoothing: float) -> Tensor:
    votes = arrays["votes"].astype(np.float64) + smoothing
    return torch.from_numpy((votes / votes.sum(axis=-1, keepdims=True)).astype(np.float32))


def _read(mirror: str | Path | None, path: str | Path | None) -> tuple[Arrays, manifest.DataFile]:
    (file,) = manifest.collection("crema_votes").files
    return read_arrays(file, locate(file, mirror, path=path)), file
