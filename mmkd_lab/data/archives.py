"""Strict readers of published formats: idx.gz, wav, and zip archives of wavs, read in place.

Nothing is ever extracted, so that no archive can write anywhere. Every refusal names the file.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import struct
import wave
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.check import DamagedFile

Samples = npt.NDArray[np.int16]

#: The largest recording that is read from an archive, in bytes (five seconds at 44.1 kHz are 0.44 MB).
LARGEST_RECORDING = 4_000_000
LOUDNESS_STEPS = 100
_IDX_TYPES = {0x08: np.dtype(np.uint8)}


def gunzip(path: Path, *, size: int) -> bytes:
    """Decompress a .gz file that must hold exactly `size` bytes; never more are read.

    Raises `DamagedFile` when it is no gzip, is truncated, or holds another number of bytes.
    """
    try:
        with gzip.open(path, "rb") as file:
            content = file.read(size + 1)
    except (OSError, zlib.error) as error:  # a bad gzip is an OSError too
        raise DamagedFile(str(path), str(error), "must be a gzip file that can be read") from error
    except EOFError as error:
        raise DamagedFile(str(path), "truncated", f"must hold {size} bytes when decompressed") from error
    if len(content) != size:
        held = f"more than {size}" if len(content) > size else str(len(content))
        raise DamagedFile(str(path), f"{held} bytes", f"must hold {size} bytes when decompressed")
    return content


def read_idx(content: bytes, *, name: str) -> npt.NDArray[np.uint8]:
    """The array of an idx file (MNIST's format: magic number, big-endian sizes, unsigned bytes).

    Raises `DamagedFile` (naming `name`) when the magic number, the type or the length is wrong.
    """
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _IDX_TYPES:
        raise DamagedFile(
            name, content[:4].hex(), "must begin with 0000 08, the mark of an idx file of bytes"
        )
    dims, head = content[3], 4 + 4 * content[3]
    if dims == 0 or len(content) < head:
        raise DamagedFile(name, f"{len(content)} bytes", f"must state {dims} sizes, at least one")
    shape = struct.unpack(f">{dims}I", content[4:head])
    if len(content) - head != int(np.prod(shape, dtype=np.int64)):
        raise DamagedFile(
            name, f"{len(content) - head} values", f"must hold as many values as its sizes {shape} say"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=head).reshape(shape)


def read_wav(content: bytes, *, name: str) -> tuple[int, Samples]:
    """Rate in Hz and samples of a mono 16-bit PCM wav file.

    Raises `DamagedFile` (naming `name`) for any other format and when samples are missing.
    """
    try:
        with wave.open(io.BytesIO(content)) as file:
            form = (file.getnchannels(), file.getsampwidth(), file.getcomptype())
            rate, stated, data = file.getframerate(), file.getnframes(), file.readframes(file.getnframes())
    except (wave.Error, EOFError, struct.error, RuntimeError) as error:  # RuntimeError: a size past the end
        raise DamagedFile(name, str(error) or "truncated", "must be a wav file") from error
    if form != (1, 2, "NONE"):
        shown = f"{form[0]} channels of {8 * form[1]} bits, compression {form[2]}"
        raise DamagedFile(name, shown, "must be mono 16-bit PCM")
    if len(data) != 2 * stated or stated == 0:
        raise DamagedFile(
            name, f"{len(data) // 2} samples", f"must hold the {stated} samples it states, at least one"
        )
    return rate, np.frombuffer(data, dtype="<i2").astype(np.int16)


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive for reading in place.

    Raises `DamagedFile` when it is no zip, is truncated, fails its checksum, or a member's name would leave
    the folder it were extracted to.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if _leaves(name):
                    raise DamagedFile(str(path), name, "no member may point outside the archive's own folder")
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, struct.error) as error:
        raise DamagedFile(str(path), str(error) or "truncated", "must be a complete zip archive") from error


def members(path: Path, pattern: str) -> dict[str, bytes]:
    """{first group of the pattern: content} of every member whose whole name matches, sorted by that name.

    Raises `DamagedFile` for a damaged archive, two members of one name, or one above `LARGEST_RECORDING`.
    """
    found: dict[str, bytes] = {}
    with opened(path) as archive:
        for info in archive.infolist():
            match = re.fullmatch(pattern, info.filename)
            if match is None:
                continue
            if match[1] in found:
                raise DamagedFile(str(path), match[1], "no recording may occur twice in an archive")
            if info.file_size > LARGEST_RECORDING:
                shown = f"{info.filename} with {info.file_size} bytes"
                raise DamagedFile(
                    str(path), shown, f"no recording may be larger than {LARGEST_RECORDING} bytes"
                )
            found[match[1]] = archive.read(info)
    return dict(sorted(found.items()))


def digest_members(found: Mapping[str, bytes]) -> str:
    """SHA-256 over the sorted names and bytes of recordings, whatever archive they came in."""
    total = hashlib.sha256()
    for name in sorted(found):
        total.update(f"{name}\0{len(found[name])}\0".encode())
        total.update(found[name])
    return total.hexdigest()


def loudness(samples: npt.NDArray[np.floating] | Samples) -> npt.NDArray[np.uint8]:
    """(100,) mean level of equal stretches of a clip, in decibels below the loudest (0 to 60), times 4.

    Coarse enough not to depend on the resampler, fine enough that two different clips do not agree.
    """
    stretch = len(samples) // LOUDNESS_STEPS
    cut = samples[: stretch * LOUDNESS_STEPS].astype(np.float64).reshape(LOUDNESS_STEPS, stretch)
    power = (cut**2).mean(axis=1)
    level = 10.0 * np.log10(np.maximum(power / max(float(power.max()), 1e-12), 1e-6))
    return np.asarray(np.rint(-4.0 * level), dtype=np.uint8)


def _leaves(name: str) -> bool:
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", name) is not None
