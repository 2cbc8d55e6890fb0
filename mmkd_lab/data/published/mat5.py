"""Numbers of small MATLAB files of level 5, read strictly: scipy's compiled reader ends the process on some
damaged ones. Format: MAT-File Level 5, as MathWorks documents it. Imports no torch."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection, Iterator
from math import prod
from pathlib import Path

import numpy as np

from mmkd_lab.core.check import reading
from mmkd_lab.data.published.sheet import Array

_HEAD, _MOST = 128, 2**24  # bytes of the header, and the most that a file may hold
_MATRIX, _COMPRESSED, _INT32 = 14, 15, 5
#: Types of stored numbers, which may be smaller than those of the array they stand for.
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_CLASSES = range(6, 16)  # double, single and whole numbers; cells, structures and text are passed over


def numbers(file: Path, names: Collection[str]) -> dict[str, Array]:
    """{name: array} of these variables. Raises `DamagedFile` for another file, or one that lacks a name."""
    with reading(file, f"must be a MATLAB file of level 5 with {', '.join(names)}"):
        content = file.read_bytes()
        order = {b"IM": "<", b"MI": ">"}.get(content[126:_HEAD])
        if order is None or len(content) > _MOST:
            raise ValueError("no such file" if order is None else f"{len(content):,} bytes")
        found = dict(_variables(content[_HEAD:], order))
        lacks = [name for name in names if name not in found]
        if lacks:
            raise ValueError(f"no numbers called {lacks[0]}")
        return {name: found[name] for name in names}


def _variables(content: bytes, order: str) -> Iterator[tuple[str, Array]]:
    for kind, data in _elements(content, order):
        if kind == _COMPRESSED:
            unpack = zlib.decompressobj()
            whole = unpack.decompress(data, _MOST)
            if not unpack.eof:
                raise ValueError("a variable that is cut off or too large")
            yield from _variables(whole, order)
        elif kind == _MATRIX:
            parts = _elements(data, order)
            (_, flags), (shape_kind, shape), (_, name), *rest = parts
            if not flags or shape_kind != _INT32:
                raise ValueError("a variable without a shape")
            if struct.unpack(f"{order}I", flags[:4])[0] & 0xFF in _CLASSES:
                sides = struct.unpack(f"{order}{len(shape) // 4}i", shape)
                yield name.decode("ascii"), _array(rest[0], sides, order)


def _array(part: tuple[int, bytes], sides: tuple[int, ...], order: str) -> Array:
    kind, data = part
    values = np.frombuffer(data, dtype=f"{order}{_TYPES[kind]}")
    if min(sides) < 0 or values.size != prod(sides):
        raise ValueError(f"{values.size} numbers for a shape of {sides}")
    return values.reshape(sides, order="F")


def _elements(content: bytes, order: str) -> list[tuple[int, bytes]]:
    """(type, bytes) one after the other; short ones stand in their own tag, others are padded to eight."""
    found, at = [], 0
    while at < len(content):
        (first,) = struct.unpack_from(f"{order}I", content, at)
        if first >> 16:
            kind, size, start = first & 0xFFFF, first >> 16, at + 4
            after = at + 8
        else:
            (size,) = struct.unpack_from(f"{order}I", content, at + 4)
            kind, start = first, at + 8
            after = start + size + (-size % 8 if kind != _COMPRESSED else 0)
        if start + size > len(content):
            raise EOFError
        found.append((kind, content[start : start + size]))
        at = after
    return found
