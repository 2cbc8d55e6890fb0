"""mfeat: seeded stratified splits, what plain classifiers reach, and the published text files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mmkd_lab import data
from mmkd_lab.core.check import DamagedFile, LabError
from mmkd_lab.data.pack import main, pack

VIEWS = ("fac", "fou", "kar", "mor", "pix", "zer")


@pytest.fixture(scope="module")
def file(mirror: Path) -> Path:
    place = data.where("mfeat", mirror)[0]
    if not place.exists:
        pytest.skip("no features/mfeat.npz in or beside the mirror")
    return place.path


@pytest.fixture(scope="module")
def texts(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The six text files, as UCI publishes them: one row a line, columns apart by spaces."""
    folder = tmp_path_factory.mktemp("uci")
    with np.load(file, allow_pickle=False) as found:
        for view in VIEWS:
            np.savetxt(folder / f"mfeat-{view}", found[view], fmt="%.9g")
    return folder


def test_the_default_is_the_stated_dataset(file: Path) -> None:
    found = data.load("mfeat", path=str(file))
    assert found.fingerprint == "e1346a5edde3559c"
    assert found.recipe["hash"] == "180d3980d8c03bdf"
    assert found.shapes == {"mor": (6,), "fac": (216,)}
    assert {split: len(rows) for split, rows in found.splits.items()} == {
        "train": 800,
        "val": 200,
        "test": 1000,
    }


def test_splits_are_stratified_seeded_and_rows_belong_together(file: Path) -> None:
    found = data.load("mfeat", n_train=500, n_val=100, n_test=400, path=str(file))
    for split, rows in found.splits.items():
        counts = torch.bincount(found.target[rows], minlength=10)
        assert counts.max() - counts.min() <= 2, split
    with np.load(file, allow_pickle=False) as stored:
        assert np.array_equal(stored["y"][found.sample_index], found.target)
        for name, values in found.modalities.items():
            raw = stored[name][found.sample_index].astype(float)
            column = raw[:, 3]
            assert np.corrcoef(column, values[:, 3].numpy())[0, 1] > 0.9999
    assert len(set(found.sample_index.tolist())) == 1000
    again = data.load("mfeat", n_train=500, n_val=100, n_test=400, path=str(file))
    assert again.fingerprint == found.fingerprint
    other = data.load("mfeat", n_train=500, n_val=100, n_test=400, seed=1, path=str(file))
    assert other.fingerprint != found.fingerprint


def test_plain_classifiers_reach_what_they_should(file: Path) -> None:
    """Known of a random half: mor 73.7, zer 81.8, fou 80.9, fac 97.8, pix 98.0 %; within 3 points."""
    from sklearn.linear_model import LogisticRegression

    found = data.load("mfeat", views=VIEWS, path=str(file))
    y, rest, test = found.target.numpy(), slice(0, 1000), slice(1000, 2000)
    for name, known in {"mor": 73.7, "zer": 81.8, "fou": 80.9, "fac": 97.8, "pix": 98.0}.items():
        x = found.modalities[name].numpy()
        reached = 100 * LogisticRegression(max_iter=300).fit(x[rest], y[rest]).score(x[test], y[test])
        assert reached == pytest.approx(known, abs=3.0), name


def test_the_published_text_files_are_packed(texts: Path, file: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mmkd_lab.data.pack", "mfeat", str(texts), str(tmp_path / "mfeat.npz")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(tmp_path / "mfeat.npz")
    packed = data.load("mfeat", path=str(tmp_path / "mfeat.npz"))
    assert packed.fingerprint == data.load("mfeat", path=str(file)).fingerprint


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda text: text[: len(text) // 2], r"\d+ numbers.*2000 rows of 6 finite"),
        (lambda text: text.replace(text.split()[0], "one", 1), "one.*2000 rows of 6"),
        (lambda text: text.replace(text.split()[0], "nan", 1), "12000 numbers.*finite"),
        (None, "missing.*UCI dataset 72"),
    ],
)
def test_damaged_text_files_are_named(damage: object, expected: str, texts: Path, tmp_path: Path) -> None:
    for view in VIEWS:
        (tmp_path / f"mfeat-{view}").symlink_to(texts / f"mfeat-{view}")
    path = tmp_path / "mfeat-mor"
    text = path.read_text()
    path.unlink()
    if damage is not None:
        path.write_text(damage(text))  # type: ignore[operator]
    with pytest.raises(DamagedFile, match=expected) as caught:
        pack("mfeat", tmp_path, tmp_path / "out.npz")
    assert caught.value.argument == str(path)
    assert not list(tmp_path.glob("*.npz"))


def test_other_numbers_are_not_packed(texts: Path, tmp_path: Path) -> None:
    for view in VIEWS:
        (tmp_path / f"mfeat-{view}").symlink_to(texts / f"mfeat-{view}")
    path = tmp_path / "mfeat-mor"
    lines = path.read_text().splitlines()
    path.unlink()
    path.write_text("\n".join(reversed(lines)))
    with pytest.raises(DamagedFile, match="SHA-256") as caught:
        pack("mfeat", tmp_path, tmp_path / "out.npz")
    assert caught.value.argument == str(tmp_path)
    assert not list(tmp_path.glob("*.npz")) + list(tmp_path.glob(".*"))


def test_pack_refuses(texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(LabError, match=r"folder = .*none.*must be the folder"):
        pack("mfeat", tmp_path / "none", tmp_path / "out.npz")
    with pytest.raises(LabError, match=r"target = .*out\.zip.*must end in \.npz"):
        pack("mfeat", texts, tmp_path / "out.zip")
    assert main([]) == 2
    assert main(["mfeat", str(tmp_path / "none"), "out.npz"]) == 2
    assert "usage" in capsys.readouterr().err
