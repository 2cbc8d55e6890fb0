"""The readers of idx.gz, wav and zip: real content read, damaged content refused by name."""

from __future__ import annotations

import gzip
import io
import struct
import wave
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mmkd_lab.core.check import DamagedFile
from mmkd_lab.data.archives import (
    digest_members,
    digest_npz,
    gunzip,
    loudness,
    members,
    read_idx,
    read_npz,
    read_wav,
)

PATTERN = r"(?:.*/)?recordings/([0-9]_[a-z]+_[0-9]+\.wav)"


def wav_bytes(samples: np.ndarray, *, channels: int = 1, width: int = 2, rate: int = 8000) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return buffer.getvalue()


def idx_bytes(shape: tuple[int, ...], values: bytes, *, kind: int = 8) -> bytes:
    return bytes([0, 0, kind, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + values


def zip_file(path: Path, content: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def test_idx_has_big_endian_sizes_and_row_major_values() -> None:
    assert read_idx(idx_bytes((2, 3), bytes(range(6))), name="x").tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "must begin with"),
        (b"\x1f\x8b\x08\x00rest", "1f8b0800"),
        (idx_bytes((2,), bytes(2), kind=0x0D), "00000d01"),
        (b"\0\0\x08\x03\0\0", "must state 3 sizes"),
        (b"\0\0\x08\x00", "must state 0 sizes"),
        (idx_bytes((2, 3), bytes(5)), "5 values"),
        (idx_bytes((2, 3), bytes(7)), "7 values"),
        (idx_bytes((2**31, 2**31), bytes(7)), "7 values"),
    ],
)
def test_idx_refuses(content: bytes, expected: str) -> None:
    with pytest.raises(DamagedFile, match=expected) as caught:
        read_idx(content, name="some/file.gz")
    assert caught.value.argument == "some/file.gz"


def test_gunzip_reads_exactly_what_is_expected(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b"digits", mtime=0))
    assert gunzip(path, size=6) == b"digits"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"not gzip at all", "must be a gzip file"),
        (b"", "0 bytes"),
        (gzip.compress(bytes(1000), mtime=0)[:-9], "truncated"),
        (gzip.compress(bytes(999), mtime=0), "999 bytes"),
        (gzip.compress(bytes(10**7), mtime=0), "more than 1000 bytes"),
        (gzip.compress(np.random.default_rng(0).bytes(1000), mtime=0)[:-8] + bytes(8), "CRC check failed"),
    ],
)
def test_gunzip_refuses(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "labels.gz"
    path.write_bytes(content)
    with pytest.raises(DamagedFile, match=expected) as caught:
        gunzip(path, size=1000)
    assert caught.value.argument == str(path)


def test_wav_round_trip() -> None:
    samples = np.array([0, 1, -1, 32767, -32768], dtype="<i2")
    rate, found = read_wav(wav_bytes(samples), name="x")
    assert rate == 8000
    assert np.array_equal(found, samples)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "must be a wav file"),
        (b"RIFF....JUNK", "must be a wav file"),
        (wav_bytes(np.zeros(10, "<i2"))[:30], "must be a wav file"),
        (wav_bytes(np.zeros(10, "<i2"))[:16] + b"\xff\xff" + wav_bytes(np.zeros(10, "<i2"))[18:], "wav file"),
        (wav_bytes(np.zeros(10, "<i2"))[:-4], "8 samples.*the 10 samples it states"),
        (wav_bytes(np.zeros(0, "<i2")), "at least one"),
        (wav_bytes(np.zeros(10, "<i2"), channels=2), "2 channels"),
        (wav_bytes(np.zeros(10, np.uint8), width=1), "8 bits"),
    ],
)
def test_wav_refuses(content: bytes, expected: str) -> None:
    with pytest.raises(DamagedFile, match=expected) as caught:
        read_wav(content, name="3_theo_1.wav")
    assert caught.value.argument == "3_theo_1.wav"


