"""`mmkd-lab data` on published sets: what is told, asked and found, and the status a script sees."""

from __future__ import annotations

import io
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from mmkd_lab import data
from mmkd_lab.cli import main
from mmkd_lab.core.check import LabError
from mmkd_lab.data.published.fixtures import av_mnist_npy
from mmkd_lab.data.published.publication import Download
from mmkd_lab.data.published.sets import av_mnist_npy as read
from mmkd_lab.data.registry import catalogue

NAME = "av_mnist_npy"


@pytest.fixture
def mirror(tmp_path, monkeypatch) -> Path:
    root = tmp_path / "mirror"
    (root / NAME).mkdir(parents=True)
    av_mnist_npy.write(root / NAME)
    monkeypatch.setenv("MMKD_LAB_MIRROR", str(root))
    return root


def test_a_set_is_found_by_its_name_in_the_mirror(mirror, capsys):
    assert len(data.load(NAME)) == 40
    assert data.verify(NAME) == [mirror / NAME]
    assert main(["data", "where", NAME]) == 0
    assert capsys.readouterr().out.strip() == str(mirror / NAME)
    shutil.rmtree(mirror / NAME)
    (place,) = data.where(NAME)
    assert not place.exists
    with pytest.raises(LabError, match="mmkd-lab data get av_mnist_npy"):
        data.load(NAME)


def test_verify_prints_what_it_found_and_says_what_stops(mirror, capsys):
    assert main(["data", "verify", NAME, "--full"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[:2]] == [["ok", "layout"], ["note", "samples"]]
    assert any("40 items read, 0 damaged" in line for line in lines)
    (mirror / NAME / "test_labels.npy").write_bytes(b"")
    assert main(["data", "verify", NAME]) == 1
    assert capsys.readouterr().out.startswith("stop  files")
    with pytest.raises(LabError, match=r"test_labels\.npy"):
        data.verify(NAME)


def test_what_nobody_may_fetch_is_explained(mirror, capsys):
    assert main(["data", "get", NAME]) == 1
    shown = capsys.readouterr().out
    assert all(one in shown for one in ("licence   none stated", "cite      Vielzeuf", "MultiBench's readme"))
    with pytest.raises(LabError, match="MultiBench's readme"):
        data.get(NAME, yes=True)


@pytest.mark.parametrize(("answer", "status"), [("", 2), ("n\n", 2), ("y\n", 0)])
def test_the_question_is_asked_before_anything_is_fetched(mirror, monkeypatch, capsys, answer, status):
    fetched = []
    known = replace(read.PUBLICATION, downloads=(Download("https://nowhere.invalid/x", "x", 9),))
    monkeypatch.setattr(read, "PUBLICATION", known)
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    monkeypatch.setattr(
        "mmkd_lab.data.published.get.fetch", lambda one, folder: fetched.append(one.file) or folder
    )
    assert main(["data", "get", NAME]) == status
    assert fetched == ["x"] * (status == 0)


def test_every_published_set_tells_how_to_get_it():
    from mmkd_lab.data.published.publication import publication

    names = [entry.name for entry in catalogue() if entry.published]
    assert len(names) >= 14
    for name in names:
        one = publication(name)
        assert one.name == name
        assert all((one.title, one.licence, one.citation, one.home, one.how or one.downloads))
        assert all(item.url.startswith(("https://", "http://")) for item in one.downloads)
