"""MELD: csv, clips and feature pickles as published; what is known to be wrong with them is told, not tripped
over."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mmkd_lab.core.check import DamagedFile
from mmkd_lab.data.published import pickles
from mmkd_lab.data.published.fixtures import meld as fixture
from mmkd_lab.data.published.fixtures.media import Shot, write_clip
from mmkd_lab.data.published.recipes import Meld
from mmkd_lab.data.published.sets import meld
from mmkd_lab.data.published.sheet import Column
from mmkd_lab.data.published.verify import verify

av = pytest.importorskip("av")


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("meld")
    fixture.write(folder, 6)
    return folder


@pytest.fixture
def own(six: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(six, tmp_path / "meld"))


def sheet(folder: Path, **options: object):
    options = {"missing": "keep", **options}
    return meld.PUBLICATION.sheet(Meld(root=str(folder), **options))


def read(column: Column, row: int) -> np.ndarray:
    return column.read(column.keys[row])


def test_the_fixture_is_what_is_published(six: Path) -> None:
    content = (six / "train_sent_emo.csv").read_bytes()
    assert content.startswith(
        b"Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Ep"
    )
    assert content.count(b"\r\n") == 5
    assert "\x92" in content.decode("utf-8")
    table = pd.read_csv(six / "train_sent_emo.csv")
    assert table[["Dialogue_ID", "Utterance_ID"]].to_numpy().tolist() == [[0, 0], [0, 1], [0, 2], [0, 3]]
    assert table["Emotion"].tolist() == ["joy", "disgust", "anger", "neutral"]
    with av.open(str(six / "train_splits" / "dia0_utt0.mp4")) as clip:
        assert [one.type for one in clip.streams] == ["video", "audio"]
        assert clip.duration == 2_000_000
    parts = pickle.loads((six / "features" / "audio_embeddings_feature_selection_emotion.pkl").read_bytes())
    assert [len(part) for part in parts] == [4, 1, 1]
    assert parts[0]["0_1"].shape == (1611,)


def test_the_csv_files_say_who_feels_what(six: Path) -> None:
    found = sheet(six)
    assert found.ids[:2] == ("train/dia0_utt0", "train/dia0_utt1")
    assert found.ids[4:] == ("val/dia0_utt0", "test/dia0_utt0")
    assert [found.classes[i] for i in found.target] == ["joy", "disgust", "anger", "neutral"] + [
        "neutral"
    ] * 2
    assert found.split == ("train",) * 4 + ("val", "test")
    assert found.group == ("train/0",) * 4 + ("val/0", "test/0")
    assert found.modalities["text"][0] == "It’s our best harvest…"
    assert found.missing == ("train_splits/dia0_utt2.mp4",)
    assert "5 of 6 listed clips are used" in found.notes
    by_sentiment = sheet(six, target="sentiment")
    assert [by_sentiment.classes[i] for i in by_sentiment.target[:3]] == ["positive", "negative", "negative"]


def test_clips_come_upright_and_are_heard(six: Path) -> None:
    found = sheet(six, size=(16, 16), frames=2)
    assert found.modalities["video"].keys[2] is None
    picture = read(found.modalities["video"], 0)
    assert (picture.shape, picture.dtype) == ((6, 16, 16), np.uint8)
    first, second = picture.reshape(2, 3, 16, 16).mean(axis=1)  # the left part is dark, and grows
    assert first[:, 2].mean() < 0.7 * first[:, 13].mean()
    assert np.ptp(first[:, 13]) < 10
    assert second[:, 13].mean() <= first[:, 13].mean()
    low, high = (read(found.modalities["audio"], row)[0].mean(axis=1).argmax() for row in (3, 0))
    assert 0 <= low < high < 40  # neutral hums lower than joy


def test_the_authors_features_are_joined_by_dialogue_and_utterance(six: Path, own: Path) -> None:
    found = sheet(six, form="features")
    parts = pickle.loads((six / "features" / "text_glove_average_emotion.pkl").read_bytes())
    assert list(found.modalities) == ["text", "audio"]
    np.testing.assert_array_equal(read(found.modalities["text"], 3), parts[0]["0_3"])
    np.testing.assert_array_equal(read(found.modalities["text"], 5), parts[2]["0_0"])
    del parts[0]["0_3"]
    pickles.write(own / "features" / "text_glove_average_emotion.pkl", parts)
    fewer = sheet(own, form="features")
    assert fewer.modalities["text"].keys[3] is None
    assert "1 of 6 utterances have no text features" in fewer.notes


def test_the_tuple_of_models_of_conversations(six: Path) -> None:
    value = pickle.loads((six / "features" / "MELD_features_raw.pkl").read_bytes())
    found = sheet(six, form="tuple")
    assert found.ids == ("0_0", "0_1", "0_2", "0_3", "1_0", "2_0")
    assert found.split == ("train",) * 5 + ("test",)
    assert [found.classes[i] for i in found.target[:3]] == ["joy", "disgust", "anger"]
    np.testing.assert_array_equal(read(found.modalities["audio"], 3), value[4][0][3])
    by_sentiment = sheet(six, form="tuple", target="sentiment")
    assert by_sentiment.target.tolist() == [1, 2, 2, 0, 0, 0]


def test_a_whole_set_loads(tmp_path: Path) -> None:
    fixture.write(tmp_path, 42)
    found = meld.build(Meld(root=str(tmp_path), size=(16, 16), audio_frames=8, missing="keep"))
    assert {name: len(rows) for name, rows in found.splits.items()} == {"train": 28, "val": 7, "test": 7}
    assert found.present["video"].logical_not().nonzero().flatten().tolist() == [2]
    fewer = meld.build(Meld(root=str(tmp_path), size=(16, 16), audio_frames=8))
    assert (len(fewer), fewer.present) == (41, {})
    assert "1 samples lack a modality and are left out" in repr(fewer)
    assert found.metrics == ("weighted_f1",)
    assert found.caption("text", 0) == "It’s our best harvest…"
    states = {one.state for one in verify(meld.PUBLICATION, Meld(root=str(tmp_path)))}
    assert states == {"ok", "note"}


def test_what_is_known_to_be_broken_is_left_out(own: Path) -> None:
    """A clip of the list of unusable ones is not read, be it there or not."""
    rows = (own / "train_sent_emo.csv").read_text("utf-8")
    path = own / "train_splits" / "dia125_utt3.mp4"
    row = "9,Well.,Person 0,joy,positive,125,3,8,21,a,b"
    (own / "train_sent_emo.csv").write_text(f"{rows}{row}\n", "utf-8")
    path.write_bytes(b"not a clip")
    found = sheet(own)
    assert found.modalities["video"].keys[4] is None
    assert any("train/dia125_utt3" in note for note in found.notes)
    assert "train_splits/dia125_utt3.mp4" not in found.missing


def test_a_copy_in_cp1252_is_read_and_said_so(own: Path) -> None:
    file = own / "train_sent_emo.csv"
    file.write_bytes(file.read_text("utf-8").encode("latin-1"))
    found = sheet(own)
    assert found.modalities["text"][0] == "It’s our best harvest…"
    assert "train_sent_emo.csv is no UTF-8 and was read as cp1252" in found.notes


def replaced(name: str, old: str, new: str) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        text = (folder / name).read_bytes().decode("utf-8")
        assert old in text
        (folder / name).write_bytes(text.replace(old, new, 1).encode("utf-8"))

    return change


TRAIN = "train_sent_emo.csv"
FEATURES = "features/text_glove_average_emotion.pkl"
TUPLE = "features/MELD_features_raw.pkl"


def retold(change: Callable[[list], object]) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        value = list(pickle.loads((folder / TUPLE).read_bytes()))
        change(value)
        pickles.write(folder / TUPLE, tuple(value))

    return write


#: What is damaged, how it is read, and what the refusal says.
DAMAGED: dict[str, tuple[Callable[[Path], object], dict[str, str], str]] = {
    "no list": (lambda at: (at / TRAIN).unlink(), {}, r"train_sent_emo\.csv = 'missing'.*declare-lab"),
    "no clips": (
        lambda at: [shutil.rmtree(at / one) for one in fixture.FOLDERS.values()],
        {},
        r"train_splits = 'no clip of the list'",
    ),
    "an emotion of another set": (
        replaced(TRAIN, ",joy,", ",bored,"),
        {},
        r"train_sent_emo\.csv, line 2 = \"Emotion 'bored'\": must be one of 'neutral', 'surprise'",
    ),
    "an utterance twice": (
        replaced(TRAIN, "disgust,negative,0,1", "disgust,negative,0,0"),
        {},
        r"line 3 = \"utterance 'dia0_utt0'\": must not occur twice; it is in train_sent_emo.csv, line 2",
    ),
    "ids as floats": (
        replaced(TRAIN, "disgust,negative,0,1", "disgust,negative,0.0,1.0"),
        {},
        r"line 3 = \"Dialogue_ID '0.0'\": must be a whole number",
    ),
    "a spreadsheet's semicolons": (
        lambda at: (at / TRAIN).write_text((at / TRAIN).read_text().replace(",", ";")),
        {},
        r"must separate columns by ','",
    ),
    "UTF-16": (
        lambda at: (at / TRAIN).write_bytes((at / TRAIN).read_text().encode("utf-16")),
        {},
        r"train_sent_emo.csv = 'text in UTF-16'",
    ),
    "an open quote": (replaced(TRAIN, ",It", ',"It'), {}, r"train_sent_emo\.csv.*must be a table"),
    "features without the test": (
        lambda at: pickles.write(at / FEATURES, [{}, {}]),
        {"form": "features"},
        r"text_glove_average_emotion\.pkl = 'list': must be three dictionaries",
    ),
    "no features": (
        lambda at: shutil.rmtree(at / "features"),
        {"form": "features"},
        r"text_glove_average_emotion\.pkl = 'missing'",
    ),
    "a tuple of another kind": (
        lambda at: pickles.write(at / TUPLE, (1, 2, 3)),
        {"form": "tuple"},
        r"MELD_features_raw\.pkl = 'tuple of 3 members': must be a tuple of 9, 10 or 13 members",
    ),
    "a dialogue on both sides": (
        retold(lambda value: value[7].append(0)),
        {"form": "tuple"},
        r"dialogue 0 = 'in train and test': must be in one of them",
    ),
    "a label too many": (
        retold(lambda value: value[2].update({1: [7]})),
        {"form": "tuple"},
        r"dialogue 1 = 'label 7': must lie between 0 and 6",
    ),
    "features of fewer utterances": (
        retold(lambda value: value[4].update({0: value[4][0][:1]})),
        {"form": "tuple"},
        r"dialogue 0 = .*'audio': 1.*must have as many of each",
    ),
    "no member by dialogue": (
        retold(lambda value: value.__setitem__(3, [1])),
        {"form": "tuple"},
        r"MELD_features_raw\.pkl: text = 'list': must be a dictionary by dialogue",
    ),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_files_are_refused_by_name(case: str, own: Path) -> None:
    damage, options, says = DAMAGED[case]
    damage(own)
    with pytest.raises(DamagedFile, match=says):
        sheet(own, **options)


def silent(path: Path) -> None:
    write_clip(path, Shot(seconds=1.0, fps=2, size=(64, 36), tone=None))


CLIPS = {
    "truncated": (lambda at: at.write_bytes(at.read_bytes()[:700]), "video", r"must be a clip that can be"),
    "an error page": (lambda at: at.write_text("<html>404</html>"), "video", r"an HTML page"),
    "empty": (lambda at: at.write_bytes(b""), "audio", r"must hold something"),
    "without sound": (silent, "audio", r"a clip without audio': must have a stream of sound"),
}


@pytest.mark.parametrize("case", CLIPS)
def test_damaged_clips_are_refused_by_name(case: str, own: Path) -> None:
    damage, modality, says = CLIPS[case]
    damage(own / "train_splits" / "dia0_utt0.mp4")
    with pytest.raises(DamagedFile, match=rf"dia0_utt0\.mp4.*{says}"):
        read(sheet(own).modalities[modality], 0)
