"""Archives unpacked with care: plain files below one folder, and no more than they ought to hold."""

from __future__ import annotations

import re
import shutil
import tarfile
import uuid
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from mmkd_lab.core.check import DamagedFile, reading, writing

#: The most that an archive may hold for each of its bytes, and the most files.
LARGEST_RATIO, MOST_FILES = 200, 2_000_000
_TAR = (".tar", ".tar.gz", ".tgz", ".tar.bz2")


@dataclass(frozen=True)
class _Member:
    name: str
    size: int
    plain: bool


def unpack(archive: Path, folder: Path) -> int:
    """Put the files of a .zip or .tar archive into `folder`, all of them or none; how many there are.

    Nothing is written before every member was looked at. Raises `DamagedFile` for an archive that is
    truncated or encrypted, or has a member that is a link or a device, lies outside the folder, occurs twice,
    or unpacks to more than `LARGEST_RATIO` times the archive; `LabError` where the folder cannot be written.
    """
    with writing("folder", folder):
        partial = folder.parent / f".{uuid.uuid4().hex}.unpacked"
        partial.mkdir(parents=True)
        try:
            with reading(archive, "must be a complete archive"), _opened(archive) as source:
                count = _write(source, archive, partial)
            _move(partial, folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return count


Source = tuple[Iterator[_Member], Iterator[tuple[str, IO[bytes]]]]


@contextmanager
def _opened(archive: Path) -> Iterator[Source]:
    """The members as they are met, and then their contents."""
    if archive.name.endswith(_TAR):
        with tarfile.open(archive) as tar:
            found = (_Member(one.name, one.size, one.isreg()) for one in tar if not one.isdir())
            files = ((one.name, file) for one in tar if one.isreg() and (file := tar.extractfile(one)))
            yield found, files
        return
    with zipfile.ZipFile(archive) as whole:
        infos = [one for one in whole.infolist() if not one.is_dir()]
        found = (_Member(one.filename, one.file_size, _is_plain(one)) for one in infos)
        yield found, ((one.filename, whole.open(one)) for one in infos)


def _is_plain(info: zipfile.ZipInfo) -> bool:
    kind = info.external_attr >> 28  # what Unix calls the type of a file: 8 is a plain one, 0 is not said
    return kind in (0, 8) and not info.flag_bits & 1


def _write(source: Source, archive: Path, folder: Path) -> int:
    members, contents = source
    sizes = _looked_at(members, archive)
    for name, content in contents:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        left = sizes[PurePosixPath(name)]
        with content, target.open("xb") as out:
            while part := content.read(min(left + 1, 2**20)):
                left -= len(part)
                if left < 0:
                    break
                out.write(part)
        if left:
            raise DamagedFile(str(archive), name, "must hold as much as it states", "Fetch it again.")
    return len(sizes)


def _looked_at(members: Iterator[_Member], archive: Path) -> dict[PurePosixPath, int]:
    """{name: bytes} of members that may be unpacked. An archive of too much is refused before it is read."""
    sizes: dict[PurePosixPath, int] = {}
    total, most = 0, LARGEST_RATIO * archive.stat().st_size
    for one in members:
        place = PurePosixPath(one.name)
        if not one.plain:
            raise DamagedFile(str(archive), one.name, "no member may be a link, a device or encrypted")
        odd = (
            place.is_absolute() or ".." in place.parts or "\\" in one.name or re.match("[A-Za-z]:", one.name)
        )
        if odd or "\0" in one.name:
            raise DamagedFile(str(archive), one.name, "no member may point outside the archive's own folder")
        if place in sizes:
            raise DamagedFile(str(archive), one.name, "no member may occur twice")
        sizes[place], total = one.size, total + one.size
        if total > most or len(sizes) > MOST_FILES:
            rule = f"may hold at most {most:,} bytes when unpacked, and {MOST_FILES:,} files"
            raise DamagedFile(str(archive), f"{total:,} bytes or more", rule)
    return sizes


def _move(source: Path, folder: Path) -> None:
    """Put what was unpacked in its place, beside what is there; files of the same name are replaced."""
    for one in sorted(source.rglob("*")):
        if one.is_file():
            target = folder / one.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            one.replace(target)
