"""What the data files hold: each is read whole and compared with the manifest. Imports no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.check import DamagedFile
from mmkd_lab.data import manifest
from mmkd_lab.data.archives import Arrays, digest_members, digest_npz, gunzip, members, read_npz
from mmkd_lab.data.files import locate, owner
from mmkd_lab.data.manifest import DataFile

BACKGROUND = r"(?:.*/)?esc10/fold[1-5]/category[0-9]{2}/([1-5]-[0-9]+-[A-Z])\.wav"
PUBLISHED_BACKGROUND = r"[^/]+/audio/([1-5]-[0-9]+-[A-Z])-[0-9]+\.wav"
NLVR_MEMBER = (
    r"(nlvr/(?:(?:dev/dev|test/test|hidden/hidden)\.json"
    r"|(?:dev|test|hidden)/images/[0-9]+/[a-z]+-[0-9]+-[0-9]-0\.png))"
)
#: Which members of an archive count, by its kind, and what a message calls them.
_MEMBERS = {
    "recordings": (r"(?:.*/)?recordings/([0-9]_[a-z]+_[0-9]+\.wav)", "recordings"),
    "backgrounds": (BACKGROUND, "recordings"),
    "nlvr": (NLVR_MEMBER, "files"),
}


@dataclass(frozen=True, eq=False)
class ArraySet:
    """The `arrays` of a verified file by name, and what the manifest says of that `file`."""

    arrays: Arrays
    file: DataFile

    def __getitem__(self, name: str) -> npt.NDArray[np.generic]:
        return self.arrays[name]

    def whole(self, name: str) -> npt.NDArray[np.int64]:
        """An array of whole numbers as int64: labels, actors, folds."""
        return self.arrays[name].astype(np.int64)

    def texts(self, name: str) -> tuple[str, ...]:
        """An array of text as a tuple: class names, captions."""
        return tuple(map(str, self.arrays[name]))


def array_set(
    collection: str, *, mirror: str | Path | None = None, path: str | Path | None = None
) -> ArraySet:
    """The array file of a collection, found and verified. Raises `LabError` and `DamagedFile` as `locate`."""
    (file,) = manifest.collection(collection).files
    return ArraySet(read_arrays(file, locate(file, mirror, path=path)), file)


def read_gz(file: DataFile, path: Path) -> bytes:
    """The decompressed content of a .gz file, verified. Raises `DamagedFile`."""
    with _way_out(file, path):
        content = gunzip(path, size=file.size)
        _same(file, path, hashlib.sha256(content).hexdigest())
    return content


def read_arrays(file: DataFile, path: Path) -> Arrays:
    """{name: array} of an array file, verified. Raises `DamagedFile`."""
    with _way_out(file, path):
        found = read_npz(path, size=file.size)
        _same(file, path, digest_npz(found))
    return found


def read_members(file: DataFile, path: Path) -> dict[str, bytes]:
    """{'7_theo_12.wav': content} of an archive, its number and content verified. Raises `DamagedFile`."""
    pattern, what = _MEMBERS[file.kind]
    with _way_out(file, path):
        found = members(path, pattern)
        if len(found) != file.size:
            raise DamagedFile(str(path), f"{len(found)} {what}", f"must hold {file.size}")
        _same(file, path, digest_members(found))
    return found


def _same(file: DataFile, path: Path, found: str) -> None:
    if found != file.sha256:
        rule = f"its content must have the SHA-256 {file.sha256[:16]}… of the manifest"
        raise DamagedFile(str(path), f"SHA-256 {found[:16]}…", rule)


@contextmanager
def _way_out(file: DataFile, path: Path) -> Iterator[None]:
    """Refusals say how to get the file again."""
    try:
        yield
    except DamagedFile as error:
        way_out = f"Delete it and copy it again. {file.how}".strip()
        if file.urls:
            way_out = f"Delete it and run: mmkd-lab data get {owner(file)}; in a mirror, copy it again."
        raise DamagedFile(str(path), error.value, error.rule, way_out) from error
