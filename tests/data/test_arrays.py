"""Array files: where they are looked for, and which are refused by name."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from mmkd_lab import data
from mmkd_lab.core.check import DamagedFile, LabError
from mmkd_lab.data import manifest

SETS = ["ravdess", "mfeat", "crema_votes"]


@pytest.fixture(scope="module")
def votes(mirror: Path) -> Path:
    """The smallest of the array files."""
    place = data.where("crema_votes", mirror)[0]
    if not place.exists:
        pytest.skip("no features folder in or beside the mirror")
    return place.path


def laid_out(tmp_path: Path, votes: Path, *, inside: bool, beside: bool) -> Path:
    """A mirror folder with the votes inside it, beside it, or both."""
    mirror = tmp_path / "data" / "mirror"
    mirror.mkdir(parents=True)
    for wanted, folder in ((inside, mirror), (beside, mirror.parent)):
        if wanted:
            (folder / "features").mkdir()
            shutil.copyfile(votes, folder / "features" / votes.name)
    return mirror


@pytest.mark.parametrize("name", SETS)
def test_the_mirrors_array_files_verify(name: str, mirror: Path, votes: Path) -> None:
    (path,) = data.verify(name, mirror)
    assert data.get(name, mirror) == [path]
    (place,) = data.where(name, mirror)
    assert (place.path, place.exists, place.origin) == (path, True, "mirror")
    assert place.name == f"features/{path.name}"


@pytest.mark.parametrize(("inside", "beside"), [(True, False), (False, True), (True, True)])
def test_features_are_inside_the_mirror_or_beside_it(
    tmp_path: Path, votes: Path, inside: bool, beside: bool
) -> None:
    mirror = laid_out(tmp_path, votes, inside=inside, beside=beside)
    expected = (mirror if inside else mirror.parent) / "features" / votes.name
    assert data.verify("crema_votes", mirror) == [expected]


def test_a_relative_mirror_has_a_folder_beside_it(
    tmp_path: Path, votes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(laid_out(tmp_path, votes, inside=False, beside=True))
    assert data.where("crema_votes", ".")[0].exists


def test_an_explicit_path_needs_no_mirror(
    tmp_path: Path, votes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMKD_LAB_MIRROR", str(tmp_path))
    found = data.load("crema_votes", path=str(votes))
    assert found.fingerprint == data.load("crema_votes", mirror=str(votes.parents[1])).fingerprint
    with pytest.raises(LabError, match=r"mirror and path = .*at most one"):
        data.load("crema_votes", path=str(votes), mirror=str(tmp_path))
    with pytest.raises(LabError, match=r"path = '': must be a path, not empty text"):
        data.load("crema_votes", path="")
    with pytest.raises(DamagedFile, match="missing") as caught:
        data.load("crema_votes", path=str(tmp_path / "none.npz"))
    assert caught.value.argument == str(tmp_path / "none.npz")


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("ravdess", r"zenodo\.org/records/1188976; CC BY-NC-SA 4\.0, research only"),
        ("mfeat", r"archive\.ics\.uci\.edu/dataset/72.*python -m mmkd_lab\.data\.pack mfeat"),
        ("crema_votes", r"github\.com/CheyneyComputerScience/CREMA-D, ODbL 1\.0"),
    ],
)
def test_get_says_how_to_obtain_what_no_address_has(
    name: str, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (file,) = manifest.collection(name).files
    (tmp_path / "mirror").mkdir()
    with pytest.raises(DamagedFile, match=rf"beside the mirror.*No public address.*{source}") as caught:
        data.get(name, tmp_path / "mirror")
    assert caught.value.argument == str(tmp_path / "mirror" / file.name)
    monkeypatch.delenv("MMKD_LAB_MIRROR", raising=False)
    monkeypatch.setenv("MMKD_LAB_DATA", str(tmp_path / "own"))
    with pytest.raises(DamagedFile, match=rf"MMKD_LAB_MIRROR.*option path.*No public address.*{source}"):
        data.get(name)
    assert not (tmp_path / "own").exists()


def test_another_compression_of_the_same_arrays_is_accepted(tmp_path: Path, votes: Path) -> None:
    with np.load(votes, allow_pickle=False) as found:
        np.savez(tmp_path / "plain.npz", **{name: found[name] for name in reversed(found.files)})
    assert data.load("crema_votes", path=str(tmp_path / "plain.npz")).name == "crema_votes"


def altered(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    arrays["votes"][0, 0, 0] += 1
    return arrays


def renamed(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    arrays["Votes"] = arrays.pop("votes")
    return arrays


def shorter(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: array[:6] if array.ndim else array for name, array in arrays.items()}


def bomb(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {**arrays, "zeros": np.zeros(10**7, np.uint8)}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (altered, "SHA-256"),
        (renamed, "SHA-256"),
        (shorter, "must hold 603102 bytes"),
        (bomb, "must hold 603102 bytes when unpacked"),
    ],
)
def test_other_contents_are_refused_by_name(
    change: object, expected: str, tmp_path: Path, votes: Path
) -> None:
    with np.load(votes, allow_pickle=False) as found:
        arrays = change({name: found[name] for name in found.files})  # type: ignore[operator]
    path = tmp_path / "votes.npz"
    np.savez_compressed(path, **arrays)
    with pytest.raises(DamagedFile, match=expected) as caught:
        data.load("crema_votes", path=str(path))
    assert caught.value.argument == str(path)
    assert "copy it again" in str(caught.value)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: b"<html>not found</html>",
        lambda content: b"",
        lambda content: content[:2000] + bytes(200) + content[2200:],
    ],
    ids=["truncated", "no archive", "empty", "overwritten"],
)
def test_damaged_array_files_are_named(damage: object, tmp_path: Path, votes: Path) -> None:
    path = tmp_path / "votes.npz"
    path.write_bytes(damage(votes.read_bytes()))  # type: ignore[operator]
    with pytest.raises(DamagedFile) as caught:
        data.load("crema_votes", path=str(path))
    assert caught.value.argument == str(path)
