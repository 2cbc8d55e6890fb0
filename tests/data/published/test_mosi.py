"""CMU-MOSI and CMU-MOSEI: features in a pickle, scores from -3 to 3."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmkd_lab.core.check import DamagedFile
from mmkd_lab.data.paired import Task
from mmkd_lab.data.published import pickles
from mmkd_lab.data.published.fixtures import mosei as larger
from mmkd_lab.data.published.fixtures import mosi as fixture
from mmkd_lab.data.published.recipes import Mosei, Mosi
from mmkd_lab.data.published.sets import mosei, mosi
from mmkd_lab.data.published.verify import verify

ALIGNED, OLDER = Path("MOSI", "Processed", "aligned_50.pkl"), Path("mosi_data.pkl")


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mosi")
    fixture.write(folder, 6)
    return folder


@pytest.fixture
def own(six: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(six, tmp_path / "mosi"))


def sheet(folder: Path, **options: object):
    return mosi.PUBLICATION.sheet(Mosi(root=str(folder), **options))


def test_the_fixture_is_what_is_published(six: Path, tmp_path: Path) -> None:
    value = pickle.loads((six / ALIGNED).read_bytes())
    assert list(value) == ["train", "valid", "test"]
    shapes = {name: np.shape(one) for name, one in value["train"].items()}
    assert shapes == {
        "text": (4, 50, 768),
        "audio": (4, 50, 5),
        "vision": (4, 50, 20),
        "raw_text": (4,),
        "id": (4,),
        "text_bert": (4, 3, 50),
        "annotations": (4,),
        "classification_labels": (4,),
        "regression_labels": (4,),
    }
    assert value["train"]["audio"].min() == -np.inf
    assert value["train"]["id"][1] == "train-0_x$_$1"
    larger.write(tmp_path, 6)
    value = pickle.loads((tmp_path / "MOSEI" / "Processed" / "aligned_50.pkl").read_bytes())
    assert (value["test"]["audio"].shape, value["test"]["vision"].shape) == ((1, 50, 74), (1, 50, 35))


def test_the_pickle_says_how_positive_it_is(six: Path) -> None:
    value = pickle.loads((six / ALIGNED).read_bytes())
    found = sheet(six)
    assert (found.task, found.classes) == (Task.REGRESSION, ("sentiment",))
    assert found.target[:, 0].tolist() == pytest.approx([-3.0, -0.8, 1.2, 3.0, -3.0, -3.0])
    assert found.split == ("train",) * 4 + ("val", "test")
    assert found.group[:4] == ("train-0_x",) * 4
    assert "1 samples of audio hold NaN or infinite numbers, now 0" in found.notes
    column = found.modalities["audio"]
    expected = value["train"]["audio"][0].copy()
    expected[3, 1] = 0
    np.testing.assert_array_equal(column.read(column.keys[0]), expected)
    column = sheet(six, steps="mean").modalities["text"]
    np.testing.assert_allclose(column.read(column.keys[5]), value["test"]["text"][0].mean(0), rtol=1e-5)


def test_seven_classes_are_the_scores_rounded(six: Path) -> None:
    found = sheet(six, target="seven")
    assert [found.classes[i] for i in found.target] == ["-3", "-1", "+1", "+3", "-3", "-3"]
    assert (found.task, found.metrics) == (Task.SINGLE_LABEL, ("weighted_f1",))


def test_the_older_form_is_read_where_there_is_no_other(own: Path) -> None:
    newer = sheet(own)
    (own / ALIGNED).unlink()
    found = sheet(own)
    assert found.layout.startswith("a pickle of features of the MulT form")
    np.testing.assert_array_equal(found.target, newer.target)
    assert (found.ids[0], found.group[3]) == ("train/0", "train-0_x")
    column = found.modalities["text"]
    assert column.read(column.keys[0]).shape == (50, 300)


def test_a_large_pickle_is_not_read_again_for_its_lists(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = sheet(own)
    monkeypatch.setattr(pickles, "loads", lambda path: pytest.fail("was read again"))
    pickles._held.cache_clear()
    assert sheet(own).ids == first.ids


@pytest.mark.parametrize("title", ["MOSI", "MOSEI"])
def test_a_whole_set_loads(title: str, tmp_path: Path) -> None:
    write, build, kind = {
        "MOSI": (fixture.write, mosi.build, Mosi),
        "MOSEI": (larger.write, mosei.build, Mosei),
    }[title]
    write(tmp_path, 12)
    found = build(kind(root=str(tmp_path), steps="mean"))
    assert found.shapes["vision"] == ((20,) if title == "MOSI" else (35,))
    assert found.metrics == ("pearson", "acc_7", "acc_2", "acc_2_nonzero")
    public = mosi.PUBLICATION if title == "MOSI" else mosei.PUBLICATION
    told = {one.subject: one for one in verify(public, kind(root=str(tmp_path)))}
    assert {one.state for one in told.values()} == {"ok", "note"}
    assert "MMSA's aligned_50.pkl begins" in told["sha256"].text


class Command:
    """Runs a command when it is unpickled by anybody else."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("true",)


