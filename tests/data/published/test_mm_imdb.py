"""mm_imdb: the folder in its two layouts, the authors' hdf5 file, genres in other orders and other words."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from mmkd_lab import data
from mmkd_lab.data.published import pickles
from mmkd_lab.data.published.fixtures import mm_imdb as fixture
from mmkd_lab.data.published.recipes import MmImdb
from mmkd_lab.data.published.sets import mm_imdb, mm_imdb_hdf5
from tests.data.published import change

NAME = "mm_imdb"
H5, FIRST = mm_imdb_hdf5.NAME, "mmimdb/dataset/0000005"


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> dict[str, Path]:
    found = {}
    for form, write in (
        ("folder", fixture.write),
        ("apart", fixture.write_apart),
        ("hdf5", fixture.write_hdf5),
    ):
        found[form] = tmp_path_factory.mktemp(form)
        write(found[form], 6)
    return found


@pytest.fixture
def folder(written, tmp_path) -> Path:
    return change.copied(written["folder"], tmp_path)


@pytest.fixture
def hdf5(written, tmp_path) -> Path:
    return change.copied(written["hdf5"], tmp_path)


def told(found, i: int) -> set[str]:
    return {name for name, there in zip(found.classes, found.target[i].tolist(), strict=True) if there}


def test_the_folder_is_the_published_form(written):
    root = written["folder"] / "mmimdb"
    split = json.loads((root / "split.json").read_text())
    assert {name: len(ids) for name, ids in split.items()} == {"train": 3, "dev": 1, "test": 2}
    films = {file.stem: json.loads(file.read_text()) for file in (root / "dataset").glob("*.json")}
    assert sorted(films) == sorted(one for ids in split.values() for one in ids)
    assert all(len(one) == 7 for one in films)
    assert sum("News" in one["genres"] for one in films.values()) == 1
    assert {len(one["plot"]) for one in films.values()} == {1, 2}
    assert {change.picture(file)[1] for file in (root / "dataset").glob("*.jpeg")} == {"RGB", "L"}
    apart = written["apart"]
    assert {len(file.stem) for file in (apart / "labels").iterdir()} == {8}
    assert {file.suffix for file in (apart / "images").iterdir()} == {".jpeg"}


def test_the_hdf5_file_is_the_published_form(written):
    with h5py.File(written["hdf5"] / H5) as file:
        forms = {name: (one.shape[1:], one.dtype.str) for name, one in file.items()}
        assert forms["images"] == ((3, 256, 160), "<i4")
        assert forms["features"] == ((300,), "<f4")
        assert forms["vgg_features"] == ((4096,), "<f4")
        assert forms["genres"] == ((23,), "<i4")
        assert forms["imdb_ids"] == ((), "|S7")
        assert h5py.check_vlen_dtype(file["sequences"].dtype) == np.int32
        assert json.loads(file["genres"].attrs["target_names"])[:2] == ["Drama", "Comedy"]
        table = file.attrs["split"]
        assert table.dtype.names == ("split", "source", "start", "stop", "indices", "available", "comment")
        rows = {one["split"]: (one["start"], one["stop"]) for one in table if one["source"] == b"genres"}
        assert rows == {b"train": (0, 3), b"dev": (3, 4), b"test": (4, 6)}
        assert not any(table["indices"])
        assert file["images"][0].min() < 0
    with (written["hdf5"] / "metadata.npy").open("rb") as file:
        words = np.lib.format.read_array(file, allow_pickle=True).item()
    assert set(words) == {"ix_to_word", "word_to_ix", "vocab_size"}


def test_the_folder_is_read_in_the_right_orientation_with_the_right_genres(folder):
    picture = Image.new("CMYK", (40, 64), (0, 255, 255, 0))  # red
    picture.paste((255, 255, 0, 0), (0, 32, 40, 64))  # the lower half: blue
    picture.save(folder / f"{FIRST}.jpeg", quality=100)
    found = data.load(NAME, root=str(folder), size=(16, 10), min_count=1)
    pixels = found.modalities["image"][0].numpy().astype(int)
    assert pixels.shape == (3, 16, 10)
    assert (pixels[0, 0] > pixels[2, 0] + 50).all()
    assert (pixels[2, 15] > pixels[0, 15] + 50).all()
    assert found.classes == tuple(sorted(fixture.GENRES))
    listed = json.loads((folder / "mmimdb/split.json").read_text())
    for i, name in enumerate(found.ids):
        film = json.loads((folder / f"mmimdb/dataset/{name}.json").read_text())
        assert told(found, i) == set(film["genres"]) - {"News"}
        assert found.captions["text"][i] == max(film["plot"], key=len)
    assert found.ids == tuple(listed["train"] + listed["dev"] + listed["test"])
    assert {name: len(rows) for name, rows in found.splits.items()} == {"train": 3, "val": 1, "test": 2}
    assert "other genres are not looked at: News 1" in repr(found)


def test_layouts_with_names_of_eight_digits_and_numbers_without_zeros(written, tmp_path):
    folder = change.copied(written["apart"], tmp_path)
    sheet = mm_imdb.read(folder, MmImdb())
    whole = mm_imdb.read(written["folder"], MmImdb())
    assert (sheet.ids, sheet.target.tolist()) == (whole.ids, whole.target.tolist())
    assert "films in labels, posters in images" in sheet.layout
    change.held(folder / "split.json", lambda d: d.update(train=[int(one) for one in d["train"]]))
    assert mm_imdb.read(folder, MmImdb()).ids == whole.ids


def test_the_first_plot_and_the_subset_of_mmbt(folder):
    sheet = mm_imdb.read(folder, MmImdb(plot="first"))
    film = json.loads((folder / "mmimdb/dataset/0000011.json").read_text())
    assert (
        sheet.modalities["text"][sheet.ids.index("0000011")] == film["plot"][0] != max(film["plot"], key=len)
    )
    some = mm_imdb.read(folder, MmImdb(films="mmbt"))
    assert "0000008" not in some.ids
    assert any("1 films of the genre News are left out" in note for note in some.notes)


def test_what_is_missing_is_counted(folder):
    place = folder / "mmimdb/dataset"
    (place / "0000005.jpeg").unlink()
    (place / "0000017.json").unlink()
    change.held(place / "0000008.json", lambda d: d.pop("plot"))
    change.held(place / "0000011.json", lambda d: d.update(genres=["Adult", "News"]))
    found = data.load(NAME, root=str(folder), min_count=1, missing="keep")
    assert len(found) == 4
    assert not found.present["image"][found.ids.index("0000005")]
    assert not found.present["text"][found.ids.index("0000008")]
    assert "2 listed files are missing, as dataset/0000017.json" in repr(found)
    assert "1 films have none of the 23 genres and are left out" in repr(found)
    (place / "0000008.jpeg").unlink()
    sheet = mm_imdb.read(folder, MmImdb(missing="keep"))
    assert "1 samples have no modality at all and are left out" in sheet.notes
    assert len(mm_imdb.read(folder, MmImdb())) == 2


def test_films_with_damaged_labels_are_named_together_or_left_out(folder):
    for name in ("0000005", "0000008"):
        change.cut(folder / f"mmimdb/dataset/{name}.json")
    told = str(change.refused(NAME, folder, "must be JSON"))
    assert "0000005.json" in told
    assert "0000008.json" in told
    sheet = mm_imdb.read(folder, MmImdb(damaged="drop"))
    assert len(sheet) == 4
    assert any("2 films with damaged labels are left out" in note for note in sheet.notes)


def test_the_hdf5_file_is_read_in_the_right_orientation_colours_and_order(hdf5):
    means = np.array(mm_imdb_hdf5.MEANS)
    with h5py.File(hdf5 / H5, "r+") as file:
        shown = np.zeros((3, 256, 160))  # blue, green, red
        shown[2, :128] = 200  # the upper half: red
        shown[0, 128:] = 100  # the lower half: blue
        file["images"][0] = np.rint(shown - means[:, None, None])
        names, genres = json.loads(file["genres"].attrs["target_names"]), file["genres"][:]
        plots = [list(one) for one in file["sequences"][:]]
    found = data.load(NAME, root=str(hdf5), size=(16, 10), min_count=1)
    pixels = found.modalities["image"][0].numpy()
    assert pixels.shape == (3, 16, 10)
    assert pixels[:, 0, 0].tolist() == [200, 0, 0]
    assert pixels[:, 15, 9].tolist() == [0, 0, 100]
    for i in range(len(found)):
        assert told(found, i) == {name for name, one in zip(names, genres[i], strict=True) if one}
    words = pickles.object_array(hdf5 / "metadata.npy")["ix_to_word"]
    assert found.captions["text"][0] == " ".join(words[i] for i in plots[0])
    assert found.ids[0] == "0000005"
    assert {name: len(rows) for name, rows in found.splits.items()} == {"train": 3, "val": 1, "test": 2}


def test_words_may_be_a_copy_in_json_or_be_missing(hdf5):
    words = pickles.object_array(hdf5 / "metadata.npy")["ix_to_word"]
    said = mm_imdb.read(hdf5, MmImdb()).modalities["text"]
    (hdf5 / "metadata.npy").unlink()
    (hdf5 / "metadata.json").write_text(json.dumps({"ix_to_word": words}))
    assert mm_imdb.read(hdf5, MmImdb()).modalities["text"] == said
    (hdf5 / "metadata.json").unlink()
    bare = mm_imdb.read(hdf5, MmImdb())
    assert bare.modalities["text"][0].startswith("w")
    assert any("numbers of words" in note for note in bare.notes)


def test_the_published_features_take_the_place_of_posters_and_words(hdf5):
    found = data.load(NAME, root=str(hdf5), vectors=True)
    assert found.shapes == {"image": (4096,), "text": (300,)}
    with h5py.File(hdf5 / H5) as file:
        np.testing.assert_array_equal(found.modalities["image"][2].numpy(), file["vgg_features"][2])
        np.testing.assert_array_equal(found.modalities["text"][2].numpy(), file["features"][2])


def test_rows_may_be_listed_one_by_one_and_have_no_genre(hdf5):
    with h5py.File(hdf5 / H5, "r+") as file:
        file["rows"] = np.array([5, 1])
        table = file.attrs["split"]
        table["indices"][[one["split"] == b"test" and one["source"] == b"genres" for one in table]] = file[
            "rows"
        ].ref
        table["stop"][table["split"] == b"train"] = 1
        file.attrs["split"] = table
        file["genres"][3] = 0
    sheet = mm_imdb.read(hdf5, MmImdb())
    assert dict(zip(sheet.ids, sheet.split, strict=True)) == {
        "0000005": "train",
        "0000008": "test",
        "0000020": "test",
    }
    assert "1 films without a genre are left out" in sheet.notes
    assert "2 films are in no split and left out" in sheet.notes


SPLIT, JSON = "mmimdb/split.json", f"{FIRST}.json"
DAMAGES = {
    "no list of splits": (lambda f: (f / SPLIT).unlink(), "split.json.*missing"),
    "cut list": (lambda f: change.cut(f / SPLIT), "split.json.*must be JSON"),
    "no dev": (lambda f: change.held(f / SPLIT, lambda d: d.pop("dev")), "split.json.*train, dev, test"),
    "film in two splits": (
        lambda f: change.held(f / SPLIT, lambda d: d["test"].append("0000005")),
        "split.json, test.*0000005.*it is in train",
    ),
    "the same without zeros": (
        lambda f: change.held(f / SPLIT, lambda d: d["test"].append(5)),
        "split.json, test.*5.*it is in train",
    ),
    "an id of letters": (
        lambda f: change.held(f / SPLIT, lambda d: d["train"].append("tt0000099")),
        "split.json, train.*tt0000099.*numbers",
    ),
    "a path for an id": (
        lambda f: change.held(f / SPLIT, lambda d: d["train"].append("../0000005")),
        r"split.json, train.*\.\./0000005",
    ),
    "no films": (
        lambda f: [one.unlink() for one in (f / "mmimdb/dataset").glob("*.json")],
        "no <number>.json",
    ),
    "no genres": (lambda f: change.held(f / JSON, lambda d: d.pop("genres")), "0000005.json.*list of genres"),
    "genres as text": (
        lambda f: change.held(f / JSON, lambda d: d.update(genres="Drama")),
        "0000005.json.*list of genres",
    ),
    "page named jpeg": (lambda f: (f / f"{FIRST}.jpeg").write_bytes(change.HTML), "0000005.jpeg.*HTML page"),
    "cut poster": (lambda f: change.cut(f / f"{FIRST}.jpeg"), "0000005.jpeg.*a picture"),
    "no posters": (
        lambda f: [one.unlink() for one in (f / "mmimdb/dataset").glob("*.jpeg")],
        "none of 6 posters",
    ),
}


@pytest.mark.parametrize(("damage", "says"), DAMAGES.values(), ids=DAMAGES)
def test_damaged_files_are_refused_by_name(folder, damage, says):
    damage(folder)
    change.refused(NAME, folder, says)


def _in(change_it):
    def changed(folder: Path) -> None:
        with h5py.File(folder / H5, "r+") as file:
            change_it(file)

    return changed


def _again(name: str, values):
    """Write an array anew, with its attributes."""

    def changed(file: h5py.File) -> None:
        old, kept = file[name][:], dict(file[name].attrs)
        del file[name]
        file[name] = values(old)
        file[name].attrs.update(kept)

    return _in(changed)


def _run_code(folder: Path) -> None:
    class Code:
        def __reduce__(self):
            return print, ("run",)

    held = np.empty((), dtype=object)
    held[()] = {"ix_to_word": Code()}
    np.save(folder / "metadata.npy", held, allow_pickle=True)
    assert b"print" in pickle.dumps(Code())


HDF5 = {
    "cut": (lambda f: change.cut(f / H5), f"{H5}.*hdf5 file"),
    "a page": (lambda f: (f / H5).write_bytes(change.HTML), f"{H5}.*HTML page"),
    "no genres": (_in(lambda h: h.__delitem__("genres")), f"{H5}.*must hold 'genres'"),
    "no names of genres": (
        _in(lambda h: h["genres"].attrs.__delitem__("target_names")),
        "genres.*no attribute target_names",
    ),
    "25 genres": (
        _in(lambda h: h["genres"].attrs.update(target_names=json.dumps([*fixture.GENRES, "News", "Adult"]))),
        "genres.*23 columns, 25 names.*the 23 genres",
    ),
    "24 columns": (_again("genres", lambda x: np.pad(x, ((0, 0), (0, 1)))), "genres.*24 columns"),
    "counted genres": (_again("genres", lambda x: 2 * x), "genres.*0 to 2.*must be 0 or 1"),
    "fewer rows": (_again("imdb_ids", lambda x: x[:5]), f"{H5}.*as many rows"),
    "colours last": (_again("images", lambda x: x.transpose(0, 2, 3, 1)), "images.*height, width"),
    "no mean subtracted": (
        _again("images", lambda x: np.full_like(x, 255)),
        r"images\[0\].*once the mean is added",
    ),
    "no split": (_in(lambda h: h.attrs.__delitem__("split")), "attribute split.*missing"),
    "a split of another kind": (_in(lambda h: h.attrs.update(split=[1, 2])), "attribute split.*Fuel's table"),
    "no plots": (_in(lambda h: h.__delitem__("sequences")), "no 'sequences'"),
    "a pickle that runs code": (_run_code, r"metadata.npy.*builtins\.print.*can run code"),
    "words of another kind": (
        lambda f: pickles.save_object(f / "metadata.npy", {"words": []}),
        "metadata.npy.*ix_to_word",
    ),
    "an array for words": (
        lambda f: np.save(f / "metadata.npy", np.arange(3)),
        "metadata.npy.*not one object",
    ),
}


@pytest.mark.parametrize(("damage", "says"), HDF5.values(), ids=HDF5)
def test_a_damaged_hdf5_file_is_refused_by_name(hdf5, damage, says, capsys):
    damage(hdf5)
    change.refused(NAME, hdf5, says)
    assert "run" not in capsys.readouterr().out


def test_options_of_one_form_alone_are_refused_in_the_other(folder, hdf5):
    change.refused(NAME, folder, f"vectors.*{H5}", vectors=True)
    change.refused(NAME, hdf5, "films.*other genres", films="mmbt")


def test_a_row_in_two_splits_is_refused(hdf5):
    with h5py.File(hdf5 / H5, "r+") as file:
        table = file.attrs["split"]
        table["stop"][table["split"] == b"train"] = 5
        file.attrs["split"] = table
    change.refused(NAME, hdf5, "row 3 in train and dev")