def test_members_ignore_the_wrapper(tmp_path: Path) -> None:
    wavs = {"1_a_0.wav": b"one", "0_b_3.wav": b"nought"}
    first = zip_file(tmp_path / "a.zip", {f"set-master/recordings/{k}": v for k, v in wavs.items()})
    second = zip_file(
        tmp_path / "b.zip", {"readme.md": b"hello", **{f"recordings/{k}": v for k, v in wavs.items()}}
    )
    assert members(first, PATTERN) == members(second, PATTERN)
    assert list(members(first, PATTERN)) == ["0_b_3.wav", "1_a_0.wav"]
    assert digest_members(members(first, PATTERN)) == digest_members(wavs)
    assert digest_members({"1_a_0.wav": b"one", "0_b_3.wav": b"nougat"}) != digest_members(wavs)
    assert digest_members({"1_a_0.wav": b"onen", "0_b_3.wav": b"ought"}) != digest_members(wavs)


@pytest.mark.parametrize(
    "name", ["../recordings/1_a_0.wav", "/etc/recordings/1_a_0.wav", "x/../../y", "C:\\x.wav", "a\\..\\..\\b"]
)
def test_no_member_may_point_outside(tmp_path: Path, name: str) -> None:
    path = zip_file(tmp_path / "evil.zip", {"recordings/1_a_0.wav": b"x", name: b"y"})
    with pytest.raises(DamagedFile, match="outside") as caught:
        members(path, PATTERN)
    assert caught.value.argument == str(path)
    assert [item.name for item in tmp_path.iterdir()] == ["evil.zip"]


def test_damaged_archives_are_named(tmp_path: Path) -> None:
    content = {f"recordings/{i}_a_0.wav": np.random.default_rng(i).bytes(500) for i in range(3)}
    whole = zip_file(tmp_path / "whole.zip", content).read_bytes()
    flipped = bytearray(whole)
    flipped[200] ^= 0xFF
    for name, damaged in {
        "truncated": whole[:-40],
        "flipped": bytes(flipped),
        "text": b"not a zip",
        "empty": b"",
    }.items():
        path = tmp_path / f"{name}.zip"
        path.write_bytes(damaged)
        with pytest.raises(DamagedFile, match="complete zip archive") as caught:
            members(path, PATTERN)
        assert caught.value.argument == str(path)


def test_oversized_and_repeated_recordings_are_refused(tmp_path: Path) -> None:
    bomb = zip_file(tmp_path / "bomb.zip", {"recordings/1_a_0.wav": bytes(5_000_000)})
    with pytest.raises(DamagedFile, match="5000000 bytes"):
        members(bomb, PATTERN)
    twice = zip_file(tmp_path / "twice.zip", {"x/recordings/1_a_0.wav": b"1", "y/recordings/1_a_0.wav": b"2"})
    with pytest.raises(DamagedFile, match=r"1_a_0\.wav.*twice"):
        members(twice, PATTERN)


def test_loudness_is_relative_and_in_quarter_decibels() -> None:
    clip = np.concatenate([np.full(400, 1000.0), np.full(400, 100.0), np.zeros(400 * 98)])
    found = loudness(clip)
    assert found[:3].tolist() == [0, 80, 240]
    assert np.array_equal(found, loudness(clip * 0.01))


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path: Path) -> None:
    for call in (lambda: gunzip(tmp_path, size=1), lambda: members(tmp_path, PATTERN)):
        with pytest.raises(DamagedFile, match="Is a directory") as caught:
            call()
        assert caught.value.argument == str(tmp_path)


def test_a_directory_of_a_zip_that_lies_is_named(tmp_path: Path) -> None:
    whole = bytearray(zip_file(tmp_path / "a.zip", {"recordings/1_a_0.wav": b"x" * 9}).read_bytes())
    at = whole.index(b"PK\x05\x06") + 16  # where the directory begins, by the end record
    whole[at : at + 4] = struct.pack("<I", 2**31)
    (tmp_path / "a.zip").write_bytes(bytes(whole))
    with pytest.raises(DamagedFile, match="complete zip archive"):
        members(tmp_path / "a.zip", PATTERN)


