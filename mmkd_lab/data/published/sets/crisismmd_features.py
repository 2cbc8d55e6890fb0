"""MST-Distill's features of CrisisMMD: one file of torch with pictures (N, 2048), texts (N, 768) and labels.

It holds the first picture of each post of all lists, in the order of the tables, and no names.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmkd_lab.core.check import DamagedFile, LabError, reading
from mmkd_lab.data.published import pickles
from mmkd_lab.data.published.recipes import Crisismmd
from mmkd_lab.data.published.sheet import Array, Sheet
from mmkd_lab.data.task import Task

NAME = "CMMD_data.pth"
#: In the order in which the file numbers them.
CLASSES = (
    "not_humanitarian",
    "affected_individuals",
    "infrastructure_and_utility_damage",
    "injured_or_dead_people",
    "missing_or_found_people",
    "rescue_volunteering_or_donation_effort",
    "vehicle_damage",
    "other_relevant_information",
)


def of_features(folder: Path, recipe: Crisismmd) -> Sheet:
    """The sheet of the file. Raises `DamagedFile`, and `LabError` for labels that it does not have."""
    if recipe.labels != "humanitarian":
        raise LabError("labels", recipe.labels, "must be 'humanitarian': the features have no others")
    file = next((one for one in (folder / "CMMD-V2" / NAME, folder / NAME) if one.is_file()), folder / NAME)
    held = pickles.torch_arrays(file)
    if not isinstance(held, (tuple, list)) or len(held) != 3:
        shown = f"{type(held).__name__} of {len(held) if hasattr(held, '__len__') else 'no'} members"
        raise DamagedFile(str(file), shown, "must hold pictures, texts and labels")
    image, text = (
        _features(one, f"{file}, {name}") for one, name in zip(held, ("pictures", "texts"), strict=False)
    )
    with reading(f"{file}, labels", "must be whole numbers"):
        label = np.asarray(held[2])
    counts = (len(image), len(text), *label.shape)
    if label.dtype.kind not in "iu" or len(counts) != 3 or len(set(counts)) != 1 or not len(label):
        shown = f"{len(image)} pictures, {len(text)} texts, labels {label.dtype} {label.shape}"
        raise DamagedFile(str(file), shown, "must hold as many of each, and one label each")
    known = (label >= 0) & (label < len(CLASSES))
    names = tuple(name for i, name in enumerate(CLASSES) if (label == i).any())
    number = np.array([names.index(name) if name in names else -1 for name in CLASSES])
    lost = int((~known).sum())
    sheet = Sheet(
        ids=tuple(f"row {i}" for i in range(len(label))),
        classes=names,
        task=Task.SINGLE_LABEL,
        target=number[np.where(known, label, 0)].astype(np.int64),
        split=None,
        modalities={"image": image, "text": text},
        layout=f"MST-Distill's {NAME}, {len(label):,} posts",
        notes=(f"{lost:,} posts with a label that is none are left out",) * bool(lost),
        files=(file,),
        metrics=("weighted_f1",),
    )
    return sheet.rows(np.flatnonzero(known)) if lost else sheet


def _features(value: object, place: str) -> Array:
    with reading(place, "must be numbers"):
        found = np.asarray(value, dtype=np.float32)
    if found.ndim != 2 or not np.isfinite(found).all():
        raise DamagedFile(place, found.shape, "must be finite numbers (posts, features)")
    return found
