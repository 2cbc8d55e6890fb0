"""What the data files hold: each is read whole and compared with the manifest. Imports no torch."""

from __future__ import annotations

import hashlib
from pathlib import Path

from mmkd_lab.core.check import DamagedFile
from mmkd_lab.data import manifest
from mmkd_lab.data.archives import digest_members, gunzip, members
from mmkd_lab.data.arrays import Arrays, digest_npz, read_npz
from mmkd_lab.data.catalogue import catalogue
from mmkd_lab.data.manifest import DataFile

RECORDING = r"(?:.*/)?recordings/([0-9]_[a-z]+_[0-9]+\.wav)"
BACKGROUND = r"(?:.*/)?esc10/fold[1-5]/category[0-9]{2}/([1-5]-[0-9]+-[A-Z])\.wav"
NLVR_MEMBER = (
    r"(nlvr/(?:(?:dev/dev|test/test|hidden/hidden)\.json"
    r"|(?:dev|test|hidden)/images/[0-9]+/[a-z]+-[0-9]+-[0-9]-0\.png))"
)
PUBLISHED_BACKGROUND = r"[^/]+/audio/([1-5]-[0-9]+-[A-Z])-[0-9]+\.wav"


def read_gz(file: DataFile, path: Path) -> bytes:
    """The decompressed content of a .gz file, verified. Raises `DamagedFile`."""
    try:
        content = gunzip(path, size=file.size)
    except DamagedFile as error:
        raise DamagedFile(str(path), error.value, error.rule, _again(file)) from error
    _same(file, path, hashlib.sha256(content).hexdigest())
    return content


def read_recordings(file: DataFile, path: Path) -> dict[str, bytes]:
    """{'7_theo_12.wav': content} of the spoken digits, verified. Raises `DamagedFile`."""
    return exact_members(file, path, RECORDING)


def read_nlvr(file: DataFile, path: Path) -> dict[str, bytes]:
    """{'nlvr/dev/dev.json': content} of NLVR's examples and drawings, verified. Raises `DamagedFile`."""
    return exact_members(file, path, NLVR_MEMBER, what="files")


def read_arrays(file: DataFile, path: Path) -> Arrays:
    """{name: array} of an array file, verified. Raises `DamagedFile`."""
    try:
        found = read_npz(path, size=file.size)
    except DamagedFile as error:
        raise DamagedFile(str(path), error.value, error.rule, _again(file)) from error
    _same(file, path, digest_npz(found))
    return found


def exact_members(file: DataFile, path: Path, pattern: str, *, what: str = "recordings") -> dict[str, bytes]:
    """The members of an archive, whose number and content must be the manifest's. Raises `DamagedFile`."""
    try:
        found = members(path, pattern)
    except DamagedFile as error:
        raise DamagedFile(str(path), error.value, error.rule, _again(file)) from error
    if len(found) != file.size:
        raise DamagedFile(str(path), f"{len(found)} {what}", f"must hold {file.size}", _again(file))
    _same(file, path, digest_members(found))
    return found


def _same(file: DataFile, path: Path, found: str) -> None:
    if found != file.sha256:
        rule = f"its content must have the SHA-256 {file.sha256[:16]}… of the manifest"
        raise DamagedFile(str(path), f"SHA-256 {found[:16]}…", rule, _again(file))


def _again(file: DataFile) -> str:
    if not file.urls:
        return f"Delete it and copy it again. {file.how}".strip()
    return f"Delete it and run: mmkd-lab data get {owner(file)}; in a mirror, copy it again."


def owner(file: DataFile) -> str:
    """The dataset of the catalogue that a file belongs to."""
    parts = {name for name in manifest.collections() if file.name in _names(name)}
    return next(item.name for item in catalogue() if parts & set(item.files))


def _names(collection: str) -> list[str]:
    return [file.name for file in manifest.collection(collection).files]
