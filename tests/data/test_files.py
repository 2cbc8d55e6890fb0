"""Mirror, downloads and shipped files: found, verified, fetched; damaged ones refused by name."""

from __future__ import annotations

import gzip
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mmkd_lab import data
from mmkd_lab.core.check import DamagedFile, LabError, UnreadableFile
from mmkd_lab.data import download, manifest
from mmkd_lab.data.manifest import DataFile
from tests.strangers import as_another_user, shared_folder

LABELS = "t10k-labels-idx1-ubyte.gz"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the address of a web server on it."""
    folder = tmp_path / "served"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def labels(tmp_path: Path) -> tuple[DataFile, bytes]:
    """A small .gz file with its manifest entry."""
    import hashlib

    content = bytes(range(200))
    known = DataFile("mnist", (LABELS,), "idx.gz", hashlib.sha256(content).hexdigest(), 200, 0.1, ())
    return known, content


def mirrored(tmp_path: Path, mirror: Path, name: str) -> Path:
    """A copy of one collection of the mirror."""
    folder = tmp_path / "mirror" / name
    folder.mkdir(parents=True)
    for file in manifest.collection(name).files:
        (folder / file.names[0]).write_bytes((mirror / name / file.names[0]).read_bytes())
    return tmp_path / "mirror"


def test_the_manifest_covers_the_catalogue() -> None:
    for item in data.catalogue():
        assert set(item.files) <= set(manifest.collections())
    for name in manifest.collections():
        found = manifest.collection(name)
        assert found.licence
        for file in found.files:
            assert len(file.sha256) == 64
            assert bool(file.urls) != bool(file.how)
            assert all(url.startswith("https://") for url in file.urls)
    assert len(manifest.backgrounds()) == 50


def test_shipped_files_verify_and_are_listed() -> None:
    (place,) = data.where("av_digits")
    assert (place.exists, place.origin) == (True, "shipped")
    assert data.verify("av_digits") == data.get("av_digits") == [place.path]
    assert data.where("gaussian") == data.get("gaussian") == []


def test_a_wheel_keeps_its_data_inside_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site-packages" / "mmkd_lab"
    inside = package / "_shipped" / "data"
    inside.mkdir(parents=True)
    (inside / "manifest.json").write_text((manifest.root() / "manifest.json").read_text())
    monkeypatch.setattr(manifest, "__file__", str(package / "data" / "manifest.py"))
    assert manifest.root() == inside
    with pytest.raises(DamagedFile, match=r"speech\.npz' = 'missing'|speech\.npz = 'missing'"):
        manifest.shipped("av_digits/speech.npz")
    (inside / "av_digits").mkdir()
    (inside / "av_digits" / "speech.npz").write_bytes(b"PK altered")
    with pytest.raises(DamagedFile, match="SHA-256") as caught:
        manifest.shipped("av_digits/speech.npz")
    assert caught.value.argument == str(inside / "av_digits" / "speech.npz")
    (inside / "manifest.json").write_text("{")
    manifest._read.cache_clear()
    with pytest.raises(DamagedFile, match="must be JSON"):
        manifest.shipped("av_digits/speech.npz")
    (inside / "manifest.json").unlink()
    with pytest.raises(DamagedFile, match="missing"):
        manifest.root()


@pytest.mark.parametrize("name", ["avmnist", "MNIST", ""])
def test_unknown_names_are_listed(name: str) -> None:
    for call in (data.where, data.verify, data.get):
        with pytest.raises(
            LabError,
            match=r"'av_digits', 'av_mnist', 'gaussian', 'ravdess', 'mfeat', .*'nlvr', .*'mnist', 'fsdd'",
        ) as caught:
            call(name)
        assert caught.value.rule.count("'mfeat'") == 1


def test_a_missing_mirror_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LabError, match=r"mirror = .*nowhere.*must be an existing folder"):
        data.where("mnist", tmp_path / "nowhere")
    monkeypatch.setenv("MMKD_LAB_MIRROR", str(tmp_path / "gone"))
    with pytest.raises(LabError, match="unset MMKD_LAB_MIRROR"):
        data.get("mnist")


def test_with_a_mirror_nothing_is_downloaded(tmp_path: Path) -> None:
    with pytest.raises(DamagedFile, match=r"Copy it there, or give another folder") as caught:
        data.get("fsdd", tmp_path)
    assert caught.value.argument == str(tmp_path / "fsdd" / "free-spoken-digit-dataset-master.zip")
    assert list(tmp_path.iterdir()) == []


def test_the_option_goes_before_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("variable", "option", "own"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("MMKD_LAB_MIRROR", str(tmp_path / "variable"))
    monkeypatch.setenv("MMKD_LAB_DATA", str(tmp_path / "own"))
    assert data.where("fsdd")[0].path.is_relative_to(tmp_path / "variable")
    assert data.where("fsdd", tmp_path / "option")[0].path.is_relative_to(tmp_path / "option")
    monkeypatch.delenv("MMKD_LAB_MIRROR")
    place = data.where("fsdd")[0]
    assert (place.path, place.origin) == (
        tmp_path / "own/fsdd/free-spoken-digit-dataset-1.0.10.zip",
        "downloads",
    )
    monkeypatch.delenv("MMKD_LAB_DATA")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    assert data.where("fsdd")[0].path.is_relative_to(tmp_path / "home" / "mmkd_lab" / "data")


def test_a_missing_download_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MMKD_LAB_MIRROR", raising=False)
    monkeypatch.setenv("MMKD_LAB_DATA", str(tmp_path))
    with pytest.raises(DamagedFile, match=r"mmkd-lab data get av_mnist") as caught:
        data.load("av_mnist")
    assert caught.value.argument == str(tmp_path / "mnist" / "train-images-idx3-ubyte.gz")


def test_fetch_takes_the_first_address_that_serves_it_intact(
    tmp_path: Path, served: tuple[Path, str], labels: tuple[DataFile, bytes]
) -> None:
    folder, address = served
    known, content = labels
    (folder / "altered.gz").write_bytes(gzip.compress(content[::-1]))
    (folder / "cut.gz").write_bytes(gzip.compress(content)[:-10])
    (folder / "good.gz").write_bytes(gzip.compress(content, compresslevel=1))
    urls = tuple(f"{address}/{name}.gz" for name in ("absent", "altered", "cut", "good"))
    path = download.fetch(replace(known, urls=urls), tmp_path / "own" / "mnist")
    assert gzip.decompress(path.read_bytes()) == content
    assert [item.name for item in path.parent.iterdir()] == [LABELS]


def test_fetch_leaves_nothing_behind_when_all_fail(
    tmp_path: Path, served: tuple[Path, str], labels: tuple[DataFile, bytes]
) -> None:
    folder, address = served
    known, content = labels
    (folder / "altered.gz").write_bytes(gzip.compress(content[::-1]))
    urls = (f"{address}/absent.gz", f"{address}/altered.gz", "http://127.0.0.1:9/refused.gz")
    with pytest.raises(
        DamagedFile, match=r"absent\.gz: .*404.*altered\.gz: .*SHA-256.*refused\.gz"
    ) as caught:
        download.fetch(replace(known, urls=urls), tmp_path / "own")
    assert caught.value.argument == str(tmp_path / "own" / LABELS)
    assert list((tmp_path / "own").iterdir()) == []
    with pytest.raises(DamagedFile, match="knows no address"):
        download.fetch(known, tmp_path / "own")


@pytest.mark.skipif(os.name == "nt", reason="permissions are those of POSIX")
def test_a_folder_for_downloads_that_is_closed_is_named(labels: tuple[DataFile, bytes]) -> None:
    known, _ = labels
    with shared_folder() as folder:
        folder.chmod(0o555)
        with as_another_user(), pytest.raises(LabError, match=r"MMKD_LAB_DATA = .*Permission denied"):
            download.fetch(known, folder / "mnist")


@pytest.mark.skipif(os.name == "nt", reason="permissions are those of POSIX")
def test_a_file_that_this_user_may_not_read_is_not_to_be_deleted(labels: tuple[DataFile, bytes]) -> None:
    known, content = labels
    with shared_folder() as folder:
        path = folder / LABELS
        path.write_bytes(gzip.compress(content))
        path.chmod(0)
        with as_another_user(), pytest.raises(UnreadableFile, match="Permission denied") as caught:
            download.check_content(known, path)
    assert "elete" not in str(caught.value)


def test_get_downloads_what_is_missing(
    tmp_path: Path, served: tuple[Path, str], mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, address = served
    stated = json.loads((manifest.root() / "manifest.json").read_text())
    for file in stated["downloads"]["mnist"]["files"]:
        name = file["names"][0]
        (folder / name).write_bytes((mirror / "mnist" / name).read_bytes())
        file["urls"] = [f"{address}/{name}"]
    monkeypatch.setattr(manifest, "_manifest", lambda: stated)
    monkeypatch.delenv("MMKD_LAB_MIRROR")
    monkeypatch.setenv("MMKD_LAB_DATA", str(tmp_path / "own"))
    paths = data.get("mnist")
    assert [path.parent for path in paths] == [tmp_path / "own" / "mnist"] * 4
    assert all(place.exists and place.origin == "downloads" for place in data.where("mnist"))
    before = [path.stat().st_mtime_ns for path in paths]
    assert data.get("mnist") == paths
    assert [path.stat().st_mtime_ns for path in paths] == before


def test_the_mirror_verifies(mirror: Path) -> None:
    assert len(data.verify("av_mnist", mirror)) == 6


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda content: gzip.compress(gzip.decompress(content)[:-1] + b"\1"), "SHA-256"),
        (lambda content: b"<html>not found</html>", "must be a gzip file"),
    ],
)
def test_damaged_mnist_is_named(tmp_path: Path, mirror: Path, damage: object, expected: str) -> None:
    copy = mirrored(tmp_path, mirror, "mnist")
    path = copy / "mnist" / LABELS
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(DamagedFile, match=expected) as caught:
        data.verify("mnist", copy)
    assert caught.value.argument == str(path)
    assert "mmkd-lab data get av_mnist" in str(caught.value)
    path.unlink()
    with pytest.raises(DamagedFile, match="missing"):
        data.verify("mnist", copy)


def test_another_wrapper_of_the_same_digits_is_accepted(tmp_path: Path, mirror: Path) -> None:
    copy = mirrored(tmp_path, mirror, "mnist")
    path = copy / "mnist" / LABELS
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), compresslevel=1))
    assert path in data.verify("mnist", copy)
