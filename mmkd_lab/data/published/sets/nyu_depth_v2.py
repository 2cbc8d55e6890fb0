"""nyu_depth_v2: rooms in colour and depth, with a class for every pixel.

Silberman, Hoiem, Kohli and Fergus, ECCV 2012: 1,449 labelled frames. The .mat file as published, and
forms in circulation: that of MST-Distill, files as of ESANet, of nicr-scene-analysis-datasets, of VainF's
toolkit and of SA-Gate, and two mirrors in parquet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmkd_lab.core.check import DamagedFile, reading
from mmkd_lab.data.published.fixtures.nyu_depth_v2 import write
from mmkd_lab.data.published.hdf5 import shape_of
from mmkd_lab.data.published.mat5 import numbers
from mmkd_lab.data.published.publication import Download, Publication
from mmkd_lab.data.published.recipes import NyuDepthV2
from mmkd_lab.data.published.sets.nyu_items import MatDepth, MatLabels, MatPicture, mat
from mmkd_lab.data.published.sets.nyu_labels import FRAMES, of_894, official_test, table
from mmkd_lab.data.published.sets.nyu_parquet import PATTERNS, of_parquet
from mmkd_lab.data.published.sets.nyu_pictures import of_folders, of_sagate, of_vainf
from mmkd_lab.data.published.sets.nyu_sheet import Frame, Readers, filled, neighbours, sheet_of, told
from mmkd_lab.data.published.sheet import Array, Sheet

MAT, SPLITS, MAPPING = "nyu_depth_v2_labeled.mat", "splits.mat", "classMapping40.mat"
#: Of MST-Distill: arrays of the same axes with 40 classes, and nothing else.
MST = "NYU-Depth-V2_data.mat"
SIZE = 2_972_037_809


def read(root: Path, recipe: NyuDepthV2) -> Sheet:
    """What a folder holds, whichever form it has. Raises `DamagedFile` for none, and what a form refuses."""
    for found, form in _FORMS:
        if list(root.glob(found)):
            return form(root, recipe)
    known = ", ".join(found for found, _ in _FORMS)
    raise DamagedFile(str(root), "none of the known forms", f"must hold one of {known}", PUBLICATION.how)


def _of_mst(root: Path, recipe: NyuDepthV2) -> Sheet:
    filled(recipe, "MST-Distill's")
    file = root / MST
    with mat(file) as opened:
        count = _shapes(file, opened, ("images", "depths", "labels40"))
    test, lists = _test(root, count)
    frames = [Frame(i + 1, "test" if test[i] else "train", neighbours(i)) for i in range(count)]
    labels = MatLabels(recipe.size, table(40, recipe.labels), "labels40")
    keys = [(str(file), i) for i in range(count)]
    readers = Readers(MatPicture(recipe.size), MatDepth(recipe.size, "depths"), labels)
    sheet = sheet_of(frames, (keys, keys, keys), readers, recipe)
    note = "scenes are not named in this form: five frames in a row are kept together"
    return told(sheet, f"MST-Distill's {MST}, {count:,} frames, 40 labels", (note,), lists)


def _of_mat(root: Path, recipe: NyuDepthV2) -> Sheet:
    file = root / MAT
    with mat(file) as opened:
        depths = ["depths", *["rawDepths"] * (recipe.depth == "raw")]
        count = _shapes(file, opened, ("images", *depths, "labels"))
        scenes = _texts(file, opened, "scenes", count)
    test, lists = _test(root, count)
    frames = [Frame(i + 1, "test" if test[i] else "train", scene) for i, scene in enumerate(scenes)]
    mapping, note = _mapping(root)
    depth = "depths" if recipe.depth == "filled" else "rawDepths"
    labels = MatLabels(recipe.size, table(894, recipe.labels, mapping))
    readers = Readers(MatPicture(recipe.size), MatDepth(recipe.size, depth), labels)
    keys = [(str(file), i) for i in range(count)]
    sheet = sheet_of(frames, (keys, keys, keys), readers, recipe)
    return told(sheet, f"the .mat file of version 7.3, {count:,} frames", (note,), lists)


def _shapes(file: Path, opened: Any, names: Sequence[str]) -> int:  # noqa: ANN401 - h5py's
    """How many frames there are. Raises `DamagedFile` for a missing key or axes in another order."""
    count, sides = 0, tuple[int, ...]()
    for key in names:
        axes: tuple[object, ...] = ("N", 3, "W", "H") if key == "images" else ("N", "W", "H")
        shape = shape_of(file, opened, key)
        count, sides = (shape[0], shape[-2:]) if key == "images" else (count, sides)
        fits = len(shape) == len(axes) and shape[0] == count and shape[-2:] == sides
        if not fits or (3 in axes and shape[1] != 3) or shape[-2] <= shape[-1]:
            rule = f"must be {axes}, width before height, as HDF5 shows MATLAB's arrays".replace("'", "")
            raise DamagedFile(f"{file}, {key}", shape, rule, f"images is {opened['images'].shape}")
    return count


def _texts(file: Path, opened: Any, key: str, count: int) -> list[str]:  # noqa: ANN401 - h5py's
    """The texts of a cell array: references to arrays of character codes."""
    with reading(f"{file}, {key}", "must be a cell of texts"):
        found = ["".join(map(chr, opened[one][:].ravel())) for one in opened[key][:].ravel()]
    if len(found) != count:
        raise DamagedFile(f"{file}, {key}", f"{len(found)} texts", f"must be {count}, one a frame")
    return found


def _of_parquet(root: Path, recipe: NyuDepthV2) -> Sheet:
    return of_parquet(root, recipe, _test)


def _test(root: Path, count: int) -> tuple[Array, tuple[Path, ...]]:
    """(N,) the frames of the test, by `splits.mat` where it is there, else by the official list."""
    file = root / SPLITS
    if not file.is_file():
        if count != FRAMES:
            rule = f"must be beside a .mat file of {count} frames; the official split has {FRAMES}"
            raise DamagedFile(str(file), "missing", rule)
        return official_test(), ()
    parts = [one.ravel().astype(np.int64) for one in numbers(file, ("trainNdxs", "testNdxs")).values()]
    every = np.concatenate(parts)
    if len(every) == 0 or every.min() < 1 or every.max() > count:
        shown = f"indices from {every.min()} to {every.max()}" if len(every) else "no indices"
        raise DamagedFile(str(file), shown, f"must count from 1, to {count}")
    if len(np.unique(every)) != len(every) or len(every) != count:
        shown = f"{len(every)} indices, {len(np.unique(every))} of them distinct"
        raise DamagedFile(str(file), shown, f"must name each of {count} frames once")
    test = np.zeros(count, dtype=bool)
    test[parts[1] - 1] = True
    return test, (file,)


def _mapping(root: Path) -> tuple[Array | None, str]:
    """The map from 894 to 40 of a file that is there and differs from the published one, and a note."""
    file = root / MAPPING
    if not file.is_file():
        return None, ""
    found = numbers(file, ("mapClass",))["mapClass"].ravel().astype(np.int16)
    if len(found) != 894 or found.min() < 1 or found.max() > 40:
        shown = f"{len(found)} numbers from {found.min()} to {found.max()}"
        raise DamagedFile(f"{file}, mapClass", shown, "must be 894 numbers from 1 to 40")
    mapping = np.concatenate([np.zeros(1, dtype=np.int16), found])
    other = int((mapping != of_894()).sum())
    note = f"{MAPPING} maps {other} of 894 classes otherwise than the published one, and is used"
    return (mapping, note) if other else (None, "")


#: What each form is known by, the published one first.
_FORMS: tuple[tuple[str, Callable[[Path, NyuDepthV2], Sheet]], ...] = (
    (MAT, _of_mat),
    (MST, _of_mst),
    ("*/rgb/*.png", of_folders),
    ("image/*/*.png", of_vainf),
    ("RGB/*.jpg", of_sagate),
    *((pattern, _of_parquet) for pattern in PATTERNS),
)


PUBLICATION = Publication(
    name="nyu_depth_v2",
    title="NYU Depth Dataset V2, the labelled frames",
    licence="none stated by the authors; used for research",
    citation="Silberman, Hoiem, Kohli, Fergus: Indoor Segmentation and Support Inference from RGBD Images, "
    "ECCV 2012",
    home="https://cs.nyu.edu/~silberman/datasets/nyu_depth_v2.html",
    read=read,
    fixture=write,
    how="Put nyu_depth_v2_labeled.mat into the folder, or a folder of png files as ESANet, "
    "nicr-scene-analysis-datasets, VainF's toolkit or SA-Gate make them, or the parquet files of 0jl/NYUv2 "
    "or tanganke/nyuv2.",
    megabytes=SIZE / 1e6,
    downloads=(
        Download(
            f"http://horatio.cs.nyu.edu/mit/silberman/nyu_depth_v2/{MAT}",
            MAT,
            SIZE,
            "md5:520609c519fba3ba5ac58c8fefcc3530",
        ),
    ),
    expected={"train": 795, "test": 654},
)
build = PUBLICATION.build
