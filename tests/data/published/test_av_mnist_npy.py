"""av_mnist_npy: six arrays, their rows and labels, and whether the two fit."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mmkd_lab import data
from mmkd_lab.core.check import DamagedFile
from mmkd_lab.data.published.fixtures.av_mnist_npy import write
from mmkd_lab.data.published.publication import publication
from mmkd_lab.data.published.recipes import AvMnistNpy
from mmkd_lab.data.published.verify import verify


@pytest.fixture
def folder(tmp_path) -> Path:
    write(tmp_path)
    return tmp_path


def loaded(file: Path) -> np.ndarray:
    return np.load(file, allow_pickle=False)


def load(root: Path):
    return data.load("av_mnist_npy", root=str(root))


def test_rows_and_labels_are_those_of_the_files(folder):
    image = loaded(folder / "image" / "train_data.npy")
    assert (image.shape, image.dtype, image.max() > 200) == ((30, 784), np.float64, True)
    found = load(folder)
    assert found.shapes == {"image": (1, 28, 28), "audio": (1, 112, 112)}
    assert found.target.tolist() == [*range(10)] * 4
    assert np.allclose(found.modalities["image"][[3]].numpy()[0, 0], image[3].reshape(28, 28) / 255)
    audio = loaded(folder / "audio" / "test_data.npy")
    assert np.allclose(found.modalities["audio"][[32]].numpy()[0, 0], audio[2] / 255)
    assert found.splits["test"].tolist() == [*range(30, 40)]
    assert len(found.splits["val"]) == 10


def test_bytes_and_a_folder_inside_are_the_same(folder, tmp_path):
    whole = load(folder)
    inner = tmp_path / "outer" / "avmnist"
    inner.mkdir(parents=True)
    write(inner)
    for file in inner.glob("*/*.npy"):
        np.save(file, np.rint(loaded(file)).astype(np.uint8))
    found = load(inner.parent)
    near = found.modalities["image"][[0, 39]] - whole.modalities["image"][[0, 39]]
    assert float(near.abs().max()) <= 0.5 / 255 + 1e-6


def test_labels_of_other_rows_are_noticed(folder):
    known = publication("av_mnist_npy")
    states = {one.subject: one.state for one in verify(known, AvMnistNpy(root=str(folder)))}
    assert (states["image fits"], states["audio fits"]) == ("ok", "ok")
    values = loaded(folder / "audio" / "train_data.npy")
    np.save(folder / "audio" / "train_data.npy", np.random.default_rng(0).permutation(values))
    told = {one.subject: one for one in verify(known, AvMnistNpy(root=str(folder)))}
    assert told["image fits"].state == "ok"
    assert told["audio fits"].state == "note"


def change(name: str, edit: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    return lambda folder: np.save(folder / name, edit(loaded(folder / name)))


def put(index: int, value: float) -> Callable[[np.ndarray], np.ndarray]:
    def edit(values: np.ndarray) -> np.ndarray:
        changed = values.astype(np.float64)
        changed[index] = value
        return changed

    return edit


def cut(folder: Path) -> None:
    file = folder / "audio" / "train_data.npy"
    file.write_bytes(file.read_bytes()[:-1000])


def hostile(folder: Path) -> None:
    held = io.BytesIO()
    np.save(held, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (folder / "train_labels.npy").write_bytes(held.getvalue())


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "truncated": (cut, "audio/train_data.npy.*a whole .npy file"),
    "pickle": (hostile, "train_labels.npy.*plain numbers"),
    "label 10": (change("train_labels.npy", put(3, 10)), "train_labels.npy.*10.0 in row 3"),
    "label 1.5": (change("test_labels.npy", put(2, 1.5)), "test_labels.npy.*1.5 in row 2"),
    "one hot": (change("train_labels.npy", lambda y: np.eye(10)[y]), "train_labels.npy.*labels"),
    "fewer": (change("image/train_data.npy", lambda x: x[1:]), "image/train_data.npy.*must be .30"),
    "27 pixels": (change("image/test_data.npy", lambda x: x[:, :729]), "image/test_data.npy.*784"),
    "NaN": (change("image/train_data.npy", put(5, np.nan)), "image/train_data.npy, row 5.*NaN"),
    "text": (change("test_labels.npy", lambda y: y.astype(str)), "test_labels.npy.*numbers"),
    "missing": (lambda folder: (folder / "audio/test_data.npy").unlink(), "audio/test_data.npy.*missing"),
}


@pytest.mark.parametrize(("damage", "says"), DAMAGE.values(), ids=DAMAGE)
def test_damage_is_named(folder, damage, says):
    damage(folder)
    with pytest.raises(DamagedFile, match=f"(?s){says}"):
        load(folder)
