"""ravdess_clips: acted emotions of 24 actors, seen and heard, by the names of the published files.

Livingstone and Russo, PLoS ONE 2018. A recording without pictures (03-...wav) and the clip of the same six
other numbers (01-...mp4 with sound, 02-...mp4 without) are one sample. Other readings of the same set are
`ravdess`, as features, and `datasets.ravdess_wav`. MST-Distill's three arrays of it are a form of this one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mmkd_lab.core.check import DamagedFile, LabError
from mmkd_lab.data.datasets.ravdess_wav import Clip, parse_name
from mmkd_lab.data.published.clips import Frames
from mmkd_lab.data.published.fixtures.ravdess_clips import write
from mmkd_lab.data.published.publication import Download, Observation, Publication
from mmkd_lab.data.published.recipes import RavdessClips
from mmkd_lab.data.published.sets.heard import Heard
from mmkd_lab.data.published.sets.ravdess_arrays import EMOTIONS, of_arrays
from mmkd_lab.data.published.sheet import Column, Sheet
from mmkd_lab.data.published.there import present
from mmkd_lab.data.task import Task

SECONDS = 4.0
_SPEECH, _SONG = 1, 2
_SUNG = 6  # emotions; nobody sings with disgust or surprise
_KINDS = {".wav": (3,), ".mp4": (1, 2)}
_EACH = {_SPEECH: 60, _SONG: 44}


def read(root: Path, recipe: RavdessClips) -> Sheet:
    """The recordings and clips below a folder, by name; where there are recordings alone, or clips without
    sound, a set of one modality. Raises `DamagedFile` for a name of another form or in the wrong place, and
    for none."""
    if recipe.form == "arrays":
        return of_arrays(root, recipe)
    found, copies = _files(root)
    wanted = {"speech": (_SPEECH,), "song": (_SONG,), "both": (_SPEECH, _SONG)}[recipe.channel]
    clips = {clip: file for clip, file in found.items() if clip.channel in wanted}
    if not clips:
        raise DamagedFile(
            str(root), f"no {recipe.channel}", "must hold Actor_01 to Actor_24", PUBLICATION.how
        )
    by_key: dict[str, dict[int, Clip]] = {}
    for clip in clips:
        by_key.setdefault(clip.key, {})[clip.modality] = clip
    keys = sorted(by_key)
    first = [next(iter(by_key[key].values())) for key in keys]
    heard = [_one(by_key[key], (3, 1), clips) for key in keys]
    seen = [_one(by_key[key], (1, 2), clips) for key in keys]
    whole = sum(one is not None and other is not None for one, other in zip(heard, seen, strict=True))
    random = recipe.split == "random"
    notes = [
        f"{copies} files of a name that occurs elsewhere, too, are left out" if copies else "",
        f"{whole:,} of {len(keys):,} performances are both seen and heard",
        "every actor is in every split, saying the same two sentences: what a network knows of the voice and "
        "the face counts for it" * random,
    ]
    return Sheet(
        ids=tuple(keys),
        classes=EMOTIONS[: _SUNG if recipe.channel == "song" else len(EMOTIONS)],
        task=Task.SINGLE_LABEL,
        target=np.array([clip.emotion - 1 for clip in first], dtype=np.int64),
        split=None,
        modalities=present(
            {
                "audio": Column(heard, Heard(SECONDS, recipe.audio_frames)),
                "video": Column(seen, Frames(recipe.frames, recipe.size)),
            }
        ),
        group=None if random else tuple(f"actor {clip.actor:02d}" for clip in first),
        layout="files of seven numbers, wherever they lie",
        notes=tuple(filter(None, notes)),
    )


def _files(root: Path) -> tuple[dict[Clip, Path], int]:
    """Every recording and clip, and how many second copies there are."""
    found: dict[Clip, Path] = {}
    copies = 0
    for file in sorted(root.rglob("*")):
        kind = file.suffix.lower()
        if kind not in _KINDS or file.name.startswith("._") or not file.is_file():
            continue
        try:
            clip = parse_name(file.name.lower(), kind)
        except LabError as error:
            raise DamagedFile(str(file), error.value, error.rule, error.way_out) from error
        if clip.modality not in _KINDS[kind]:
            shown = f"modality {clip.modality:02d}"
            raise DamagedFile(str(file), shown, f"must be one of {_KINDS[kind]} in a {kind} file")
        if clip.channel == _SONG and clip.emotion > _SUNG:
            raise DamagedFile(
                str(file), f"song of emotion {clip.emotion:02d}", f"must be at most {_SUNG:02d}"
            )
        folder = file.parent.name
        if folder.startswith("Actor_") and folder != f"Actor_{clip.actor:02d}":
            raise DamagedFile(str(file), folder, f"must stand in Actor_{clip.actor:02d}")
        copies += clip in found
        found.setdefault(clip, file)
    return found, copies


def _one(held: dict[int, Clip], modalities: tuple[int, ...], files: dict[Clip, Path]) -> str | None:
    """The file of the first of these modalities that is there."""
    return next((str(files[held[one]]) for one in modalities if one in held), None)


def _examined(root: Path, recipe: RavdessClips, sheet: Sheet) -> Iterator[Observation]:
    counts = Counter(sheet.group or ())
    every = sum(_EACH[one] for one in ((_SPEECH, _SONG) if recipe.channel == "both" else (_SPEECH,)))
    every = _EACH[_SONG] if recipe.channel == "song" else every
    few = {actor: n for actor, n in counts.items() if n != every}
    if few:
        shown = ", ".join(f"{actor} {n}" for actor, n in list(few.items())[:3])
        yield Observation("note", "actors", f"{len(few)} have another number than {every}, as {shown}")


_FILES = "https://zenodo.org/records/1188976/files"
_ARCHIVES = ("Audio_Speech_Actors_01-24", *(f"Video_Speech_Actor_{i:02d}" for i in range(1, 25)))
PUBLICATION = Publication(
    name="ravdess_clips",
    title="Ryerson Audio-Visual Database of Emotional Speech and Song (RAVDESS)",
    licence="CC BY-NC-SA 4.0, research only",
    citation="Livingstone, Russo: The Ryerson Audio-Visual Database of Emotional Speech and Song, PLoS ONE "
    "13(5), 2018",
    home="https://zenodo.org/records/1188976",
    read=read,
    fixture=write,
    how="Speech is fetched; of the songs, fetch Audio_Song and Video_Song of the same address and "
    "unpack them into the folder.",
    megabytes=24_800,
    downloads=tuple(Download(f"{_FILES}/{one}.zip", f"{one}.zip", 0, unpack=".") for one in _ARCHIVES),
    expected={"all": 1_440},
    examine=_examined,
)
build = PUBLICATION.build
