"""Array files: .npz archives of plain arrays, verified before use and never unpickled."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.check import DamagedFile
from mmkd_lab.core.fingerprint import digest_arrays
from mmkd_lab.data.archives import opened

Arrays = dict[str, npt.NDArray[np.generic]]

_RULE = "must be a complete .npz file of plain arrays"
_HEADER = 4096  # what an array's header may cost beyond its values, in bytes


def read_npz(path: Path, *, size: int) -> Arrays:
    """Every array of an .npz file whose arrays hold `size` bytes in total.

    What the archive says of itself is read first, so that a file that would unpack to more is never unpacked.
    Raises `DamagedFile` (naming the path) when it is no .npz, is truncated, holds another number of bytes, or
    holds anything but plain arrays.
    """
    with opened(path) as archive:
        stated = sum(info.file_size for info in archive.infolist())
        room = size + _HEADER * len(archive.infolist())
    if stated > room:
        raise DamagedFile(str(path), f"{stated} bytes", f"its arrays must hold {size} bytes when unpacked")
    try:
        with np.load(path, allow_pickle=False) as file:
            members = {name: file[name] for name in file.files}
    except (ValueError, EOFError, KeyError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise DamagedFile(str(path), str(error), _RULE) from error
    found: Arrays = {name: item for name, item in members.items() if isinstance(item, np.ndarray)}
    others = sorted(set(members) - set(found))
    if others:  # numpy hands a member that is no array over as bytes
        raise DamagedFile(str(path), f"{others[0]!r} is no array", _RULE)
    held = sum(array.nbytes for array in found.values())
    if held != size:
        raise DamagedFile(str(path), f"{held} bytes", f"its arrays must hold {size} bytes when unpacked")
    return found


def digest_npz(found: Mapping[str, npt.NDArray[np.generic]]) -> str:
    """SHA-256 over the sorted names, types, shapes and values, however the archive was compressed."""
    return digest_arrays(sorted(found.items()), length=64)
