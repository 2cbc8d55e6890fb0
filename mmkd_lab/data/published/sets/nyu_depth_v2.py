"""nyu_depth_v2: rooms in colour and depth, with a class for every pixel.

Silberman, Hoiem, Kohli and Fergus, ECCV 2012: 1,449 labelled frames. The .mat file as published, and four
forms of png files in circulation: of ESANet, of nicr-scene-analysis-datasets, of VainF's toolkit, of SA-Gate.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mmkd_lab.core.check import DamagedFile, LabError, reading
from mmkd_lab.data.published.fixtures.nyu_depth_v2 import write
from mmkd_lab.data.published.items import PictureFile
from mmkd_lab.data.published.mat5 import numbers
from mmkd_lab.data.published.publication import Download, Publication
from mmkd_lab.data.published.recipes import NyuDepthV2
from mmkd_lab.data.published.sets.nyu_items import DepthFile, LabelFile, MatDepth, MatLabels, MatPicture, mat
from mmkd_lab.data.published.sets.nyu_labels import FRAMES, NAMES, VOID, WRONG, of_894, official_test, table
from mmkd_lab.data.published.sheet import Array, Column, ItemReader, Sheet, whole_groups
from mmkd_lab.data.published.tables import inside, text_of
from mmkd_lab.data.task import Task

MAT, SPLITS, MAPPING = "nyu_depth_v2_labeled.mat", "splits.mat", "classMapping40.mat"
SIZE = 2_972_037_809
_SHAPES = {"images": ("N", 3, "W", "H"), "depths": ("N", "W", "H"), "labels": ("N", "W", "H")}


@dataclass(frozen=True)
class _Frame:
    """One frame: its number from 1, its split, and its scene where that is known."""

    number: int
    split: str
    scene: str = ""


@dataclass(frozen=True)
class _Readers:
    image: ItemReader
    depth: ItemReader
    labels: ItemReader


def read(root: Path, recipe: NyuDepthV2) -> Sheet:
    """What a folder holds, whichever form it has. Raises `DamagedFile` for none, and what a form refuses."""
    for found, form in _FORMS:
        if list(root.glob(found)):
            return form(root, recipe)
    known = ", ".join(found for found, _ in _FORMS)
    raise DamagedFile(str(root), "none of the known forms", f"must hold one of {known}", PUBLICATION.how)


def _of_mat(root: Path, recipe: NyuDepthV2) -> Sheet:
    file = root / MAT
    with mat(file) as opened:
        count = _shapes(file, opened, recipe)
        scenes = _texts(file, opened, "scenes", count)
    test, lists = _test(root, count)
    frames = [_Frame(i + 1, "test" if test[i] else "train", scene) for i, scene in enumerate(scenes)]
    mapping, note = _mapping(root)
    depth = "depths" if recipe.depth == "filled" else "rawDepths"
    labels = MatLabels(recipe.size, table(894, recipe.labels, mapping))
    readers = _Readers(MatPicture(recipe.size), MatDepth(recipe.size, depth), labels)
    keys = [(str(file), i) for i in range(count)]
    sheet = _sheet(frames, (keys, keys, keys), readers, recipe)
    return _told(sheet, f"the .mat file of version 7.3, {count:,} frames", (note,), lists)


def _shapes(file: Path, opened: Any, recipe: NyuDepthV2) -> int:  # noqa: ANN401 - h5py's
    """How many frames there are. Raises `DamagedFile` for a missing key or axes in another order."""
    wanted = {**_SHAPES, **({"rawDepths": _SHAPES["depths"]} if recipe.depth == "raw" else {})}
    count, sides = 0, (0, 0)
    for key, axes in wanted.items():
        if key not in opened:
            raise DamagedFile(str(file), f"keys {list(opened)[:8]}", f"must hold {key!r}")
        shape = opened[key].shape
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


def _of_folders(names: str, layout: str) -> Callable[[Path, NyuDepthV2], Sheet]:
    """{train,test}/{rgb,depth,depth_raw,...}/0001.png: ESANet's numbers begin with 1, nicr's with 0."""

    def form(root: Path, recipe: NyuDepthV2) -> Sheet:
        held = next((n for n in (recipe.labels, 40, 894) if list(root.glob(f"*/{names}_{n}"))), None)
        if held is None:
            raise DamagedFile(str(root), "no labels", f"must hold {names}_40 or {names}_{recipe.labels}")
        depth = "depth" if recipe.depth == "filled" else "depth_raw"
        found = {
            (int(one.stem), one.parts[-3]): one for one in sorted(root.glob("t*/rgb/*.png")) if _digits(one)
        }
        base = int(not list(root.glob("*/rgb/0000.png")))
        frames = [_Frame(number + 1 - base, split) for number, split in found]
        rgb = list(found.values())
        parts = [[one.parents[1] / part / one.name for one in rgb] for part in (depth, f"{names}_{held}")]
        readers = _Readers(
            PictureFile(recipe.size),
            DepthFile(recipe.size, 1e-3),
            LabelFile(recipe.size, table(held, recipe.labels)),
        )
        said = f"{layout}: {{train,test}}/rgb/0001.png, numbers from {base}, {held} labels, depth in mm"
        return _of_files(frames, (rgb, *parts), readers, recipe, said)

    return form


def _of_vainf(root: Path, recipe: NyuDepthV2) -> Sheet:
    _filled(recipe, "VainF's")
    held = next((n for n in (recipe.labels, 40) if (root / f"seg{n}").is_dir()), None)
    if held is None:
        raise DamagedFile(str(root), "no labels", f"must hold seg{recipe.labels} or seg40")
    found = {one: one.parent.name for one in sorted(root.glob("image/t*/*.png")) if _digits(one)}
    frames = [_Frame(int(one.stem), split) for one, split in found.items()]
    parts = [
        [root / part / split / one.name for one, split in found.items()] for part in ("depth", f"seg{held}")
    ]
    values = (*table(held, recipe.labels)[1:], *[WRONG] * (255 - held), VOID)  # one less than the number
    readers = _Readers(PictureFile(recipe.size), DepthFile(recipe.size, 1e-3), LabelFile(recipe.size, values))
    said = f"VainF's: image/{{train,test}}/00001.png, seg{held} less 1 with 255 for none"
    return _of_files(frames, (list(found), *parts), readers, recipe, said)


def _of_sagate(root: Path, recipe: NyuDepthV2) -> Sheet:
    _filled(recipe, "SA-Gate's")
    frames, rgb, labels = [], list[Path](), list[Path]()
    for split in ("train", "test"):
        file = root / f"{split}.txt"
        for line, text in enumerate(filter(str.strip, text_of(file)[0].split("\n")), start=1):
            place, cells = f"{file}, line {line}", text.strip().split("\t")
            paths = [inside(root, cell, place) for cell in cells]
            if len(cells) != 2 or not _digits(paths[0]) or paths[0].stem != paths[1].stem:
                raise DamagedFile(place, text, "must name RGB/2.jpg and Label/2.png, with a tab between")
            frames.append(_Frame(int(paths[0].stem) + 1, split))
            rgb.append(paths[0])
            labels.append(paths[1])
    depth = [root / "Depth" / f"{one.stem}.npy" for one in rgb]
    reads = DepthFile(recipe.size, 1.0), LabelFile(recipe.size, table(40, recipe.labels))
    readers = _Readers(PictureFile(recipe.size), *reads)
    said = "SA-Gate's: RGB/0.jpg, Depth/0.npy in metres, Label/0.png from 0 for none, lists of both splits"
    sheet = _of_files(frames, (rgb, depth, labels), readers, recipe, said)
    return _told(sheet, said, (), (root / "train.txt", root / "test.txt"))


def _filled(recipe: NyuDepthV2, whose: str) -> None:
    if recipe.depth != "filled":
        raise LabError("depth", recipe.depth, f"must be 'filled': {whose} form has no raw depth")


def _digits(file: Path) -> bool:
    return re.fullmatch("[0-9]+", file.stem) is not None


def _of_files(
    frames: Sequence[_Frame],
    files: tuple[Sequence[Path], ...],
    readers: _Readers,
    recipe: NyuDepthV2,
    layout: str,
) -> Sheet:
    """A sheet of the frames whose three files are there; scenes are not known in these forms."""
    if not frames:
        raise DamagedFile(layout, "no frame", "must hold frames")
    twice = len(frames) - len({one.number for one in frames})
    if twice:
        raise DamagedFile(
            str(files[0][0].parents[1]), f"{twice} frames more than once", "must hold each once"
        )
    missing = [str(part[i]) for i in range(len(frames)) for part in files if not part[i].is_file()]
    whole = [i for i in range(len(frames)) if all(part[i].is_file() for part in files)]
    whole.sort(key=lambda i: frames[i].number)
    if not whole:
        raise DamagedFile(missing[0], "missing", "must be there; no frame has all its files")
    kept, scene, before = list[_Frame](), 0, ""
    for i in whole:
        scene += frames[i].split != before
        before = frames[i].split
        kept.append(_Frame(frames[i].number, before, f"run {scene}"))
    keys = tuple([str(part[i]) for i in whole] for part in files)
    sheet = _sheet(kept, keys, readers, recipe)
    note = "scenes are not named in this form: runs of frames of one split are kept together"
    return _told(sheet, layout, (note,), (), tuple(missing))


def _sheet(
    frames: Sequence[_Frame], keys: tuple[Sequence[Any], ...], readers: _Readers, recipe: NyuDepthV2
) -> Sheet:
    split = tuple(one.split for one in frames)
    group, note = whole_groups([one.scene for one in frames], split)
    return Sheet(
        ids=tuple(str(one.number) for one in frames),
        classes=NAMES[recipe.labels],
        task=Task.DENSE,
        target=Column(keys[2], readers.labels),
        split=split,
        modalities={"rgb": Column(keys[0], readers.image), "depth": Column(keys[1], readers.depth)},
        group=group,
        notes=(note,),
    )


def _told(
    sheet: Sheet,
    layout: str,
    notes: tuple[str, ...],
    files: tuple[Path, ...],
    missing: tuple[str, ...] = (),
) -> Sheet:
    notes = tuple(filter(None, (*sheet.notes, *notes)))
    return replace(sheet, layout=layout, notes=notes, files=files, missing=sheet.missing + missing)


#: What each form is known by, the published one first.
_FORMS: tuple[tuple[str, Callable[[Path, NyuDepthV2], Sheet]], ...] = (
    (MAT, _of_mat),
    ("*/rgb/*.png", lambda root, recipe: _folders(root)(root, recipe)),
    ("image/*/*.png", _of_vainf),
    ("RGB/*.jpg", _of_sagate),
)


def _folders(root: Path) -> Callable[[Path, NyuDepthV2], Sheet]:
    nicr = bool(list(root.glob("*/semantic_*")))
    return _of_folders("semantic", "nicr's") if nicr else _of_folders("labels", "ESANet's")


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
    "nicr-scene-analysis-datasets, VainF's toolkit or SA-Gate make them.",
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
