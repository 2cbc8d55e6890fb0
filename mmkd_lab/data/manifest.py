"""data/manifest.json: every data file, what it must contain, and where it can be had."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mmkd_lab.core.check import DamagedFile, one_of, reading

_AGAIN = "Install mmkd_lab again, or clone it again."


@dataclass(frozen=True)
class DataFile:
    """One file that can be downloaded, and how to recognise it.

    Args:
        folder: the folder it stands in, in a mirror and among the downloads alike.
        names: the names it may have there; a download gets the last one.
        kind: how it is read and checked: 'idx.gz', 'recordings', 'backgrounds' or 'arrays' (.npz).
        sha256: of the content, not of the wrapper, which differs between hosts: for 'idx.gz' the decompressed
            bytes, for the archives the names and bytes of their recordings, for 'arrays' their names, types,
            shapes and values.
        size: bytes of the decompressed content ('idx.gz'), number of recordings, or bytes of all arrays.
        megabytes: what a download costs, roughly.
        urls: tried in this order; empty when no public address has the file.
        how: how to obtain or build a file that no public address has.
    """

    folder: str
    names: tuple[str, ...]
    kind: str
    sha256: str
    size: int
    megabytes: float
    urls: tuple[str, ...]
    how: str = ""

    @property
    def name(self) -> str:
        """`folder/name`, as a mirror has it."""
        return f"{self.folder}/{self.names[0]}"


@dataclass(frozen=True)
class Collection:
    """Files that belong together, with their licence."""

    name: str
    title: str
    licence: str
    home: str
    files: tuple[DataFile, ...]


def collection(name: str) -> Collection:
    """The downloadable collection of this name. Raises `LabError` listing the known ones."""
    found = _manifest()["downloads"]
    one_of("name", name, list(found))
    item = found[name]
    files = [
        DataFile(**{**one, "names": tuple(one["names"]), "urls": tuple(one["urls"])}) for one in item["files"]
    ]
    return Collection(name, item["title"], item["licence"], item["home"], tuple(files))


def collections() -> list[str]:
    """The names of all collections."""
    return list(_manifest()["downloads"])


def backgrounds() -> Mapping[str, str]:
    """Clip name -> its loudness over time (100 steps of 50 ms, two hex digits each); `archives.loudness`."""
    return dict(_manifest()["backgrounds"])


def root() -> Path:
    """The folder of the files that come with the lab, in a checkout or a wheel. Raises `DamagedFile`."""
    package = Path(__file__).resolve().parents[1]
    folders = (package / "_shipped" / "data", package.parent / "data")
    found = next((folder for folder in folders if (folder / "manifest.json").is_file()), None)
    if found is None:
        raise DamagedFile(str(folders[0] / "manifest.json"), "missing", "comes with the lab", _AGAIN)
    return found


def shipped(name: str) -> Path:
    """A file that comes with the lab, as "av_digits/speech.npz". Raises `DamagedFile` unless intact."""
    listed = _manifest()["shipped"]
    one_of("name", name, list(listed))
    path = root() / name
    if not path.is_file():
        raise DamagedFile(str(path), "missing", "comes with the lab", _AGAIN)
    with reading(path, "comes with the lab", _AGAIN):
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != listed[name]["sha256"]:
        rule = f"must have the SHA-256 {listed[name]['sha256'][:16]}… that data/manifest.json states"
        raise DamagedFile(str(path), f"SHA-256 {found[:16]}…", rule, _AGAIN)
    return path


def _manifest() -> dict[str, Any]:
    return _read(root() / "manifest.json")


@cache
def _read(path: Path) -> dict[str, Any]:
    with reading(path, "must be JSON", _AGAIN):
        return dict(json.loads(path.read_text(encoding="utf-8")))
