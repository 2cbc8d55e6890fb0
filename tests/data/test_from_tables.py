"""`data.from_dataframe` and `data.from_folder`: columns, files, and what is refused of either."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy.io import wavfile

from mmkd_lab import data
from mmkd_lab.core.check import DamagedFile, LabError
from mmkd_lab.data.making.spectrogram import MelSpec
from mmkd_lab.data.own.media import read, read_sound, spectrograms
from tests.data.own import NAN, N, changed, labels, sensors, texts

MODALITIES = {"x": ["f_0", "f_1"], "text": "said"}


def frame(**columns):
    """A table of every kind of column, with changes."""
    given = {
        "id": [f"{i:03d}" for i in range(N)],
        "label": labels(),
        "said": texts(),
        "age": np.arange(N),
        **{f"f_{i}": sensors()[:, i] for i in range(5)},
        "day": pd.date_range("2024", periods=N),
        "who": [f"p{i // 3}" for i in range(N)],
        "part": ["train"] * 60 + ["dev"] * 15 + ["test"] * 15,
        **columns,
    }
    return pd.DataFrame(given)


def test_a_table_is_its_arrays():
    table, ids = frame(), [f"{i:03d}" for i in range(N)]
    split = {"train": range(60), "val": range(60, 75), "test": range(75, N)}
    plain = {"x": sensors()[:, :2], "text": texts()}
    wanted = data.from_arrays(plain, labels(), ids=ids, group=table["who"], split=split)
    how = {"label": "label", "modalities": MODALITIES, "split": "part", "group": "who", "id": "id"}
    assert data.from_dataframe(table, **how).fingerprint == wanted.fingerprint
    assert data.from_dataframe(table, **how, name="t").name == "t"

    class Other:
        def to_pandas(self):
            return table

    assert data.from_dataframe(Other(), **how).fingerprint == wanted.fingerprint
    assert data.from_dataframe(table, **{**how, "split": split}).fingerprint == wanted.fingerprint


@pytest.mark.parametrize(
    ("where", "shape"), [("f_", (5,)), ("f_3", (1,)), ("age", (1,)), (["age", "f_1"], (2,))]
)
def test_columns_by_name_or_by_their_beginning(where, shape):
    assert data.from_dataframe(frame(), label="label", modalities={"x": where}).shapes == {"x": shape}


def test_columns_of_zeros_and_ones_are_several_labels():
    table = frame(red=np.arange(N) % 2, big=np.arange(N) % 3 > 0)
    found = data.from_dataframe(table, label=["red", "big"], modalities={"x": "f_"})
    assert found.classes == ("red", "big")
    assert (found.task, found.target[1].tolist()) == (data.Task.MULTI_LABEL, [1.0, 1.0])


#: What is wrong with a table: columns, keywords, what the message says.
FRAMES = {
    "a label that is not there": (
        {},
        {"label": "labl"},
        r"label = \"'labl'\": must be a column.*Did you mean 'label'",
    ),
    "two columns unknown": (
        {},
        {"modalities": {"x": ["f_0", "q", "r"]}},
        r"\['x'\] = \"'q', 'r'\": must be",
    ),
    "a beginning of nothing": (
        {},
        {"modalities": {"x": "zz_"}},
        r"\['x'\] = \"'zz_'\": must be a column",
    ),
    "no columns": ({}, {"modalities": {"x": []}}, r"modalities\['x'\] = '': must be a column"),
    "text among numbers": (
        {},
        {"modalities": {"x": ["f_0", "said"]}},
        r"\"column 'said'\": must hold",
    ),
    "dates": ({}, {"modalities": {"x": "day"}}, r"\"column 'day'\": must hold numbers, no texts or dates"),
    "gaps": ({"f_1": changed(sensors()[:, 1], 4, NAN)}, {}, r"modalities\['x'\] = \"gaps in 'f_1'\""),
    "a label missing": (
        {"label": changed(labels(), 80, None)},
        {},
        r"y \(column 'label'\) = '1 of 90 m",
    ),
    "split unknown": ({}, {"split": "fold"}, r"split = \"'fold'\": must be a column of the table"),
    "group unknown": ({}, {"group": "actor"}, r"group = \"'actor'\": must be a column"),
    "ids twice": (
        {},
        {"id": "who"},
        r"ids \(column 'who'\) = \"'p0', 'p1', 'p10' and 27 more m",
    ),
    "modalities as a list": (
        {},
        {"modalities": ["f_0"]},
        r"modalities = \['f_0'\]: must be {name",
    ),
}


@pytest.mark.parametrize("case", FRAMES)
def test_tables_are_refused(case):
    columns, keywords, expected = FRAMES[case]
    with pytest.raises(LabError, match=expected):
        data.from_dataframe(frame(**columns), **{"label": "label", "modalities": MODALITIES, **keywords})


def test_no_table_and_one_with_two_columns_of_a_name():
    with pytest.raises(LabError, match=r"frame = 'list': must be a pandas DataFrame"):
        data.from_dataframe([1], label="a", modalities={})
    twice = pd.concat([frame(), frame()[["age"]]], axis=1)
    with pytest.raises(LabError, match=r"frame = \"columns 'age' twice\""):
        data.from_dataframe(twice, label="label", modalities=MODALITIES)


FILES = {"image": "picture", "sound": "sound", "note": "note", "array": "array", "said": "said"}
ROWS = 12


@pytest.fixture
def folder(tmp_path):
    """Twelve samples of every kind of file; `rows` of the table are written by `table`."""
    rng = np.random.default_rng(0)
    for i in range(ROWS):
        picture = np.zeros((20, 30, 3), dtype=np.uint8)
        picture[:, :15] = (255, 0, i)
        Image.fromarray(picture).save(tmp_path / f"{i}.png")
        wave = rng.normal(size=8000 + 100 * i)
        wavfile.write(tmp_path / f"{i}.wav", 8000, (wave * 3000).astype(np.int16))
        np.save(tmp_path / f"{i}.npy", rng.normal(size=(3, 4)))
        (tmp_path / f"{i}.txt").write_text(f"a café, {i % 2}", encoding="utf-8")
    return tmp_path


def table(folder, name="t.csv", **columns):
    """A table of the folder, with changes."""
    endings = {"picture": "png", "sound": "wav", "note": "txt", "array": "npy"}
    files = {kind: [f"{i}.{end}" for i in range(ROWS)] for kind, end in endings.items()}
    said = [f"number {i % 3} of them" for i in range(ROWS)]
    found = pd.DataFrame(
        {"id": [f"{i:02d}" for i in range(ROWS)], "label": list("ab") * 6, **files, "said": said, **columns}
    )
    path = folder / name
    if path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, found.to_dict("records"))), encoding="utf-8")
    elif path.suffix == ".parquet":
        found.to_parquet(path)
    else:
        found.to_csv(path, index=False, sep={".tsv": "\t"}.get(path.suffix, ";"))
    return path


def test_every_kind_of_table_gives_the_same_data(folder):
    names = ("t.csv", "t.tsv", "t.jsonl", "t.parquet")
    found = [data.from_folder(table(folder, name), modalities=FILES, id="id", name="t") for name in names]
    assert len({one.fingerprint for one in found}) == 1
    assert found[0].ids[:2] == ("00", "01")
    assert found[0].shapes == {
        "image": (3, 32, 32),
        "sound": (1, 40, 35),
        "note": (3,),
        "array": (3, 4),
        "said": (4,),
    }
    image = found[0].modalities["image"][5]
    assert image[:, 0, 0].tolist() == pytest.approx([1.0, 0.0, 5 / 255])
    assert float(image[:, :, -1].max()) == 0.0
    assert found[0].caption("note", 1) == "a café, 1"
    assert torch.equal(
        found[0].modalities["array"][2], torch.from_numpy(np.load(folder / "2.npy", allow_pickle=False))
    )


def test_a_folder_with_one_table_and_ids_that_are_numbers(folder):
    table(folder, id=range(50, 50 + ROWS))
    found = data.from_folder(folder, modalities={"image": "picture"}, id="id", size=(8, 12))
    assert (found.name, found.shapes["image"]) == (folder.name, (3, 8, 12))
    assert (found.ids, found.sample_index[:2].tolist()) == ((), [50, 51])
    table(folder, "u.csv")
    with pytest.raises(LabError, match=r"must hold one table .*and holds 2.*Give the path"):
        data.from_folder(folder, modalities={"image": "picture"})


def test_pictures_of_many_kinds_are_upright_and_on_white(tmp_path):
    clear = np.zeros((10, 10, 4), dtype=np.uint8)
    clear[:5, :, 3] = 255
    Image.fromarray(clear).save(tmp_path / "clear.png")
    found = read(tmp_path / "clear.png", "picture", (10, 10), 1)
    assert found[:5].max() == 0
    assert found[5:].min() == 255
    Image.fromarray(np.full((10, 10), 65535, dtype=np.uint16)).save(tmp_path / "deep.png")
    assert read(tmp_path / "deep.png", "picture", (8, 8), 1).tolist() == np.full((8, 8, 3), 255).tolist()
    turned, flag = Image.fromarray(np.repeat(np.array([[0, 255]], np.uint8), 20, axis=1)), Image.Exif()
    flag[0x0112] = 6  # turn by 90 degrees
    turned.save(tmp_path / "turned.jpg", exif=flag)
    assert np.ptp(read(tmp_path / "turned.jpg", "picture", (40, 1), 1)[:, 0, 0]) == 255
    grey = data.from_folder(_greys(tmp_path), modalities={"image": "file"})
    assert grey.shapes == {"image": (1, 32, 32)}


def _greys(folder):
    for i in range(6):
        Image.new("L", (9, 9), 40 * i).save(folder / f"g{i}.png")
    rows = [json.dumps({"file": f"g{i}.png", "label": i % 2}) for i in range(6)]
    (folder / "greys.jsonl").write_text("\n".join(rows))
    return folder / "greys.jsonl"


@pytest.mark.parametrize("kind", [np.int16, np.int32, np.uint8, np.float32])
def test_a_tone_is_a_line_at_its_frequency_whatever_its_format(tmp_path, kind):
    time = np.arange(32000) / 32000
    wave = 0.5 * np.sin(2 * np.pi * 2000 * time)
    scale, zero = {np.int16: (2**15, 0), np.int32: (2**31, 0), np.uint8: (128, 128), np.float32: (1, 0)}[kind]
    stereo = np.stack([wave, wave], axis=1) * scale + zero
    wavfile.write(tmp_path / "tone.wav", 32000, stereo.astype(kind))
    heard = read_sound(tmp_path / "tone.wav", 16000)
    assert len(heard) == 16000
    assert np.abs(heard[1000:-1000] - wave[::2][1000:-1000]).max() < 0.02
    (line,) = spectrograms([heard], None)[0]
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 42) / 2595) - 1)
    assert abs(edges[1 + line[:, 30].argmax()] - 2000) < 200


def test_a_short_sound_stands_in_the_middle_and_of_a_long_one_the_middle_is_kept():
    spec = MelSpec(rate=8000, window=64, hop=64, mel=4, frames=9)
    short, long = np.zeros(64), np.zeros(64 * 99)
    short[:], long[49 * 64 : 50 * 64] = 1.0, 1.0
    found = spectrograms([short, long], spec)
    assert found.shape == (2, 1, 4, 9)
    assert found[:, 0].max(axis=1).argmax(axis=1).tolist() == [4, 4]
    assert found.min() == -80.0
    assert spectrograms([np.ones(16000 * 40)], None).shape == (1, 1, 40, 63)


def test_soundfile_reads_what_is_no_wav(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    wave = np.sin(np.arange(1600) / 5)
    soundfile.write(tmp_path / "a.flac", wave, 16000)
    soundfile.write(tmp_path / "a.wav", wave, 16000)
    assert np.abs(read_sound(tmp_path / "a.flac", 16000) - read_sound(tmp_path / "a.wav", 16000)).max() < 1e-4
    (tmp_path / "b.ogg").write_bytes(b"no sound")
    with pytest.raises(DamagedFile, match=r"b\.ogg.*must be a sound, a"):
        read_sound(tmp_path / "b.ogg", 16000)


def broken(folder, name, content):
    (folder / name).write_bytes(content)


#: What is wrong with a folder: what is done to it, keywords, what the message says.
FOLDERS = {
    "no picture": (lambda f: broken(f, "3.png", b"no picture"), {}, r"3\.png = .*must be a picture"),
    "a picture cut short": (
        lambda f: broken(f, "3.png", (f / "4.png").read_bytes()[:60]),
        {},
        r"3\.png = .*truncated.*must be a picture",
    ),
    "a postscript": (lambda f: broken(f, "3.png", b"%!PS-Adobe-3.0 EPSF-3.0\n"), {}, r"3\.png = .*a picture"),
    "no wav": (lambda f: broken(f, "3.wav", b"RIFF"), {}, r"3\.wav = .*must be a sound, a .wav"),
    "a wav cut short": (
        lambda f: broken(f, "3.wav", (f / "4.wav").read_bytes()[:2000]),
        {},
        r"3\.wav = .*must be a sound, a",
    ),
    "objects in an array": (
        lambda f: np.save(f / "3.npy", np.array([{}], dtype=object)),
        {},
        r"3\.npy = .*must be a .npy file",
    ),
    "an array of another shape": (
        lambda f: np.save(f / "3.npy", np.zeros((2, 2))),
        {},
        r"modalities\['array'\] = '\(2, 2\) in row 3': must have one shape, and row 0 has \(3, 4\)",
    ),
    "a text in another encoding": (
        lambda f: broken(f, "3.txt", "café".encode("cp1252")),
        {},
        r"3\.txt = .*must be text in UTF-8",
    ),
    "a file missing": (lambda f: (f / "3.png").unlink(), {}, r"3\.png = 'missing': is named by .*, row 3"),
    "a table in another encoding": (
        lambda f: broken(f, "t.csv", "id;label\n1;café".encode("cp1252")),
        {},
        r"t\.csv = .*'utf-8' codec.*must be a table.*Save it as UTF-8",
    ),
    "cells too many": (
        lambda f: broken(f, "t.csv", b"id,label\n1,2\n1,2,3,4\n"),
        {},
        r"t\.csv = .*must be a table: as many cells",
    ),
    "an empty table": (lambda f: broken(f, "t.csv", b""), {}, r"t\.csv = .*must be a table"),
    "no rows": (lambda f: broken(f, "t.csv", b"label,picture\n"), {}, r"t\.csv = 'no rows': must"),
    "no folder": (lambda f: None, {"table": "nowhere"}, r"table = 'nowhere': must end in '\.csv'"),
    "no such table": (lambda f: None, {"table": "nowhere.csv"}, r"nowhere\.csv = 'missing'"),
    "a column that is not there": (lambda f: None, {"label": "lable"}, r"label = \"'lable'\".*mean 'label'"),
    "size": (lambda f: None, {"size": (32, 4)}, r"size = 4: must be a whole number of at least 8"),
    "sound": (lambda f: None, {"sound": "mel"}, r"sound = "),
}  # fmt: skip


@pytest.mark.parametrize("case", FOLDERS)
def test_folders_are_refused(folder, case):
    table(folder)
    change, keywords, expected = FOLDERS[case]
    change(folder)
    with pytest.raises(LabError, match=expected):
        data.from_folder(**{"table": folder / "t.csv", "modalities": FILES, **keywords})


def test_paths_stay_inside_the_folder(folder, tmp_path_factory):
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.png"
    Image.new("L", (9, 9)).save(secret)
    (folder / "link.png").symlink_to(secret)
    names = [f"{i}.png" for i in range(ROWS)]
    for name in (str(secret), f"../{secret.parent.name}/secret.png", "link.png"):
        path = table(folder, picture=changed(names, 3, name))
        with pytest.raises(LabError, match=r"column 'picture', row 3 = .*must lie in .*, links followed"):
            data.from_folder(path, modalities={"image": "picture"})


def test_every_damaged_file_is_named_at_once(folder):
    names = [f"{i}.png" for i in range(ROWS)]
    (folder / "1.png").write_bytes(b"")
    (folder / "2.png").unlink()
    with pytest.raises(DamagedFile, match=r"(?s)1\.png = .*Also: .*2\.png = 'missing'"):
        data.from_folder(table(folder), modalities={"image": "picture"})
    with pytest.raises(LabError, match=r"row 5 = '5\.wav': must name a file \(picture\)"):
        data.from_folder(table(folder, picture=changed(names, 5, "5.wav")), modalities={"image": "picture"})


def test_a_line_that_is_no_json_is_refused(folder):
    (folder / "t.jsonl").write_text('{"label": 1}\n{"label": \n')
    with pytest.raises(DamagedFile, match=r"t\.jsonl = .*line 2 column 11.*must be a table"):
        data.from_folder(folder / "t.jsonl", modalities={"x": "x"})


def test_recordings_of_the_mirror_by_their_table(mirror, tmp_path):
    clips = sorted((mirror / "ravdess").glob("Actor_*/*.wav"))
    rows = [
        {"file": f"{clip.parent.name}/{clip.name}", "label": "low" if clip.name[6:8] < "05" else "high"}
        for clip in clips
    ]
    for clip in clips:
        (tmp_path / clip.parent.name).mkdir(exist_ok=True)
        (tmp_path / clip.parent.name / clip.name).write_bytes(clip.read_bytes())
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = data.from_folder(tmp_path, modalities={"voice": "file"})
    assert (len(found), found.shapes["voice"][:2]) == (len(rows), (1, 40))
    assert len(torch.unique(found.modalities["voice"], dim=0)) == len(rows)
