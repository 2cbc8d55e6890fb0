"""nlvr: is a sentence true of a drawing? Cornell Natural Language Visual Reasoning.

Suhr, Lewis, Yeh and Artzi 2017 (lil-lab/nlvr, CC BY 4.0): a sentence, a drawing of three boxes of shapes,
true or false. A sentence comes with up to four drawings, true of some and false of the others, so that
neither tells the label alone. Of the six permutations of the boxes, the first.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.check import DamagedFile, reading
from mmkd_lab.core.seed import derive
from mmkd_lab.data import manifest
from mmkd_lab.data.assemble import facts_of, paired, words_of
from mmkd_lab.data.content import NLVR_MEMBER, read_members
from mmkd_lab.data.datasets.recipes import Nlvr
from mmkd_lab.data.files import locate
from mmkd_lab.data.making.pairing import Rows, cut
from mmkd_lab.data.paired import PairedData

PARTS = ("dev", "test", "hidden")
#: Height and width of the published drawings.
HEIGHT, WIDTH = 100, 400
CLASSES = ("false", "true")


@dataclass(frozen=True)
class _Example:
    part: str
    group: int
    drawing: int
    sentence: str
    label: int

    @property
    def picture(self) -> str:
        return f"{self.part}-{self.group}-{self.drawing}-0.png"


def build(recipe: Nlvr) -> PairedData:
    """The dataset. Use `data.load("nlvr", ...)`.

    image: (N, 3, h, 4 h) means of square blocks of pixels, from -1 (black) to 1 (white). text: (N, L) ids, L
    the longest training sentence; the vocabulary is that of the training split. captions: the sentences.
    group: the number of the sentence, which all its drawings share; validation takes whole groups. index: 4
    times the group, plus the number of the drawing. facts: 'part' (0 dev, 1 test, 2 hidden).

    Different writers may say the same sentence, and 31 drawings occur twice or more: `group` does not join
    these.

    Raises `DamagedFile` when the archive is missing or damaged.
    """
    (file,) = manifest.collection("nlvr").files
    where = locate(file, recipe.mirror, path=recipe.path)
    members = read_members(file, where)
    examples = [example for part in PARTS for example in _examples(members, part, where)]
    group = np.array([example.group for example in examples], dtype=np.int64)
    part = np.array([PARTS.index(example.part) for example in examples], dtype=np.int64)
    splits = _splits(group, part == PARTS.index(recipe.test_split), recipe.val_share, recipe.seed)
    said = [example.sentence for example in examples]
    text = words_of(said, splits["train"], min_count=recipe.min_count)
    return paired(
        "nlvr",
        modalities={
            "image": _pictures(members, examples, recipe.image_height, where),
            "text": text.pop("ids"),
        },
        target=np.array([example.label for example in examples]),
        splits=splits,
        classes=CLASSES,
        index=np.array([4 * example.group + example.drawing for example in examples]),
        group=group,
        recipe=facts_of(recipe, [file]),
        facts={"part": part},
        **text,
    )


def write(folder: Path, target: Path) -> None:
    """Put what the lab needs of a clone of lil-lab/nlvr into one archive; see `pack`."""
    with zipfile.ZipFile(target, "w") as archive:
        for item in sorted(folder.glob("nlvr/*/**/*")):
            name = item.relative_to(folder).as_posix()
            if item.is_file() and re.fullmatch(NLVR_MEMBER, name):  # a PNG is compressed already
                kind = zipfile.ZIP_DEFLATED if name.endswith(".json") else zipfile.ZIP_STORED
                archive.writestr(zipfile.ZipInfo(name), item.read_bytes(), compress_type=kind)


def _examples(members: dict[str, bytes], part: str, where: Path) -> list[_Example]:
    """The examples of a published part, by group and drawing."""
    found = []
    for line in members[f"nlvr/{part}/{part}.json"].decode("utf-8").splitlines():
        try:
            item = json.loads(line)
            group, drawing = (int(number) for number in item["identifier"].split("-"))
            label = CLASSES.index(item["label"])
            found.append(_Example(part, group, drawing, str(item["sentence"]), label))
        except (ValueError, KeyError, TypeError) as error:
            rule = f"every line of {part}.json must state identifier, sentence and label"
            raise DamagedFile(str(where), str(error), rule) from error
    return sorted(found, key=lambda example: (example.group, example.drawing))


def _splits(group: Rows, tested: npt.NDArray[np.bool_], val_share: float, seed: int) -> dict[str, Rows]:
    rng = np.random.default_rng(derive(seed, "nlvr", "split"))
    val, _ = cut(np.unique(group[~tested]), (val_share, 1.0 - val_share), rng)
    chosen = np.isin(group, val)
    rows = {"train": ~tested & ~chosen, "val": chosen, "test": tested}
    return {name: np.flatnonzero(mask) for name, mask in rows.items()}


def _pictures(
    members: dict[str, bytes], examples: list[_Example], height: int, where: Path
) -> npt.NDArray[np.float32]:
    """(N, 3, height, 4 height): the mean of each square block, rounded as pixels are; see `_decode`."""
    by_name = {name.rsplit("/", 1)[-1]: content for name, content in members.items()}
    out = np.empty((len(examples), 3, height, 4 * height), dtype=np.float32)
    for row, example in zip(out, examples, strict=True):
        if example.picture not in by_name:
            raise DamagedFile(str(where), example.picture, "every example must have its drawing")
        pixels = _decode(by_name[example.picture], HEIGHT // height, f"{where}: {example.picture}")
        row[:] = np.moveaxis(pixels, -1, 0) / np.float32(127.5) - np.float32(1.0)
    return out


def _decode(content: bytes, block: int, name: str) -> npt.NDArray[np.uint8]:
    """(100 / block, 400 / block, 3) of a PNG; its size is looked at before its pixels are unpacked."""
    from PIL import Image

    rule = "must be a PNG that can be read"
    with reading(name, rule), Image.open(io.BytesIO(content), formats=("PNG",)) as picture:
        size = picture.size
        if size != (WIDTH, HEIGHT):
            raise DamagedFile(name, f"{size[0]}×{size[1]} pixels", f"must be {WIDTH}×{HEIGHT}")
        return np.asarray(picture.convert("RGB").reduce(block), dtype=np.uint8)
