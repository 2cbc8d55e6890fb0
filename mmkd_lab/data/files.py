"""Where the data files are; whether they are what they should be, and how to get them, is in `download`.

A file is looked for in one place only: the mirror folder when there is one (the `mirror` option, else the
environment variable MMKD_LAB_MIRROR), otherwise the downloads folder (MMKD_LAB_DATA, else the user's data
folder). One exception: array files stand in a folder `features`, which may be inside the mirror folder or
beside it, in that order. Imports no torch and no numpy before a file is read.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from mmkd_lab.core.check import DamagedFile, LabError, one_of, require
from mmkd_lab.core.check import path as check_path
from mmkd_lab.core.places import user_data
from mmkd_lab.data import manifest
from mmkd_lab.data.manifest import DataFile
from mmkd_lab.data.registry import DATASETS, catalogue

MIRROR_VARIABLE, DOWNLOADS_VARIABLE = "MMKD_LAB_MIRROR", "MMKD_LAB_DATA"
FEATURES = "features"  # the folder of array files


@dataclass(frozen=True)
class Place:
    """Where one file of a dataset is, or would be.

    Args:
        name: `folder/name`, as in a mirror, or the name of a file that comes with the lab.
        path: the file; when it is missing, where it is expected.
        exists: whether there is a file at `path`; whether it is sound only `verify` tells.
        origin: 'shipped', 'mirror' or 'downloads'.
    """

    name: str
    path: Path
    exists: bool
    origin: str


def where(name: str, mirror: str | Path | None = None) -> list[Place]:
    """Every file of a dataset or collection, present or not; of a published data set its folder.

    Raises `LabError`: unknown name or mirror.
    """
    if name in DATASETS and DATASETS[name].published:
        base, origin = _base(mirror)
        return [Place(name, base / name, (base / name).is_dir(), origin)]
    return [*shipped_places(name), *(place_of(file, mirror) for file in files_of(name))]


def locate(file: DataFile, mirror: str | Path | None = None, *, path: str | Path | None = None) -> Path:
    """The path of a file: `path` when it is given, else where the mirror or the downloads have it.

    Raises `LabError` when both are given or either is no path, `DamagedFile` when it is missing.
    """
    needed = f"{file.name} is needed"
    if path is not None:
        require(mirror is None, "mirror and path", f"{mirror} and {path}", "at most one may be given")
        found = check_path("path", path)
        if not found.is_file():
            raise DamagedFile(str(found), "missing", needed, file.how)
        return found
    place = place_of(file, mirror)
    if place.exists:
        return place.path
    if place.origin == "mirror":
        beside = " or into the same folder beside the mirror" if file.folder == FEATURES else ""
        way_out = f"Copy it there{beside}, or give another folder: option mirror, or {MIRROR_VARIABLE}."
    elif file.urls:
        whose = owner(file)
        total = round(sum(part.megabytes for part in files_of(whose)))
        way_out = f"Run: mmkd-lab data get {whose} (about {total} MB in all), or set {MIRROR_VARIABLE}."
    else:
        way_out = f"Put it there, or set {MIRROR_VARIABLE}, or give the option path."
    raise DamagedFile(str(place.path), "missing", needed, f"{way_out} {file.how}".strip())


def mirror_folder(name: str, mirror: str | Path | None = None) -> Path:
    """A folder of the mirror, or of the downloads where there is none, whether or not it exists."""
    return _base(mirror)[0] / name


def owner(file: DataFile) -> str:
    """The dataset of the catalogue that a file belongs to."""
    names = manifest.collections()
    parts = {name for name in names if file.name in {one.name for one in manifest.collection(name).files}}
    return next(item.name for item in catalogue() if parts & set(item.files))


def files_of(name: str) -> tuple[DataFile, ...]:
    """The files of a dataset or collection as the manifest has them. Raises `LabError`: unknown name."""
    one_of("name", name, list(dict.fromkeys([*DATASETS, *manifest.collections()])))
    parts = [name] if name in manifest.collections() else DATASETS[name].files
    return tuple(file for part in parts for file in manifest.collection(part).files)


def shipped_places(name: str) -> list[Place]:
    """The files of a dataset that come with the lab."""
    found = [(part, manifest.root() / part) for part in (DATASETS[name].shipped if name in DATASETS else ())]
    return [Place(part, path, path.is_file(), "shipped") for part, path in found]


def place_of(file: DataFile, mirror: str | Path | None) -> Place:
    """Where a file is, or is expected."""
    base, origin = _base(mirror)
    paths = [base / file.folder / name for name in file.names]
    if file.folder == FEATURES and origin == "mirror":
        paths += [base.absolute().parent / file.folder / name for name in file.names]
    found = next((path for path in paths if path.is_file()), None)
    wanted = paths[0] if origin == "mirror" else paths[-1]
    return Place(file.name, found or wanted, found is not None, origin)


def _base(mirror: str | Path | None) -> tuple[Path, str]:
    given = mirror if mirror is not None else os.environ.get(MIRROR_VARIABLE) or None
    if given is not None:
        folder = check_path("mirror", given)
        if not folder.is_dir():
            way_out = f"Give an existing folder, or unset {MIRROR_VARIABLE} to use downloads."
            raise LabError("mirror", str(given), "must be an existing folder", way_out)
        return folder, "mirror"
    own = os.environ.get(DOWNLOADS_VARIABLE)
    return check_path(DOWNLOADS_VARIABLE, own) if own else user_data() / "data", "downloads"
