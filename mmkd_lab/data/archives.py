"""Strict readers of published formats: idx.gz, wav, zip archives, and .npz files of plain arrays.

Nothing is ever extracted, so that no archive can write anywhere, nothing is unpickled, and nothing is
unpacked that states more than was expected. Every refusal names the file.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import struct
import wave
import zipfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.check import DamagedFile, reading
from mmkd_lab.core.fingerprint import digest_arrays

Samples = npt.NDArray[np.int16]
Arrays = dict[str, npt.NDArray[np.generic]]

#: The largest recording read from an archive, in bytes (5 s at 44.1 kHz are 0.44 MB), and the most of all.
LARGEST_RECORDING, LARGEST_ARCHIVE = 4_000_000, 200_000_000
LOUDNESS_STEPS = 100
_HEADER = 4096  # what an array's header may cost beyond its values, in bytes


def gunzip(path: Path, *, size: int) -> bytes:
    """The `size` bytes that a .gz file must hold; never more are read. Raises `DamagedFile`."""
    rule = f"must be a gzip file that can be read, of {size} bytes when decompressed"
    with reading(path, rule), gzip.open(path, "rb") as file:
        content = file.read(size + 1)
    if len(content) != size:
        held = f"more than {size}" if len(content) > size else str(len(content))
        raise DamagedFile(str(path), f"{held} bytes", f"must hold {size} bytes when decompressed")
    return content


def read_idx(content: bytes, *, name: str) -> npt.NDArray[np.uint8]:
    """The array of an idx file (MNIST's format: magic number, big-endian sizes, unsigned bytes).

    Raises `DamagedFile` (naming `name`) when the magic number, the type or the length is wrong.
    """
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        rule = "must begin with 0000 08, the mark of an idx file of bytes"
        raise DamagedFile(name, content[:4].hex(), rule)
    dims, head = content[3], 4 + 4 * content[3]
    if dims == 0 or len(content) < head:
        raise DamagedFile(name, f"{len(content)} bytes", f"must state {dims} sizes, at least one")
    shape = struct.unpack(f">{dims}I", content[4:head])
    if len(content) - head != prod(shape):
        rule = f"must hold as many values as its sizes {shape} say"
        raise DamagedFile(name, f"{len(content) - head} values", rule)
    return np.frombuffer(content, dtype=np.uint8, offset=head).reshape(shape)


def read_wav(content: bytes, *, name: str) -> tuple[int, Samples]:
    """Rate in Hz and samples of a mono 16-bit PCM wav file. Raises `DamagedFile` for anything else."""
    with reading(name, "must be a wav file"), wave.open(io.BytesIO(content)) as file:
        form = (file.getnchannels(), file.getsampwidth(), file.getcomptype())
        rate, stated, data = file.getframerate(), file.getnframes(), file.readframes(file.getnframes())
    if form != (1, 2, "NONE"):
        shown = f"{form[0]} channels of {8 * form[1]} bits, compression {form[2]}"
        raise DamagedFile(name, shown, "must be mono 16-bit PCM")
    if len(data) != 2 * stated or stated == 0:
        rule = f"must hold the {stated} samples it states, at least one"
        raise DamagedFile(name, f"{len(data) // 2} samples", rule)
    return rate, np.frombuffer(data, dtype="<i2").astype(np.int16)


@contextmanager
def opened(path: Path, rule: str = "must be a complete zip archive") -> Iterator[zipfile.ZipFile]:
    """Open a zip archive for reading in place.

    Raises `DamagedFile` when it is no zip, is truncated or encrypted, fails its checksum, is compressed in an
    unknown way, or a member's name would leave the folder it were extracted to.
    """
    with reading(path, rule), zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            inside = PurePosixPath(name.replace("\\", "/"))
            if inside.is_absolute() or ".." in inside.parts or re.match(r"[A-Za-z]:", name):
                raise DamagedFile(str(path), name, "no member may point outside the archive's own folder")
        yield archive


def members(path: Path, pattern: str, *, only: Collection[str] | None = None) -> dict[str, bytes]:
    """{first group of `pattern`: content} of every member whose whole name matches, sorted by that group.

    With `only`, of those whose group is one of these. Raises `DamagedFile` for a damaged archive, two members
    of one name, one above `LARGEST_RECORDING`, or more than `LARGEST_ARCHIVE` in all; sizes are looked at
    before anything is unpacked.
    """
    with opened(path) as archive:
        wanted: dict[str, zipfile.ZipInfo] = {}
        for info in archive.infolist():
            match = re.fullmatch(pattern, info.filename)
            if match is None or (only is not None and match[1] not in only):
                continue
            if match[1] in wanted:
                raise DamagedFile(str(path), match[1], "no recording may occur twice in an archive")
            if info.file_size > LARGEST_RECORDING:
                shown = f"{info.filename} with {info.file_size} bytes"
                rule = f"no recording may be larger than {LARGEST_RECORDING} bytes"
                raise DamagedFile(str(path), shown, rule)
            wanted[match[1]] = info
        total = sum(info.file_size for info in wanted.values())
        if total > LARGEST_ARCHIVE:
            rule = f"its members may hold at most {LARGEST_ARCHIVE} bytes when unpacked"
            raise DamagedFile(str(path), f"{total} bytes", rule)
        return {name: archive.read(wanted[name]) for name in sorted(wanted)}


def read_npz(path: Path, *, size: int | None = None) -> Arrays:
    """Every array of an .npz file whose arrays hold `size` bytes in total; never more are unpacked.

    Without a `size`, what is not stated by a manifest, they may hold `LARGEST_ARCHIVE` bytes. Raises
    `DamagedFile` (naming the path) when it is no .npz, is truncated, holds another number of bytes, or holds
    anything but plain arrays of numbers and text.
    """
    most = LARGEST_ARCHIVE if size is None else size
    rule = f"its arrays must hold {'at most ' if size is None else ''}{most} bytes when unpacked"
    with opened(path, "must be a complete .npz file of plain arrays") as archive:
        infos = archive.infolist()
        stated = sum(info.file_size for info in infos)
        if stated > most + _HEADER * len(infos):
            raise DamagedFile(str(path), f"{stated} bytes", rule)
        found = {info.filename.removesuffix(".npy"): read_npy(archive.read(info)) for info in infos}
    held = sum(array.nbytes for array in found.values())
    if (size is not None and held != size) or len(found) < len(infos):
        raise DamagedFile(str(path), f"{held} bytes", rule)
    return found


def read_npy(content: bytes) -> npt.NDArray[np.generic]:
    """One array, once its header agrees with the bytes that follow. Raises `ValueError` and others."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = header(file)
    left = len(content) - file.tell()
    if dtype.kind not in "biufSU" or min(shape, default=0) < 0 or prod(shape) * dtype.itemsize != left:
        raise ValueError(f"an array of {dtype} {shape} in {left} bytes")
    file.seek(0)
    array: npt.NDArray[np.generic] = np.lib.format.read_array(file, allow_pickle=False)
    return array


def digest_npz(found: Mapping[str, npt.NDArray[np.generic]]) -> str:
    """SHA-256 over the sorted names, types, shapes and values, however the archive was compressed."""
    return digest_arrays(sorted(found.items()), length=64)


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