def retold(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        value = pickle.loads((folder / ALIGNED).read_bytes())
        (folder / ALIGNED).write_bytes(pickle.dumps(change(value) or value))

    return write


def of(part: str, name: str, change: Callable[[Any], Any]) -> Callable[[Path], object]:
    return retold(lambda value: value[part].update({name: change(value[part][name])}))


#: What is damaged, and what the refusal says.
DAMAGED: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing there": (
        lambda at: [(at / one).unlink() for one in (ALIGNED, OLDER)],
        r"aligned_50\.pkl = 'missing': must be there\. .*thuiar/MMSA",
    ),
    "hostile": (retold(lambda value: {**value, "x": Command()}), r"(posix|nt)\.system': must hold numbers"),
    "truncated": (lambda at: (at / ALIGNED).write_bytes((at / ALIGNED).read_bytes()[:9999]), r"truncated"),
    "a web page": (lambda at: (at / ALIGNED).write_text("<html>"), r"must be a pickle of numbers"),
    "a list": (retold(lambda value: [value]), r"= 'list ': must be a dictionary of train, valid and test"),
    "another split": (
        retold(lambda value: {"train": 1, "dev": 2, "test": 3}),
        r"must be a dictionary of train",
    ),
    "no audio": (
        retold(lambda value: {**value, "valid": {"id": ["a"], "labels": [0.0]}}),
        r"valid = .*without 'text'",
    ),
    "axes in another order": (
        of("train", "text", lambda x: x.transpose(1, 0, 2)),
        r"aligned_50\.pkl: train: text = \(50, 4, 768\): must be \(4, steps, numbers\)",
    ),
    "another width in one split": (
        of("test", "vision", lambda x: x[..., :19]),
        r"test: vision = \(1, 50, 19\)",
    ),
    "no numbers": (of("train", "audio", lambda x: [["a"]] * 4), r"train: audio = .*must be numbers"),
    "a score too many": (of("train", "regression_labels", lambda x: [*x, 0]), r"train: labels = \(5, 1\)"),
    "a scale of its own": (
        of("valid", "regression_labels", lambda x: x * 10),
        r"valid: labels = '-30.0 in row 0': must lie between -3 and 3",
    ),
    "a score of NaN": (
        of("test", "regression_labels", lambda x: x * np.nan),
        r"test: labels = 'nan in row 0'",
    ),
    "a segment twice": (
        of("train", "id", lambda x: [x[0], *x[:3]]),
        r"id 'train-0_x\$_\$0'\": must not occur",
    ),
    "one without a name": (of("train", "id", lambda x: x[:3]), r"must be \(3, steps, numbers\)"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_pickles_are_refused_by_name(case: str, own: Path) -> None:
    damage, says = DAMAGED[case]
    damage(own)
    with pytest.raises(DamagedFile, match=says):
        sheet(own)
