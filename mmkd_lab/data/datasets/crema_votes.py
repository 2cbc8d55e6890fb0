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
from mmkd_lab.core.seed import derive
from mmkd_lab.data.assemble import facts_of, paired
from mmkd_lab.data.content import ArraySet, array_set
from mmkd_lab.data.datasets.recipes import CremaVotes
from mmkd_lab.data.paired import PairedData

#: What the raters were given, in the order of the votes.
SENSES = ("voice", "face", "audiovisual")


def build(recipe: CremaVotes) -> PairedData:
    """The dataset. Use `data.load("crema_votes", ...)`.

    Each sense: (N, 6) float32, the share of its raters (4 to 12 a clip) that chose each emotion.
    target: the emotion that the actor was asked for. index: the row in the file. group: the actor.

    Raises `DamagedFile` when the file is missing or damaged.
    """
    found = array_set("crema_votes", mirror=recipe.mirror, path=recipe.path)
    actor = found.whole("actor")
    rng = np.random.default_rng(derive(recipe.seed, "crema_votes", "actors"))
    ends = [recipe.val_actors, recipe.val_actors + recipe.test_actors]
    val, test, train = np.split(rng.permutation(np.unique(actor)), ends)
    shares = _shares(found, 0.0)
    return paired(
        "crema_votes",
        modalities={name: shares[:, SENSES.index(name)].contiguous() for name in recipe.senses},
        target=found.whole("y"),
        splits={
            name: np.isin(actor, part) for name, part in {"train": train, "val": val, "test": test}.items()
        },
        classes=found.texts("classes"),
        group=actor,
        recipe=facts_of(recipe, [found.file]),
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
    shares = _shares(array_set("crema_votes", mirror=mirror, path=path), smoothing)
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


def _shares(found: ArraySet, smoothing: float) -> Tensor:
    votes = found["votes"].astype(np.float64) + smoothing
    return torch.from_numpy((votes / votes.sum(axis=-1, keepdims=True)).astype(np.float32))
