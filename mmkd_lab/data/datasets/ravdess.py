"""ravdess: emotional speech of 24 actors as audio features and facial action units.

RAVDESS (Livingstone and Russo 2018), all 1,440 audio-visual speech clips, as arrays. The folds are
subject-wise: no actor is in two. CC BY-NC-SA 4.0, research only.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mmkd_lab.core.check import position
from mmkd_lab.data.assemble import facts_of, paired
from mmkd_lab.data.content import ArraySet, array_set
from mmkd_lab.data.datasets.recipes import Ravdess
from mmkd_lab.data.making.pairing import Rows
from mmkd_lab.data.making.scale import Scale, on_grid, standardise
from mmkd_lab.data.paired import PairedData

#: log energy = level / 255 * SPAN + LOWEST (natural logarithm); level 0 is padding.
SPAN, LOWEST = 30.1, -23.1
FOLDS = 5


@dataclass(frozen=True, eq=False)
class AudioTeacher:
    """Logits of a published speech network that was fine-tuned on the actors of four folds.

    Args:
        fold: the fold of actors it has never heard.
        index: (N,) int64 sample indices.
        logits: (N, 8) float32.
        fitted: (N,) bool, True where the network was trained on the row: there its logits say how well it
            memorised, not what it can hear (right on 98 to 100 % of these, on 79 to 86 % of the others).
    """

    fold: int
    index: Tensor
    logits: Tensor
    fitted: Tensor


def build(recipe: Ravdess) -> PairedData:
    """The dataset. Use `data.load("ravdess", ...)`.

    audio: (N, 180) statistics of the clip, or (N, 1, 40, 150) log-mel energies at 20 ms a frame, padded at
    the end with the lowest value (`ravdess_wav.mel_levels` states how they are made).
    video: (N, 35) facial action units averaged over the clip, 17 intensities (0 to 5), 18 presences (0 to 1).
    Columns are standardised by the training rows; the log-mel by one mean and sd of the training clips
    without their padding.
    index: the row in the file. group: the actor.

    Raises `DamagedFile` when the file is missing or damaged.
    """
    found = array_set("ravdess", mirror=recipe.mirror, path=recipe.path)
    fold = found.whole("fold")
    val, test = fold == recipe.val_fold, fold == recipe.test_fold
    train = np.flatnonzero(~(val | test))
    statistics = recipe.audio == "statistics"
    return paired(
        "ravdess",
        modalities={
            "audio": standardise(found["audio_stats"], train) if statistics else _mel(found, train),
            "video": standardise(found["video_au"], train),
        },
        target=found.whole("emotion"),
        splits={"train": train, "val": val, "test": test},
        classes=found.texts("classes"),
        group=found.whole("actor"),
        recipe=facts_of(recipe, [found.file]),
    )


def audio_teacher(
    fold: int, *, mirror: str | Path | None = None, path: str | Path | None = None
) -> AudioTeacher:
    """The published audio network that has not heard the actors of `fold`: use the test fold's.

    Warns (`UserWarning`) that its training rows are fitted. They include the validation fold of `build`: mask
    them with `fitted` wherever the teacher's own accuracy or calibration matters.

    Raises:
        LabError: a fold that is not 0 to 4.
        DamagedFile: the file is missing or damaged.
    """
    fold = position("fold", fold, FOLDS, of="a fold of actors")
    arrays = array_set("ravdess", mirror=mirror, path=path)
    fitted = arrays["fold"] != fold
    warnings.warn(
        f"the audio teacher of fold {fold} was trained on {int(fitted.sum())} of these {len(fitted)} rows, "
        "all but that fold's: on those its logits are fitted. Mask them with `fitted`.",
        UserWarning,
        stacklevel=2,
    )
    return AudioTeacher(
        fold=fold,
        index=torch.arange(len(fitted)),
        logits=torch.from_numpy(arrays["audio_teacher_logits"][fold].astype(np.float32)),
        fitted=torch.from_numpy(np.asarray(fitted)),
    )


def log_energy(level: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Natural log of mel energy from the stored levels 0 to 255."""
    return np.asarray(level / 255.0 * SPAN + LOWEST)


def _mel(arrays: ArraySet, train: Rows) -> npt.NDArray[np.float32]:
    """(N, 1, 40, 150), standardised by the heard frames of the training clips."""
    level = arrays["mel"].astype(np.uint8)
    heard = np.arange(level.shape[2]) < arrays.whole("mel_len")[:, None]
    cells = np.broadcast_to(heard[:, None, :], level.shape)
    energy = on_grid(log_energy(level), 2.0**-12)
    Scale.fit(energy[train][cells[train]]).apply(energy)
    return energy[:, None]
