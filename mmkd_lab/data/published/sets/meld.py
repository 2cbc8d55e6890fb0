"""meld: who feels what in a dialogue of the series Friends. Poria et al. 2019 (ACL): text, sound, clips.

Three forms are read: the csv files with the clips of MELD.Raw; the csv files with the authors' averaged word
vectors and selected openSMILE features; and the pickled tuple that models of conversations pass on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmkd_lab.core.check import DamagedFile
from mmkd_lab.data.published import recipes
from mmkd_lab.data.published.clips import ClipSound, Frames
from mmkd_lab.data.published.conversations import Conversations
from mmkd_lab.data.published.fixtures import meld as fixture
from mmkd_lab.data.published.pickles import PickledRow, held
from mmkd_lab.data.published.publication import Download, Publication
from mmkd_lab.data.published.sheet import Column, Sheet
from mmkd_lab.data.published.tables import Record, csv_text, distinct, repaired, text_of
from mmkd_lab.data.published.there import seen
from mmkd_lab.data.task import Task

#: In the authors' order.
EMOTIONS = ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")
SENTIMENTS = ("neutral", "positive", "negative")
_COLUMNS = ("Utterance", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID")
#: Of each split the csv, and the folders in which its clips may stand.
_PARTS = {
    "train": ("train_sent_emo.csv", ("train_splits", "train/train_splits")),
    "val": ("dev_sent_emo.csv", ("dev_splits_complete", "dev/dev_splits_complete")),
    "test": ("test_sent_emo.csv", ("output_repeated_splits_test", "test/output_repeated_splits_test")),
}
#: Clips of the release that cannot be read, last minutes, or have no length (declare-lab/MELD, issues 9, 20,
#: 22, 27, 39, 52).
BROKEN = {
    "train": ("dia125_utt3", "dia309_utt0"),
    "val": ("dia110_utt7",),
    "test": ("dia38_utt4", "dia220_utt0", "dia155_utt3"),
}
_FORMS = (
    "ids speakers labels text audio sentences train test sentiments",
    "ids speakers labels text audio visual sentences train test sentiments",
    "ids speakers labels text roberta2 roberta3 roberta4 audio visual sentences train test sentiments",
)
#: The csv files, as they are since this commit.
_CSV = "https://raw.githubusercontent.com/declare-lab/MELD/2d2011b409d3ca2d7e94460cd007d434b1d0a102/data/MELD"
_HOW = (
    "The csv files and the address of MELD.Raw.tar.gz are at github.com/declare-lab/MELD. Unpack it and the "
    "three archives inside into one folder: train_splits, dev_splits_complete, output_repeated_splits_test, "
    "and the csv files beside them."
)


@dataclass(frozen=True)
class _Said:
    """One utterance of the csv files."""

    split: str
    row: Record

    @property
    def clip(self) -> str:
        return f"dia{self.row['Dialogue_ID']}_utt{self.row['Utterance_ID']}"


def read(folder: Path, recipe: recipes.Meld) -> Sheet:
    """The utterances, in the order of the csv files, or of the pickle. Raises `DamagedFile`."""
    sheet = _tuple(folder, recipe) if recipe.form == "tuple" else _listed(folder, recipe)
    return seen(sheet, whole=recipe.missing == "drop")


def _listed(folder: Path, recipe: recipes.Meld) -> Sheet:
    files = {split: _found(folder, (name, f"data/MELD/{name}")) for split, (name, _) in _PARTS.items()}
    notes: list[str] = []
    said = [one for split, file in files.items() for one in _rows(split, file, notes)]
    clips = recipe.form == "clips"
    columns, missing, more = (_clips if clips else _averages)(folder, said, recipe)
    classes = EMOTIONS if recipe.target == "emotion" else SENTIMENTS
    column = recipe.target.capitalize()
    return Sheet(
        ids=tuple(f"{one.split}/{one.clip}" for one in said),
        classes=classes,
        task=Task.SINGLE_LABEL,
        target=np.array([classes.index(one.row.option(column, classes)) for one in said]),
        split=tuple(one.split for one in said),
        group=tuple(f"{one.split}/{one.row['Dialogue_ID']}" for one in said),
        modalities={**({"text": tuple(_text(one) for one in said)} if clips else {}), **columns},
        layout=f"three csv and {'clips of MELD.Raw' if clips else 'pickles of averaged features'}",
        notes=(*notes, *more),
        files=tuple(files.values()),
        missing=tuple(missing),
        metrics=("weighted_f1",),
    )


def _found(folder: Path, names: tuple[str, ...]) -> Path:
    """The first of these files that is there, in the folder or in its MELD.Raw."""
    every = [base / name for base in (folder, folder / "MELD.Raw") for name in names]
    found = next((path for path in every if path.is_file()), None)
    if found is None:
        raise DamagedFile(str(every[0]), "missing", "must be there", _HOW)
    return found


def _rows(split: str, file: Path, notes: list[str]) -> Iterator[_Said]:
    """The rows of a csv. Text that was cp1252 and once read as Latin-1 is repaired."""
    text, note = text_of(file)
    text, count = repaired(text)
    if count:
        note = f"{file.name}: {count:,} control characters stood for typographic ones and were repaired"
    notes += [note] * bool(note)
    rows = list(csv_text(file, text, _COLUMNS))
    named = ((f"dia{row.number('Dialogue_ID')}_utt{row.number('Utterance_ID')}", row) for row in rows)
    yield from (_Said(split, row) for row in distinct(named, what="utterance").values())


def _text(one: _Said) -> str | None:
    return one.row["Utterance"].strip() or None


def _clips(
    folder: Path, said: list[_Said], recipe: recipes.Meld
) -> tuple[dict[str, Column], list[str], list[str]]:
    """Pictures and sound of the clips, what is missing, and what is known to be broken."""
    keys: list[str | None] = []
    missing, broken = [], []
    base = folder / "MELD.Raw" if (folder / "MELD.Raw").is_dir() else folder
    homes = {
        split: next((base / one for one in folders if (base / one).is_dir()), base / folders[0])
        for split, (_, folders) in _PARTS.items()
    }
    for one in said:
        path = homes[one.split] / f"{one.clip}.mp4"
        bad, there = one.clip in BROKEN[one.split], path.is_file()
        broken += [f"{one.split}/{one.clip}"] * bad
        missing += [str(path.relative_to(folder))] * (not there and not bad)
        keys.append(str(path) if there and not bad else None)
    if not any(keys):
        raise DamagedFile(
            str(homes["train"]), "no clip of the list", "must hold dia0_utt0.mp4 and others", _HOW
        )
    columns = {
        "audio": Column(keys, ClipSound(recipe.seconds, recipe.audio_frames)),
        "video": Column(keys, Frames(recipe.frames, recipe.size)),
    }
    notes = [f"{len(said) - keys.count(None):,} of {len(said):,} listed clips are used"]
    notes += [f"known to be unusable, left out of audio and video: {', '.join(broken)}"] * bool(broken)
    return columns, missing, notes


def _averages(
    folder: Path, said: list[_Said], recipe: recipes.Meld
) -> tuple[dict[str, Column], list[str], list[str]]:
    """The authors' features, which some utterances lack."""
    columns, notes = {}, []
    for modality, stem in (("text", "text_glove_average"), ("audio", "audio_embeddings_feature_selection")):
        name = f"{stem}_{recipe.target}.pkl"
        path = _found(folder, (name, f"features/{name}", f"MELD.Features.Models/features/{name}"))
        parts = held(path)
        if (
            not isinstance(parts, (list, tuple))
            or len(parts) != 3
            or not all(isinstance(x, dict) for x in parts)
        ):
            raise DamagedFile(str(path), type(parts).__name__, "must be three dictionaries: train, val, test")
        keys = [_place(path, parts, one) for one in said]
        columns[modality] = Column(keys, PickledRow())
        if lacking := keys.count(None):
            notes.append(f"{lacking:,} of {len(said):,} utterances have no {modality} features")
    return columns, [], notes


