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

from mmkd_lab.core.check import LabError, require, whole
from mmkd_lab.core.fingerprint import digest
from mmkd_lab.data import manifest
from mmkd_lab.data.arrays import Arrays
from mmkd_lab.data.columns import standardise
from mmkd_lab.data.content import read_arrays
from mmkd_lab.data.files import locate
from mmkd_lab.data.paired import PairedData
from mmkd_lab.data.pairing import Rows
from mmkd_lab.data.spectrogram import Scale, on_grid

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


def build(*, audio: str, test_fold: int, val_fold: int, mirror: str | None, path: str | None) -> PairedData:
    """The dataset. Use `data.load("ravdess", ...)`, which checks the parameters and knows the defaults.

    audio: (N, 180) statistics of the clip, or (N, 1, 40, 150) log-mel energies at 20 ms a frame, padded at
    the end with the lowest value (`ravdess_wav.mel_levels` states how they are made).
    video: (N, 35) facial action units averaged over the clip, 17 intensities (0 to 5), 18 presences (0 to 1).
    Columns are standardised by the training rows; the log-mel by one mean and sd of the training clips
    without their padding.
    index: the row in the file. group: the actor.

    Raises:
        LabError: one fold for both validation and test.
        DamagedFile: the file is missing or damaged.
    """
    if test_fold == val_fold:
        raise LabError("val_fold", val_fold, "must differ from test_fold", "No actor may be on two sides.")
    arrays, file = _read(mirror, path)
    fold = arrays["fold"].astype(np.int64)
    splits = {
        "train": np.flatnonzero((fold != test_fold) & (fold != val_fold)),
        "val": np.flatnonzero(fold == val_fold),
        "test": np.flatnonzero(fold == test_fold),
    }
    train = splits["train"]
    heard = standardise(arrays["audio_stats"], train) if audio == "statistics" else _mel(arrays, train)
    facts = {"audio": audio, "test_fold": test_fold, "val_fold": val_fold, "files": {file.name: file.sha256}}
    return PairedData(
        name="ravdess",
        modalities={
            "audio": torch.from_numpy(heard),
            "video": torch.from_numpy(standardise(arrays["video_au"], train)),
        },
        target=torch.from_numpy(arrays["emotion"].astype(np.int64)),
        splits={name: torch.from_numpy(rows) for name, rows in splits.items()},
        classes=tuple(map(str, arrays["classes"])),
        group=torch.from_numpy(arrays["actor"].astype(np.int64)),
        recipe={**facts, "hash": digest(facts)},
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
    fold = whole("fold", fold, at_least=0)
    require(fold < FOLDS, "fold", fold, f"must be at most {FOLDS - 1}")
    arrays, _ = _read(mirror, path)
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


def _read(mirror: str | Path | None, path: str | Path | None) -> tuple[Arrays, manifest.DataFile]:
    (file,) = manifest.collection("ravdess").files
    return read_arrays(file, locate(file, mirror, path=path)), file


def _mel(arrays: Arrays, train: Rows) -> npt.NDArray[np.float32]:
    """(N, 1, 40, 150), standardised by the heard frames of the training clips."""
    level = arrays["mel"].astype(np.uint8)
    heard = np.arange(level.shape[2]) < arrays["mel_len"].astype(np.int64)[:, None]
    cells = np.broadcast_to(heard[:, None, :], level.shape)
    energy = on_grid(log_energy(level), 2.0**-12)
    Scale.fit(energy[train][cells[train]]).apply(energy)
    return energy[:, None]
