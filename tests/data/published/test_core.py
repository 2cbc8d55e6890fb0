"""From files to rows: read once, resumed, damaged ones named; archives and downloads with care."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from mmkd_lab.core.check import DamagedFile, LabError, UnreadableFile
from mmkd_lab.core.config import config
from mmkd_lab.data.on_demand import OnDemand
from mmkd_lab.data.published import tables
from mmkd_lab.data.published.get import fetch
from mmkd_lab.data.published.items import PictureFile
from mmkd_lab.data.published.prepare import prepared
from mmkd_lab.data.published.publication import Download, Publication
from mmkd_lab.data.published.recipes import Published
from mmkd_lab.data.published.sheet import Column, Sheet
from mmkd_lab.data.published.unpack import unpack
from mmkd_lab.data.published.verify import verify
from mmkd_lab.data.task import Task


@dataclass(frozen=True)
class Numbered:
    """(2,) the number in a file, and the row; counts how often it is asked."""

    asked: ClassVar[list[object]] = []

    def __call__(self, key: tuple[str, int]) -> np.ndarray:
        self.asked.append(key)
        text = Path(key[0]).read_text()
        if text == "stop":
            raise KeyboardInterrupt
        if not text.isdigit():
            raise DamagedFile(key[0], text, "must be a number")
        return np.array([int(text), key[1]], np.float32)


def numbered(folder: Path, texts: list[str]) -> list[tuple[str, int]]:
    for i, text in enumerate(texts):
        (folder / f"{i}.txt").write_text(text)
    return [(str(folder / f"{i}.txt"), i) for i in range(len(texts))]


def test_every_key_is_read_once_and_kept(tmp_path):
    keys = numbered(tmp_path, ["7", "8", "9"])
    column = Column([keys[1], None, keys[0], keys[1], keys[2]], Numbered())
    Numbered.asked.clear()
    found = prepared(column, tmp_path / "cache", label="x")
    assert found.rows[found.where[found.where >= 0]].tolist() == [[8, 1], [7, 0], [8, 1], [9, 2]]
    assert found.where.tolist() == [0, -1, 1, 0, 2]
    count = len(Numbered.asked)
    assert count == 4  # one of them twice: the form of all rows is that of the first
    prepared(column, tmp_path / "cache", label="x")
    assert len(Numbered.asked) == count
    (tmp_path / "0.txt").write_text("70")
    assert prepared(column, tmp_path / "cache", label="x").rows[1].tolist() == [70, 0]


def test_reading_goes_on_where_it_stopped(tmp_path):
    keys = numbered(tmp_path, [*map(str, range(40))])
    (tmp_path / "35.txt").write_text("stop")
    with pytest.raises(KeyboardInterrupt):
        prepared(Column(keys, Numbered()), tmp_path / "cache", label="x")
    about = (tmp_path / "35.txt").stat()
    (tmp_path / "35.txt").write_text("3535")  # as long as "stop"
    os.utime(tmp_path / "35.txt", ns=(about.st_atime_ns, about.st_mtime_ns))
    Numbered.asked.clear()
    found = prepared(Column(keys, Numbered()), tmp_path / "cache", label="x")
    assert [i for _, i in Numbered.asked] == [*range(32, 40)]
    assert found.rows[:, 0].tolist() == [*range(35), 3535, *range(36, 40)]


def test_processes_read_the_same(tmp_path):
    keys = numbered(tmp_path, [*map(str, range(40)), "x"])
    one, two = (prepared(Column(keys, Numbered()), tmp_path / str(n), label="x", jobs=n) for n in (0, 2))
    assert np.array_equal(one.rows, two.rows)
    assert {i: str(e) for i, e in one.damaged.items()} == {i: str(e) for i, e in two.damaged.items()}
    assert list(two.damaged) == [40]


@config
class Toy(Published):
    """Parameters of a toy."""


def toy(root: Path, recipe: Toy) -> Sheet:
    rows = list(tables.csv_rows(root / "list.csv", ("id", "picture", "said", "label", "split")))
    pictures = [tables.inside(root, row["picture"], row.place) for row in rows]
    return Sheet(
        ids=tuple(row["id"] for row in rows),
        classes=("no", "yes"),
        task=Task.SINGLE_LABEL,
        target=np.array([("no", "yes").index(row.option("label", ("no", "yes"))) for row in rows]),
        split=tuple(row["split"] for row in rows),
        modalities={
            "image": Column([str(one) if one.is_file() else None for one in pictures], PictureFile((8, 8))),
            "text": tuple(row["said"] or None for row in rows),
        },
        layout="list.csv",
        files=(root / "list.csv",),
        missing=tuple(one.name for one in pictures if not one.is_file()),
    )


def write(folder: Path, samples: int) -> None:
    lines = ["id,picture,said,label,split"]
    for i in range(samples):
        split = "train" if i < samples // 2 else "test"
        lines.append(f"s{i},{i}.png,word{i % 2} again,{('no', 'yes')[i % 2]},{split}")
        Image.new("RGB", (16, 12), (255 * (i % 2), 0, 0)).save(folder / f"{i}.png")
    (folder / "list.csv").write_text("\n".join(lines))


def unread(root: Path, recipe: Toy) -> Sheet:
    raise AssertionError


TOY = Publication("toy", "Toy set", "none", "nobody", "nowhere", toy, write, "Make it.")


def load(root: Path, **options):
    return TOY.build(Toy(root=str(root), min_count=1, **options))


def test_a_sheet_becomes_paired_data_that_stays_on_disk(tmp_path):
    write(tmp_path, 20)
    (tmp_path / "3.png").unlink()
    found = load(tmp_path)
    assert found.ids[4] == "s4"
    image = found.modalities["image"]
    assert isinstance(image, OnDemand)
    assert image[np.array([1, 2]).tolist()].float().mean((2, 3)).tolist() == [[255, 0, 0], [0, 0, 0]]
    assert found.present["image"].logical_not().nonzero().flatten().tolist() == [3]
    assert {name: len(rows) for name, rows in found.splits.items()} == {"train": 8, "val": 2, "test": 10}
    assert "1 listed files are missing, as 3.png" in repr(found)
    assert "val drawn from train" in repr(found)
    assert found.caption("text", 5) == "word1 again"
    (tmp_path / "list.csv").write_text((tmp_path / "list.csv").read_text() + "\n")
    assert load(tmp_path).recipe["files"] != found.recipe["files"]
    assert load(tmp_path).fingerprint == found.fingerprint


def test_a_picture_that_samples_share_is_kept_once(tmp_path):
    write(tmp_path, 20)
    text = (tmp_path / "list.csv").read_text()
    (tmp_path / "list.csv").write_text(text.replace(",2.png", ",0.png"))
    found = load(tmp_path)
    assert (found.sources["image"][:4].tolist(), len(found.sources["image"].unique())) == ([0, 1, 0, 2], 19)
    assert found.modalities["image"][[2, 4]].shape == (2, 3, 8, 8)


def test_damaged_items_are_all_named_or_left_out(tmp_path):
    write(tmp_path, 20)
    (tmp_path / "2.png").write_text("<!DOCTYPE html><p>404")
    (tmp_path / "5.png").write_bytes((tmp_path / "5.png").read_bytes()[:40])
    with pytest.raises(DamagedFile, match=r"(?s)2.png.*an HTML page.*Also: .*5.png"):
        load(tmp_path)
    found = load(tmp_path, damaged="drop")
    assert len(found) == 18
    assert "s2" not in found.ids
    assert "2 damaged items, 2 samples left out" in repr(found)


def test_a_fixture_says_that_it_is_one(tmp_path, monkeypatch):
    monkeypatch.setattr(Publication, "written", lambda self: tmp_path)
    write(tmp_path, 20)
    elsewhere = replace(TOY, read=unread)
    assert "a fixture: made data" in repr(TOY.build(Toy(fixture=True, min_count=1)))
    monkeypatch.setenv("MMKD_LAB_FIXTURE", "1")
    assert "a fixture: made data" in repr(TOY.build(Toy(min_count=1)))
    with pytest.raises(AssertionError):
        elsewhere.build(Toy())


def test_verify_names_what_stops_a_run_and_what_does_not(tmp_path):
    write(tmp_path, 20)
    (tmp_path / "3.png").unlink()
    known = replace(TOY, expected={"train": 10, "test": 11})
    found = list(verify(known, Toy(root=str(tmp_path))))
    assert {one.state for one in found} == {"ok", "note"}
    told = {one.subject: one.text for one in found}
    assert told["samples"] == "20: train 10, test 10; the whole set has test 11"
    listed = Path(told["missing"].rpartition(" in ")[2])
    assert listed.read_text() == "3.png\n"
    (tmp_path / "4.png").write_bytes(b"")
    stops = [one.text for one in verify(TOY, Toy(root=str(tmp_path))) if one.state == "stop"]
    assert [text.rpartition(": ")[2] for text in stops] == ["must hold something. Fetch it again."]
    (tmp_path / "list.csv").write_text("")
    (stopped,) = verify(TOY, Toy(root=str(tmp_path)))
    assert stopped.state == "stop"
    (stopped,) = verify(TOY, Toy(root=str(tmp_path / "none")))
    assert "mmkd-lab data get toy" in stopped.text


LISTS: dict[str, tuple[bytes, str]] = {
    "utf16": ("a,b\n1,2\n".encode("utf-16"), "text in UTF-16"),
    "semicolons": (b"a;b\n1;2\n", "a header without 'a', 'b' or"),
    "cells": (b"a,b\n1,2\n1,2,3\n", r"line 3.*3 cells"),
    "quote": (b'a,b\n1,"2\n', "unexpected end of data"),
    "zeros": (b"a,b\n1,\x002\n", "zero bytes"),
    "missing": (b"a\n1\n", "a header without 'b'"),
}


@pytest.mark.parametrize(("content", "says"), LISTS.values(), ids=LISTS)
def test_a_damaged_list_is_refused(tmp_path, content, says):
    file = tmp_path / "list.csv"
    file.write_bytes(content)
    with pytest.raises(DamagedFile, match=f"list.csv.*{says}".replace("'a', 'b' or", "'a' or 'b'")):
        list(tables.csv_rows(file, ("a", "b")))


def test_lines_and_encodings(tmp_path):
    file = tmp_path / "list.csv"
    file.write_bytes('a,b\r\n"x\r\ny",1\r\nz\x85,é\r\n'.encode())
    rows = list(tables.csv_rows(file, ("a", "b")))
    assert [(row.line, row["a"]) for row in rows] == [(2, "x\r\ny"), (4, "z\x85")]
    assert tables.repaired("it\x92s\x85") == ("it’s…", 2)
    file.write_bytes("a,b\né,1\n".encode("cp1252"))
    assert tables.text_of(file) == ("a,b\né,1\n", "list.csv is no UTF-8 and was read as cp1252")
    with pytest.raises(DamagedFile, match=r"line 2.*must not occur twice; it is in list.csv, line 2"):
        tables.distinct([("é", row) for row in [*tables.csv_rows(file, ("a", "b"))] * 2])
    file.write_text('{"a": 1}\n\n{"a": \n')
    with pytest.raises(DamagedFile, match="line 3"):
        list(tables.json_lines(file))
    row = tables.Record(file, 1, {"id": "1.23e+17"})
    with pytest.raises(DamagedFile, match="a whole number in all its digits"):
        row.number("id")


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "link/x", "a\\..\\x", "a\0b", "9" * 5000])
def test_a_list_names_files_inside_its_folder(tmp_path, name):
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    with pytest.raises((DamagedFile, UnreadableFile), match="row 1"):
        tables.inside(root, name, "row 1")


def _tar(file: Path, name: str, **about: object) -> None:
    with tarfile.open(file, "w:gz") as tar:
        info = tarfile.TarInfo(name)
        info.size = 2 if about.get("type", tarfile.REGTYPE) == tarfile.REGTYPE else 0
        for one, value in about.items():
            setattr(info, one, value)
        tar.addfile(info, io.BytesIO(b"hi"))


def _zip(file: Path, name: str, content: bytes = b"hi", mode: int = 0) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        archive.writestr(info, content, zipfile.ZIP_DEFLATED)


ARCHIVES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "up": ("a.tar.gz", lambda file: _tar(file, "../x")),
    "absolute": ("a.tar.gz", lambda file: _tar(file, "/x")),
    "link": ("a.tar.gz", lambda file: _tar(file, "x", type=tarfile.SYMTYPE, linkname="/etc")),
    "hard link": ("a.tar.gz", lambda file: _tar(file, "x", type=tarfile.LNKTYPE, linkname="/etc/passwd")),
    "device": ("a.tar.gz", lambda file: _tar(file, "x", type=tarfile.CHRTYPE)),
    "zip up": ("a.zip", lambda file: _zip(file, "a/../../x")),
    "zip drive": ("a.zip", lambda file: _zip(file, "C:x")),
    "zip link": ("a.zip", lambda file: _zip(file, "x", mode=stat.S_IFLNK)),
    "bomb": ("a.zip", lambda file: _zip(file, "x", bytes(10_000_000))),
    "truncated": ("a.zip", lambda file: file.write_bytes(b"PK\3\4")),
}


@pytest.mark.parametrize(("name", "make"), ARCHIVES.values(), ids=ARCHIVES)
def test_an_archive_that_would_leave_its_folder_writes_nothing(tmp_path, name, make):
    make(tmp_path / name)
    with pytest.raises(DamagedFile, match=name):
        unpack(tmp_path / name, tmp_path / "out" / "in")
    assert [one for one in tmp_path.rglob("*") if one.is_file()] == [tmp_path / name]


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
def test_a_sound_archive_is_unpacked(tmp_path, name):
    (_zip if name == "a.zip" else _tar)(tmp_path / name, "one/two.txt")
    assert unpack(tmp_path / name, tmp_path / "out") == 1
    assert (tmp_path / "out" / "one" / "two.txt").read_text() == "hi"


class _Ranges(BaseHTTPRequestHandler):
    content, cut, seen = bytes(range(256)) * 20, 3000, list[str]()

    def do_GET(self) -> None:
        """The content from where it is asked for; the first answer breaks off."""
        asked = self.headers.get("Range", "")
        self.seen.append(asked)
        start = int(asked[6:-1]) if asked else 0
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(self.content) - start))
        self.end_headers()
        self.wfile.write(self.content[start : None if asked else self.cut])

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Ranges)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/file"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_download_goes_on_where_it_stopped(tmp_path, address):
    _Ranges.seen.clear()
    known = hashlib.sha256(_Ranges.content).hexdigest()
    one = Download(address, "file.bin", len(_Ranges.content), f"sha256:{known}")
    with pytest.raises(DamagedFile, match="the same command again"):
        fetch(one, tmp_path)
    assert not (tmp_path / "file.bin").exists()
    assert fetch(one, tmp_path).read_bytes() == _Ranges.content
    assert _Ranges.seen == ["", "bytes=3000-"]
    assert [one.name for one in tmp_path.iterdir()] == ["file.bin"]


def test_what_arrives_changed_is_removed(tmp_path, address):
    (tmp_path / "file.bin.partial").write_bytes(b"x")
    one = Download(address, "file.bin", len(_Ranges.content), f"md5:{'0' * 32}")
    with pytest.raises(DamagedFile, match="is removed here"):
        fetch(one, tmp_path)
    assert not list(tmp_path.iterdir())


def test_nothing_is_fetched_unasked(tmp_path, address):
    from mmkd_lab.data.published.get import get

    known = replace(TOY, downloads=(Download(address, "x", 1),))
    with pytest.raises(LabError, match="nobody agreed"):
        get(known, agreed=lambda: False, mirror=tmp_path)
    with pytest.raises(LabError, match="Make it"):
        get(TOY, agreed=partial(bool, 1), mirror=tmp_path)