def _place(path: Path, parts: Sequence[dict[str, object]], one: _Said) -> tuple[str, int, str] | None:
    part, name = list(_PARTS).index(one.split), f"{one.row['Dialogue_ID']}_{one.row['Utterance_ID']}"
    return (str(path), part, name) if name in parts[part] else None


def _tuple(folder: Path, recipe: recipes.Meld) -> Sheet:
    names = ("MELD_features_raw.pkl", "MELD_features_raw1.pkl")
    path = _found(
        folder, tuple(f"{at}{name}" for name in names for at in ("", "features/", "MELD_features/"))
    )
    talks = Conversations.of(path, _FORMS, len(EMOTIONS))
    if recipe.target == "sentiment":
        swap = {"labels": "emotions", "sentiments": "labels"}
        members = tuple(swap.get(name, name) for name in talks.members)
        talks = Conversations(path, members, len(SENTIMENTS))
    said = list(talks.utterances())
    return Sheet(
        ids=tuple(f"{one.dialogue}_{one.name}" for one in said),
        classes=EMOTIONS if recipe.target == "emotion" else SENTIMENTS,
        task=Task.SINGLE_LABEL,
        target=np.array([one.label for one in said]),
        split=tuple(one.side for one in said),
        group=tuple(str(one.dialogue) for one in said),
        modalities={name: talks.column(name, said) for name in talks.features},
        layout=f"the pickled tuple {path.name} of {len(talks.members)} members",
        notes=("the published training and validation dialogues are one list in this file",),
        files=(path,),
        metrics=("weighted_f1",),
    )


PUBLICATION = Publication(
    name="meld",
    title="MELD",
    licence="GPL-3.0 (the repository with the csv files); the clips belong to the makers of the series",
    citation="Poria, Hazarika, Majumder, Naik, Cambria, Mihalcea: MELD, ACL 2019",
    home="https://github.com/declare-lab/MELD",
    read=read,
    fixture=fixture.write,
    how=_HOW,
    megabytes=1.6,
    downloads=tuple(
        Download(f"{_CSV}/{name}_sent_emo.csv", f"{name}_sent_emo.csv", size, f"sha256:{digest}")
        for name, size, digest in (
            ("train", 1119290, "d2fa2d6529cf03cac2989efec05c9b27d8fd2f4c8fc5974c7ae88aa537fa02db"),
            ("dev", 121640, "2e89c6f8aa182d6f62f8c6331aece905ac7273ca4999660bfb5213e1d0370c1c"),
            ("test", 294526, "8d37103938f7067600839fe29d5a114a6cd1bcdafb75bec101e06464c5006888"),
        )
    ),
    expected={"train": 9989, "val": 1109, "test": 2610},
)
build = PUBLICATION.build
