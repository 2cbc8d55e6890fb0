"""iemocap: acted and improvised dialogues of ten speakers. Busso et al. 2008: text, sound, pictures.

Three forms are read: the release's tree of five sessions, the pickled tuple of features that models of
conversations pass on, and COSMIC's of ten members, whose text is the mean of four layers of RoBERTa; with the
other tuple beside it, it has the sounds and pictures of that. A session has two speakers of its own: splits
are whole sessions.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmkd_lab.core.check import DamagedFile
from mmkd_lab.data.published import recipes
from mmkd_lab.data.published.clips import opened
from mmkd_lab.data.published.conversations import Conversations, Utterance
from mmkd_lab.data.published.fixtures import iemocap as fixture
from mmkd_lab.data.published.items import SoundFile
from mmkd_lab.data.published.publication import Publication
from mmkd_lab.data.published.sheet import Array, Column, Sheet
from mmkd_lab.data.published.tables import text_of
from mmkd_lab.data.published.there import seen
from mmkd_lab.data.task import Task

#: In the order in which the pickles number them, and every other label of a turn.
SIX = ("hap", "sad", "neu", "ang", "exc", "fru")
FOUR = ("hap", "sad", "neu", "ang")
_OTHERS = ("xxx", "sur", "fea", "oth", "dis")
_TURN = re.compile(r"\[(\d+\.\d+) - (\d+\.\d+)\]\t(\S+)\t(\S+)\t\[[-\d., ]+\]")
_NAME = re.compile(r"Ses0([1-5])[FM]_(?:impro|script)\w+_[FM]\w+")
_CALLED = re.compile(rf"{_NAME.pattern}|Ses0([1-5])[FM]_(?:impro|script)\w+/\d+")
_SAID = re.compile(r"(\S+) \[[-\d.]+\]: ?(.*)")
_FORMS = (
    "ids speakers labels text audio visual sentences train test",
    "ids speakers labels text roberta2 roberta3 roberta4 audio visual sentences train test",
)
_ROBERTA = ("speakers labels roberta1 roberta2 roberta3 roberta4 sentences train test val",)
_FILES = {
    "tuple": ("IEMOCAP_features_raw.pkl", "IEMOCAP_features.pkl"),
    "roberta": ("iemocap_features_roberta.pkl",),
}
_HOW = (
    "It is given to those who sign the release form at sail.usc.edu/iemocap, and may not be passed on. "
    "Unpack IEMOCAP_full_release, with Session1 to Session5, into that folder."
)


@dataclass(frozen=True)
class _Turn:
    """A rated turn: where it is, when, and the label that raters agreed on."""

    session: Path
    dialogue: str
    name: str
    label: str
    start: float
    stop: float


@dataclass(frozen=True)
class TurnFrames:
    """A stretch of a clip, (path, start, stop) in seconds -> (3 count, height, width) uint8: frames in the
    middle of `count` equal parts of it, one after another."""

    count: int
    size: tuple[int, int]

    def __call__(self, key: tuple[str, float, float]) -> Array:
        """Read it. Raises `DamagedFile`, also where the clip is over before the stretch begins."""
        file, start, stop = Path(key[0]), key[1], key[2]
        times = [start + (i + 0.5) * (stop - start) / self.count for i in range(self.count)]
        found: list[Array] = []
        last: Any = None
        with opened(file, "video") as (clip, stream):
            stream.thread_type = "NONE"  # workers are processes
            clip.seek(int(start / stream.time_base), stream=stream)
            for frame in clip.decode(stream):
                last = frame if frame.time >= start else last
                while len(found) < self.count and frame.time >= times[len(found)]:
                    found.append(self._pixels(frame))
                if len(found) == self.count:
                    break
            if last is None:
                raise DamagedFile(
                    str(file), "over too soon", f"must show a turn from {start:g} to {stop:g} s"
                )
            found += [self._pixels(last)] * (self.count - len(found))
        return np.concatenate(found)

    def _pixels(self, frame: Any) -> Array:  # noqa: ANN401 - PyAV's
        size = dict(zip(("height", "width"), self.size, strict=True))
        return np.moveaxis(frame.to_ndarray(format="rgb24", interpolation="AREA", **size), -1, 0)


def read(folder: Path, recipe: recipes.Iemocap) -> Sheet:
    """The turns with a label that counts, by name. Raises `DamagedFile`."""
    sheet = _release(folder, recipe) if recipe.form == "release" else _tuple(folder, recipe)
    return seen(sheet, whole=recipe.missing == "drop")


def _split(session: int, recipe: recipes.Iemocap) -> str:
    return {recipe.test_session: "test", recipe.val_session: "val"}.get(session, "train")


def _class_of(label: str, classes: tuple[str, ...]) -> str:
    """Of four classes, happy and excited are one, as is the custom."""
    return "hap" if label == "exc" and "exc" not in classes else label


def _release(folder: Path, recipe: recipes.Iemocap) -> Sheet:
    classes = SIX if recipe.labels == "six" else FOUR
    sessions = _sessions(folder)
    rated = [turn for session in sessions for turn in _turns(session)]
    turns = [turn for turn in rated if _class_of(turn.label, classes) in classes]
    said = {name: text for session in sessions for name, text in _transcribed(session)}
    sounds = [turn.session / "sentences" / "wav" / turn.dialogue / f"{turn.name}.wav" for turn in turns]
    films = [turn.session / "dialog" / "avi" / "DivX" / f"{turn.dialogue}.avi" for turn in turns]
    there = [str(path) if path.is_file() else None for path in sounds]
    shown = [
        (str(path), turn.start, turn.stop) if path.is_file() else None
        for path, turn in zip(films, turns, strict=True)
    ]
    missing = [path for path, key in zip([*sounds, *films], [*there, *shown], strict=True) if key is None]
    counts = Counter(turn.label for turn in rated if _class_of(turn.label, classes) not in classes)
    left = ", ".join(f"{label} {n:,}" for label, n in sorted(counts.items()))
    number = [int(turn.name[4]) for turn in turns]
    sound = SoundFile(recipe.seconds, recipe.audio_frames)
    return Sheet(
        ids=tuple(turn.name for turn in turns),
        classes=classes,
        task=Task.SINGLE_LABEL,
        target=np.array([classes.index(_class_of(turn.label, classes)) for turn in turns], dtype=np.int64),
        split=tuple(_split(one, recipe) for one in number),
        group=tuple(f"Session{one}" for one in number),
        modalities={
            "text": tuple(said.get(turn.name) for turn in turns),
            **({"audio": Column(there, sound)} if any(there) else {}),
            **({"video": Column(shown, TurnFrames(recipe.frames, recipe.size))} if any(shown) else {}),
        },
        layout=f"the release's tree, {len(sessions)} sessions",
        notes=(
            f"turns without one of the {len(classes)} labels are left out: {left or 'none'}",
            *_divided(recipe),
        ),
        files=tuple(path for session in sessions for path in _lists(session, "EmoEvaluation")),
        missing=tuple(dict.fromkeys(str(path.relative_to(folder)) for path in missing)),
        metrics=("weighted_f1",),
    )


def _divided(recipe: recipes.Iemocap) -> tuple[str]:
    return (f"Session{recipe.test_session} is the test, Session{recipe.val_session} validation",)


def _sessions(folder: Path) -> list[Path]:
    homes = (folder, folder / "IEMOCAP_full_release")
    found = [path for home in homes for path in sorted(home.glob("Session[1-5]")) if path.is_dir()]
    if not found:
        raise DamagedFile(str(folder), "no session", "must hold Session1 to Session5", _HOW)
    return found


def _lists(session: Path, kind: str) -> list[Path]:
    """The text files of a session, one a dialogue, without what a Mac leaves beside them."""
    found = [one for one in sorted((session / "dialog" / kind).glob("*.txt")) if not one.name.startswith(".")]
    if not found:
        raise DamagedFile(
            str(session / "dialog" / kind), "no list", "must hold Ses01F_impro01.txt or others", _HOW
        )
    return found


def _turns(session: Path) -> Iterator[_Turn]:
    """The rated turns of a session, by dialogue and time. Raises `DamagedFile` naming file and line."""
    seen: dict[str, str] = {}
    for file in _lists(session, "EmoEvaluation"):
        for number, line in enumerate(text_of(file)[0].split("\n"), start=1):
            if not line.startswith("["):
                continue  # the raters' own lines
            place = f"{file}, line {number}"
            match = _TURN.fullmatch(line.rstrip("\r"))
            if match is None:
                rule = "must be [start - end], turn, label and [v, a, d], separated by tabs"
                raise DamagedFile(place, line[:60], rule)
            start, stop, name, label = float(match[1]), float(match[2]), match[3], match[4]
            called = _NAME.fullmatch(name)
            if called is None or called[1] != session.name[-1] or not name.startswith(f"{file.stem}_"):
                raise DamagedFile(place, name, f"must be a turn of {file.stem} in {session.name}")
            if label not in (*SIX, *_OTHERS):
                raise DamagedFile(place, f"label {label!r}", f"must be one of {', '.join((*SIX, *_OTHERS))}")
            if stop <= start:
                raise DamagedFile(place, f"[{start} - {stop}]", "must end after it begins")
            if name in seen:
                raise DamagedFile(place, name, f"must not occur twice; it is in {seen[name]}")
            seen[name] = f"line {number} of {file.name}"
            yield _Turn(session, file.stem, name, label, start, stop)


def _transcribed(session: Path) -> Iterator[tuple[str, str | None]]:
    """What was said, by turn; lines of another form are remarks of the transcribers."""
    for file in _lists(session, "transcriptions"):
        for line in text_of(file)[0].split("\n"):
            if match := _SAID.fullmatch(line.rstrip("\r")):
                yield match[1], match[2].strip() or None


def _tuple(folder: Path, recipe: recipes.Iemocap) -> Sheet:
    path = _pickle(folder, recipe.form)
    if not path.is_file():
        raise DamagedFile(str(path), "missing", "must be there", _HOW)
    classes = SIX if recipe.labels == "six" else FOUR
    alone = recipe.form == "roberta"
    talks = Conversations.of(path, _ROBERTA if alone else _FORMS, len(SIX))
    all_said = list(talks.utterances())
    said = [one for one in all_said if _class_of(SIX[one.label], classes) in classes]
    number = [_session_of(path, one) for one in said]
    target = [classes.index(_class_of(SIX[one.label], classes)) for one in said]
    return Sheet(
        ids=tuple(one.name for one in said),
        classes=classes,
        task=Task.SINGLE_LABEL,
        target=np.array(target, dtype=np.int64),
        split=tuple(_split(one, recipe) for one in number),
        group=tuple(f"Session{one}" for one in number),
        modalities={
            **{name: talks.column(name, said) for name in talks.features},
            **(_beside(_pickle(folder, "tuple"), said) if alone else {}),
        },
        layout=f"the pickled tuple {path.name} of {len(talks.members)} members",
        notes=(
            f"{len(all_said) - len(said):,} utterances without one of the {len(classes)} labels are left out",
            *_divided(recipe),
        ),
        files=(path,),
        metrics=("weighted_f1",),
    )


def _pickle(folder: Path, form: str) -> Path:
    """The pickle of a form that is there, else the first that might be."""
    homes = (folder, folder / "IEMOCAP_features", folder / "iemocap")
    every = [home / name for home in homes for name in _FILES[form]]
    return next((one for one in every if one.is_file()), every[0])


def _beside(path: Path, said: list[Utterance]) -> dict[str, Column]:
    """Sounds and pictures of the tuple beside COSMIC's, if it is there. Raises `DamagedFile` unless it has
    the same utterances and labels."""
    if not path.is_file():
        return {}
    talks = Conversations.of(path, _FORMS, len(SIX))
    known = {(one.dialogue, one.number): one.label for one in talks.utterances()}
    for one in said:
        if known.get((one.dialogue, one.number)) != one.label:
            shown = f"utterance {one.number} is {known.get((one.dialogue, one.number))}"
            rule = f"must be labelled {one.label}, as in the pickle of RoBERTa"
            raise DamagedFile(f"{path}: dialogue {one.dialogue!r}", shown, rule)
    return {name: talks.column(name, said) for name in talks.features if name != "text"}


def _session_of(path: Path, one: Utterance) -> int:
    match = _CALLED.fullmatch(one.name)
    if match is None:
        rule = "must be the name of a turn, as Ses01F_impro01_F000"
        raise DamagedFile(f"{path}: dialogue {one.dialogue!r}", one.name, rule)
    return int(match[1] or match[2])


PUBLICATION = Publication(
    name="iemocap",
    title="IEMOCAP",
    licence="by signed release form of the University of Southern California; no redistribution",
    citation="Busso et al.: IEMOCAP, Language Resources and Evaluation 42, 2008",
    home="https://sail.usc.edu/iemocap/",
    read=read,
    fixture=fixture.write,
    how=_HOW,
)
build = PUBLICATION.build
