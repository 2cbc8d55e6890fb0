"""nlvr: is a sentence true of a drawing? Cornell Natural Language Visual Reasoning.

Suhr, Lewis, Yeh and Artzi 2017 (lil-lab/nlvr, CC BY 4.0): a sentence, a drawing of three boxes of shapes,
true or false. A sentence comes with up to four drawings, true of some and false of the others, so that
neither tells the label alone. Of the six permutations of the boxes, the first.
"""

from __future__ import annotations

import io
import json
import re
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from mmkd_lab.core.atomic import write_with
from mmkd_lab.core.check import DamagedFile, require
from mmkd_lab.core.check import path as check_path
from mmkd_lab.core.fingerprint import digest
from mmkd_lab.core.seed import derive
from mmkd_lab.data import manifest
from mmkd_lab.data.archives import digest_members
from mmkd_lab.data.content import NLVR_MEMBER, read_nlvr
from mmkd_lab.data.files import locate
from mmkd_lab.data.packing import command
from mmkd_lab.data.paired import PairedData
from mmkd_lab.data.pairing import Rows, cut
from mmkd_lab.data.text import Vocabulary, words

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


def build(
    *,
    test_split: str,
    val_share: float,
    image_height: int,
    min_count: int,
    seed: int,
    mirror: str | None,
    path: str | None,
) -> PairedData:
    """The dataset. Use `data.load("nlvr", ...)`, which checks the parameters and knows the defaults.

    image: (N, 3, h, 4 h) means of square blocks of pixels, from -1 (black) to 1 (white). text: (N, L) ids, L
    the longest training sentence; the vocabulary is that of the training split. captions: the sentences.
    group: the number of the sentence, which all its drawings share; validation takes whole groups. index: 4
    times the group, plus the number of the drawing. facts: 'part' (0 dev, 1 test, 2 hidden).

    Different writers may say the same sentence, and 31 drawings occur twice or more: `group` does not join
    these.

    Raises:
        DamagedFile: the archive is missing or damaged.
    """
    (file,) = manifest.collection("nlvr").files
    where = locate(file, mirror, path=path)
    members = read_nlvr(file, where)
    examples = [example for part in PARTS for example in _examples(members, part, where)]
    group = np.array([example.group for example in examples], dtype=np.int64)
    part = np.array([PARTS.index(example.part) for example in examples], dtype=np.int64)
    splits = _splits(group, part == PARTS.index(test_split), val_share, seed)
    said = tuple(example.sentence for example in examples)
    vocabulary = Vocabulary.fit([said[i] for i in splits["train"]], min_count=min_count)
    length = max(len(words(said[i])) for i in splits["train"])
    facts = {
        "test_split": test_split,
        "val_share": val_share,
        "image_height": image_height,
        "min_count": min_count,
        "seed": seed,
        "files": {file.name: file.sha256},
    }
    return PairedData(
        name="nlvr",
        modalities={
            "image": torch.from_numpy(_pictures(members, examples, image_height, where)),
            "text": torch.from_numpy(vocabulary.encode(said, length=length)),
        },
        target=torch.tensor([example.label for example in examples]),
        splits={name: torch.from_numpy(rows) for name, rows in splits.items()},
        classes=CLASSES,
        index=torch.tensor([4 * example.group + example.drawing for example in examples]),
        group=torch.from_numpy(group),
        recipe={**facts, "hash": digest(facts)},
        vocabularies={"text": vocabulary},
        captions={"text": said},
        facts={"part": torch.from_numpy(part)},
    )


def pack(folder: str | Path, target: str | Path) -> Path:
    """Write what the lab needs of a clone of lil-lab/nlvr into one archive; atomic.

    Args:
        folder: the clone; it holds nlvr/dev, nlvr/test and nlvr/hidden.
        target: the archive, .zip.

    Raises:
        LabError: another suffix.
        DamagedFile: the folder does not hold the published files.
    """
    out, base = check_path("target", target), check_path("folder", folder)
    require(out.suffix == ".zip", "target", str(target), "must end in .zip")
    (file,) = manifest.collection("nlvr").files
    found = {
        name: item.read_bytes()
        for item in sorted(base.glob("nlvr/*/**/*"))
        if item.is_file() and re.fullmatch(NLVR_MEMBER, name := item.relative_to(base).as_posix())
    }
    if len(found) != file.size or digest_members(found) != file.sha256:
        rule = f"must hold the {file.size} published files nlvr/{{dev,test,hidden}} of permutation 0"
        raise DamagedFile(str(base), f"{len(found)} files", rule, "Clone github.com/lil-lab/nlvr again.")

    def write(to: Path) -> None:
        with zipfile.ZipFile(to, "w") as archive:
            for name, content in found.items():  # a PNG is compressed already
                kind = zipfile.ZIP_DEFLATED if name.endswith(".json") else zipfile.ZIP_STORED
                archive.writestr(zipfile.ZipInfo(name), content, compress_type=kind)

    return write_with(out, write)


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

    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as picture:
            size = picture.size
            if size != (WIDTH, HEIGHT):
                raise DamagedFile(name, f"{size[0]}×{size[1]} pixels", f"must be {WIDTH}×{HEIGHT}")
            return np.asarray(picture.convert("RGB").reduce(block), dtype=np.uint8)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise DamagedFile(name, str(error), "must be a PNG that can be read") from error


def main(arguments: list[str]) -> int:
    """`python -m mmkd_lab.data.nlvr FOLDER FILE`; 2 when it refuses."""
    return command(pack, arguments, usage="mmkd_lab.data.nlvr FOLDER FILE.zip")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
