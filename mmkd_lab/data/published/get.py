"""Fetch the files of a published data set: asked first, resumed where it stopped, checked at the end."""

from __future__ import annotations

import hashlib
import shutil
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError

from mmkd_lab.core.check import DamagedFile, LabError, reading, require, writing
from mmkd_lab.core.progress import jobs_progress
from mmkd_lab.data.files import DOWNLOADS_VARIABLE, mirror_folder
from mmkd_lab.data.published.publication import Download, Publication
from mmkd_lab.data.published.unpack import unpack

_PART, _SECONDS = 2**20, 60
_AGAIN = "Give the same command again: it goes on where it stopped."


def told(publication: Publication) -> str:
    """What somebody should know before anything is fetched: size, licence, citation, source."""
    size = sum(one.size for one in publication.downloads) / 1e6 or publication.megabytes
    lines = [
        publication.title,
        f"size      {f'{size:,.1f} MB' if size else 'not known'}",
        f"licence   {publication.licence}",
        f"cite      {publication.citation}",
        f"home      {publication.home}",
    ]
    lines += [f"download  {one.url}" for one in publication.downloads]
    return "\n".join(lines)


def get(
    publication: Publication, *, agreed: Callable[[], bool], mirror: str | Path | None = None
) -> list[Path]:
    """Fetch what is missing of a data set into its folder, and unpack what is an archive; the files.

    `agreed` is asked once, before anything is fetched. Raises `LabError` with instructions where nobody may
    fetch it, or nobody agreed; `DamagedFile` for a file that does not arrive as it should.
    """
    rule = "cannot be downloaded by a program"
    require(len(publication.downloads) > 0, "data", publication.name, rule, publication.how)
    folder = mirror_folder(publication.name, mirror)
    missing = [one for one in publication.downloads if not _there(one, folder)]
    if missing:
        require(agreed(), "data", publication.name, "was not fetched: nobody agreed", "Give --yes to agree.")
    for one in missing:
        file = fetch(one, folder)
        if one.unpack is not None:
            unpack(file, folder / one.unpack)
            _mark(one, folder).touch()
            file.unlink()
    return [folder / (one.file if one.unpack is None else one.unpack) for one in publication.downloads]


def _mark(one: Download, folder: Path) -> Path:
    """What says that an archive was unpacked, which is then removed."""
    return folder / f".{one.file.replace('/', '-')}.unpacked"


def _there(one: Download, folder: Path) -> bool:
    return (folder / one.file if one.unpack is None else _mark(one, folder)).is_file()


def fetch(one: Download, folder: Path) -> Path:
    """One file below `folder`. What arrived is kept beside it as `.partial`, so that the next call fetches
    the rest alone, until its digest shows it to be whole. Raises `DamagedFile`."""
    final = folder / one.file
    partial = final.with_name(f"{final.name}.partial")
    with writing(DOWNLOADS_VARIABLE, folder):
        final.parent.mkdir(parents=True, exist_ok=True)
    have = partial.stat().st_size if partial.is_file() else 0
    try:
        if not one.size or have < one.size:
            _receive(one, partial, have)
    except HTTPError as error:
        found = f"the server answers {error.code} {error.reason}"
        raise DamagedFile(one.url, found, "must be there to be fetched", f"See {one.url}.") from error
    except OSError as error:
        raise DamagedFile(one.url, str(error), "must arrive whole", _AGAIN) from error
    size = partial.stat().st_size
    if one.size and size < one.size:
        raise DamagedFile(one.url, f"{size:,} bytes", f"must be {one.size:,} bytes", _AGAIN)
    found = digest_of(partial, one.digest.partition(":")[0]) if one.digest else ""
    if (one.size and size != one.size) or found != one.digest.partition(":")[2]:
        partial.unlink()
        shown = f"{size:,} bytes, {found}"
        rule = f"must be {one.size:,} bytes with {one.digest or 'no stated digest'}"
        raise DamagedFile(one.url, shown, rule, "It was changed, there or on the way, and is removed here.")
    partial.replace(final)
    return final


def _receive(one: Download, partial: Path, have: int) -> None:
    """Append what is missing; begin anew where the server cannot give a part."""
    asked = urllib.request.Request(one.url, headers={"Range": f"bytes={have}-"} if have else {})
    if not one.url.startswith(("https://", "http://")):
        raise LabError("url", one.url, "must be an address of the web")
    with urllib.request.urlopen(asked, timeout=_SECONDS) as answer:
        goes_on = have > 0 and answer.status == 206
        start = have if goes_on else 0
        parts = max(1, -(-(one.size - start) // _PART))
        with partial.open("ab" if goes_on else "wb") as out, jobs_progress(parts, "MiB") as bar:
            while part := answer.read(_PART):
                out.write(part)
                bar.update(one.file)
                require(
                    not one.size or out.tell() <= one.size,
                    "download",
                    one.url,
                    f"must end at {one.size:,} bytes",
                )


def digest_of(file: Path, kind: str) -> str:
    """Hex digits of a file, 'sha256' or 'md5'."""
    with reading(file, "must be a file that can be read"), file.open("rb") as opened:
        return hashlib.file_digest(opened, kind).hexdigest()


def room(folder: Path) -> int:
    """Bytes that are free where a folder is, or would be."""
    there = next(one for one in (folder, *folder.parents) if one.is_dir())
    return shutil.disk_usage(there).free
