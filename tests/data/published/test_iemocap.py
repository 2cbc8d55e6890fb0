"""IEMOCAP: the release's tree, and the pickle of features; splits are whole sessions."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from mmkd_lab.core.check import DamagedFile, LabError
from mmkd_lab.data.published import pickles
from mmkd_lab.data.published.fixtures import iemocap as fixture
from mmkd_lab.data.published.recipes import Iemocap
from mmkd_lab.data.published.sets import iemocap
from mmkd_lab.data.published.sets.iemocap import TurnFrames
from mmkd_lab.data.published.verify import verify

av = pytest.importorskip("av")

SESSION = "IEMOCAP_full_release/Session1"
RATED = f"{SESSION}/dialog/EmoEvaluation/Ses01F_impro01.txt"
PICKLE, TEN = "IEMOCAP_features_raw.pkl", "iemocap_features_roberta.pkl"
TURNS = ("Ses01F_impro01_F000", "Ses01F_impro01_M000", "Ses01F_impro01_F001")


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("iemocap")
    fixture.write(folder, 6)
    return folder


@pytest.fixture
def own(six: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(six, tmp_path / "iemocap"))


def sheet(folder: Path, **options: object):
    options = {"missing": "keep", **options}
    return iemocap.PUBLICATION.sheet(Iemocap(root=str(folder), **options))


def test_the_fixture_is_what_is_published(six: Path) -> None:
    lines = (six / RATED).read_text().splitlines()
    assert lines[2] == f"[0.1000 - 1.0000]\t{TURNS[0]}\tsad\t[2.5000, 2.5000, 2.5000]"
    assert [line.split("\t")[2] for line in lines if line.startswith("[")] == ["sad", "neu", "ang", "xxx"]
    rate, samples = wavfile.read(six / SESSION / "sentences" / "wav" / "Ses01F_impro01" / f"{TURNS[0]}.wav")
    assert (rate, samples.shape, samples.dtype) == (16000, (8000,), np.int16)
    rate, samples = wavfile.read(six / SESSION / "dialog" / "wav" / "Ses01F_impro01.wav")
    assert samples.shape == (64000, 2)
    with av.open(str(six / SESSION / "dialog" / "avi" / "DivX" / "Ses01F_impro01.avi")) as clip:
        assert clip.streams.video[0].codec.name == "mpeg4"
    value = pickle.loads((six / PICKLE).read_bytes(), encoding="latin1")
    assert (len(value), type(value[7]), value[8]) == (9, set, {"Ses05F_impro01"})
    assert np.shape(value[5]["Ses01F_impro01"]) == (3, 512)


def test_the_release_says_who_feels_what(six: Path) -> None:
    found = sheet(six)
    assert found.ids[:3] == TURNS
    assert [found.classes[i] for i in found.target[:3]] == ["sad", "neu", "ang"]
    assert found.split == ("train",) * 3 + ("test",) * 3
    assert found.group == ("Session1",) * 3 + ("Session5",) * 3
    assert found.modalities["text"][2] == "I asked you three times [LAUGHTER] already."
    assert "turns without one of the 6 labels are left out: xxx 1" in found.notes
    four = sheet(six, labels="four")
    assert four.classes == ("hap", "sad", "neu", "ang")
    assert [four.classes[i] for i in four.target] == ["sad", "neu", "ang", "hap", "sad"]
    assert "turns without one of the 4 labels are left out: fru 1, xxx 1" in four.notes


def test_a_turn_is_a_stretch_of_its_dialogue(six: Path) -> None:
    """The dark part of the screen grows with time: later turns are darker, as they come."""
    found = sheet(six, size=(16, 16)).modalities["video"]
    assert found.keys[1] == (str(six / SESSION / "dialog/avi/DivX/Ses01F_impro01.avi"), 1.1, 2.0)
    means = [found.read(key).mean() for key in found.keys[:3]]
    assert means[0] > means[1] > means[2]
    path = found.keys[0][0]
    two = TurnFrames(2, (16, 16))((path, 0.0, 4.0)).reshape(2, 3, 16, 16).mean((1, 2, 3))
    assert two[0] > two[1]
    assert TurnFrames(1, (16, 16))((path, 3.0, 9.0)).shape == (
        3,
        16,
        16,
    )  # what lasts shorter ends in its last
    with pytest.raises(DamagedFile, match=r"Ses01F_impro01\.avi = 'over too soon'.*from 50 to 51 s"):
        TurnFrames(1, (16, 16))((path, 50.0, 51.0))


def test_the_pickle_in_the_order_of_names(six: Path) -> None:
    value = pickle.loads((six / PICKLE).read_bytes(), encoding="latin1")
    found = sheet(six, form="tuple")
    assert found.ids[:3] == TURNS
    assert found.split == ("train",) * 3 + ("test",) * 3
    assert list(found.modalities) == ["text", "audio", "visual"]
    column = found.modalities["visual"]
    np.testing.assert_array_equal(column.read(column.keys[4]), value[5]["Ses05F_impro01"][1].astype("f4"))
    assert len(sheet(six, form="tuple", labels="four")) == 5


def test_layers_of_a_network_of_words_are_one_text(six: Path, tmp_path: Path) -> None:
    value = pickle.loads((six / TEN).read_bytes())
    assert (len(value), np.shape(value[2]["Ses01F_impro01"])) == (10, (3, 1024))
    found = sheet(six, form="roberta")
    assert found.ids[:2] == ("Ses01F_impro01/0", "Ses01F_impro01/1")
    assert (found.split, found.group[3]) == (("train",) * 3 + ("test",) * 3, "Session5")
    assert list(found.modalities) == ["text", "audio", "visual"]
    text = found.modalities["text"]
    mean = np.mean([layer["Ses05F_impro01"][1] for layer in value[2:6]], axis=0)
    np.testing.assert_allclose(text.read(text.keys[4]), mean, rtol=1e-5)
    shutil.copy(six / TEN, tmp_path)
    assert list(sheet(tmp_path, form="roberta").modalities) == ["text"]


def test_a_whole_set_loads_with_its_speakers_apart(tmp_path: Path) -> None:
    fixture.write(tmp_path, 30)
    found = iemocap.build(Iemocap(root=str(tmp_path), size=(16, 16), audio_frames=8, val_session=1))
    assert {name: len(rows) for name, rows in found.splits.items()} == {"train": 18, "val": 6, "test": 6}
    assert {found.ids[i][:5] for i in found.positions("val")} == {"Ses01"}
    assert found.metrics == ("weighted_f1",)
    assert {one.state for one in verify(iemocap.PUBLICATION, Iemocap(root=str(tmp_path)))} == {"ok", "note"}
    with pytest.raises(LabError, match=r"val_session = 5: must differ from test_session"):
        Iemocap(val_session=5)


def test_what_is_missing_is_counted(own: Path) -> None:
    (own / SESSION / "sentences" / "wav" / "Ses01F_impro01" / f"{TURNS[1]}.wav").unlink()
    shutil.rmtree(own / SESSION / "dialog" / "avi")
    found = sheet(own)
    assert found.modalities["audio"].keys[1] is None
    assert found.modalities["video"].keys[:3] == [None] * 3
    assert len(found.missing) == 2
    assert any("2 listed files are missing" in note for note in found.notes)
    assert len(sheet(own, missing="drop")) == 3


def replaced(old: str, new: str) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        text = (folder / RATED).read_text()
        assert old in text
        (folder / RATED).write_text(text.replace(old, new, 1))

    return change


def retold(change: Callable[[list], object], name: str = PICKLE) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        value = list(pickle.loads((folder / name).read_bytes(), encoding="latin1"))
        change(value)
        pickles.write(folder / name, tuple(value))

    return write


DAMAGED: dict[str, tuple[Callable[[Path], object], dict[str, str], str]] = {
    "no session": (lambda at: shutil.rmtree(at / "IEMOCAP_full_release"), {}, r"'no session'.*release form"),
    "no ratings": (
        lambda at: shutil.rmtree(at / SESSION / "dialog" / "EmoEvaluation"),
        {},
        r"EmoEvaluation = 'no list'",
    ),
    "no transcription": (
        lambda at: shutil.rmtree(at / SESSION / "dialog" / "transcriptions"),
        {},
        r"transcriptions = 'no list'",
    ),
    "a label of no list": (replaced("\tsad\t", "\tsadd\t"), {}, r"impro01\.txt, line 3 = \"label 'sadd'\""),
    "spaces for tabs": (replaced("\tsad\t", " sad "), {}, r"line 3 = .*must be \[start - end\], turn, label"),
    "an end before the beginning": (
        replaced("[0.1000 - 1.0000]", "[1.1000 - 1.0000]"),
        {},
        r"line 3 = '\[1.1 - 1.0\]': must end after it begins",
    ),
    "a turn twice": (
        replaced(TURNS[1], TURNS[0]),
        {},
        r"line 8 = 'Ses01F_impro01_F000': must not occur twice; it is in line 3",
    ),
    "a turn of another dialogue": (
        replaced(TURNS[1], "Ses01F_impro02_M000"),
        {},
        r"line 8 = 'Ses01F_impro02_M000': must be a turn of Ses01F_impro01 in Session1",
    ),
    "a turn of another session": (replaced(TURNS[1], "Ses02F_impro01_M000"), {}, r"in Session1"),
    "other labels beside": (
        retold(lambda value: value[2]["Ses01F_impro01"].reverse()),
        {"form": "roberta"},
        r"features_raw\.pkl: dialogue 'Ses01F_impro01' = 'utterance 0 is 3'.*must be labelled 1",
    ),
    "layers apart": (
        retold(lambda value: value[3]["Ses01F_impro01"].pop(), TEN),
        {"form": "roberta"},
        r"roberta\.pkl: dialogue 'Ses01F_impro01'.*must have as many of each",
    ),
    "a dialogue in two lists": (
        retold(lambda value: value[9].append("Ses01F_impro01"), TEN),
        {"form": "roberta"},
        r"'in train and val': must be in one of them",
    ),
    "no pickle": (lambda at: (at / PICKLE).unlink(), {"form": "tuple"}, r"features_raw\.pkl = 'missing'"),
    "a hostile pickle": (
        lambda at: (at / PICKLE).write_bytes(b"cos\nsystem\n(S'true'\ntR."),
        {"form": "tuple"},
        r"'os\.system': must hold numbers, texts and plain containers alone",
    ),
    "a truncated pickle": (
        lambda at: (at / PICKLE).write_bytes((at / PICKLE).read_bytes()[:500]),
        {"form": "tuple"},
        r"truncated",
    ),
    "names of another set": (
        retold(lambda value: value[0].update(Ses01F_impro01=["a", "b", "c"])),
        {"form": "tuple"},
        r"dialogue 'Ses01F_impro01' = 'a': must be the name of a turn",
    ),
    "a dialogue that is nowhere": (
        retold(lambda value: value[7].add("Ses02F_impro01")),
        {"form": "tuple"},
        r"dialogue 'Ses02F_impro01' = .*'ids': 0.*must have as many",
    ),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_files_are_refused_by_name(case: str, own: Path) -> None:
    damage, options, says = DAMAGED[case]
    damage(own)
    with pytest.raises(DamagedFile, match=says):
        sheet(own, **options)
