"""Where the data files are, whether they are what they should be, and how to get them.

A file is looked for in one place only: the mirror folder when there is one (the `mirror` option, else the
environment variable MMKD_LAB_MIRROR), otherwise the downloads folder (MMKD_LAB_DATA, else the user's data
folder). One exception: array files stand in a folder `features`, which may be inside the mirror folder or
beside it, in that order. Imports no torch and no numpy before a file is read.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mmkd_lab.core.check import DamagedFile, LabError, one_of
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
    """Every file of a dataset or collection, present or not. Raises `LabError`: unknown name or mirror."""
    return [*_shipped_places(name), *(_place(file, mirror) for file in _files(name))]


def verify(name: str, mirror: str | Path | None = None) -> list[Path]:
    """The paths of a dataset's files, after reading each and comparing its content with the manifest.

    Raises:
        LabError: an unknown dataset or mirror folder.
        DamagedFile: the first file that is missing, truncated or altered.
    """
    from mmkd_lab.data.content import check_content

    paths = [manifest.shipped(place.name) for place in _shipped_places(name)]
    for file in _files(name):
        path = locate(file, mirror)
        check_content(file, path)
        paths.append(path)
    return paths


def get(name: str, mirror: str | Path | None = None) -> list[Path]:
    """Download what is missing of a dataset, verify everything and return the paths.

    With a mirror nothing is downloaded: the files must be there. Nor is a file that no public address has:
    the refusal then says how to obtain or build it.

    Raises:
        LabError: an unknown dataset or mirror folder.
        DamagedFile: a file that is missing in the mirror, damaged, or that no address served intact.
    """
    for file in _files(name):
        place = _place(file, mirror)
        if not place.exists and place.origin == "downloads" and file.urls:
            fetch(file, place.path.parent)
    return verify(name, mirror)


def locate(file: DataFile, mirror: str | Path | None = None, *, path: str | Path | None = None) -> Path:
    """The path of a file: `path` when it is given, else where the mirror or the downloads have it.

    Raises:
        LabError: both `mirror` and `path` are given, or either is no path.
        DamagedFile: the file is missing; the message says how to get it.
    """
    if path is not None:
        return _explicit(file, mirror, path)
    place = _place(file, mirror)
    if place.exists:
        return place.path
    whose = owner(file)
    if place.origin == "mirror":
        beside = " or into the same folder beside the mirror" if file.folder == FEATURES else ""
        way_out = f"Copy it there{beside}, or give another folder: option mirror, or {MIRROR_VARIABLE}."
    elif file.urls:
        total = round(sum(part.megabytes for part in _files(whose)))
        way_out = f"Run: mmkd-lab data get {whose} (about {total} MB in all), or set {MIRROR_VARIABLE}."
    else:
        way_out = f"Put it there, or set {MIRROR_VARIABLE}, or give the option path."
    raise DamagedFile(str(place.path), "missing", f"{file.name} is needed", f"{way_out} {file.how}".strip())


def mirror_folder(name: str, mirror: str | Path | None = None) -> Path:
    """A folder of the mirror, or of the downloads where there is none, whether or not it exists.

    Raises `LabError` for a mirror that is no existing folder.
    """
    return _base(mirror)[0] / name


def _explicit(file: DataFile, mirror: str | Path | None, path: str | Path) -> Path:
    if mirror is not None:
        raise LabError("mirror and path", f"{mirror} and {path}", "at most one may be given")
    found = check_path("path", path)
    if not found.is_file():
        raise DamagedFile(str(found), "missing", f"{file.name} is needed", file.how)
    return found


def fetch(file: DataFile, folder: Path) -> Path:
    """Download a file into `folder` from the first address that serves it intact; atomic.

    Raises `DamagedFile` listing what each address gave.
    """
    import pooch

    from mmkd_lab.data.content import check_content

    pooch.get_logger().setLevel("WARNING")  # at INFO it tells the user to write down a hash of the wrapper
    folder.mkdir(parents=True, exist_ok=True)
    final, failures = folder / file.names[-1], []
    for url in file.urls:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".partial-") as partial:
            try:
                pooch.retrieve(url, known_hash=None, fname=final.name, path=partial, progressbar=True)
                check_content(file, Path(partial) / final.name)
            except (OSError, DamagedFile) as error:
                failures.append(f"{url}: {error}")
                continue
            (Path(partial) / final.name).replace(final)
            return final
    reasons = "; ".join(failures) or "the manifest knows no address"
    way_out = f"Try again later, or put the file into a mirror folder and set {MIRROR_VARIABLE}."
    raise DamagedFile(str(final), "not downloaded", f"no address served it intact ({reasons})", way_out)


def owner(file: DataFile) -> str:
    """The dataset of the catalogue that a file belongs to."""
    names = manifest.collections()
    parts = {name for name in names if file.name in {one.name for one in manifest.collection(name).files}}
    return next(item.name for item in catalogue() if parts & set(item.files))


def _files(name: str) -> tuple[DataFile, ...]:
    one_of("name", name, list(dict.fromkeys([*DATASETS, *manifest.collections()])))
    if name in manifest.collections():
        return manifest.collection(name).files
    return tuple(file for part in DATASETS[name].files for file in manifest.collection(part).files)


def _shipped_places(name: str) -> list[Place]:
    found = [(part, manifest.root() / part) for part in (DATASETS[name].shipped if name in DATASETS else ())]
    return [Place(part, path, path.is_file(), "shipped") for part, path in found]


def _place(file: DataFile, mirror: str | Path | None) -> Place:
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
    if own:
        return check_path(DOWNLOADS_VARIABLE, own), "downloads"
    return user_data() / "data", "downloads"
