"""crema_d: six acted emotions of 91 actors, seen and heard, by the names of the published files.

Cao, Cooper, Keutmann, Gur, Nenkova and Verma, IEEE Trans. Affective Computing 2014: 1001_IEO_HAP_HI is actor,
sentence, emotion and level. The label is what the actor was asked for; what was perceived is `crema_votes`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mmkd_lab.core.check import DamagedFile
from mmkd_lab.data.published.clips import Frames
from mmkd_lab.data.published.fixtures.crema_d import write
from mmkd_lab.data.published.publication import Publication
from mmkd_lab.data.published.recipes import CremaD
from mmkd_lab.data.published.sets.heard import Heard
from mmkd_lab.data.published.sheet import Column, Sheet
from mmkd_lab.data.published.tables import Record, csv_rows, distinct
from mmkd_lab.data.published.there import present
from mmkd_lab.data.task import Task

SECONDS = 3.0
EMOTIONS = {
    "ANG": "anger",
    "DIS": "disgust",
    "FEA": "fear",
    "HAP": "happy",
    "NEU": "neutral",
    "SAD": "sad",
}
SENTENCES = ("IEO", "TIE", "IOM", "IWW", "TAI", "MTI", "IWL", "ITH", "DFA", "ITS", "TSI", "WSI")
LEVELS = ("LO", "MD", "HI", "XX", "X")  # one published name ends in a single X
_HEARD, _SEEN = ("AudioWAV/*.wav", "AudioMP3/*.mp3"), ("VideoFlash/*.flv", "VideoFlash/*.mp4")


def read(root: Path, recipe: CremaD) -> Sheet:
    """The sounds and clips of a folder, by name. Raises `DamagedFile` for a name of another form, and for
    none."""
    heard, seen = _named(root, _HEARD), _named(root, _SEEN)
    names, lists = sorted({*heard, *seen}), tuple[Path, ...]()
    if not names:
        shown = f"must hold {' or '.join((*_HEARD, *_SEEN))}"
        raise DamagedFile(str(root), "no sound and no clip", shown, PUBLICATION.how)
    split, missing, note = None, tuple[str, ...](), ""
    if recipe.split == "listed":
        listed, lists = _listed(root)
        missing = tuple(name for name in listed if name not in heard and name not in seen)
        names = [name for name in listed if name not in missing]
        split = tuple(listed[name].file.stem for name in names)
        note = "by the lists every actor is in every split"
    whole = sum(name in heard and name in seen for name in names)
    return Sheet(
        ids=tuple(names),
        classes=tuple(EMOTIONS.values()),
        task=Task.SINGLE_LABEL,
        target=np.array([list(EMOTIONS).index(name.split("_")[2]) for name in names], dtype=np.int64),
        split=split,
        modalities=present(
            {
                "audio": Column([heard.get(name) for name in names], Heard(SECONDS, recipe.audio_frames)),
                "video": Column([seen.get(name) for name in names], Frames(recipe.frames, recipe.size)),
            }
        ),
        group=None if recipe.split != "actors" else tuple(name[:4] for name in names),
        layout="AudioWAV and VideoFlash, files named actor_sentence_emotion_level",
        notes=tuple(filter(None, (f"{whole:,} of {len(names):,} takes are both seen and heard", note))),
        files=lists,
        missing=missing,
    )


def _named(root: Path, patterns: tuple[str, ...]) -> dict[str, str]:
    """{name of a take: its file}, of the first kind of file that is there."""
    found: dict[str, str] = {}
    for pattern in patterns:
        for file in sorted(root.glob(pattern)):
            if not file.name.startswith("._"):
                _take(file.stem, str(file))
                found.setdefault(file.stem, str(file))
    return found


def _take(name: str, place: str) -> None:
    """Raise `DamagedFile` unless a name is that of a take."""
    match = re.fullmatch(r"(1[0-9]{3})_([A-Z]{3})_([A-Z]{3})_([A-Z]{1,2})", name)
    known = match is not None and (
        1001 <= int(match[1]) <= 1091
        and match[2] in SENTENCES
        and match[3] in EMOTIONS
        and match[4] in LEVELS
    )
    if not known:
        rule = "must be actor (1001 to 1091), sentence, emotion and level, as in 1001_IEO_HAP_HI"
        raise DamagedFile(place, name, rule)


def _listed(root: Path) -> tuple[Mapping[str, Record], tuple[Path, ...]]:
    """{take: its record} of train.csv and test.csv, whose second column repeats the emotion."""
    files = (root / "train.csv", root / "test.csv")
    for file in files:
        if not file.is_file():
            raise DamagedFile(
                str(file), "missing", "must be there for split='listed'", "Or take split='actors'."
            )
    records = [one for file in files for one in csv_rows(file, ("take", "emotion"), header=False)]
    for one in records:
        _take(one["take"], one.place)
        if one["take"].split("_")[2] != one["emotion"]:
            raise one.wrong(f"emotion {one['emotion']!r}", f"must be that of {one['take']}")
    return distinct(((one["take"], one) for one in records), what="take"), files


PUBLICATION = Publication(
    name="crema_d",
    title="Crowd-sourced Emotional Multimodal Actors Dataset (CREMA-D)",
    licence="ODbL 1.0",
    citation="Cao, Cooper, Keutmann, Gur, Nenkova, Verma: CREMA-D, IEEE Transactions on Affective "
    "Computing 5(4), 2014",
    home="https://github.com/CheyneyComputerScience/CREMA-D",
    read=read,
    fixture=write,
    how="Clone the repository with Git LFS: git lfs install; git clone of the home above. A zip from its "
    "page holds stubs of 131 bytes in place of the files. AudioWAV and VideoFlash are what is read.",
    expected={"all": 7_442},
)
build = PUBLICATION.build
