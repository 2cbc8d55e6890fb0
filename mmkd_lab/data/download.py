"""Whether the data files are what they should be, and how to get them; where they are is in `files`.

Imports no numpy before a file is read.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from mmkd_lab.core.check import DamagedFile, require, writing
from mmkd_lab.data import manifest
from mmkd_lab.data.files import (
    DOWNLOADS_VARIABLE,
    MIRROR_VARIABLE,
    files_of,
    locate,
    place_of,
    shipped_places,
)
from mmkd_lab.data.manifest import DataFile
from mmkd_lab.data.registry import DATASETS


def verify(name: str, mirror: str | Path | None = None, *, full: bool = False) -> list[Path]:
    """The paths of a dataset's files, after reading each and comparing its content with the manifest; of a
    published data set its folder, after a look at its lists and some of its items, or with `full` at all.

    Raises `LabError` for an unknown dataset or mirror, `DamagedFile` for the first file that is missing,
    truncated or altered.
    """
    if _published(name):
        from mmkd_lab.data.published.publication import publication
        from mmkd_lab.data.published.verify import verify as look

        known, recipe = publication(name), DATASETS[name].recipe
        assert recipe is not None
        for finding in look(known, recipe(), mirror=mirror, full=full):
            require(finding.state != "stop", f"data {name}", finding.subject, finding.text)
        return [known.folder(recipe(), mirror)]
    paths = [manifest.shipped(place.name) for place in shipped_places(name)]
    for file in files_of(name):
        paths.append(locate(file, mirror))
        check_content(file, paths[-1])
    return paths


def get(name: str, mirror: str | Path | None = None, *, yes: bool = False) -> list[Path]:
    """Download what is missing of a dataset, verify everything and return the paths.

    With a mirror nothing is downloaded: the files must be there. Nor is a file that no public address has:
    the refusal then says how to obtain or build it. A published data set is fetched by whoever says `yes` to
    its licence and size. Raises as `verify`.
    """
    if _published(name):
        from mmkd_lab.data.published.get import get as fetch_published
        from mmkd_lab.data.published.publication import publication

        return fetch_published(publication(name), agreed=lambda: yes, mirror=mirror)
    for file in files_of(name):
        place = place_of(file, mirror)
        if not place.exists and place.origin == "downloads" and file.urls:
            fetch(file, place.path.parent)
    return verify(name, mirror)


def _published(name: str) -> bool:
    return name in DATASETS and DATASETS[name].published


def fetch(file: DataFile, folder: Path) -> Path:
    """Download a file into `folder` from the first address that serves it intact; atomic.

    Raises `DamagedFile` listing what each address gave, `LabError` for a folder that cannot be written.
    """
    import pooch

    pooch.get_logger().setLevel("WARNING")  # at INFO it tells the user to write down a hash of the wrapper
    with writing(DOWNLOADS_VARIABLE, folder):
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
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


def check_content(file: DataFile, path: Path) -> None:
    """Read a file and compare it with the manifest. Raises `DamagedFile` naming the path."""
    from mmkd_lab.data import content
    from mmkd_lab.data.making.noise import read_backgrounds

    readers = {"idx.gz": content.read_gz, "arrays": content.read_arrays, "backgrounds": read_backgrounds}
    readers.get(file.kind, content.read_members)(file, path)