def npy_bytes(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def headed(header: str, values: bytes = b"") -> bytes:
    """An .npy file of version 1 with this header."""
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + values


def stated(shape: str, descr: str = "|u1", values: bytes = b"") -> bytes:
    return headed(f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}", values)


def patched(content: bytes, *, flags: int = 0, method: int | None = None) -> bytes:
    """A zip whose one member claims other flags or another compression, in both of its headers."""
    out = bytearray(content)
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = out.index(mark) + at
        out[place : place + 2] = struct.pack("<H", struct.unpack("<H", out[place : place + 2])[0] | flags)
        if method is not None:
            out[place + 2 : place + 4] = struct.pack("<H", method)
    return bytes(out)


def zipped(name: str, content: bytes, kind: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", kind) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


GOOD = npy_bytes(np.arange(8, dtype=np.uint8))
LZMA = zipped("x.npy", GOOD * 40, zipfile.ZIP_LZMA)
ARRAYS = {
    "encrypted": patched(zipped("x.npy", GOOD), flags=1),
    "unknown compression": patched(zipped("x.npy", GOOD), method=77),
    "broken LZMA": LZMA[:60] + bytes(8) + LZMA[68:],
    "name that is no UTF-8": patched(zipped("xxxxx", GOOD).replace(b"xxxxx", b"\xff\xfe.np"), flags=0x800),
    "brackets for a header": zipped("x.npy", headed("((((" * 20)),
    "no header": zipped("x.npy", b"no array"),
    "objects": zipped("x.npy", npy_bytes(np.array([{"a": 1}], dtype=object))),
    "dates": zipped("x.npy", npy_bytes(np.zeros(1, "datetime64[s]"))),
    "sizes that overflow to 0": zipped("x.npy", stated("(4294967296, 4294967296)")),
    "negative size": zipped("x.npy", stated("(-8,)", values=bytes(8))),
    "more than it holds": zipped("x.npy", stated("(9,)", values=bytes(8))),
    "far more than it holds": zipped("x.npy", stated("(900000000000000,)", values=bytes(8))),
    "other bytes": zipped("x.npy", npy_bytes(np.zeros(7, np.uint8))),
    "bomb": zipped("x.npy", npy_bytes(np.zeros(10**6, np.uint8)), zipfile.ZIP_DEFLATED),
    "outside": zipped("../x.npy", GOOD),
}


def test_arrays_are_read_as_numpy_reads_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        "a": rng.integers(0, 9, (3, 4)),
        "b": np.asfortranarray(rng.random((2, 3))),
        "c": np.array(["x", "yz"]),
    }
    np.savez_compressed(tmp_path / "x.npz", **arrays)
    found = read_npz(tmp_path / "x.npz", size=sum(array.nbytes for array in arrays.values()))
    assert all(np.array_equal(found[name], array) for name, array in arrays.items())
    digests = {digest_npz(found), digest_npz({**found, "a": found["a"] + 1}), digest_npz({"A": found["a"]})}
    assert len(digests) == 3
    assert digest_npz(dict(reversed(found.items()))) == digest_npz(arrays)


@pytest.mark.parametrize("case", ARRAYS)
def test_other_arrays_are_refused(case: str, tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(ARRAYS[case])
    with pytest.raises(DamagedFile) as caught:
        read_npz(path, size=8)
    assert caught.value.argument == str(path)


def test_what_an_archive_holds_in_all_is_bounded_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for i in range(60):
            archive.writestr(f"recordings/{i % 10}_{'abcdef'[i // 10]}_0.wav", bytes(4_000_000))
    with pytest.raises(DamagedFile, match=r"240000000 bytes.* at most 200000000") as caught:
        members(path, PATTERN)
    assert caught.value.argument == str(path)
    assert len(members(path, PATTERN, only={"0_a_0.wav"})["0_a_0.wav"]) == 4_000_000
