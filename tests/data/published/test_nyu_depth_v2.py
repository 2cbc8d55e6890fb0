"""nyu_depth_v2: the fixture is what it says, every form gives the same rooms, and damage is named."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.io
from PIL import Image

from mmkd_lab import data
from mmkd_lab.core.check import DamagedFile, LabError
from mmkd_lab.data.published.fixtures.nyu_depth_v2 import rooms, write
from mmkd_lab.data.published.sets import nyu_labels as known
from mmkd_lab.data.published.sets.nyu_depth_v2 import MAT

LAYOUTS = ("mat", "mst", "esanet", "nicr", "vainf", "sagate", "0jl", "tanganke")
FRAMES = {"tanganke": 9}  # five rows in a row are kept together
SIZE = (12, 16)  # one pixel a cell of the painted rooms


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> dict[str, Path]:
    found = {}
    for layout in LAYOUTS:
        found[layout] = tmp_path_factory.mktemp(layout)
        write(found[layout], FRAMES.get(layout, 6), layout)
    return found


def load(root: Path, **options):
    return data.load("nyu_depth_v2", root=str(root), size=SIZE, **options)


def expected(labels: int, frames: int = 6) -> np.ndarray:
    maps = []
    for room in rooms(frames):
        forty = known.of_894()[room.labels[20::40, 20::40]]
        maps.append((forty if labels == 40 else known.of_40()[forty]) - 1)
    return np.stack(maps)


def test_the_maps_are_the_published_ones():
    forty, thirteen = known.of_894(), known.of_40()
    assert np.bincount(forty).tolist() == [1, *[1] * 37, 68, 82, 707]
    assert (forty[[21, 11, 894, 8, 12]].tolist(), len(thirteen)) == ([1, 2, 40, 38, 39], 41)
    names = [known.NAMES[13][known.table(894, 13)[i]] for i in (21, 5, 157, 88, 4, 172)]
    assert names == ["wall", "chair", "bed", "furniture", "ceiling", "tv"]
    assert known.official_test().sum() == 654
    assert np.flatnonzero(known.official_test())[:4].tolist() == [0, 1, 8, 13]
    assert (np.flatnonzero(~known.official_test())[:8] + 1).tolist() == [3, 4, 5, 6, 7, 8, 10, 11]


def test_the_fixture_is_a_mat_file_of_version_73(written):
    file = written["mat"] / MAT
    assert file.read_bytes()[:20] == b"MATLAB 7.3 MAT-file,"
    with pytest.raises(NotImplementedError, match="HDF reader"):
        scipy.io.loadmat(file)
    with h5py.File(file) as opened:
        assert (opened["images"].shape, opened["images"].dtype) == ((6, 3, 640, 480), np.uint8)
        assert (opened["labels"].shape, opened["labels"].dtype) == ((6, 640, 480), np.uint16)
        assert opened["depths"].dtype == opened["rawDepths"].dtype == np.float32
        assert {0, 21, 11, 1} <= set(np.unique(opened["labels"][:]))
        assert opened[opened["names"][0, 893]][:].ravel().tobytes().decode("utf-16le") == "class 894"
        assert opened["names"].shape == (1, 894)
        assert opened["depths"].attrs["MATLAB_class"] == b"single"
    splits = scipy.io.loadmat(written["mat"] / "splits.mat")
    assert splits["testNdxs"].tolist() == [[2], [5]]
    mapping = scipy.io.loadmat(written["mat"] / "class13Mapping.mat")["classMapping13"][0][0]
    assert mapping[0].ravel().tolist() == known.of_40()[1:].tolist()


@pytest.mark.parametrize("labels", [40, 13])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_form_gives_the_same_rooms(written, layout, labels):
    if (layout, labels) == ("tanganke", 40):
        with pytest.raises(LabError, match=r"labels = 40: must be 13"):
            load(written[layout], labels=labels)
        return
    found = load(written[layout], labels=labels)
    n = FRAMES.get(layout, 6)
    order = [0, 2, 3, 5, 6, 8, 1, 4, 7] if layout == "tanganke" else list(range(n))  # training first
    turn = -1 if layout == "0jl" else 1  # left is right where a right angle was turned
    assert (found.ids, found.classes) == (tuple("123456789"[:n]), known.NAMES[labels])
    assert (found.target.numpy()[..., ::turn] == expected(labels, n)[order]).all()
    rgb, depth = (found.modalities[name][list(range(n))].numpy()[..., ::turn] for name in ("rgb", "depth"))
    for i, room in enumerate([list(rooms(n))[k] for k in order]):
        picture = room.rgb[20::40, 20::40].transpose(2, 0, 1).astype(int)
        assert np.abs(rgb[i] - picture).max() <= (0 if layout != "sagate" else 12)
        assert np.abs(depth[i, 0] - room.depth[20::40, 20::40]).max() < 1.1e-3
    assert sorted(order[i] for i in found.splits["test"].tolist()) == [1, 4, 7][: n // 3]
    if layout not in ("mst", "tanganke"):  # where five frames in a row are kept together
        assert found.splits["val"].tolist() in ([0], [5])  # a whole scene


def test_raw_depth_is_zero_where_nothing_was_seen(written):
    found = load(written["mat"], depth="raw").modalities["depth"][[0]].numpy()
    assert (found[0, 0] == 0).tolist() == (expected(40)[0] == -1).tolist()
    with pytest.raises(LabError, match="has no raw depth"):
        load(written["vainf"], depth="raw")


def test_a_map_of_your_own_is_used_and_told(written, tmp_path):
    folder = shutil.copytree(written["mat"], tmp_path / "own")
    numbers = known.of_894()[1:].copy()
    numbers[20] = 2
    scipy.io.savemat(folder / "classMapping40.mat", {"mapClass": numbers[None]})
    found = load(folder)
    assert "maps 1 of 894 classes otherwise" in repr(found)
    assert (found.target[0, 1] == 1).any()


@pytest.mark.parametrize("version", ["1.1", "1.3"])
def test_0jl_is_read_as_its_versions_turn_it(written, tmp_path, version):
    """1.1 turns nothing; a later one may turn labels, too."""
    folder = Path(shutil.copytree(written["0jl"], tmp_path / "own"))
    (file,) = folder.glob(JL)
    held = pq.read_table(file).to_pydict()
    if version == "1.3":
        held["label"] = [np.rot90(one, -1).tolist() for one in held["label"]]
    else:
        held["depth"] = [np.rot90(one).tolist() for one in held["depth"]]
        for one in held["image"]:
            upright = np.rot90(np.asarray(Image.open(io.BytesIO(one["bytes"]))))
            Image.fromarray(upright).save(out := io.BytesIO(), "PNG")
            one["bytes"] = out.getvalue()
    pq.write_table(pa.table(held), file)
    found, turn = load(folder), -1 if version == "1.3" else 1
    assert (found.target.numpy()[..., ::turn] == expected(40)).all()
    depth = found.modalities["depth"][[1]].numpy()[0, 0, :, ::turn]
    assert np.abs(depth - list(rooms(6))[1].depth[20::40, 20::40]).max() < 1e-5


def test_a_frame_without_its_depth_is_counted(written, tmp_path):
    folder = shutil.copytree(written["esanet"], tmp_path / "own")
    (folder / "train" / "depth" / "0003.png").unlink()
    assert load(folder).ids == tuple("12456")
    assert "1 listed files are missing" in repr(load(folder))


def _append(path: Path, change: Callable[[h5py.File], object]) -> None:
    with h5py.File(path, "r+") as file:
        change(file)


def _cut(folder: Path) -> None:
    content = (folder / MAT).read_bytes()
    (folder / MAT).write_bytes(content[: len(content) // 2])


def _h5(change: Callable[[h5py.File], None]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        with h5py.File(folder / MAT, "r+") as file:
            change(file)

    return damage


def _set(key: str, value: float) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        file[key][2] = value

    return change


def _upright(file: h5py.File) -> None:
    for key in ("images", "depths", "labels"):
        values = file[key][:].swapaxes(-1, -2)
        del file[key]
        file[key] = values


def _fewer(file: h5py.File) -> None:
    labels = file["labels"][:5]
    del file["labels"]
    file["labels"] = labels


def _splits(train: list[int], test: list[int]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        held = {"trainNdxs": np.array(train)[:, None], "testNdxs": np.array(test)[:, None]}
        scipy.io.savemat(folder / "splits.mat", held)

    return damage


def _png(name: str, values: np.ndarray) -> Callable[[Path], None]:
    return lambda folder: Image.fromarray(values).save(folder / name)


BYTES = np.zeros((480, 640), np.uint8)


def _parquet(change: Callable[[dict[str, list]], object], name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (file,) = folder.glob(name)
        columns = pq.read_table(file).to_pydict()
        change(columns)
        pq.write_table(pa.table(columns), file)

    return damage


def _short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-9])


JL, VAL = "train-*.parquet", "data/val-*.parquet"
DAMAGE: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "truncated": ("mat", _cut, f"{MAT}.*must be a whole .mat file"),
    "old mat": ("mat", lambda f: scipy.io.savemat(f / MAT, {"a": 1}), f"{MAT}.*of version 7.3"),
    "no key": ("mat", _h5(lambda file: file.pop("labels")), f"{MAT}.*must hold 'labels'"),
    "axes": ("mat", _h5(_upright), f"{MAT}, images.*width before height"),
    "fewer": ("mat", _h5(_fewer), f"{MAT}, labels.*5, 640, 480"),
    "895": ("mat", _h5(_set("labels", 895)), r"labels 2.*labels \[895\].*894 at most"),
    "millimetres": ("mat", _h5(_set("depths", 2800.0)), "depths 2.*must be in metres"),
    "scenes": ("mat", _h5(lambda file: file.pop("scenes")), f"{MAT}, scenes.*a cell of texts"),
    "from zero": ("mat", _splits([0, 2, 3, 5], [1, 4]), "splits.mat.*must count from 1"),
    "twice": ("mat", _splits([1, 2, 3, 4], [4, 5]), "splits.mat.*5 of them distinct"),
    "no splits": ("mat", lambda f: (f / "splits.mat").unlink(), "splits.mat.*missing"),
    "map": (
        "mat",
        lambda f: scipy.io.savemat(f / "classMapping40.mat", {"mapClass": np.zeros((1, 894))}),
        "classMapping40.mat, mapClass.*894 numbers from 1 to 40",
    ),
    "html": (
        "esanet",
        lambda f: (f / "train/rgb/0001.png").write_text("<html>404"),
        "0001.png.*an HTML page",
    ),
    "8 bit depth": ("esanet", _png("train/depth/0001.png", BYTES), "depth/0001.png.*16 bits of grey"),
    "1e-4 m": (
        "esanet",
        _png("train/depth/0001.png", np.full((480, 640), 28000, np.uint16)),
        "depth/0001.png.*must be in metres",
    ),
    "label 41": (
        "nicr",
        _png("test/semantic_40/0001.png", BYTES + 41),
        r"0001.png.*labels \[41\].*40 at most",
    ),
    "coloured": (
        "esanet",
        _png("train/labels_40/0001.png", np.dstack([BYTES, BYTES, BYTES + 9])),
        "labels_40/0001.png.*one number a pixel",
    ),
    "void of 0": ("vainf", _png("seg40/train/00001.png", BYTES + 40), r"00001.png.*labels \[40\].*"),
    "outside": (
        "sagate",
        lambda f: (f / "train.txt").write_text("RGB/../../x.jpg\tLabel/0.png\n"),
        "train.txt, line 1.*inside",
    ),
    "no tab": ("sagate", lambda f: (f / "train.txt").write_text("RGB/0.jpg Label/0.png\n"), "line 1.*a tab"),
    "short npy": (
        "sagate",
        lambda f: (f / "Depth/0.npy").write_bytes((f / "Depth/0.npy").read_bytes()[:999]),
        "Depth/0.npy",
    ),
    "0jl cut": ("0jl", lambda f: _short(next(f.glob(JL))), "train-0.*whole table of parquet"),
    "0jl columns": ("0jl", _parquet(lambda held: held.pop("scene"), JL), "must have the columns"),
    "0jl 895": (
        "0jl",
        _parquet(lambda held: held["label"].__setitem__(2, [[895] * 480] * 640), JL),
        r"label 2.*labels \[895\].*from 0 to 894",
    ),
    "0jl no picture": (
        "0jl",
        _parquet(lambda held: held["image"][1].update(bytes=b"<html>"), JL),
        "image 1.*must be a picture",
    ),
    "tanganke class": (
        "tanganke",
        _parquet(lambda held: held["segmentation"][1][3].__setitem__(4, 13), VAL),
        r"segmentation 1.*labels \[13\].*from -1 to 12",
    ),
    "tanganke ragged": (
        "tanganke",
        _parquet(lambda held: held["depth"][0][0][3].pop(), VAL),
        "val-0.*lists of 2 lengths",
    ),
    "tanganke levels": (
        "tanganke",
        _parquet(lambda held: held["image"][0][0][0].__setitem__(0, 255.0), VAL),
        "image 0.*from 0 to 1",
    ),
    "mst labels": (
        "mst",
        lambda f: _append(f / "NYU-Depth-V2_data.mat", lambda file: file.pop("labels40")),
        "must hold 'labels40'",
    ),
    "nothing": ("mat", lambda f: (f / MAT).rename(f / "other.mat"), "none of the known forms"),
}


@pytest.mark.parametrize(("layout", "damage", "says"), DAMAGE.values(), ids=DAMAGE)
def test_damage_is_named(written, tmp_path, layout, damage, says):
    folder = shutil.copytree(written[layout], tmp_path / "damaged")
    damage(folder)
    with pytest.raises(DamagedFile, match=f"(?s){says}"):
        load(folder, labels=13 if layout == "tanganke" else 40)
