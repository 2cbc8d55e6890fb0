"""NYU Depth V2 as files of their own: of ESANet, of nicr-scene-analysis-datasets, of VainF's toolkit, of
SA-Gate."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from mmkd_lab.core.check import DamagedFile
from mmkd_lab.data.published.items import PictureFile
from mmkd_lab.data.published.recipes import NyuDepthV2
from mmkd_lab.data.published.sets.nyu_items import DepthFile, LabelFile
from mmkd_lab.data.published.sets.nyu_labels import VOID, WRONG, table
from mmkd_lab.data.published.sets.nyu_sheet import Frame, Readers, filled, sheet_of, told
from mmkd_lab.data.published.sheet import Sheet
from mmkd_lab.data.published.tables import inside, text_of


def of_folders(root: Path, recipe: NyuDepthV2) -> Sheet:
    """ESANet's folders, or nicr's."""
    nicr = bool(list(root.glob("*/semantic_*")))
    form = _of_folders("semantic", "nicr's") if nicr else _of_folders("labels", "ESANet's")
    return form(root, recipe)


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
        frames = [Frame(number + 1 - base, split) for number, split in found]
        rgb = list(found.values())
        parts = [[one.parents[1] / part / one.name for one in rgb] for part in (depth, f"{names}_{held}")]
        readers = Readers(
            PictureFile(recipe.size),
            DepthFile(recipe.size, 1e-3),
            LabelFile(recipe.size, table(held, recipe.labels)),
        )
        said = f"{layout}: {{train,test}}/rgb/0001.png, numbers from {base}, {held} labels, depth in mm"
        return _of_files(frames, (rgb, *parts), readers, recipe, said)

    return form


def of_vainf(root: Path, recipe: NyuDepthV2) -> Sheet:
    """VainF's: image, depth and labels, each by split."""
    filled(recipe, "VainF's")
    held = next((n for n in (recipe.labels, 40) if (root / f"seg{n}").is_dir()), None)
    if held is None:
        raise DamagedFile(str(root), "no labels", f"must hold seg{recipe.labels} or seg40")
    found = {one: one.parent.name for one in sorted(root.glob("image/t*/*.png")) if _digits(one)}
    frames = [Frame(int(one.stem), split) for one, split in found.items()]
    parts = [
        [root / part / split / one.name for one, split in found.items()] for part in ("depth", f"seg{held}")
    ]
    values = (*table(held, recipe.labels)[1:], *[WRONG] * (255 - held), VOID)  # one less than the number
    readers = Readers(PictureFile(recipe.size), DepthFile(recipe.size, 1e-3), LabelFile(recipe.size, values))
    said = f"VainF's: image/{{train,test}}/00001.png, seg{held} less 1 with 255 for none"
    return _of_files(frames, (list(found), *parts), readers, recipe, said)


def of_sagate(root: Path, recipe: NyuDepthV2) -> Sheet:
    """SA-Gate's: two lists of pictures and labels."""
    filled(recipe, "SA-Gate's")
    frames, rgb, labels = [], list[Path](), list[Path]()
    for split in ("train", "test"):
        file = root / f"{split}.txt"
        for line, text in enumerate(filter(str.strip, text_of(file)[0].split("\n")), start=1):
            place, cells = f"{file}, line {line}", text.strip().split("\t")
            paths = [inside(root, cell, place) for cell in cells]
            if len(cells) != 2 or not _digits(paths[0]) or paths[0].stem != paths[1].stem:
                raise DamagedFile(place, text, "must name RGB/2.jpg and Label/2.png, with a tab between")
            frames.append(Frame(int(paths[0].stem) + 1, split))
            rgb.append(paths[0])
            labels.append(paths[1])
    depth = [root / "Depth" / f"{one.stem}.npy" for one in rgb]
    reads = DepthFile(recipe.size, 1.0), LabelFile(recipe.size, table(40, recipe.labels))
    readers = Readers(PictureFile(recipe.size), *reads)
    said = "SA-Gate's: RGB/0.jpg, Depth/0.npy in metres, Label/0.png from 0 for none, lists of both splits"
    sheet = _of_files(frames, (rgb, depth, labels), readers, recipe, said)
    return told(sheet, said, (), (root / "train.txt", root / "test.txt"))


def _digits(file: Path) -> bool:
    return re.fullmatch("[0-9]+", file.stem) is not None


def _of_files(
    frames: Sequence[Frame],
    files: tuple[Sequence[Path], ...],
    readers: Readers,
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
    kept, scene, before = list[Frame](), 0, ""
    for i in whole:
        scene += frames[i].split != before
        before = frames[i].split
        kept.append(Frame(frames[i].number, before, f"run {scene}"))
    keys = tuple([str(part[i]) for i in whole] for part in files)
    sheet = sheet_of(kept, keys, readers, recipe)
    note = "scenes are not named in this form: runs of frames of one split are kept together"
    return told(sheet, layout, (note,), (), tuple(missing))
